"""The record of one task run, made from the columns of its run: for listeners and for the ledger."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Final

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

_NEVER: Final = (None, None)


class TaskFacts:
    """Makes the records of one run."""

    def __init__(self, facts: RunFacts, tracker: Tracker | None = None) -> None:
        self._facts = facts
        self._tracker = tracker
        self._slots: dict[int, Mapping[str, Sequence[int]]] = {}
        """Without a tracker: per call, the slots of its inputs by argument."""

    def record(self, rows: Rows, row: int, state: State) -> TaskRecord:
        """What is known of a row in `state`."""
        if state.is_running():
            rows.started.setdefault(row, time())
        safe = state.safe_value
        return self._made(rows, row, type(state), state.message, safe if isinstance(safe, SafeResult) else None)

    def current(self, rows: Rows, row: int) -> TaskRecord:
        """What is known of a row as it stands now."""
        return self._made(rows, row, STATES[rows.code[row]], rows.messages.get(row, ""), rows.safe(row))

    def _made(self, rows: Rows, row: int, kind: type[State], message: str, safe: SafeResult | None) -> TaskRecord:
        number = rows.call_of[row]
        call, keep = rows.calls[number], rows.plans[number].keep
        tracker = self._tracker
        signature = tracker.signature(call) if tracker is not None else None
        earlier = rows.earlier.get(row)
        arguments = None
        if earlier is not None and earlier.arguments is not None and not call.task.cache_exclude:
            arguments = earlier.arguments  # the same identity: the same was given
        elif tracker is not None and signature is not None and (signature.given or call.each is not None):
            given = tracker.arguments(call)
            arguments = None if given is None else given.digest
        started, ended = rows.spans.get(row, _NEVER)
        if rows.started:
            started = rows.started.get(row, started)
        summary = None
        if safe is not None:
            summary = rows.summaries.get(row) if earlier is None else earlier.summary
        final = issubclass(kind, Finished)
        error = rows.value[row] if issubclass(kind, Failed) else None
        children = rows.children.get(row)
        return TaskRecord(
            self._facts.id,
            rows.path(row),
            kind.__name__,
            message,
            rows.attempts.get(row, 1) if rows.attempts else 1,
            None if started is None else datetime.fromtimestamp(started, UTC),
            datetime.fromtimestamp(ended or time(), UTC) if final else None,
            safe,
            rows.outcome(row) if final else "",
            self._inputs(rows, row, call, signature) if final else {},
            keep.shown if keep is not None else None,
            keep.level if keep is not None else None,
            rows.identity[row] if rows.identity else None,
            summary,
            "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else None,
            call.task.name,
            number,
            signature.code if signature is not None else None,
            arguments,
            None if children is None else len(children),
            None if earlier is None else earlier.made_in,
            tracker.reusable_until(row) if tracker is not None and safe is not None and call.task.cache else None,
        )

    def _inputs(self, rows: Rows, row: int, call: Call, signature: Signature | None) -> Mapping[str, Sequence[Source]]:
        """Per argument, the task runs and constants that its value came from."""
        by_argument = self._by_argument(call) if signature is None else signature.by_argument
        if not by_argument:
            return {} if signature is None else signature.given
        inputs: dict[str, Sequence[Source]] = {}
        for name, slots in by_argument.items():
            if call.each is None:
                inputs[name] = tuple([_whole(rows, call.inputs[slot]) for slot in slots])
            else:
                inputs[name] = tuple(self._sources(rows, row, call, slots))
        if signature is not None:
            for name, given in signature.given.items():
                inputs[name] = (*inputs[name], *given) if name in inputs else given
        return inputs

    def _by_argument(self, call: Call) -> Mapping[str, Sequence[int]]:
        found = self._slots.get(call.index)
        if found is None:
            found = self._slots[call.index] = inputs_by_argument(places(call))
        return found

    def _sources(self, rows: Rows, row: int, call: Call, slots: Iterable[int]) -> Iterator[Source]:
        index = rows.index(row)
        for slot in slots:
            if call.each is None or slot < call.shared:
                yield _whole(rows, call.inputs[slot])
                continue
            each = call.each[slot - call.shared]
            if each.call is None:
                elements = each.elements if index is None else each.elements[index : index + 1]
                for inner in dict.fromkeys(number for element in elements for number in slots_in(element)):
                    yield _whole(rows, call.inputs[inner])
            elif index is not None and follows(each) and each.call.index in rows.children:
                child = rows.children[each.call.index][index]
                yield Source(rows.path(child), rows.digest(child))
            else:
                yield _whole(rows, each.call)


def _whole(rows: Rows, call: Call) -> Source:
    return Source(call.path, rows.digest(call.index))
