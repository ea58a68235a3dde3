"""The record of one task run, made from the columns of its run: for listeners and for the ledger."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from ckpt.arguments import slots_in
from ckpt.engine.maps import follows
from ckpt.engine.plans import STATES, Code
from ckpt.identities import inputs_by_argument, places
from ckpt.results import SafeResult
from ckpt.states import Failed, Finished, State, Success
from ckpt.task_records import Source, TaskRecord

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.engine.plans import RunFacts
    from ckpt.engine.runs import Rows
    from ckpt.engine.tracking import Tracker
    from ckpt.identities import Signature

__all__ = ["TaskFacts"]

_FINAL = frozenset(STATES[Code.SUCCESS :])


class _Shared(NamedTuple):
    """What the records of all task runs of alike calls have in common."""

    task: str
    handler: str | None
    level: str | None
    code: str | None
    slots: Sequence[tuple[str, Sequence[int]]]
    """Per argument that takes values of other calls, the numbers of these inputs."""
    constants: Mapping[str, tuple[Source, ...]]
    """Per argument that holds something given in the flow, that."""


class TaskFacts:
    """Makes the records of one run."""

    def __init__(self, facts: RunFacts, tracker: Tracker | None = None) -> None:
        self._facts = facts
        self._tracker = tracker
        self._shared: dict[int, _Shared] = {}
        """By the id of a call's signature; without a tracker by the number of the call."""
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
        tracker = self._tracker
        signature = tracker.signature(call) if tracker is not None else None
        shared = self._shared.get(number if signature is None else id(signature))
        if shared is None:
            shared = self._learn(rows, number, signature)
        earlier = rows.earlier.get(row)
        arguments = None
        if earlier is not None and earlier.arguments is not None and not call.task.cache_exclude:
            arguments = earlier.arguments  # the same identity: the same was given
        elif tracker is not None and (shared.constants or call.each is not None):
            given = tracker.arguments(call)
            arguments = None if given is None else given.digest
        attempted = rows.attempted.get(row)
        started, ended = (attempted and attempted.span) or (None, None)
        if rows.started:
            started = rows.started.get(row, started)
        summary = None
        if safe is not None:
            told = earlier or attempted
            summary = told.summary if told is not None else None
        final = kind in _FINAL or issubclass(kind, Finished)
        error = rows.value[row] if kind is not Success and issubclass(kind, Failed) else None
        children = rows.children.get(row)
        return TaskRecord(
            self._facts.id,
            rows.path(row),
            kind.__name__,
            message,
            rows.attempts.get(row, 1) if rows.attempts else 1,
            started,
            (ended or datetime.now(UTC)) if final else None,
            safe,
            rows.outcome(row) if final else "",
            self._inputs(rows, row, call, shared) if final else {},
            shared.handler,
            shared.level,
            rows.identity[row] if rows.identity else None,
            summary,
            "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else None,
            shared.task,
            number,
            shared.code,
            arguments,
            None if children is None else len(children),
            None if earlier is None else earlier.made_in,
            tracker.reusable_until(row) if safe is not None and call.task.cache and tracker is not None else None,
        )

    def _learn(self, rows: Rows, number: int, signature: Signature | None) -> _Shared:
        call, keep = rows.calls[number], rows.plans[number].keep
        if signature is None:
            slots, constants, code = inputs_by_argument(places(call)), {}, None
        else:
            slots, code = signature.by_argument, signature.code
            constants = {name: (Source(None, digest),) for name, digest in signature.constants.items()}
        handler, level = (self._handler(keep.handler), keep.level) if keep is not None else (None, None)
        shared = _Shared(call.task.name, handler, level, code, tuple(slots.items()), constants)
        self._shared[number if signature is None else id(signature)] = shared
        return shared

    def _handler(self, handler: object) -> str:
        found = self._handlers.get(id(handler))
        if found is None:
            found = self._handlers[id(handler)] = repr(handler)
        return found

    def _inputs(self, rows: Rows, row: int, call: Call, shared: _Shared) -> Mapping[str, tuple[Source, ...]]:
        """Per argument, the task runs and constants that its value came from."""
        if not shared.slots:
            return shared.constants
        inputs: dict[str, tuple[Source, ...]] = {}
        for name, slots in shared.slots:
            if call.each is None:
                inputs[name] = tuple([_source(rows, call.inputs[slot].index) for slot in slots])
            else:
                inputs[name] = tuple(self._sources(rows, row, call, slots))
        for name, given in shared.constants.items():
            inputs[name] = (*inputs.get(name, ()), *given)
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
