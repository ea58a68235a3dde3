"""The arguments that a task run had, made again from what the ledger keeps: `Arguments`.

Templates and constants are those that were kept with the run, not those of today's file; the values that go into them
are read where they are kept, each pinned to the digest that the task run has written down for it. A value that was not
kept is computed again, from the arguments of the task run that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt.arguments import Fetch, Slot, holds, resolve, slots_in
from ckpt.calls import Call, CallPath
from ckpt.engine.maps import elements
from ckpt.errors import CkptError, ConfigError, CorruptRecord, NotFound, Unsupported
from ckpt.flows import Flow
from ckpt.identities import inputs_by_argument, places
from ckpt.serializers import unpickle
from ckpt.task_records import Source, TaskRecord
from ckpt_ledger.ledger import SQLLedger
from ckpt_ledger.telling import telling

__all__ = ["Arguments", "Given"]


@dataclass(frozen=True, slots=True)
class Given:
    """What a task run is called with."""

    args: Sequence[object]
    """Templates, as a call has them."""
    kwargs: Mapping[str, object]
    inputs: Sequence[object]
    """What goes into their slots."""

    def call(self, function: Callable[..., Any]) -> Any:
        """Call a function with them."""
        args = [resolve(each, self.inputs) for each in self.args]
        return function(*args, **{name: resolve(each, self.inputs) for name, each in self.kwargs.items()})


class Arguments:
    """Of the task runs of one run; `compute` computes what was not kept."""

    def __init__(
        self, ledger: SQLLedger, run: str, flow: Flow, compute: Callable[[TaskRecord, Call, Given], object]
    ) -> None:
        self._ledger, self._run, self._compute = ledger, run, compute
        self._calls = {call.slug: call for call in flow.calls}
        self._flow = flow
        self._values: dict[CallPath, object] = {}

    def call_of(self, record: TaskRecord) -> Call:
        """The call of the flow that made it.

        Raises: `NotFound` where the flow has no such call any more.
        """
        call = self._calls.get(record.call.slug)
        if call is None or call.task.name != record.task:
            raise NotFound(
                f"flow {self._flow.name!r} has no call {record.call.slug} of task {record.task!r} any more: "
                "name the file as it was then with --file"
            )
        return call

    def of(self, record: TaskRecord) -> Given:
        """What that task run was called with.

        Raises: `NotFound`, `CorruptRecord`, `Unsupported` naming the input that cannot be had; `ConfigError`.
        """
        call = self.call_of(record)
        args, kwargs, lists = self._templates(record, call)
        made = Call(call.task, None)
        made.args, made.kwargs = tuple(args), dict(kwargs)
        try:
            slots = inputs_by_argument(places(made))
        except TypeError as error:
            raise self._changed(record, f"its function does not take them any more ({error})") from None
        count = 1 + max((number for numbers in slots.values() for number in numbers), default=-1)
        shared = count - len(lists)
        inputs: list[object] = [None] * count
        for name, numbers in slots.items():
            sources = iter([each for each in record.inputs.get(name, ()) if each.call is not None])
            with telling(f"argument {name!r} of {record.call}"):
                for number in numbers:
                    if number < shared:
                        inputs[number] = self._value(self._next(sources, record, name))
                    else:
                        inputs[number] = self._element(record, call, number - shared, lists, sources, name)
            if next(sources, None) is not None:
                raise self._changed(record, f"argument {name!r} took more values then")
        return Given(args, kwargs, inputs)

    def _templates(self, record: TaskRecord, call: Call) -> tuple[Any, Any, Any]:
        """Positional arguments, those by name, and the lists that are mapped over."""
        if record.arguments is not None:
            kept = self._ledger.arguments(record.arguments)
            data: Any = kept.data if kept.data is not None else kept.safe.read() if kept.safe is not None else b""
            try:
                given: Any = unpickle(data)
                args, kwargs, lists = given
            except CkptError:
                raise
            except Exception as error:
                raise Unsupported(
                    f"the constants of {record.call} cannot be made here ({type(error).__name__}: {error}): "
                    "install what they are of, as it was then"
                ) from error
            return args, kwargs, lists
        if record.inputs and any(each.call is None for sources in record.inputs.values() for each in sources):
            raise Unsupported(f"the constants of {record.call} could not be pickled, and so were not kept")
        names = inputs_by_argument(places(call))
        if call.is_mapped or names.keys() != record.inputs.keys():
            raise self._changed(record, f"it took {', '.join(record.inputs) or 'nothing'} then")
        return call.args, call.kwargs, []

    def _element(
        self, record: TaskRecord, call: Call, place: int, lists: Any, sources: Iterator[Source], name: str
    ) -> object:
        """What a mapped child got of the list with that number."""
        index = record.call.map_index
        if index is None:
            raise ConfigError(f"{record.call} is a mapped call: say which child, {record.call}[0]")
        if given := lists[place]:
            element = given[index]
            inner = {
                number: self._value(self._next(sources, record, name)) for number in dict.fromkeys(slots_in(element))
            }
            # A secret is fetched where the task runs.
            return element if holds(element, Fetch) else resolve(element, inner)  # type: ignore[arg-type]  # by number
        source = self._next(sources, record, name)
        if source.call is not None and source.call.map_index is not None:
            return self._value(source)
        each = call.each[place] if call.each is not None and len(call.each) == len(lists) else None
        return elements(Slot(0) if each is None or each.look is None else each.look, self._value(source))[index]

    def _next(self, sources: Iterator[Source], record: TaskRecord, name: str) -> Source:
        source = next(sources, None)
        if source is None:
            raise self._changed(record, f"nothing is known of what its argument {name!r} took")
        return source

    def _changed(self, record: TaskRecord, why: str) -> ConfigError:
        return ConfigError(
            f"the arguments of {record.call} in run {self._run} do not fit the flow of today: {why}; "
            "name the file as it was then with --file"
        )

    def _value(self, source: Source) -> object:
        """The value of a task run, of a mapped call the list of those of its children."""
        path = source.call
        assert path is not None  # it is no constant
        if path not in self._values:
            record = self._ledger.task(self._run, str(path))
            if record.state == "Mapped":
                children = [path._replace(map_index=index) for index in range(record.children or 0)]
                return [self._value(Source(child)) for child in children]
            self._values[path] = self._one(record, source)
        return self._values[path]

    def _one(self, record: TaskRecord, source: Source) -> object:
        if record.state not in ("Success", "Cached"):
            raise Unsupported(
                f"{record.call} was {record.state} in run {self._run}, and what the task got of it then is not kept"
            )
        if record.safe is None:
            call = self.call_of(record)
            if call.is_parameter:
                raise Unsupported(f"parameter {record.task} of run {self._run} was not kept: it cannot be had again")
            return self._compute(record, call, self.of(record))
        if source.digest is not None and record.safe.digest != source.digest:
            raise CorruptRecord(
                f"{record.call} is kept with the digest {record.safe.digest} in run {self._run}, and the task took "
                f"{source.digest}: it was recorded anew since; nothing was run"
            )
        with telling(f"the value of {record.call} in run {self._run}"):
            return record.safe.read()
