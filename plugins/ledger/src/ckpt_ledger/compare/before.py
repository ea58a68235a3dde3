"""What has changed for a task run since an earlier run of the same flow: `Before`. No value is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ckpt_ledger.compare.causes import Cause, Causes
from ckpt_ledger.compare.lineage import NOT_RUN, Lineage
from ckpt_ledger.compare.pairs import pair_up

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.ledger import SQLLedger
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["UNVALUED", "Before", "ending"]

_MOST: Final = 20
"""Causes, and task runs upstream, that are told."""
UNVALUED: Final = frozenset({"Failed", "TimedOut", *NOT_RUN})
"""States of what came to no value."""


class Before:
    """The earlier run, set beside this one."""

    def __init__(self, ledger: SQLLedger, run: RunRow, tasks: Sequence[TaskRecord], base: RunRow | None) -> None:
        self.run, self.base = run, base
        self._ledger, self._tasks = ledger, tasks
        self.records: Mapping[CallPath, TaskRecord] = {}
        self.lineage: Lineage | None = None
        if base is not None:
            earlier = ledger.tasks(base.id)
            self.records = {each.call: each for each in earlier}
            self.lineage = Lineage(pair_up(earlier, tasks), (base.ended is not None, run.ended is not None))
            for number in self.lineage.order():
                self.lineage.tainted[number] = bool(self.lineage.taint(number))
            self.causes = Causes(self.lineage, base.record, run.record, ledger.arguments)

    def alike(self, record: TaskRecord) -> TaskRecord | None:
        """The task run there that belongs to this one, wherever it stood."""
        if self.lineage is None or (number := self.lineage.find(record.call)) is None:
            return None
        return self.lineage.pairs[number].left

    def children(self, record: TaskRecord) -> int:
        """How many children of a mapped call are recorded there."""
        return sum(call.slug == record.call.slug and call.map_index is not None for call in self.records)

    def miss(self, record: TaskRecord) -> str:
        """Why a task run with `cache` took no other run's value, as far as that is recorded."""
        if record.identity is not None and record.started is not None:
            offered = [each for each in self._ledger.offered(record.identity, record.started) if each.run != record.run]
            for each in offered:
                if each.reusable_until is not None and each.reusable_until > record.started:
                    has = f"run {each.run} has a value of the same code and inputs"
                    return f"{has}, {self._untaken(record)}"
            if offered:
                return f"the value of the same code and inputs that run {offered[0].run} had kept had expired"
        earlier = self.alike(record)
        if earlier is not None and record.identity is not None and earlier.identity == record.identity:
            if earlier.state in UNVALUED:
                return ending(earlier, f"run {earlier.run}, which had the same code and inputs")
            why = f"its value was not kept ({earlier.outcome})" if earlier.safe is None else "it offers it to no other"
            return f"run {earlier.run} computed the same, and {why}"
        return "no run had kept a value of the same code and inputs"

    def _untaken(self, record: TaskRecord) -> str:
        """A refresh is one of a whole call, so where others of it were reused none was asked for."""
        beside = (each for each in self._tasks if each.call.slug == record.call.slug)
        if any(each.state == "Cached" for each in beside):
            return "which could not be read"
        return "which could not be read, or a refresh was asked for"

    def changes(self, record: TaskRecord) -> tuple[tuple[Cause, ...], tuple[tuple[CallPath, str], ...]]:
        """What is another than in the earlier run: of the task run itself, and where that began upstream."""
        if self.lineage is None or (self.alike(record) is None and record.children is None):
            return (), ()
        number = self.lineage.find(record.call)
        assert number is not None
        if record.children is None:
            numbers: Sequence[int] = [number]
        else:
            found = self.lineage.children(number)
            numbers = [each for each in found if self.lineage.pairs[each].record.state != "Cached"]
        counted: Counter[str] = Counter()
        known: dict[str, Cause] = {}
        for each in numbers:
            for cause in self._of(each):
                counted[cause.text] += 1
                known[cause.text] = cause
        return tuple(
            cause if counted[text] == len(numbers) else _of_some(cause, counted[text], len(numbers))
            for text, cause in list(known.items())[:_MOST]
        ), tuple(self._roots(numbers))

    def _of(self, number: int) -> Iterator[Cause]:
        assert self.lineage is not None
        pair = self.lineage.pairs[number]
        if pair.left is None or pair.right is None:
            return
        if pair.left.state in UNVALUED and pair.right.state not in UNVALUED:
            yield from self._causes(number)
        elif pair.left.identity != pair.right.identity:
            if pair.is_parameter:
                one, other = (run.record.parameters.get(pair.call.slug) for run in (self.base, self.run) if run)
                yield Cause("parameter", f"it was {one!r}, it is {other!r}", None, repr(one), repr(other))
            else:
                yield from (cause for cause in self._causes(number) if cause.kind != "state")

    def _causes(self, number: int) -> Sequence[Cause]:
        """What is another for a task run; where one has come to no value, that, and no guess at what it depends on."""
        assert self.lineage is not None
        found, pair = self.causes.of(number), self.lineage.pairs[number]
        if pair.left is None or pair.right is None or {pair.left.state, pair.right.state}.isdisjoint(UNVALUED):
            return found
        known = [cause for cause in found if cause.kind not in ("nothing", "environment")]
        states = [
            Cause("state", ending(each, f"run {run.id}"))
            for each, run in ((pair.left, self.base), (pair.right, self.run))
            if run is not None and each.state in UNVALUED
        ]
        return [*known, *states[:1]]

    def _roots(self, numbers: Sequence[int]) -> Iterator[tuple[CallPath, str]]:
        """The task runs upstream that themselves have changed, or where values begin to differ."""
        assert self.lineage is not None
        mine, seen, waiting = set(numbers), set(numbers), list(numbers)
        found: dict[tuple[str, str], list[int]] = {}
        while waiting:
            at = waiting.pop()
            if at not in mine:
                handed = ("input", "state") if self.lineage.tainted[at] else ()
                own = [each.text for each in self._causes(at) if each.kind not in handed]
                if own or not self.lineage.tainted[at]:
                    said = "; ".join(own) or self.lineage.standing[at]
                    found.setdefault((self.lineage.pairs[at].call.slug, said), []).append(at)
            for source in self.lineage.sources(at):
                for each in self.lineage.children(source) or (source,):
                    if each not in seen and self.lineage.differs(each):
                        seen.add(each)
                        waiting.append(each)
        for (_, said), those in sorted(found.items(), key=lambda item: min(item[1]))[:_MOST]:
            more = f" (as well as {len(those) - 1:,} more of that call)" if len(those) > 1 else ""
            yield self.lineage.pairs[min(those)].call, f"{said}{more}"


def ending(record: TaskRecord, where: str) -> str:
    """How a task run came to no value, in words."""
    said = f" ({record.message})" if record.message else ""
    return f"it {'was' if record.state == 'Cancelled' else 'ended'} {record.state} in {where}{said}"


def _of_some(cause: Cause, count: int, of: int) -> Cause:
    return Cause(cause.kind, f"{cause.text} ({count:,} of {of:,})", cause.argument, cause.left, cause.right)
