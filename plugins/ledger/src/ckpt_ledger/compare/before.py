"""What has changed for a task run since an earlier run of the same flow: `Before`. No value is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ckpt_ledger.compare.causes import Cause, Causes
from ckpt_ledger.compare.lineage import Lineage
from ckpt_ledger.compare.pairs import pair_up

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.ledger import SQLLedger
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["Before"]

_MOST: Final = 20
"""Causes, and task runs upstream, that are told."""


class Before:
    """The earlier run, set beside this one."""

    def __init__(self, ledger: SQLLedger, run: RunRow, tasks: Sequence[TaskRecord], base: RunRow | None) -> None:
        self.run, self.base = run, base
        self.records: Mapping[CallPath, TaskRecord] = {}
        self.lineage: Lineage | None = None
        if base is not None:
            earlier = ledger.tasks(base.id)
            self.records = {each.call: each for each in earlier}
            self.lineage = Lineage(pair_up(earlier, tasks))
            for number in self.lineage.order():
                self.lineage.tainted[number] = bool(self.lineage.taint(number))
            self.causes = Causes(self.lineage, base.record, run.record, ledger.arguments)

    def alike(self, record: TaskRecord) -> TaskRecord | None:
        """The task run there that belongs to this one, wherever it stood."""
        if self.lineage is None or (number := self.lineage.find(record.call)) is None:
            return None
        return self.lineage.pairs[number].left

    def changes(self, record: TaskRecord) -> tuple[tuple[Cause, ...], tuple[tuple[CallPath, str], ...]]:
        """What is another than in the earlier run: of the task run itself, and where that began upstream."""
        if self.lineage is None or self.alike(record) is None:
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
        if pair.left is not None and pair.right is not None and pair.left.identity != pair.right.identity:
            if pair.is_parameter:
                one, other = (run.record.parameters.get(pair.call.slug) for run in (self.base, self.run) if run)
                yield Cause("parameter", f"it was {one!r}, it is {other!r}", None, repr(one), repr(other))
            else:
                yield from self.causes.of(number)

    def _roots(self, numbers: Sequence[int]) -> Iterator[tuple[CallPath, str]]:
        """The task runs upstream that themselves have changed, or where values begin to differ."""
        assert self.lineage is not None
        mine, seen, waiting = set(numbers), set(numbers), list(numbers)
        found: dict[tuple[str, str], list[int]] = {}
        while waiting:
            at = waiting.pop()
            if at not in mine:
                own = [each.text for each in self.causes.of(at) if each.kind != "input" or not self.lineage.tainted[at]]
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


def _of_some(cause: Cause, count: int, of: int) -> Cause:
    return Cause(cause.kind, f"{cause.text} ({count:,} of {of:,})", cause.argument, cause.left, cause.right)
