"""Which elements of two lists are to be compared with each other, and which only one of them has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckpt_ledger.values.alignment import Gap, gaps, pairs_in
from ckpt_ledger.values.fingerprints import fingerprint, part_prints
from ckpt_ledger.values.scalars import is_scalar, same_scalar

__all__ = ["runs"]


def runs(left: list[Any], right: list[Any]) -> Iterator[Gap]:
    """Yield runs in order: `left[a:b]` belongs to `right[c:d]` pair by pair, or one of them is empty.

    Scalars at either end that are equal are left out. Where as much is explained by it, elements stay with those of
    the same index.
    """
    start, end = 0, 0
    shortest = min(len(left), len(right))
    while start < shortest and is_scalar(left[start]) and same_scalar(left[start], right[start]):
        start += 1
    while end < shortest - start and is_scalar(left[-1 - end]) and same_scalar(left[-1 - end], right[-1 - end]):
        end += 1
    left_end, right_end = len(left) - end, len(right) - end
    if left_end - start == right_end - start <= 1:
        yield start, left_end, start, right_end
        return
    prints = [[fingerprint(part) for part in side[start:stop]] for side, stop in ((left, left_end), (right, right_end))]
    found = gaps(*prints)
    if left_end == right_end:
        side_by_side = sum(a != b for a, b in zip(*prints, strict=True))
        if side_by_side <= sum(max(b - a, d - c) for a, b, c, d in found):
            yield start, left_end, start, right_end
            return
    i = j = start
    for a, b, c, d in found:
        gap = (start + a, start + b, start + c, start + d)
        # What is alike by its cheap number is compared as well.
        yield i, gap[0], j, gap[2]
        yield from _in_gap(left, right, gap)
        i, j = gap[1], gap[3]
    yield i, left_end, j, right_end


def _in_gap(left: list[Any], right: list[Any], gap: Gap) -> Iterator[Gap]:
    i, b, j, d = gap
    for one, other in [*_likest(left, right, gap), (b, d)]:
        yield i, one, j, j
        yield one, one, j, other
        if one < b:
            yield one, one + 1, other, other + 1
        i, j = one + 1, other + 1


def _likest(left: list[Any], right: list[Any], gap: Gap) -> list[tuple[int, int]]:
    """Which elements of a gap have the most parts in common."""
    prints: dict[tuple[int, int], dict[object, int]] = {}

    def of(side: int, at: int) -> dict[object, int]:
        if (side, at) not in prints:
            prints[side, at] = part_prints((left, right)[side][at])
        return prints[side, at]

    def likeness(i: int, j: int) -> int:
        if type(left[i]) is not type(right[j]):
            return 0
        return sum(of(1, j).get(name) == number for name, number in of(0, i).items())

    return pairs_in(gap, likeness)
