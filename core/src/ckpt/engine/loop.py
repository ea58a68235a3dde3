"""The scheduling loop: takes every row of a run from Pending to its final state. One loop serves all executors.

A row may be *computed* before it is *kept*. Computed: the function returned and its value is bytes; what waits for the
row is released and may start. Kept: the bytes are durable; now the row is final and everybody is told. A write that
fails for good in between makes the row Failed: what has started downstream finishes, what has not sees a failed input.

Everything here runs in the thread of the flow; executors and writers only append to queues.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Literal

from ckpt.contexts import entered
from ckpt.engine.maps import Column, columns_of
from ckpt.engine.plans import STATES, Code, Outcome, Plan, RunFacts, Work
from ckpt.engine.runs import DROPPED, Rows
from ckpt.engine.task_runner import run_call
from ckpt.engine.writers import Writers
from ckpt.errors import StoreUnavailable
from ckpt.executors import Executor
from ckpt.results import NoResult
from ckpt.states import Failed, Running
from ckpt.triggers import all_successful

if TYPE_CHECKING:
    from ckpt.engine.graph import Graph
    from ckpt.engine.observers import Observers
    from ckpt.states import State
    from ckpt.tasks import Task

__all__ = ["KeepValues", "Loop", "OnWriteError"]

KeepValues = Literal["all", "terminal", "none"]
OnWriteError = Literal["fail", "warn"]


class Loop:
    """One run of one graph. `run` returns when every row is final; `interrupt` brings it to an early end."""

    def __init__(
        self,
        graph: Graph,
        plans: Sequence[Plan],
        facts: RunFacts,
        executor: Executor,
        observers: Observers,
        keep_values: KeepValues = "all",
        on_write_error: OnWriteError = "fail",
        drain_seconds: float = 30.0,
    ) -> None:
        calls = graph.calls
        n = len(calls)
        self.rows = Rows(calls, plans)
        self.graph, self.calls, self.plans, self.facts = graph, calls, plans, facts
        self.executor, self.observers = executor, observers
        self.keep_values, self.on_write_error, self.drain_seconds = keep_values, on_write_error, drain_seconds

        self.waits = list(graph.waits)
        """Per row, how many of what it waits for are still to come."""
        self.child_down: dict[int, list[int]] = {}
        """Per child of a mapped call, the children elsewhere that follow it."""
        self.readers = graph.readers() if keep_values != "all" else []
        """Per call, how many calls will still take its value."""
        self.asks = bytearray(call.task.trigger is not all_successful for call in calls)
        """Per call: is its trigger asked even if all is well?"""
        self.observed = bytearray(observers.watches(call.task) for call in calls)
        """Per call: is somebody told of its changes?"""
        self.trouble = bytearray(n)
        """Per row: did something that it waits for not simply succeed? Then its trigger is asked."""
        self.released = bytearray(n)
        """Per row: is it computed or final, so that what waits for it could start?"""

        self.columns: dict[int, list[Column]] = {}
        """Per expanded mapped call, what its children get one each of."""
        self.shared: dict[int, list[object]] = {}
        """Per expanded mapped call, what each of its children gets whole."""
        self.unfilled: dict[int, Exception] = {}
        """Per child whose element of a list given in the flow could not be looked up, the reason."""
        self.parts: dict[int, Sequence[Sequence[object] | Exception]] = {}
        """Per row whose value is elsewhere, the elements of its parts that are mapped over."""
        self.uncomputed: dict[int, int] = {}
        self.unfinished: dict[int, int] = {}
        """Per expanded mapped call, how many children are still to be computed, and to be final."""
        self.writing = self.rows.writing
        self.acknowledged: deque[tuple[int, Exception | None]] = deque()
        self.ready: deque[int] = deque(row for row in range(n) if not self.waits[row])
        self.later: list[tuple[float, int]] = []
        """Rows that wait for their next attempt, by time (a heap)."""
        self.running: set[int] = set()
        """Rows that the executor has."""
        self.asleep = False
        self.interrupted = False
        self.outer = entered.get()
        """The task whose function runs this flow, if one does."""
        self.writers = Writers(self.acknowledge, retries=facts.write_retries, delay=facts.write_retry_delay)

    # -- the loop itself

    def begin(self) -> None:
        """Before everything else, listeners included."""

    def end(self, state: State) -> None:
        """The run is over, and everybody has been told."""

    def collect(self) -> None:
        """Something of a person's runs next: let the garbage collector work."""

    def run(self) -> Rows:
        """Bring every row to its final state."""
        ready, acknowledged, running, most = self.ready, self.acknowledged, self.running, self.executor.most
        try:
            while not self.interrupted:
                while ready and len(running) < most and not self.interrupted:
                    self._start(ready.popleft())
                    if acknowledged:
                        self._settle_writes()
                if self._is_over():
                    break
                self._await(None)
            if self.interrupted:
                self._drain()
        finally:
            self.writers.close()
        return self.rows

    def _is_over(self) -> bool:
        return self.interrupted or not (self.running or self.later or self.writing)

    def interrupt(self) -> None:
        """Start nothing new and come to an end; may be called from a signal handler."""
        self.interrupted = True
        self.writers.hurried = True
        self.executor.wake()

    def _await(self, timeout: float | None) -> None:
        """Wait for an outcome, an acknowledgement or the time of a next attempt."""
        if self.later:
            pause = max(0.0, self.later[0][0] - monotonic())
            timeout = pause if timeout is None else min(pause, timeout)
        self.asleep = True
        finished = self.executor.wait(0 if self.acknowledged else timeout)
        self.asleep = False
        for work, outcome in finished:
            self.running.discard(work.row)
            self._attempted(work, outcome)
        self._settle_writes()
        while self.later and self.later[0][0] <= monotonic():
            self.ready.append(heapq.heappop(self.later)[1])

    def acknowledge(self, row: int, error: Exception | None) -> None:
        # In a thread of the writers: append first, then look, so that no sleeper is missed.
        self.acknowledged.append((row, error))
        if self.asleep:
            self.executor.wake()

    def _settle_writes(self) -> None:
        while self.acknowledged:
            row, error = self.acknowledged.popleft()
            outcome = self.writing.get(row)
            if outcome is not None:
                self._written(row, outcome, error)

    def _drain(self) -> None:
        """After an interrupt: let what runs and what is being written come to its end, cancel the rest."""
        end = monotonic() + self.drain_seconds
        for work in self.executor.cancel():
            self.running.discard(work.row)
        self.later.clear()
        while (self.running or self.writing) and (left := end - monotonic()) > 0:
            self._await(left)
        self.writers.give_up(0)
        self._settle_writes()
        for row, outcome in list(self.writing.items()):
            self._written(row, outcome, StoreUnavailable("given up after an interrupt; run again"))
        for row in reversed(range(len(self.rows.code))):  # children before their parents
            if self.rows.code[row] < Code.SUCCESS:
                self._finish(row, Code.CANCELLED, "the run was interrupted")

    # -- starting

    def _start(self, row: int) -> None:
        call = self.rows.call_of[row]
        # A further attempt belongs to a task that has started: what happened upstream since then does not stop it.
        if (self.trouble[row] or self.asks[call]) and row not in self.rows.attempts and self._held_back(row):
            return
        if row == call and self.calls[call].each is not None:
            self._expand(row)
        else:
            self._begin(row)

    def _begin(self, row: int) -> None:
        """Give the next attempt of a row to the executor."""
        work = self._work(row)
        plan = work.plan
        self.rows.code[row] = Code.RUNNING
        if self.observed[self.rows.call_of[row]] and self._replaced(row, Running()):
            return
        outcome: Outcome | None
        try:
            if row in self.unfilled:
                outcome = Outcome(Code.FAILED, self.unfilled[row])
            else:
                outcome = run_call(work) if plan.is_parameter else self.executor.submit(work)
        except KeyboardInterrupt as interrupt:  # it came in the moment between the function and its outcome
            entered.set(self.outer)
            outcome = Outcome(Code.CANCELLED, interrupt)
        if outcome is None:
            self.running.add(row)
        else:
            self._attempted(work, outcome)
            del outcome  # the frames of a failed attempt lead back to this one: a cycle that would hold its inputs

    def _work(self, row: int) -> Work:
        """The next attempt of a row, with its inputs."""
        call = self.rows.call_of[row]
        plan, values, children = self.plans[call], self.rows.value, self.rows.children
        attempt = self.rows.attempts.get(row, 1) if self.rows.attempts else 1
        node = self.calls[call]
        if not children:
            inputs = [values[up.index] for up in node.inputs]
            return Work(plan, node, self.facts, inputs, row, None, 0, attempt)
        if row == call:
            inputs = [self._value(up.index) for up in node.inputs]
            return Work(plan, node, self.facts, inputs, row, None, 0, attempt)
        index = row - children[call].start
        shared = self.shared.get(call)
        if shared is None:
            shared = self.shared[call] = [self._value(up.index) for up in node.inputs[: node.shared]]
        inputs = list(shared)
        for column in self.columns[call]:
            inputs.append(values[column[index]] if type(column) is range else column[index])
        return Work(plan, node, self.facts, inputs, row, index, len(children[call]), attempt)

    def _value(self, row: int) -> object:
        """The value of a call as an input; of a mapped call the list of its children's."""
        children = self.rows.children.get(row)
        if children is None:
            return self.rows.value[row]
        return self.executor.gather([self.rows.value[child] for child in children])

    def _held_back(self, row: int) -> bool:
        """Ask the trigger; a row that may not run is finished here."""
        call = self.rows.call_of[row]
        task = self.calls[call].task
        ahead = self._ahead(row)
        if row == call and not ahead and call in self.graph.followed and task.trigger is not all_successful:
            return False  # each child is asked, with the child that it follows
        upstream = [*self.graph.awaited(call), *ahead]
        states = self.rows.upstream_states(upstream)
        if not states:
            return False
        if task.skip_on_upstream_skip and any(state.is_skipped() for state in states):
            self._finish(row, Code.SKIPPED, "something upstream was skipped")
            return True
        why = ""
        try:
            if task.trigger(states):
                return False
        except Exception as error:  # noqa: BLE001  a person's function may raise anything
            why = f" raised {said(error)}"
        failed = [str(self.rows.path(up)) for up in upstream if self.rows.failed(up)]
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        blame = f"; upstream failed: {', '.join(failed[:5])}{more}" if failed else ""
        name = getattr(task.trigger, "__name__", repr(task.trigger))
        message = f"trigger {name}{why or ' was not met'}{blame}"
        if why:
            self.observers.failed(self.rows.path(row), message)
        self._finish(row, Code.TRIGGER_FAILED, message)
        return True

    def _ahead(self, row: int) -> list[int]:
        """What a row waits for because it is mapped.

        Of a child the children that it follows, of a parent what was to be followed and never expanded.
        """
        call = self.rows.call_of[row]
        if row == call:
            return [up for up in self.graph.followed.get(call, ()) if up not in self.rows.children]
        index = row - self.rows.children[call].start
        return list(dict.fromkeys(column[index] for column in self.columns.get(call, ()) if type(column) is range))

    # -- mapped calls

    def _expand(self, parent: int) -> None:
        """Make the children of a mapped call, one for each element of what it maps over."""
        first = len(self.rows.code)
        try:
            columns = self._columns(parent, first)
        except Exception as error:  # noqa: BLE001  iterating a person's value may raise anything
            self.rows.value[parent] = error
            self._finish(parent, Code.FAILED, said(error))
            return
        self.columns[parent] = columns
        self._add_children(parent, len(columns[0]), columns)

    def _columns(self, parent: int, first: int) -> list[Column]:
        """What the children of a mapped call, whose rows begin at `first`, get one element each of."""
        unfilled: dict[int, Exception] = {}
        columns = columns_of(
            self.calls[parent], self.rows, self.parts, self.graph.splits, self._value, self.executor.fill, unfilled
        )
        self.unfilled.update((first + index, error) for index, error in unfilled.items())
        return columns

    def _add_children(self, parent: int, count: int, columns: Sequence[Column] = ()) -> None:
        rows = self.rows
        children = rows.add_children(parent, count)
        rows.code[parent] = Code.RUNNING
        self.uncomputed[parent] = self.unfinished[parent] = count
        self.trouble.extend(self.trouble[parent : parent + 1] * count)
        self.released.extend(bytes(count))
        if parent in self.graph.followed:
            for row in children:
                waiting = 0
                for up in self._ahead_of_new(row, columns, children.start):
                    self.child_down.setdefault(up, []).append(row)
                    if not self.released[up]:
                        waiting += 1
                    elif rows.code[up] not in _SIMPLE:
                        self.trouble[row] = 1
                self.waits.append(waiting)
                if not waiting:
                    self.ready.append(row)
        else:
            self.waits.extend([0] * count)
            self.ready.extend(children)
        for follower in self.graph.followers.get(parent, ()):
            self._arrived(follower)
        if not count:
            self._finish(parent, Code.MAPPED, "mapped over nothing")

    @staticmethod
    def _ahead_of_new(row: int, columns: Sequence[Column], first: int) -> set[int]:
        return {column[row - first] for column in columns if type(column) is range}

    # -- finishing

    def _attempted(self, work: Work, outcome: Outcome) -> None:
        """An attempt came to its end."""
        code, row = outcome.code, work.row
        if outcome.span is not None:
            self.rows.spans[row] = outcome.span
        if code == Code.SUCCESS:
            self._computed(work, outcome)
        elif code in (Code.FAILED, Code.TIMED_OUT) and work.attempt <= self._task(row).max_retries:
            self._retry(row, work.attempt, outcome)
        else:
            error = outcome.value
            if code == Code.CANCELLED:
                self.interrupt()
            self.rows.value[row] = error if code in (Code.FAILED, Code.TIMED_OUT) else NoResult
            self._finish(row, code, said(error) if code == Code.FAILED else str(error) or _BARE[code])

    def _retry(self, row: int, attempt: int, outcome: Outcome) -> None:
        task = self._task(row)
        growth = min(task.retry_backoff ** min(attempt - 1, 64), 1e9)  # 1e9 times any delay is past the longest one
        delay = min((task.seconds("retry_delay") or 0.0) * growth, _LONGEST_DELAY)
        delay = max(0.0, delay * (1 + task.retry_jitter * random.uniform(-1, 1)))  # noqa: S311  spreads load only
        self.rows.attempts[row] = attempt + 1
        self.rows.code[row] = Code.RETRYING
        self.rows.messages[row] = (
            f"attempt {attempt} of {task.max_retries + 1}: {said(outcome.value)}; the next one in {delay:.3g} s"
        )
        self.observers.warn(f"task {self.rows.path(row)}: {self.rows.messages[row]}")
        if self.observed[self.rows.call_of[row]] and self._replaced(row, self.rows.state(row)):
            return
        heapq.heappush(self.later, (monotonic() + delay, row))

    def _computed(self, work: Work, outcome: Outcome) -> None:
        row, rows, staged = work.row, self.rows, outcome.staged
        rows.value[row] = outcome.value
        if rows.messages:
            rows.messages.pop(row, None)
        if outcome.summary is not None:
            rows.summaries[row] = outcome.summary
        if outcome.parts:
            self.parts[row] = outcome.parts
        handler = outcome.handler
        if handler is not None:
            rows.handlers[row] = handler
        if outcome.write_error is not None or staged is None or staged.data is None:
            self._written(row, outcome, outcome.write_error)
            return
        rows.code[row] = Code.SUCCESS
        self.writing[row] = outcome
        if not self._task(row).state_handlers:  # they may change the verdict, so nothing starts before them
            self._release(row)
        if handler is None and work.plan.keep is not None:
            handler = work.plan.keep.handler
        assert handler is not None, "staged by nobody"
        self.writers.send(row, handler, staged)

    def _written(self, row: int, outcome: Outcome, error: Exception | None) -> None:
        """A computed value is kept, will not be, or was not to be: the row is final."""
        if error is None:
            if outcome.staged is not None:
                self.rows.stored[row] = outcome.staged.stored
            self.writing.pop(row, None)
            self._finish(row, Code.SUCCESS, "")
            return
        self.writing.pop(row, None)
        self.rows.write_errors[row] = error
        message = f"computed, not kept: {said(error)}"
        if self.on_write_error == "warn":
            self.observers.warn(f"task {self.rows.path(row)}: {message}")
            self._finish(row, Code.SUCCESS, message)
        else:
            self._finish(row, Code.FAILED, message)

    def _finish(self, row: int, code: int, message: str) -> None:
        """Make a row final, tell everybody, and free what waited for it."""
        rows = self.rows
        rows.code[row] = code
        if message:
            rows.messages[row] = message
        if code in (Code.FAILED, Code.TIMED_OUT):
            self.observers.failed(rows.path(row), message, None if row in rows.write_errors else rows.value[row])
        if self.observed[rows.call_of[row]]:
            self._replaced(row, rows.state(row))
        self._settle(row)

    def _settle(self, row: int) -> None:
        """Free what waited for a row that is final, and end its mapped call with the last child."""
        call = self.rows.call_of[row]
        self._release(row)
        if row != call:
            self.unfinished[call] -= 1
            if not self.unfinished[call] and self.rows.code[call] < Code.SUCCESS:
                self._finish(call, Code.MAPPED, "")
        elif self.keep_values != "all":
            self._drop_unread([call])

    def _replaced(self, row: int, new: State) -> bool:
        """Tell state handlers and listeners of a change; True if a handler has made the row final before its time."""
        state = self.observers.changed(self.rows, row, new)
        if state is new:
            return False
        if new.is_finished() and not state.is_finished():
            state = Failed(
                f"a state handler made a finished task {state.name}: let it return a finished state, or None"
            )
        code = next((place for place, kind in enumerate(STATES) if isinstance(state, kind)), Code.FAILED)
        code = STATES.index(type(state)) if type(state) in STATES else code
        self.rows.code[row] = code
        self.rows.messages[row] = state.message
        if state.kept is not new.kept and (state.kept.is_loaded or new.is_running()):
            self.rows.value[row] = state.kept.value
            self.rows.stored[row] = None  # what was kept is another value
        if code < Code.SUCCESS or new.is_finished():
            return False
        self._settle(row)
        return True

    def _release(self, row: int) -> None:
        """Free what waits for this row. Once more for a row that failed after it was computed: spread the news."""
        rows = self.rows
        call = rows.call_of[row]
        simple = rows.code[row] in _SIMPLE if row not in rows.children else not self.trouble_inside(row)
        if self.released[row]:
            if not simple:
                for down in [*self.graph.down(call), *self.child_down.get(row, ())]:
                    self.trouble[down] = 1
                    for child in rows.children.get(down, ()):
                        self.trouble[child] = 1
            return
        self.released[row] = 1
        if row == call and self.keep_values != "all":
            self._drop_inputs(call)
        for down in self.graph.down(row) if row == call else self.child_down.get(row, ()):
            if not simple:
                self.trouble[down] = 1
            self._arrived(down)
        if row != call:
            self.uncomputed[call] -= 1
            if not self.uncomputed[call]:
                self._release(call)
        elif row not in rows.children:
            for follower in self.graph.followers.get(row, ()):  # it will never expand
                self.trouble[follower] |= not simple
                self._arrived(follower)

    def trouble_inside(self, parent: int) -> bool:
        """Did a child of this mapped call not simply succeed?"""
        return any(self.rows.code[child] not in _SIMPLE for child in self.rows.children[parent])

    def _arrived(self, row: int) -> None:
        self.waits[row] -= 1
        if not self.waits[row]:
            self.ready.append(row)

    def _drop_inputs(self, call: int) -> None:
        """A call is computed: it needs what it took no more."""
        self.columns.pop(call, None)
        self.shared.pop(call, None)
        sources = self.graph.sources(call)
        for source in sources:
            self.readers[source] -= 1
        self._drop_unread(sources)

    def _drop_unread(self, calls: Sequence[int]) -> None:
        """Forget the values that nobody in the flow needs any more; what is kept is read back when asked for."""
        for row in calls:
            if self.readers[row] or (not self.graph.is_read[row] and self.keep_values == "terminal"):
                continue
            for one in self.rows.children.get(row, (row,)):
                if self.rows.code[one] in _SIMPLE and one not in self.writing:
                    self.rows.value[one] = DROPPED
            self.parts.pop(row, None)

    def _task(self, row: int) -> Task:
        return self.calls[self.rows.call_of[row]].task


_SIMPLE = frozenset({Code.SUCCESS, Code.CACHED})
_LONGEST_DELAY = 86_400.0
"""Seconds between two attempts, however they grow: a day."""
_BARE = {Code.SKIPPED: "the task raised SKIP", Code.CANCELLED: "interrupted"}


def said(error: object) -> str:
    """An error in one line: its type, and its message if it has one."""
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001  a person's __str__ may raise anything
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
