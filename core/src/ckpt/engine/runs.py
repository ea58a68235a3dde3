"""What one run knows, in columns.

A row is a task run: rows 0 … n-1 are the flow's calls, in order; the children of a mapped call get consecutive rows
when its length is known. Columns instead of an object for each task run keep the cost per task flat: Python's cyclic
garbage collector has nothing to walk. `State` and `Result` are built when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ckpt.calls import Call, CallPath
from ckpt.engine.plans import STATES, Code, Outcome, Plan
from ckpt.errors import NotFound
from ckpt.handlers import JSON, ResultHandler, Stored
from ckpt.results import Held, NoResult, Result, SafeResult
from ckpt.states import State
from ckpt.task_records import Identity, TaskRecord

__all__ = ["DROPPED", "FlowResults", "Rows"]


class _Dropped(Held):
    """In the place of a value that was dropped to save memory and is kept nowhere."""

    def load(self) -> object:
        raise NotFound(
            "this value was dropped when nothing needed it any more, and it is not kept: "
            'run with keep_values="all", or with checkpointing on'
        )

    def __reduce__(self) -> str:
        return "DROPPED"

    def __repr__(self) -> str:
        return "<dropped>"


DROPPED: Final = _Dropped()


class Rows:
    """The columns of one run."""

    def __init__(self, calls: Sequence[Call], plans: Sequence[Plan]) -> None:
        n = len(calls)
        self.calls = calls
        self.plans = plans
        """Per call, the plan of its task."""
        self.code = bytearray(n)
        """Per row, the state: a place in `STATES`."""
        self.value: list[object] = [NoResult] * n
        """Per row the value, of a failed one the exception; `Held` where it is elsewhere."""
        self.stored: list[Stored | None] = [None] * n
        """Per row where the value is kept; None if it is not, or not yet."""
        self.call_of = list(range(n))
        """Per row the number of its call."""
        self.children: dict[int, range] = {}
        """The rows of a mapped call's children."""
        self.handlers: dict[int, ResultHandler] = {}
        """Rows that were not kept by their plan's own handler."""
        self.messages: dict[int, str] = {}
        self.attempts: dict[int, int] = {}
        """Rows that needed more than one attempt."""
        self.write_errors: dict[int, BaseException] = {}
        self.writing: dict[int, Outcome] = {}
        """Rows that are computed and not yet kept."""
        self.identity: list[Identity | None] = []
        """Per row its identity, as far as it is known; empty where nobody asks."""
        self.earlier: dict[int, TaskRecord] = {}
        """Rows whose value comes from an earlier run."""
        self.started: dict[int, float] = {}
        """When rows were started first, in seconds since 1970, where there is more to know than one attempt."""
        self.spans: dict[int, tuple[float | None, float]] = {}
        """When the last attempt of a row began and ended, until that is recorded; empty where nobody asks."""
        self.summaries: dict[int, Mapping[str, JSON]] = {}
        """What values look like, until that is recorded."""

    def add_children(self, parent: int, count: int) -> range:
        """Give a mapped call `count` rows for its children."""
        first = len(self.code)
        self.code.extend(bytes(count))
        self.value.extend([NoResult] * count)
        self.stored.extend([None] * count)
        self.call_of.extend([parent] * count)
        if self.identity:
            self.identity.extend([None] * count)
        rows = self.children[parent] = range(first, first + count)
        return rows

    def forget(self, row: int) -> None:
        """Let go of what was only there to be recorded."""
        self.spans.pop(row, None)
        self.summaries.pop(row, None)
        self.started.pop(row, None)

    def of(self, call: int) -> Sequence[int]:
        """The rows of a call: of a mapped one those of its children, if it has any, else the one that is its own."""
        return self.children.get(call) or (call,)

    def index(self, row: int) -> int | None:
        """The map index of a row, None for a row that is a call."""
        call = self.call_of[row]
        return None if row == call else row - self.children[call].start

    def path(self, row: int) -> CallPath:
        """Which task run a row is."""
        number = self.call_of[row]
        path = self.calls[number].path
        return path if row == number else CallPath(path.slug, row - self.children[number].start)

    def handler(self, row: int) -> ResultHandler | None:
        """The handler that keeps the row's value."""
        keep = self.plans[self.call_of[row]].keep
        if row in self.handlers:
            return self.handlers[row]
        return keep.handler if keep is not None else None

    def result(self, row: int) -> Result:
        """The row's value beside its safe value; reads nothing."""
        if row in self.earlier:
            safe = self.earlier[row].safe
            return Result(self._held(row), NoResult if safe is None else safe)
        stored, handler, value = self.stored[row], self.handler(row), self.value[row]
        if stored is None or handler is None:
            return Result(value)
        return Result(self._held(row), SafeResult.of(stored, handler), handler)

    def _held(self, row: int) -> object:
        return NoResult if self.value[row] is DROPPED else self.value[row]

    def take(self, row: int, record: TaskRecord) -> None:
        """Let what an earlier run kept be the value of this row."""
        safe = record.safe
        self.earlier[row] = record
        if safe is not None:
            self.value[row] = DROPPED

    def give_back(self, row: int) -> None:
        """Undo `take`."""
        del self.earlier[row]
        self.value[row] = NoResult

    def parameter(self, call: Call) -> object:
        """The value of a parameter, which is known before it has run."""
        return self.plans[call.index].run()

    def safe(self, row: int) -> SafeResult | None:
        """Where the row's value is kept; None if it is not."""
        if row in self.earlier:
            return self.earlier[row].safe
        stored = self.stored[row]
        if stored is None:
            return None
        handler = self.handler(row)
        return None if handler is None else SafeResult.of(stored, handler)

    def state(self, row: int) -> State:
        """The row's state as it stands now."""
        kind, message = STATES[self.code[row]], self.messages.get(row, "")
        children = self.children.get(row)
        if children is not None:
            return kind(message, map_states=[self.state(child) for child in children])
        return kind(message, kept=self.result(row))

    def upstream_states(self, rows: Sequence[int]) -> list[State]:
        """The states of `rows`, a mapped call with each of its children instead of itself."""
        flat: list[State] = []
        for row in rows:
            flat.extend(map(self.state, self.of(row)))
        return flat

    def digest(self, row: int) -> str | None:
        """The content digest of the row's value, None where it has none."""
        stored = self.stored[row]
        if stored is None and (record := self.earlier.get(row)) is not None:
            return None if record.safe is None else record.safe.digest
        if stored is None:
            outcome = self.writing.get(row)
            # Once it is not being written any more it is said where it is kept, if it is: this may be another thread.
            stored = outcome.staged.stored if outcome is not None and outcome.staged is not None else self.stored[row]
        return stored.digest if stored else None

    def outcome(self, row: int) -> str:
        """What came of keeping the row's value, for a row that is final."""
        if self.stored[row] is not None:
            return "stored"
        if (record := self.earlier.get(row)) is not None:
            return record.outcome
        if row in self.write_errors:
            return f"failed: {self.write_errors[row]}"
        if row in self.children or self.code[row] not in (Code.SUCCESS, Code.CACHED):
            return ""
        call = self.call_of[row]
        if self.plans[call].keep is not None:
            return "not kept: a state handler gave another value"
        return "off" if self.calls[call].task.checkpoint else "opted out"

    def failed(self, row: int) -> bool:
        """Did the row fail, or a child of it?"""
        return self.code[row] >= Code.FAILED or any(
            self.code[child] >= Code.FAILED for child in self.children.get(row, ())
        )


class FlowResults(Mapping[Call, State]):
    """The value of a flow's state: the state of each of its calls, in order.

    Looked up by the call itself, by its slug or call path (`"add-1"`, `"add-1[7]"`), or by the name of a task
    that is called once. In another process the calls are gone and the keys are slugs.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getitem__(self, key: Call | str) -> State:
        if isinstance(key, Call):
            calls = self._rows.calls
            if not (0 <= key.index < len(calls) and calls[key.index] is key):
                raise KeyError(f"{key!r} is not a call of this flow")
            return self._rows.state(key.index)
        return self._rows.state(self._row(str(key)))

    def _row(self, text: str) -> int:
        stem, bracket, index = text.partition("[")
        rows = self._rows
        found = [call.index for call in rows.calls if call.slug == stem]
        found = found or [call.index for call in rows.calls if call.task.name == stem]
        if len(found) != 1:
            what = "is called more than once" if found else "is no call"
            raise KeyError(f"{stem!r} {what}; the calls are {', '.join(call.slug for call in rows.calls[:20])}")
        if not bracket:
            return found[0]
        number = index.removesuffix("]")
        children = rows.children.get(found[0], range(0))
        if not number.isdecimal() or int(number) >= len(children):
            raise KeyError(f"{text!r}: {stem} has {len(children)} mapped children, numbered from 0")
        return children[int(number)]

    def __iter__(self) -> Iterator[Call]:
        return iter(self._rows.calls)

    def __len__(self) -> int:
        return len(self._rows.calls)

    def __reduce__(self) -> tuple[object, ...]:
        return dict, ({call.slug: state for call, state in self.items()},)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{call.slug}: {state!r}" for call, state in self.items()) + "}"
