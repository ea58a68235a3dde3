"""The scheduling loop of a recorded run for which earlier ones have values: what is known already is not run.

A row is looked at when everything upstream is there. If a record serves, the row takes its value without reading it.
A row whose record says that it finished, and whose value was not to be kept, is *postponed*: what is downstream may
start, and only if something that does run takes the value is it computed again; until then that one is *parked*.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from sys import intern
from typing import TYPE_CHECKING, Any

from ckpt.arguments import Build, Slot, slots_in
from ckpt.collector import Uncollected
from ckpt.engine.held import Filled, Kept, Unreadable
from ckpt.engine.loop import said
from ckpt.engine.maps import follows
from ckpt.engine.plans import Code, Outcome, Work
from ckpt.engine.recorded import RecordedLoop
from ckpt.engine.runs import DROPPED, Rows
from ckpt.errors import ConfigError, Unsupported
from ckpt.results import Held, SafeResult

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.handlers import JSON
    from ckpt.states import State
    from ckpt.task_records import TaskRecord

__all__ = ["TrackedLoop"]

_AT_ONCE = 1000
"""Rows for which other runs are asked in one go."""


class TrackedLoop(RecordedLoop):
    """One run of one graph, recorded, where records may serve; `tracker` knows which."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.uncollected: Uncollected | None = None
        """Until the first function runs; if none does and nobody listens, until all is recorded."""
        self.postponed: dict[int, TaskRecord] = {}
        self.held: set[int] = set()
        """Calls whose values are needed again after they were dropped, and so are dropped no more."""
        self.parked: dict[int, list[int]] = {}
        """Per row that is computed again, the rows that wait for its value."""
        self.decided: set[int] = set()
        """Rows that have to be run."""
        self.unreadable: dict[int, JSON] = {}
        """Rows that are computed again since what an earlier run kept at this location could not be read."""
        self.computing: set[int] = set()
        """Rows that are run although what is downstream of them was released before."""

    def run(self) -> Rows:
        self.uncollected = Uncollected()
        return super().run()

    def end(self, state: State) -> None:
        try:
            super().end(state)
        finally:
            self.collect()

    def collect(self) -> None:
        if self.uncollected is not None:
            self.uncollected.end()

    def _is_over(self) -> bool:
        over = super()._is_over()
        if over:
            self._end_postponed()
        return over

    def _drain(self) -> None:
        self._end_postponed()
        super()._drain()

    def _end_postponed(self) -> None:
        for row, record in list(self.postponed.items()):
            del self.postponed[row]
            self.rows.earlier[row] = record
            self._finish(row, Code.CACHED, f"finished in run {record.made_in}, its value is not needed")

    def _held_back(self, row: int) -> bool:
        if self.asks[self.rows.call_of[row]]:  # a trigger of a person's
            self.collect()
        return super()._held_back(row)

    def _replaced(self, row: int, new: State) -> bool:
        if self._task(row).state_handlers:
            self.collect()
        return super()._replaced(row, new)

    # -- before a row starts

    def _begin(self, row: int) -> None:
        if row in self.rows.attempts or not (self._served(row) or self._waits(row)):
            self.collect()
            super()._begin(row)

    def _served(self, row: int) -> bool:
        """Let a record serve for the row, if one does."""
        if row in self.decided:
            return False
        rows, tracker = self.rows, self.tracker
        if rows.identity[row] is None:
            self._identify(row)
        record = tracker.earlier(row)
        if record is None and tracker.unknown(row):
            alike = [row]
            for other in islice(self.ready, _AT_ONCE):
                if self._is_identifiable(other):
                    self._identify(other)
                    if tracker.unknown(other):
                        alike.append(other)
            tracker.ask(alike)
            record = tracker.earlier(row)
        if record is None:
            self.decided.add(row)
            return False
        if record.state == "Skipped":
            rows.earlier[row] = record
            self._finish(row, Code.SKIPPED, record.message)
        elif record.safe is None:
            self.postponed[row] = record
            rows.code[row] = Code.CACHED
            self._release(row)
        else:
            rows.take(row, record)
            self._finish(row, Code.CACHED, intern(f"kept in run {record.made_in}"))
        return True

    def _identify(self, row: int) -> None:
        self.tracker.identify(row, self.columns.get(self.rows.call_of[row]))

    def _is_identifiable(self, row: int) -> bool:
        call = self.rows.call_of[row]
        node = self.calls[call]
        return bool(node.task.cache) and (row != call or node.each is None) and row not in self.decided

    def _waits(self, row: int) -> bool:
        """See to it that the values which the row takes are there or can be read; True if it has to wait for some."""
        if not (self.postponed or self.computing):
            return False
        absent = [up for up in self._needed(row) if up in self.postponed or up in self.computing or self._is_lost(up)]
        for up in absent:
            if self.postponed.pop(up, None) is not None:
                self._compute(up)
            elif up not in self.computing:
                self.held.add(self.rows.call_of[up])
                self._compute_again(up)
                self.rows.attempts.pop(up, None)
        self._park(row, absent)
        return bool(absent)

    def _is_lost(self, row: int) -> bool:
        """Was its value dropped, and is it kept nowhere?"""
        return self.rows.value[row] is DROPPED and not isinstance(self.rows.result(row).safe_value, SafeResult)

    def _compute(self, row: int) -> None:
        """Run a row that had a value elsewhere, or none."""
        self.decided.add(row)
        self.computing.add(row)
        self.rows.code[row] = Code.PENDING
        self.ready.append(row)

    def _compute_again(self, row: int) -> None:
        """Run a row that was final; what took its value is recorded with what it was."""
        self.recorder.make()
        if row in self.rows.earlier:
            self.rows.give_back(row)
        if row != (call := self.rows.call_of[row]):
            self.unfinished[call] += 1
        self._compute(row)

    def _park(self, row: int, absent: Iterable[int]) -> None:
        for up in absent:
            self.parked.setdefault(up, []).append(row)
            self.waits[row] += 1

    def _needed(self, row: int) -> Iterator[int]:
        """The rows whose values a row takes; of the parent of mapped children those that it is expanded from."""
        number = self.rows.call_of[row]
        call = self.calls[number]
        if row != number or call.each is None:
            for up in call.inputs if call.each is None else call.inputs[: call.shared]:
                yield from self.rows.of(up.index)
        if call.each is None:
            return
        if row == number or number not in self.columns:
            for slot in _in_elements(call):
                up = call.inputs[slot]
                yield from self.rows.of(up.index)
            for each in call.each:
                if each.call is not None and not follows(each):
                    yield from self.rows.of(each.call.index)
        if row != number:
            index = row - self.rows.children[number].start
            for column in self.columns.get(number, ()):
                if type(column) is range:
                    yield column[index]

    def _release(self, row: int) -> None:
        super()._release(row)
        if row not in self.computing or self.rows.code[row] < Code.SUCCESS:
            return
        self.computing.discard(row)
        for waiting in self.parked.pop(row, ()):
            if self.rows.code[row] >= Code.SKIPPED:
                self.trouble[waiting] = 1
            self._arrived(waiting)

    # -- what a row gets

    def _work(self, row: int) -> Work:
        call = self.rows.call_of[row]
        if row != call and call not in self.columns:
            self._bring(row)
            columns = self._columns(call, self.rows.children[call].start)
            if any(len(column) != len(self.rows.children[call]) for column in columns):
                raise ConfigError(
                    f"{self.rows.path(call)} had {len(self.rows.children[call])} children, and what it maps over, "
                    f"computed again, has {len(columns[0])} elements: run it again as a whole with --from"
                )
            self.columns[call] = columns
        may_be_elsewhere = bool(self.rows.earlier) or self.keep_values != "all"
        if may_be_elsewhere:
            for up in self._needed(row):
                self.rows.value[up] = self._readable(up)
        work = super()._work(row)
        if may_be_elsewhere and not self.executor.remote:
            work.held = any(isinstance(value, Held) for value in work.inputs)
        return work

    def _value(self, row: int) -> object:
        children = self.rows.children.get(row)
        if children is None:
            return self._readable(row)
        values = [self._readable(child) for child in children]
        if any(isinstance(value, Kept) for value in values):
            return Filled(Build(list, [Slot(number) for number in range(len(values))]), values)
        return self.executor.gather(values)

    def _readable(self, row: int) -> object:
        """The value of a row, or where to read it if it was dropped."""
        value = self.rows.value[row]
        if value is DROPPED and isinstance(safe := self.rows.result(row).safe_value, SafeResult):
            return Kept(safe)
        return value

    def _bring(self, row: int) -> None:
        """Read what mapped children are made from.

        Raises: `Unreadable`.
        """
        for up in self._needed(row):
            value = self._readable(up)
            if isinstance(value, Kept):
                self.rows.value[up] = value.load()

    def _expand(self, parent: int) -> None:
        if parent not in self.decided:
            self.tracker.identify(parent)
            count = self.tracker.adoptable(parent)
            if count is not None:
                self._add_children(parent, count)
                self.tracker.adopt(parent, self.rows.children[parent])
                return
            self.decided.add(parent)
        if self._waits(parent):
            return
        try:
            self._bring(parent)
        except Unreadable as error:
            self._again(parent, error)
        except Exception as error:  # noqa: BLE001  whatever a handler raises is the parent's failure
            self.rows.value[parent] = error
            self._finish(parent, Code.FAILED, said(error))
        else:
            super()._expand(parent)

    def _again(self, row: int, error: Unreadable) -> None:
        """Compute again the inputs of `row` that cannot be read, and let it wait for them."""
        reason, location = error.args
        absent, known = [], False
        for up in dict.fromkeys(self._needed(row)):
            record = self.rows.earlier.get(up)
            if self.unreadable.get(up) == location:  # others that were started beside this one found it so, too
                known = True
                if up in self.computing:
                    absent.append(up)
            if record is None or record.safe is None or record.safe.value != location:
                continue
            self.observers.warn(
                f"task {self.rows.path(up)} is run again: what run {record.made_in} kept of it cannot be read: {reason}"
            )
            self.tracker.distrust(self.rows.path(up), reason)
            self.unreadable[up] = location
            self._compute_again(up)
            absent.append(up)
        if not absent and not known:
            raise Unsupported(f"{self.rows.path(row)} takes nothing that is kept at {location!r}: {reason}") from error
        self.rows.code[row] = Code.PENDING
        for number, code in enumerate(self.rows.code):  # what is computed again may come differently now
            if code == Code.PENDING and (number < len(self.calls) or self.rows.call_of[number] in self.columns):
                self.rows.identity[number] = None
        self.shared.clear()
        self._park(row, absent)
        if not absent:
            self.ready.append(row)

    def _drop_unread(self, calls: Sequence[int]) -> None:
        super()._drop_unread([call for call in calls if call not in self.held] if self.held else calls)

    def _drop_inputs(self, call: int) -> None:
        # What is postponed may still be computed, from what it takes.
        if not any(row in self.postponed for row in self.rows.of(call)):
            super()._drop_inputs(call)

    # -- after it

    def _attempted(self, work: Work, outcome: Outcome) -> None:
        if outcome.code == Code.FAILED and isinstance(outcome.value, Unreadable):
            self._again(work.row, outcome.value)
            return
        super()._attempted(work, outcome)


def _in_elements(call: Call) -> Iterable[int]:
    """The inputs, by number, that stand in the elements of lists given in the flow; a child may get them whole too."""
    if not call.inputs:
        return ()
    given = (element for each in call.each or () if each.call is None for element in each.elements)
    return dict.fromkeys(slot for element in given for slot in slots_in(element))
