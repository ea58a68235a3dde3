"""Which elements of two sequences belong together: what is equal stays in order, and the rest is in gaps.

Patience diff: elements that occur once on either side are anchors, of which the longest rising run is kept; between
anchors the same again. O(n log n) however alike the elements are, since the depth is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from difflib import SequenceMatcher
from typing import Final

__all__ = ["Gap", "gaps", "pairs_in"]

Gap = tuple[int, int, int, int]
"""`left[a:b]` stands where `right[c:d]` does; one of them may be empty."""

_LEVELS: Final = 16
_SMALL: Final = 40_000
"""Pairs that may be looked at one by one where nothing is unique."""


def gaps(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[Gap]:
    """Return the gaps in order; all elements outside them are equal, pair by pair."""
    found: list[Gap] = []
    waiting = [(0, len(left), 0, len(right), 0)]
    while waiting:
        a, b, c, d, level = waiting.pop()
        while a < b and c < d and left[a] == right[c]:
            a, c = a + 1, c + 1
        while a < b and c < d and left[b - 1] == right[d - 1]:
            b, d = b - 1, d - 1
        if a == b or c == d:
            if a < b or c < d:
                found.append((a, b, c, d))
            continue
        anchors = _anchors(left, right, (a, b, c, d)) if level < _LEVELS else []
        if anchors:
            for i, j in anchors:
                waiting.append((a, i, c, j, level + 1))
                a, c = i + 1, j + 1
            waiting.append((a, b, c, d, level + 1))
        elif (b - a) * (d - c) <= _SMALL:
            codes = SequenceMatcher(None, left[a:b], right[c:d], autojunk=False).get_opcodes()
            found += [(a + i, a + j, c + k, c + m) for tag, i, j, k, m in codes if tag != "equal"]
        else:
            found.append((a, b, c, d))
    return sorted(found)


def pairs_in(gap: Gap, likeness: Callable[[int, int], int]) -> list[tuple[int, int]]:
    """Return which elements of a gap belong together though they differ: in order, as many as can, the likest.

    Where the sides are equally long, or there are very many, they are taken as they stand.
    """
    a, b, c, d = gap
    rows, width = b - a, d - c
    if rows == width or not rows or not width or rows * width > _SMALL // 16:
        return list(zip(range(a, b), range(c, d), strict=False))
    # The best score of what begins at (i, j); a pair counts by itself, so that all that can be paired are.
    best = [[0] * (width + 1) for _ in range(rows + 1)]
    scores = [[1 + 1000 * likeness(a + i, c + j) for j in range(width)] for i in range(rows)]
    for i in range(rows - 1, -1, -1):
        for j in range(width - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + scores[i][j])
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < rows and j < width:
        if best[i][j] == best[i + 1][j + 1] + scores[i][j]:
            pairs.append((a + i, c + j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _anchors(left: Sequence[Hashable], right: Sequence[Hashable], gap: Gap) -> list[tuple[int, int]]:
    a, b, c, d = gap
    ours, theirs = _once(left, a, b), _once(right, c, d)
    pairs = [(i, theirs[part]) for part, i in ours.items() if i >= 0 and theirs.get(part, -1) >= 0]
    # The longest rising run of the right indices, the left ones rising already.
    ends: list[int] = []
    tops: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        place = bisect_left(ends, j)
        before.append(tops[place - 1] if place else -1)
        if place == len(ends):
            ends.append(j)
            tops.append(number)
        else:
            ends[place], tops[place] = j, number
    run: list[tuple[int, int]] = []
    at = tops[-1] if tops else -1
    while at >= 0:
        run.append(pairs[at])
        at = before[at]
    return run[::-1]


def _once(parts: Sequence[Hashable], start: int, end: int) -> dict[Hashable, int]:
    """Where each element is, in order; -1 for one that is there more than once."""
    places: dict[Hashable, int] = {}
    for index in range(start, end):
        part = parts[index]
        places[part] = -1 if part in places else index
    return places
