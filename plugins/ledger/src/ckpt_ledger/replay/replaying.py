"""Running one recorded task run again, in this process, with exactly the arguments that it had; nothing is written."""

from __future__ import annotations

import hashlib
import io
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

from ckpt.calls import Call
from ckpt.code_versions import CodeVersions
from ckpt.encoding import encode
from ckpt.engine.history import environment
from ckpt.engine.plans import Code, Plan, RunFacts, Work
from ckpt.engine.task_runner import run_call
from ckpt.errors import CkptError, ConfigError, NotSerializable
from ckpt.flows import Flow
from ckpt.handlers import Meta
from ckpt.loading import load_flow, split_target
from ckpt.plugins import serializer_class
from ckpt.results import SafeResult
from ckpt.serializers import PickleSerializer
from ckpt.stores import Buffer, ObjectInfo, ObjectWriter
from ckpt.task_records import TaskRecord
from ckpt_ledger.compare.causes import changed_environment
from ckpt_ledger.ledger import SQLLedger
from ckpt_ledger.replay.arguments import Arguments, Given
from ckpt_ledger.telling import telling
from ckpt_ledger.values.changes import Difference
from ckpt_ledger.values.differences import compare

__all__ = ["Replay", "Replayed", "Verdict", "script"]

Verdict = Literal["same", "same value", "same failure", "different", "not compared", "failed"]

_log = logging.getLogger("ckpt")

_REPLAYED = ("Success", "Cached", "Failed", "TimedOut", "Skipped")
_NAMES = {Code.FAILED: "Failed", Code.TIMED_OUT: "TimedOut", Code.SKIPPED: "Skipped", Code.CANCELLED: "Cancelled"}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it."""

    verdict: Verdict
    message: str
    difference: Difference | None = None
    """How the new value differs from the kept one."""
    value: object = None
    """The new value; of a failure the exception."""

    @property
    def is_same(self) -> bool:
        """Did it do what it did then, as far as that is known?"""
        return self.verdict not in ("different", "failed")


class Replay:
    """One task run of one run, ready to be run again."""

    def __init__(self, ledger: SQLLedger, run: str, task: str, *, file: str | None = None) -> None:
        self.run = ledger.find(run)
        self.record: TaskRecord = ledger.task(self.run.id, task)
        if self.record.state == "Mapped":
            raise ConfigError(f"{self.record.call} is a mapped call: say which child, {self.record.call}[0]")
        if self.record.state not in _REPLAYED:
            raise ConfigError(f"{self.record.call} was {self.record.state} in run {self.run.id}: it was never run")
        self.flow = _flow(self.run.record.target, self.run.flow, file)
        self._ledger = ledger
        self._arguments = Arguments(ledger, self.run.id, self.flow, self._computed)
        self.call = self._arguments.call_of(self.record)
        if self.call.is_parameter:
            raise ConfigError(f"{self.record.call} is a parameter: its value was given, there is nothing to run")
        self.recomputed: list[str] = []
        """Calls whose values were not kept, and so were computed again."""

    def changes(self) -> list[str]:
        """How code and environment differ from then, in words."""
        now = replace(self.run.record, environment=environment())
        said = [each.text for each in changed_environment(self.run.record, now)]
        code = CodeVersions().of(self.call.task)
        if code != self.record.code:
            said.insert(0, f"the code of task {self.record.task} has changed")
        return said

    def given(self) -> Given:
        """The arguments that it had.

        Raises: as `Arguments.of`.
        """
        return self._arguments.of(self.record)

    def named(self) -> dict[str, object]:
        """The arguments that it had, by the names in its signature."""
        made: dict[str, object] = {}

        def take(*args: Any, **kwargs: Any) -> None:
            made.update(self.call.task.signature.bind(*args, **kwargs).arguments)

        self.given().call(take)
        return made

    def again(self, around: Callable[..., Any] | None = None) -> Replayed:
        """Run it; `around` calls the function with its arguments, for a debugger that wants to be in between."""
        code, value = self._run(self.record, self.call, self.given(), around)
        then = self.record.state
        if code != Code.SUCCESS:
            return self._failed(_NAMES.get(code, "Failed"), value)
        if then not in ("Success", "Cached") and not self.record.outcome.startswith("failed"):
            return Replayed("different", f"it gives a value now; then it was {then}: {_last(self.record)}", value=value)
        if self.record.safe is None:
            return Replayed("not compared", "it gives a value, and nothing was kept to compare it with", value=value)
        return self._compared(value, self.record.safe)

    def _compared(self, value: object, safe: SafeResult) -> Replayed:
        try:
            if safe.digest is not None and _digest(value, safe) == safe.digest:
                return Replayed("same", "the same value as then, byte for byte", value=value)
        except NotSerializable as error:
            return Replayed("different", f"its value cannot be kept any more: {error}", value=value)
        with telling(f"the value of {self.record.call} in run {self.run.id}, which the new one is compared with"):
            kept = safe.read()
        difference = compare(kept, value)
        if difference is None:
            return Replayed("same value", "the same value as then, in other bytes", value=value)
        return Replayed("different", "another value than then", difference, value)

    def _failed(self, state: str, error: object) -> Replayed:
        said = _said(error)
        then = self.record.state
        if then != state:
            was = "gave a value" if then in ("Success", "Cached") else f"was {then}: {_last(self.record)}"
            return Replayed("failed", f"it fails now, {said}; then it {was}", value=error)
        if said == _last(self.record) or state != "Failed":
            return Replayed("same failure", f"it fails as it did then: {said}", value=error)
        return Replayed("different", f"it fails in another way: {said}; then: {_last(self.record)}", value=error)

    def _computed(self, record: TaskRecord, call: Call, given: Given) -> object:
        _log.info("%s was not kept: it is computed again", record.call)
        self.recomputed.append(str(record.call))
        code, value = self._run(record, call, given, None)
        if code != Code.SUCCESS:
            raise ConfigError(
                f"{record.call} was not kept, and computing it again ended as {_NAMES.get(code, code)}: {_said(value)}"
            ) from (value if isinstance(value, BaseException) else None)
        return value

    def _run(
        self, record: TaskRecord, call: Call, given: Given, around: Callable[..., Any] | None
    ) -> tuple[int, object]:
        """Run a function as a run does, without anywhere to keep its value."""
        task = call.task
        timeout = None if around is not None else task.seconds("timeout")
        function = task.run if around is None else _through(around, task.run)
        plan = Plan(task.name, function, timeout=timeout)
        part = Call(task, None)
        part.path, part.index, part.args, part.kwargs = call.path, call.index, tuple(given.args), dict(given.kwargs)
        index = record.call.map_index
        work = Work(plan, part, self._facts, given.inputs, call.index, index, 0, record.attempt)
        outcome = run_call(work)
        return outcome.code, outcome.value

    @cached_property
    def _facts(self) -> RunFacts:
        run = self.run.record
        parameters: dict[str, object] = dict(run.parameters)
        for name, call in self.flow.parameters().items():
            try:
                record = self._ledger.task(self.run.id, call.slug)
            except CkptError:
                continue  # the flow had no such parameter then
            if record.safe is not None:
                with telling(f"parameter {name!r} of run {self.run.id}"):
                    parameters[name] = record.safe.read()
        return RunFacts(run.id, run.flow, run.started, parameters, run.executor, run.calls)


def _through(around: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        return around(function, *args, **kwargs)

    return called


def _flow(target: str | None, name: str, file: str | None) -> Flow:
    if file is not None:
        return _loaded(file if split_target(file)[1] else f"{file}:{name}")
    if target is None:
        raise ConfigError(f"flow {name!r} was made in no file: name one that has it with --file")
    try:
        return _loaded(target)
    except ConfigError as error:
        raise ConfigError(f"{error}; if the flow is somewhere else now, name the file with --file") from error


@lru_cache(maxsize=8)  # a file is loaded once in a process, as one module
def _loaded(target: str) -> Flow:
    return load_flow(target).flow


def _said(error: object) -> str:
    if isinstance(error, BaseException):
        return "".join(traceback.format_exception_only(error)).strip()
    return str(error)


def _last(record: TaskRecord) -> str:
    """How it failed then, as `_said` says it."""
    lines = (record.error or record.message).rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return "\n".join(lines[starts[-1] + 1 :] if starts else lines).strip() or record.message


def _digest(value: object, safe: SafeResult) -> str:
    """The content digest that the value would be kept with; the bytes go nowhere.

    Raises: `NotSerializable`.
    """
    name = safe.serializer or PickleSerializer.name
    serializer = PickleSerializer() if name == PickleSerializer.name else serializer_class(name)()
    if serializer.framed:
        return encode(value, serializer, Meta(), _Nowhere).digest
    out = io.BytesIO()
    serializer.dump(value, out)
    return hashlib.sha256(out.getvalue()).hexdigest()


class _Nowhere(ObjectWriter):
    """Takes what a large value is written into, and drops it."""

    def __init__(self) -> None:
        self._size = 0

    def write(self, data: Buffer) -> None:
        self._size += memoryview(data).nbytes

    def commit(self) -> ObjectInfo:
        return ObjectInfo("", self._size)

    def abort(self) -> None:
        pass


def script(replay: Replay, *, file: str | None) -> Sequence[str]:
    """Lines of Python that load the inputs, for a notebook."""
    where = f", file={file!r}" if file is not None else ""
    names = [name for name in replay.call.task.signature.parameters if name in replay.record.inputs]
    lines = [
        f"# what {replay.record.call} of run {replay.run.id} was called with",
        "from ckpt_ledger import inputs",
        "",
        f"given = inputs({replay.run.id!r}, {str(replay.record.call)!r}{where})",
    ]
    return [*lines, *(f"{name} = given[{name!r}]" for name in names)]
