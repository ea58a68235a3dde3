"""Which task runs of two runs belong together, so that they can be compared: `pair_up`.

By identity first: a call that was renumbered, and a mapped child that another was inserted before, is found again.
Then by what it takes: the same task over the task runs that belong together already. Then by call path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ckpt_ledger.values.alignment import gaps

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.task_records import TaskRecord

__all__ = ["Pair", "pair_up"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A task run in two runs; None where one of them has no such."""

    left: TaskRecord | None
    right: TaskRecord | None

    @property
    def record(self) -> TaskRecord:
        """The right one where there is one."""
        found = self.right if self.right is not None else self.left
        assert found is not None
        return found

    @property
    def call(self) -> CallPath:
        """Its name in the right run where it is there, else in the left one."""
        return self.record.call

    @property
    def is_parameter(self) -> bool:
        """Was its value given when the flow ran?"""
        return self.record.code == "parameter"

    @property
    def is_mapped(self) -> bool:
        """Is it a mapped call, whose values are those of its children?"""
        return any(each is not None and each.children is not None for each in (self.left, self.right))


def pair_up(left: Sequence[TaskRecord], right: Sequence[TaskRecord]) -> list[Pair]:
    """Pair the task runs of two runs, each given in run order; in the order of the right one.

    What only the left run has stands behind what it stood behind there.
    """
    if len(left) == len(right) and all(
        a.call == b.call and a.identity == b.identity for a, b in zip(left, right, strict=True)
    ):
        return [Pair(*both) for both in zip(left, right, strict=True)]
    matches = _Matches(left, right)
    matches.by(lambda record: (record.identity, record.call))
    matches.by(lambda record: (record.identity, record.call.slug))
    matches.by(lambda record: record.identity)
    matches.by_inputs()
    matches.by(lambda record: record.call if record.call.map_index is None else None, parameters=True)
    matches.by_place()
    matches.by(lambda record: record.call)
    return matches.pairs()


class _Matches:
    def __init__(self, left: Sequence[TaskRecord], right: Sequence[TaskRecord]) -> None:
        self.left, self.right = left, right
        self.to_right: list[int | None] = [None] * len(left)
        self.to_left: list[int | None] = [None] * len(right)

    def match(self, i: int, j: int) -> None:
        self.to_right[i], self.to_left[j] = j, i

    def by(self, key: Callable[[TaskRecord], Hashable], *, parameters: bool = False) -> None:
        """Match what has the same key, in order; a parameter is found by its name only, many have equal values."""
        waiting: defaultdict[Hashable, list[int]] = defaultdict(list)
        for j in reversed(range(len(self.right))):
            if self.to_left[j] is None and (parameters or self.right[j].code != "parameter"):
                waiting[key(self.right[j])].append(j)
        for i, record in enumerate(self.left):
            if self.to_right[i] is None and (parameters or record.code != "parameter"):
                found = key(record)
                if found is None or (type(found) is tuple and found[0] is None):
                    continue
                if (there := waiting.get(found)) is not None and there:
                    self.match(i, there.pop())

    def by_inputs(self) -> None:
        """Match what is the same task over inputs that belong together, where there is only one such on either side."""
        known = {record.call: record.call for record in self.left}
        same_as: dict[CallPath, CallPath] = {}
        candidates: defaultdict[Hashable, list[int]] = defaultdict(list)
        for i, record in enumerate(self.left):
            if self.to_right[i] is None and record.inputs and record.code != "parameter":
                candidates[_form(record, known)].append(i)
        wanted: defaultdict[Hashable, list[int]] = defaultdict(list)
        lefts = {record.call: i for i, record in enumerate(self.left)}
        for j, record in enumerate(self.right):
            partner = self.to_left[j]
            if partner is None and record.code == "parameter":
                partner = lefts.get(record.call)
            elif partner is None and record.inputs:
                form = _form(record, same_as)
                wanted[form].append(j)
                if len(candidates.get(form, ())) == len(wanted[form]) == 1:
                    partner = candidates[form][0]
            if partner is not None:
                same_as[record.call] = self.left[partner].call
        for form, there in wanted.items():
            if len(there) == len(candidates.get(form, ())) == 1:
                self.match(candidates[form][0], there[0])

    def by_place(self) -> None:
        """Match the children of mapped calls that belong together: what is equal first, the rest by their places."""
        children: list[defaultdict[str, list[int]]] = []
        for records in (self.left, self.right):
            of: defaultdict[str, list[int]] = defaultdict(list)
            for number, record in enumerate(records):
                if record.call.map_index is not None:
                    of[record.call.slug].append(number)
            children.append(of)
        for i, parent in enumerate(self.left):
            j = self.to_right[i]
            if j is None or parent.children is None or self.right[j].children is None:
                continue
            ours, theirs = children[0][parent.call.slug], children[1][self.right[j].call.slug]
            if any(self.to_right[each] is None for each in ours) and any(self.to_left[each] is None for each in theirs):
                self._side_by_side(ours, theirs)

    def _side_by_side(self, ours: Sequence[int], theirs: Sequence[int]) -> None:
        def name(record: TaskRecord, partner: int | None, own: int) -> Hashable:
            if partner is not None:
                return own
            return None if record.safe is None else record.safe.digest

        lefts = [name(self.left[i], self.to_right[i], i) for i in ours]
        rights = [name(self.right[j], self.to_left[j], i if (i := self.to_left[j]) is not None else -1) for j in theirs]
        start = other = 0
        for a, b, c, d in [*gaps(lefts, rights), (len(ours), len(ours), len(theirs), len(theirs))]:
            equal = list(zip(ours[start:a], theirs[other:c], strict=True))
            rest = zip(
                [i for i in ours[a:b] if self.to_right[i] is None],
                [j for j in theirs[c:d] if self.to_left[j] is None],
                strict=False,
            )
            for i, j in [*equal, *rest]:
                if self.to_right[i] is None and self.to_left[j] is None:
                    self.match(i, j)
            start, other = b, d

    def pairs(self) -> list[Pair]:
        """All of them, those of the left run alone behind what was before them there."""
        behind: defaultdict[int, list[Pair]] = defaultdict(list)
        last = -1
        for i, record in enumerate(self.left):
            partner = self.to_right[i]
            if partner is None:
                behind[last].append(Pair(record, None))
            else:
                last = partner
        made = behind[-1]
        for j, record in enumerate(self.right):
            partner = self.to_left[j]
            made.append(Pair(None if partner is None else self.left[partner], record))
            made += behind.get(j, ())
        return made


def _form(record: TaskRecord, same_as: dict[CallPath, CallPath]) -> Hashable:
    """A task and what it takes, in the names of the left run."""
    taken = tuple(
        (
            name,
            tuple(
                (source.digest, None) if source.call is None else (None, same_as.get(source.call, source))
                for source in sources
            ),
        )
        for name, sources in sorted(record.inputs.items())
    )
    return record.task, record.children is None, record.call.map_index is None, taken
