"""The record of one task run, made from the columns of its run: for listeners and for the ledger."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ckpt.arguments import slots_in
from ckpt.engine.maps import follows
from ckpt.engine.plans import STATES
from ckpt.identities import inputs_by_argument, places
from ckpt.results import SafeResult
from ckpt.states import Failed, Finished, State
from ckpt.task_records import Source, TaskRecord

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.engine.plans import RunFacts
    from ckpt.engine.runs import Rows
    from ckpt.engine.tracking import Tracker
    from ckpt.identities import Signature

__all__ = ["TaskFacts"]


class TaskFacts:
    """Makes the records of one run."""

    def __init__(self, facts: RunFacts, tracker: Tracker | None = None) -> None:
        self._facts = facts
        self._tracker = tracker
        self._slots: dict[int, Mapping[str, tuple[int, ...]]] = {}
        """Per call, the slots of its inputs by argument."""
        self._handlers: dict[int, str] = {}

    def record(self, rows: Rows, row: int, state: State) -> TaskRecord:
        """What is known of a row in `state`."""
        if state.is_running():
            rows.started.setdefault(row, datetime.now(UTC))
        safe = state.safe_value
        return self._made(rows, row, type(state), state.message, safe if isinstance(safe, SafeResult) else None)

    def current(self, rows: Rows, row: int) -> TaskRecord:
        """What is known of a row as it stands now."""
        return self._made(rows, row, STATES[rows.code[row]], rows.messages.get(row, ""), rows.safe(row))

    def _made(self, rows: Rows, row: int, kind: type[State], message: str, safe: SafeResult | None) -> TaskRecord:
        number = rows.call_of[row]
        call = rows.calls[number]
        keep = rows.plans[number].keep
        final = issubclass(kind, Finished)
        error = rows.value[row] if issubclass(kind, Failed) else None
        children = rows.children.get(row)
        earlier, tracker = rows.earlier.get(row), self._tracker
        ended = rows.ended.get(row)
        if ended is None and final:
            ended = datetime.now(UTC)
        signature = tracker.signature(call) if tracker is not None else None
        given = tracker.arguments(call) if tracker is not None else None
        return TaskRecord(
            self._facts.id,
            rows.path(row),
            kind.__name__,
            message,
            rows.attempts.get(row, 1) if rows.attempts else 1,
            rows.started.get(row),
            ended if final else None,
            safe,
            rows.outcome(row) if final else "",
            self._inputs(rows, row, signature) if final else {},
            handler=self._handler(keep.handler) if keep else None,
            level=keep.level if keep else None,
            identity=rows.identity[row] if rows.identity else None,
            summary=(earlier.summary if earlier is not None else rows.summaries.get(row)) if safe is not None else None,
            error="".join(traceback.format_exception(error)) if isinstance(error, BaseException) else None,
            task=call.task.name,
            order=number,
            code=signature.code if signature is not None else None,
            arguments=given.digest if given is not None else None,
            children=None if children is None else len(children),
            origin=None if earlier is None else earlier.made_in,
            reusable_until=tracker.reusable_until(row) if tracker is not None and safe is not None else None,
        )

    def _handler(self, handler: object) -> str:
        found = self._handlers.get(id(handler))
        if found is None:
            found = self._handlers[id(handler)] = repr(handler)
        return found

    def _inputs(self, rows: Rows, row: int, signature: Signature | None) -> dict[str, tuple[Source, ...]]:
        """Per argument, the task runs and constants that its value came from."""
        number = rows.call_of[row]
        call = rows.calls[number]
        slots: Mapping[str, tuple[int, ...]] | None
        slots = signature.by_argument if signature is not None else self._slots.get(number)
        if slots is None:
            slots = self._slots[number] = inputs_by_argument(places(call))
        inputs: dict[str, tuple[Source, ...]] = {}
        for name, numbers in slots.items():
            if call.each is None:
                inputs[name] = tuple([_source(rows, call.inputs[slot].index) for slot in numbers])
            else:
                inputs[name] = tuple(self._sources(rows, row, call, numbers))
        if signature is not None:
            for name, digest in signature.constants.items():
                inputs[name] = (*inputs.get(name, ()), Source(None, digest))
        return inputs

    def _sources(self, rows: Rows, row: int, call: Call, slots: Iterable[int]) -> Iterator[Source]:
        index = rows.index(row)
        for slot in slots:
            if call.each is None or slot < call.shared:
                yield _source(rows, call.inputs[slot].index)
                continue
            each = call.each[slot - call.shared]
            if each.call is None:
                elements = each.elements if index is None else each.elements[index : index + 1]
                for inner in dict.fromkeys(number for element in elements for number in slots_in(element)):
                    yield _source(rows, call.inputs[inner].index)
            elif index is not None and follows(each) and each.call.index in rows.children:
                yield _source(rows, rows.children[each.call.index][index])
            else:
                yield _source(rows, each.call.index)


def _source(rows: Rows, row: int) -> Source:
    return Source(rows.path(row), rows.digest(row))
