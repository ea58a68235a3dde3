"""What a ledger has to do with one run: who records it, which run it goes on from, and what is taken from there.

All of this happens before the first task runs. The kept values on the border between what is taken and what runs are
verified here; one that is missing or damaged moves its task to the side of what runs, until the plan stays the same.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from ckpt import installed, plugins
from ckpt.briefs import brief
from ckpt.calls import CallPath
from ckpt.engine.liveness import is_gone, this_process
from ckpt.engine.planning import RunPlan, make_plan
from ckpt.engine.runs import Rows
from ckpt.engine.tracking import Tracker
from ckpt.errors import (
    AccessDenied,
    CkptError,
    ConfigError,
    CorruptRecord,
    NotFound,
    PluginNotFound,
    StoreUnavailable,
    Unsupported,
)
from ckpt.handlers import JSON, Meta
from ckpt.identities import Identities
from ckpt.ledgers import Ledger, Prior
from ckpt.objects import ObjectResultHandler
from ckpt.options import convert
from ckpt.results import SafeResult
from ckpt.suggestions import did_you_mean
from ckpt.task_records import CallArguments, Identity, Place, RunRecord, TaskRecord, Wish
from ckpt.version import __version__

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.engine.graph import Graph
    from ckpt.engine.plans import Plan, RunFacts
    from ckpt.flows import Flow
    from ckpt.settings import Settings

__all__ = ["History", "environment", "open_history"]

log = logging.getLogger("ckpt")

_INLINE = 16 << 10
"""Bytes of constants that the ledger itself keeps; more become an object of their own."""
_READERS = 16
_WRITTEN_BITS = 2048
"""Of an int that is shown in digits: Python writes none of more than 4,300 decimal ones."""


@dataclass(frozen=True, slots=True)
class History:
    """The ledger of one run, and what it knows."""

    ledger: Ledger
    wish: Wish
    prior: Prior | None = None
    identities: Identities = field(default_factory=Identities)

    def parameters(self, flow: Flow, given: Mapping[str, object]) -> dict[str, object]:
        """The parameters that are given, else those of the run that this one goes on from, as far as the flow has them.

        Raises: `ConfigError` for one that is not kept and may not have been the default.
        """
        if self.prior is None:
            return dict(given)
        found: dict[str, object] = {}
        for name, call in flow.parameters().items():
            record = self.prior.tasks.get(CallPath(call.slug))
            if name in given:
                continue
            if record is not None and record.safe is not None:
                found[name] = record.safe.read()
            elif name in self.prior.run.parameters and self.prior.run.parameters[name] != _shown(call.default):
                raise ConfigError(
                    f"what parameter {name!r} was in run {self.prior.run.id} is not kept: "
                    f"give it again, as in flow.run(resume=…, {name}=…)"
                )
        return {**found, **given}

    def tracker(self, graph: Graph, plans: Sequence[Plan], facts: RunFacts) -> Tracker:
        """What the loop asks; where this run goes on from another, planned and verified.

        Raises: `ConfigError` for a task to start from that the flow does not have.
        """
        made = self._tracker(graph, plans, facts)
        if self.prior is not None:
            self._verified(graph, plans, made)
        return made

    def plan(self, graph: Graph, plans: Sequence[Plan], facts: RunFacts) -> RunPlan:
        """What would be taken and what would be run."""
        tracker = self._tracker(graph, plans, facts)
        return self._verified(graph, plans, tracker)

    def _tracker(self, graph: Graph, plans: Sequence[Plan], facts: RunFacts) -> Tracker:
        calls = graph.calls
        cached = [call for call in calls if call.task.cache]
        return Tracker(
            self.identities,
            prior=self.prior.tasks if self.prior is not None else None,
            lookup=self._lookup if cached else None,
            hints=self._hints(facts.flow) if cached else (),
            again=self._again(graph),
            refresh=self._refreshed(cached),
            keep=_keeper(plans, facts),
        )

    def _lookup(self, identities: Sequence[Identity]) -> Mapping[Identity, TaskRecord]:
        try:
            return self.ledger.lookup(identities)
        except CkptError as error:
            if self.ledger.required:
                raise
            log.warning("no values of other runs are reused here: %s", error)
            return {}

    def _hints(self, flow: str) -> Iterator[TaskRecord]:
        """What the last run of the flow kept, in one read: most likely all that will be asked for."""
        try:
            tasks = self.ledger.prior("last", flow=flow).tasks.values()
        except CkptError:
            return iter(())
        now = datetime.now(UTC)
        return (each for each in tasks if each.safe and each.safe.digest and (each.reusable_until or now) > now)

    def _again(self, graph: Graph) -> Collection[int]:
        """The calls to start from, and all that is downstream of them."""
        again: set[int] = set()
        if not self.wish.from_task:
            return again
        slugs = {call.slug: call.index for call in graph.calls}
        for text in self.wish.from_task:
            named = [call.index for call in graph.calls if call.task.name == text]
            if text not in slugs and len(named) != 1:
                what = "is called more than once" if named else "is no call of this flow"
                raise ConfigError(f"--from {text}: it {what}: {did_you_mean(text, slugs)}")
            again.add(slugs[text] if text in slugs else named[0])
        for call in graph.calls:
            if any(up.index in again for up in call.upstream):
                again.add(call.index)
        return again

    def _refreshed(self, cached: Sequence[Call]) -> Collection[int]:
        if isinstance(self.wish.refresh, bool):
            return {call.index for call in cached} if self.wish.refresh else ()
        names = {name for call in cached for name in (call.slug, call.task.name)}
        for text in self.wish.refresh:
            if text not in names:
                raise ConfigError(f"refresh {text!r}: no task with cache has that name: {did_you_mean(text, names)}")
        return {call.index for call in cached if {call.slug, call.task.name} & set(self.wish.refresh)}

    def _verified(self, graph: Graph, plans: Sequence[Plan], tracker: Tracker) -> RunPlan:
        """Plan, verify what would be read, and plan again without what cannot be."""
        good: set[CallPath] = set()
        while True:
            plan = make_plan(Rows(graph.calls, plans), tracker)
            ask = [(*each, _verify) for each in plan.border if each[0] not in good]
            if self.prior is not None:  # of what merely has `cache`, a look at each would cost more than a hit
                ask += [(*each, _look_for) for each in plan.ends if each[0] not in good]
            bad = False
            for (path, *_), error in zip(ask, _all_of(ask), strict=True):
                if error is None:
                    good.add(path)
                    continue
                bad = True
                tracker.distrust(path, str(error))
                log.warning("task %s is run again: what was kept of it cannot be read: %s", path, error)
            if not bad:
                return plan

    def record(self, flow: Flow, plans: Sequence[Plan], facts: RunFacts) -> RunRecord:
        """The run, as it is told to the ledger."""
        tasks = {id(call.task): call.task for call in flow.calls if not call.is_parameter}.values()
        codes = [self.identities.versions.of(each) for each in tasks]
        code = None if None in codes else hashlib.sha256("".join(sorted({str(each) for each in codes})).encode())
        return RunRecord(
            id=facts.id,
            flow=facts.flow,
            started=facts.started,
            name=self.wish.run_name,
            target=flow.target,
            parameters={
                name: _shown(facts.parameters[name]) if call.task.checkpoint else "<not kept>"
                for name, call in flow.parameters().items()
            },
            code=code.hexdigest() if code else None,
            environment=environment(),
            executor=facts.executor,
            calls=facts.calls,
            places=_places(plans, facts.id),
            resumed=self.prior.run.id if self.prior is not None else None,
            ledger=self.ledger.id,
        )


def open_history(flow: Flow, settings: Settings, wish: Wish) -> History | None:
    """The ledger that is installed and switched on, and the run to go on from.

    Raises: `PluginNotFound` with the pip line, if something is wished that needs a ledger; `NotFound` for a run that it
    does not know; what opening raises, if the ledger is required.
    """
    needed = wish != Wish()
    ledger = _opened(settings, needed=needed)
    if ledger is None:
        if needed:
            raise PluginNotFound(
                "resume, from_task, refresh and run_name need the record of runs, and no ledger is installed and "
                f"switched on: {installed.pip_line('ckpt-ledger')}"
            )
        if any(call.task.cache for call in flow.calls):
            log.warning("cache= has no effect without a ledger: %s", installed.pip_line("ckpt-ledger"))
        return None
    prior = None
    if wish.resume is not None:
        prior = ledger.prior(wish.resume, flow=flow.name)
        if prior.run.flow != flow.name:
            raise ConfigError(
                f"run {prior.run.id} is one of flow {prior.run.flow!r}, and flow {flow.name!r} cannot go on from it: "
                "name a run of this flow, or `last`"
            )
        if prior.is_alive and not is_gone(prior.run.environment.get("process")):
            raise ConfigError(
                f"run {prior.run.id} is still in progress: wait for its end, or, if it is gone, "
                f"{ledger.lease_seconds:g} seconds after its last sign of life"
            )
        log.info("going on from run %s", prior.run.id)
        prior = _completed(ledger, prior, flow)
    elif wish.from_task:
        raise ConfigError("from_task says where to go on from in a run: name the run with resume, as in resume='last'")
    return History(ledger, wish, prior)


def _opened(settings: Settings, *, needed: bool) -> Ledger | None:
    kinds = plugins.ledger_classes()
    if len(kinds) > 1:
        names = ", ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        raise ConfigError(f"two ledgers are installed, {names}: leave one out with CKPT__PLUGINS__BLOCK")
    for kind in kinds:
        try:
            return kind.from_settings(settings)
        except (StoreUnavailable, AccessDenied, CorruptRecord) as error:
            section = settings.section(kind.section)
            required = section.get("required", False)
            if needed or convert(required, bool, name=f"{kind.section}.required", source="the settings"):
                raise
            log.warning("this run is not recorded, its values are kept all the same: %s", error)
    return None


def _keeper(plans: Sequence[Plan], facts: RunFacts) -> Callable[[bytes], CallArguments]:
    """How the constants of calls are kept: inline, or where the run's values are."""

    def keep(data: bytes) -> CallArguments:
        digest = hashlib.sha256(data).hexdigest()
        places = _kept_places(plans, facts.id) if len(data) > _INLINE else ()
        if not places:
            return CallArguments(digest, data)
        handler, prefix = places[0]
        stored = handler.store(data, key=f"{prefix}constants/{digest[:16]}{handler.suffix}", meta=Meta(facts.id))
        return CallArguments(digest, None, SafeResult.of(stored, handler))

    return keep


def _kept_places(plans: Sequence[Plan], run: str) -> list[tuple[ObjectResultHandler, str]]:
    """The handlers that keep what belongs to this run alone, each with the start of all its keys."""
    found: dict[int, tuple[ObjectResultHandler, str]] = {}
    for plan in dict.fromkeys(plans):  # the calls of a task share one
        for keep in (plan.keep, plan.keep.fallback if plan.keep else None):
            if keep is not None and isinstance(keep.handler, ObjectResultHandler):
                prefix = keep.template.start
                if f"/{run}/" in f"/{prefix}" and prefix.endswith("/"):
                    found.setdefault(id(keep.handler), (keep.handler, prefix))
    return list(found.values())


def _places(plans: Sequence[Plan], run: str) -> list[Place]:
    return [Place(handler.to_spec(), prefix) for handler, prefix in _kept_places(plans, run)]


def _completed(ledger: Ledger, prior: Prior, flow: Flow) -> Prior:
    """A run with what it has kept and not recorded, and, what it did not come to, from the runs that it went on from.

    Of a mapped call of which two runs know children, the record of all of them is left out: it speaks for one run.
    """
    slugs = {call.slug for call in flow.calls}
    tasks: dict[CallPath, TaskRecord] = {}
    run: Prior | None = prior
    while run is not None:
        found = {path: record for path, record in run.tasks.items() if _is_settled(record)}
        mixed = {path.slug for path in run.tasks if path not in found} if len(found) < len(run.tasks) else set()
        if mixed or not slugs <= {path.slug for path in found if path.map_index is None}:
            found.update(_unrecorded(run, found, slugs))
        elif run is prior:
            return prior
        if tasks:
            mixed |= {path.slug for path in found if path not in tasks} & {path.slug for path in tasks}
        tasks = {**found, **tasks}
        for path in map(CallPath, mixed):
            if path in tasks and tasks[path].children is not None:
                del tasks[path]
        run = _before(ledger, run, flow) if any(CallPath(slug) not in tasks for slug in slugs) else None
    left = {path: record for path, record in prior.tasks.items() if not _is_settled(record)}
    return replace(prior, tasks={**left, **tasks})


def _is_settled(record: TaskRecord) -> bool:
    """Did the run come to this task run, and is all said that there is to it?"""
    return record.state != "Cancelled" and not record.outcome.startswith("failed")


def _before(ledger: Ledger, run: Prior, flow: Flow) -> Prior | None:
    """The run that a run went on from; None for one that did not, and where that is forgotten."""
    if run.run.resumed is None:
        return None
    try:
        return ledger.prior(run.run.resumed, flow=flow.name)
    except NotFound:
        return None


def _unrecorded(prior: Prior, known: Collection[CallPath], slugs: Collection[str]) -> dict[CallPath, TaskRecord]:
    """What a run has kept and not recorded, since it was killed in between: found by the headers of its objects."""
    read = {record.safe.value for record in prior.tasks.values() if record.safe and isinstance(record.safe.value, str)}
    found: dict[CallPath, TaskRecord] = {}
    for place in prior.run.places:
        handler = plugins.handler_from_spec(dict(place.handler))
        if not isinstance(handler, ObjectResultHandler):
            continue
        for info in handler.objects.list(place.prefix):
            if info.key in read:
                continue
            record = _from_header(handler, info.key, info.size, prior.run.id)
            if record is not None and record.call.slug in slugs and record.call not in known:
                before = found.get(record.call)
                if before is None or before.attempt < record.attempt:
                    found[record.call] = record
    if found:
        log.info("run %s has kept more than is in its record, %d in number", prior.run.id, len(found))
    return found


def _from_header(handler: ObjectResultHandler, key: str, size: int, run: str) -> TaskRecord | None:
    try:
        header = handler.meta(key)
    except CkptError as error:
        log.warning("%s is passed over: %s", key, error)
        return None
    call, identity, digest = header.get("call"), header.get("identity"), header.get("content")
    if header.get("run") != run or not isinstance(call, str) or not isinstance(identity, str):
        return None
    slug, bracket, index = call.partition("[")
    path = CallPath(slug, int(index.removesuffix("]")) if bracket else None)
    safe = SafeResult(key, handler, digest=str(digest), size=size, serializer=str(header.get("serializer")))
    attempt = header.get("attempt")
    return TaskRecord(
        run, path, "Success", safe=safe, outcome="stored", identity=Identity(identity),
        attempt=attempt if isinstance(attempt, int) else 1,
    )  # fmt: skip


_Question = tuple[CallPath, SafeResult, Callable[[SafeResult], CkptError | None]]


def _all_of(questions: Sequence[_Question]) -> list[CkptError | None]:
    """What is wrong with each kept value; several are asked at once."""
    if not questions:
        return []
    with ThreadPoolExecutor(min(_READERS, len(questions)), thread_name_prefix="ckpt-reader") as readers:
        return list(readers.map(lambda each: each[2](each[1]), questions))


def _look_for(safe: SafeResult) -> CkptError | None:
    """Is it there? Reads nothing: it is not needed now."""
    try:
        there = safe.result_handler.exists(safe.value)
    except Unsupported:
        return None
    return None if there else NotFound(f"nothing is kept at {safe.value!r}")


def _verify(safe: SafeResult) -> CkptError | None:
    try:
        safe.result_handler.verify(safe)
    except (NotFound, CorruptRecord) as error:
        return error
    return None


def _shown(value: object) -> JSON:
    """A parameter as plain JSON, else its `repr`, cut short."""
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _WRITTEN_BITS else brief(value)
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  a person's __repr__ may raise anything
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return text if len(text) <= 200 else f"{text[:199]}…"


def environment() -> Mapping[str, JSON]:
    """What this process is: Python, the packages that it has imported, the host, and which process of it."""
    return {**_environment(), "process": dict(this_process()), "packages": _packages()}


@lru_cache(maxsize=1)
def _environment() -> Mapping[str, JSON]:
    import cloudpickle

    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "ckpt": __version__,
        "cloudpickle": str(cloudpickle.__version__),
        "plugins": [str(each) for each in installed.plugins()],
        "host": socket.gethostname(),
    }


def _packages() -> dict[str, JSON]:
    """The versions of the packages that this process has imported, as far as they say: values may depend on them."""
    found: dict[str, JSON] = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name.startswith("_") or name in sys.stdlib_module_names:
            continue
        version = getattr(module, "__dict__", {}).get("__version__")  # without asking a module that loads lazily
        if type(version) is str:
            found[name] = version[:40]
    return found
