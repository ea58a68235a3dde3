"""How two numpy arrays differ: block by block, so that no copy of either is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ckpt.briefs import brief
from ckpt_ledger.values.changes import ArrayChange, Example, Extreme

__all__ = ["Tally", "compare_arrays", "extreme", "is_comparable", "tally"]

_BLOCK: Final = 1 << 16
"""Elements."""
_EXAMPLES: Final = 4
_NUMBERS: Final = "biufc"
_MOMENTS: Final = "mM"

# An array cannot exist before numpy is imported, so numpy is only imported in functions that are given one.


class Tally:
    """What was counted over the elements of two arrays of one shape, which are told by their flat index."""

    __slots__ = ("differing", "examples", "largest", "largest_relative", "left_nan", "right_nan")

    def __init__(self) -> None:
        self.differing = self.left_nan = self.right_nan = 0
        self.examples: list[tuple[int, Any, Any]] = []
        self.largest: tuple[int, Any, Any, Any] | None = None
        self.largest_relative: tuple[int, Any, Any, Any] | None = None


def is_comparable(left: Any, right: Any) -> bool:
    """Can the elements of these dtypes be set side by side?"""
    ours, theirs = left.dtype.kind, right.dtype.kind
    if "O" in (ours, theirs) or left.dtype.names or right.dtype.names:
        return False
    return ours == theirs or (ours in _NUMBERS and theirs in _NUMBERS)


def tally(left: Any, right: Any, mask: Any = None) -> Tally:
    """Count over two comparable arrays of one shape; sets `mask`, a flat array of bool, where they differ."""
    import numpy as np

    found = Tally()
    for start, ours, theirs in _blocks(left, right):
        if ours.dtype.kind == "V":
            unlike = np.array([a.tobytes() != b.tobytes() for a, b in zip(ours, theirs, strict=True)], dtype=bool)
        else:
            unlike = ours != theirs
        if not unlike.any():
            continue
        left_nan, right_nan = _nan(ours), _nan(theirs)
        if left_nan is not None or right_nan is not None:
            left_nan = np.zeros_like(unlike) if left_nan is None else left_nan
            right_nan = np.zeros_like(unlike) if right_nan is None else right_nan
            unlike &= ~(left_nan & right_nan)
            found.left_nan += int((left_nan & ~right_nan).sum())
            found.right_nan += int((right_nan & ~left_nan).sum())
        places = np.flatnonzero(unlike)
        if not len(places):
            continue
        found.differing += len(places)
        if mask is not None:
            mask[start : start + len(unlike)] = unlike
        for place in places[: _EXAMPLES - len(found.examples)]:
            found.examples.append((start + int(place), ours[place], theirs[place]))
        if ours.dtype.kind in _NUMBERS + _MOMENTS and "b" not in (ours.dtype.kind, theirs.dtype.kind):
            _errors(found, start, places, ours[places], theirs[places])
    return found


def _blocks(left: Any, right: Any) -> Iterator[tuple[int, Any, Any]]:
    import numpy as np

    if left.dtype.kind == "V" or not left.size:
        left, right = left.reshape(-1), right.reshape(-1)
        for start in range(0, left.size, _BLOCK):
            yield start, left[start : start + _BLOCK], right[start : start + _BLOCK]
        return
    flags: list[Any] = ["external_loop", "buffered", "refs_ok"]
    start = 0
    for ours, theirs in np.nditer([left, right], flags=flags, order="C", buffersize=_BLOCK):
        yield start, ours, theirs
        start += len(ours)


def _nan(block: Any) -> Any:
    import numpy as np

    if block.dtype.kind in "fc":
        return np.isnan(block)
    return np.isnat(block) if block.dtype.kind in _MOMENTS else None


def _errors(found: Tally, start: int, places: Any, ours: Any, theirs: Any) -> None:
    """Take the largest errors of the elements that differ."""
    import numpy as np

    with np.errstate(all="ignore"):
        if ours.dtype.kind in _MOMENTS:
            # A duration is compared as a number and told as a duration.
            spans = np.abs(ours - theirs)
            errors = np.where(np.isnat(spans), -1.0, spans.astype("m8[us]").astype(np.float64))
            relative = None
        else:
            wide = np.complex128 if "c" in (ours.dtype.kind, theirs.dtype.kind) else np.float64
            spans = errors = np.abs(ours.astype(wide) - theirs.astype(wide))
            relative = errors / np.abs(ours.astype(wide))
    for name, values in (("largest", errors), ("largest_relative", relative)):
        if values is None:
            continue
        values = np.where(np.isnan(values) | (np.isinf(values) & (name == "largest_relative")), -1.0, values)  # noqa: PLW2901  the same without NaN
        best = int(np.argmax(values))
        known = getattr(found, name)
        if values[best] >= 0 and (known is None or values[best] > _number(known[3])):
            error = spans[best] if name == "largest" else values[best]
            setattr(found, name, (start + int(places[best]), ours[best], theirs[best], error))


def _number(error: Any) -> float:
    return float(error.astype("m8[us]").astype(float)) if error.dtype.kind in _MOMENTS else float(error)


def compare_arrays(left: Any, right: Any, path: str, right_path: str | None) -> ArrayChange | None:
    """Two arrays that are neither structured nor of objects."""
    dtypes, shapes = (str(left.dtype), str(right.dtype)), (left.shape, right.shape)
    if not is_comparable(left, right):
        size = left.size if left.shape == right.shape else 0
        return ArrayChange(path, right_path, *dtypes, *shapes, size, size)
    inserted_at = None
    whole_left, whole_right = left, right
    if left.shape != right.shape:
        if not left.ndim or left.ndim != right.ndim or left.shape[1:] != right.shape[1:]:
            return ArrayChange(path, right_path, *dtypes, *shapes, 0, 0)
        rows = min(len(left), len(right))
        left, right = left[:rows], right[:rows]
    found = tally(left, right)
    if shapes[0] != shapes[1]:
        row_size = left.size // len(left) if len(left) and left.size else 1
        row = found.examples[0][0] // row_size if found.examples else len(left)
        longer = len(whole_left) - len(whole_right)
        ours, theirs = whole_left[row + max(longer, 0) :], whole_right[row + max(-longer, 0) :]
        if not tally(ours, theirs).differing:
            inserted_at = row
    elif not found.differing and dtypes[0] == dtypes[1]:
        return None
    return ArrayChange(
        path, right_path, *dtypes, *shapes, left.size, found.differing, inserted_at, found.left_nan, found.right_nan,
        extreme(found.largest, left.shape), extreme(found.largest_relative, left.shape),
        tuple(Example(_index(at, left.shape), brief(a), brief(b)) for at, a, b in found.examples),
    )  # fmt: skip


def extreme(known: tuple[int, Any, Any, Any] | None, shape: tuple[int, ...]) -> Extreme | None:
    """An extreme of a tally, with its index in an array of this shape."""
    if known is None:
        return None
    at, ours, theirs, error = known
    told = brief(error.item() if error.dtype.kind == "m" and error.dtype != "m8[ns]" else error)
    return Extreme(_index(at, shape), brief(ours), brief(theirs), told if error.dtype.kind == "m" else float(error))


def _index(at: int, shape: tuple[int, ...]) -> str:
    import numpy as np

    return f"[{', '.join(str(int(part)) for part in np.unravel_index(at, shape))}]" if shape else "[()]"
