"""How each task run stands in two runs, from what is recorded alone, and where a difference can have begun.

A difference is handed on: what takes a value that differs will most likely differ as well. So only a task run that
takes nothing that differs is worth a look. Parameters hand nothing on, since a person gave them: what takes one that
differs is where the values begin to differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.compare.pairs import Pair

__all__ = ["NOT_RUN", "VALUED", "Lineage", "Standing"]

Standing = Literal["same", "same value", "open", "different", "unknown", "only left", "only right", "mapped"]
"""`open`: both values are kept, and their bytes differ or have no digest. `unknown`: there is nothing to compare.
`mapped`: as its children stand."""

NOT_RUN: Final = frozenset({"TriggerFailed", "Cancelled"})
"""States that say nothing of the task itself."""
VALUED: Final = frozenset({"Success", "Cached"})
"""States of what came to a value."""
_EQUAL: Final = frozenset({"same", "same value"})


class Lineage:
    """The pairs of two runs, how they stand, and what was handed on to each.

    `ended` says of both runs whether they have come to their end: what one has not got to is no difference.
    """

    def __init__(self, pairs: Sequence[Pair], ended: tuple[bool, bool] = (True, True)) -> None:
        self.pairs = pairs
        self.standing: list[Standing] = [_standing(pair, ended) for pair in pairs]
        self.tainted = [False] * len(pairs)
        """Does it take something that differs?"""
        self.pending: set[int] = set()
        """Those whose values are still to be compared."""
        self._left = {pair.left.call: number for number, pair in enumerate(pairs) if pair.left is not None}
        self._right = {pair.right.call: number for number, pair in enumerate(pairs) if pair.right is not None}
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        self._known: dict[int, bool] = {}
        for number, pair in enumerate(pairs):
            if pair.call.map_index is not None and (parent := self._parent(pair)) is not None:
                self._children[parent].append(number)

    @property
    def is_all_same(self) -> bool:
        """Is nothing left to look at?"""
        return all(each in ("same", "mapped") for each in self.standing)

    def order(self) -> Iterator[int]:
        """All pairs, each behind what it takes."""
        yield from (number for number, pair in enumerate(self.pairs) if pair.right is not None)
        yield from (number for number, pair in enumerate(self.pairs) if pair.right is None)

    def children(self, number: int) -> Sequence[int]:
        """The children of a mapped call, of both runs."""
        return self._children.get(number, ())

    def find(self, call: CallPath, *, left: bool = False) -> int | None:
        """The pair that a task run of the right run is in, or of the left one."""
        return (self._left if left else self._right).get(call)

    def sources(self, number: int) -> Iterator[int]:
        """The pairs whose values it takes."""
        pair = self.pairs[number]
        left = pair.right is None
        for sources in pair.record.inputs.values():
            for source in sources:
                if source.call is not None and (found := self.find(source.call, left=left)) is not None:
                    yield found

    def taint(self, number: int) -> bool | None:
        """Does it take something that differs? None if that depends on what is pending."""
        pair = self.pairs[number]
        open_ones = False
        if pair.call.map_index is not None:
            parent = self._parent(pair)
            if parent is not None and self.standing[parent] != "mapped" and self._hands_on(parent):
                return True
        for source in self.sources(number):
            handed = self._hands_on(source)
            if handed:
                return True
            open_ones = open_ones or handed is None
        return None if open_ones else False

    def differs(self, number: int) -> bool:
        """Does a task run differ, or what it hands on, as far as is known?"""
        return self.pairs[number].is_parameter is False and self._hands_on(number) is not False

    def is_consequence(self, number: int) -> bool:
        """Did it not even start in one of the runs? Then something else went wrong before."""
        return any(each is not None and each.state in NOT_RUN for each in _both(self.pairs[number]))

    def _hands_on(self, number: int) -> bool | None:
        standing = self.standing[number]
        if standing in _EQUAL or self.pairs[number].is_parameter:
            return False
        if standing == "unknown":
            return self.tainted[number]
        if number in self.pending:
            return None
        if standing != "mapped":
            return True
        known = self._known.get(number)
        if known is None:
            handed = [self._hands_on(child) for child in self.children(number)]
            if True not in handed and None in handed:
                return None
            known = self._known[number] = True in handed
        return known

    def _parent(self, pair: Pair) -> int | None:
        call = pair.call._replace(map_index=None)
        return self.find(call, left=pair.right is None)


def _both(pair: Pair) -> tuple[TaskRecord | None, TaskRecord | None]:
    return pair.left, pair.right


def _standing(pair: Pair, ended: tuple[bool, bool]) -> Standing:
    left, right = pair.left, pair.right
    if left is None:
        return "only right" if ended[0] else "unknown"
    if right is None:
        return "only left" if ended[1] else "unknown"
    if left.state in VALUED and right.state in VALUED:
        if left.safe is None or right.safe is None:
            return "unknown"
        # Equal digests prove equal values; digests of two serializers are never equal.
        return "same" if left.safe.digest is not None and left.safe.digest == right.safe.digest else "open"
    if left.state == right.state == "Mapped":
        return "mapped"
    if left.state == right.state and (left.message == right.message or left.state in NOT_RUN):
        return "same"
    return "different"
