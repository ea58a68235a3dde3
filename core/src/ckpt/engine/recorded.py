"""The scheduling loop of a run that a ledger records.

Kept means here: the bytes are durable, and then the row of the ledger is. Where nobody is told of a single row, and the
ledger need not keep it, that is waited for at the end of the run, for all of them together.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from ckpt.engine.facts import TaskFacts
from ckpt.engine.loop import Loop
from ckpt.engine.plans import Code, Outcome, Work
from ckpt.engine.recorder import Recorder
from ckpt.engine.tracking import Tracker

if TYPE_CHECKING:
    from ckpt.states import State
    from ckpt.task_records import TaskRecord

__all__ = ["RecordedLoop"]


class RecordedLoop(Loop):
    """One run of one graph, recorded; `tracker` knows what each row is."""

    def __init__(self, *given: Any, tracker: Tracker, recorder: Recorder, records: TaskFacts, **more: Any) -> None:
        super().__init__(*given, **more)
        self.tracker, self.recorder, self.records = tracker, recorder, records
        tracker.rows = self.rows
        self.rows.identity = list(tracker.planned) or [None] * len(self.calls)
        self.awaited = bytes([1]) * len(self.calls) if recorder.ledger.required else self.observed
        """Per call: does somebody wait for its row to be durable?"""
        self.told: set[int] = set()
        """Rows that are recorded as successful, and not final yet."""

    def begin(self) -> None:
        """Say that the run starts.

        Raises: as `Recorder.begin`.
        """
        self.recorder.begin(self.acknowledge, self.last)

    def end(self, state: State) -> None:
        """Have recorded what is not yet, and how the run ended."""
        self.recorder.end(state)

    def _await(self, timeout: float | None) -> None:
        self.recorder.hurry()
        super()._await(timeout)

    def _expand(self, parent: int) -> None:
        if self.rows.identity[parent] is None:
            self.tracker.identify(parent)
        super()._expand(parent)

    def _work(self, row: int) -> Work:
        if self.rows.identity[row] is None:
            self.tracker.identify(row, self.columns.get(self.rows.call_of[row]))
        work = super()._work(row)
        work.identity = self.rows.identity[row]
        return work

    def _retry(self, row: int, attempt: int, outcome: Outcome) -> None:
        self.rows.spans.pop(row, None)
        if outcome.span is not None:
            self.rows.started.setdefault(row, outcome.span[0])
        super()._retry(row, attempt, outcome)

    def _written(self, row: int, outcome: Outcome, error: Exception | None) -> None:
        """The bytes of a row are durable: its record is next, and only then somebody is told that the row is kept."""
        if error is not None:
            self.recorder.make()  # what has taken the value is recorded with its digest
        if error is not None or row in self.told or not self.awaited[self.rows.call_of[row]]:
            super()._written(row, outcome, error)
            return
        if outcome.staged is not None:
            self.rows.stored[row] = outcome.staged.stored
        self.rows.code[row] = Code.SUCCESS
        self.writing[row] = outcome
        self.told.add(row)
        self.recorder.put((self.record(row), row))
        if not self._task(row).state_handlers:
            self._release(row)

    def _settle(self, row: int) -> None:
        rows = self.rows
        if row in self.told and not self._has_changed(row):
            rows.forget(row)
        else:
            if row not in rows.spans:
                rows.spans[row] = None, time()
            self.recorder.put(row)
        self.told.discard(row)
        super()._settle(row)

    def _has_changed(self, row: int) -> bool:
        """Since it was told that it is successful?"""
        is_other = self.rows.code[row] != Code.SUCCESS or row in self.rows.messages
        return is_other or bool(self._task(row).state_handlers)

    def record(self, row: int) -> TaskRecord:
        """The record of a row as it is now, with its arguments; of a final one in any thread."""
        record = self.records.current(self.rows, row)
        if record.arguments is not None and not self._is_there(row, record.arguments):
            given = self.tracker.arguments(self.calls[record.order])
            assert given is not None, "its digest came from there"
            self.recorder.arguments(given)
        return record

    def last(self, row: int) -> TaskRecord:
        """The record of a row that is final; what was only there for it goes."""
        record = self.record(row)
        self.rows.forget(row)
        return record

    def _is_there(self, row: int, arguments: str) -> bool:
        """Has the ledger these arguments, from the run that the value was taken from or from this one?"""
        earlier = self.rows.earlier.get(row)
        return (earlier is not None and earlier.arguments == arguments) or self.recorder.knows(arguments)
