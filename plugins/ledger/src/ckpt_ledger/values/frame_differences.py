"""How two tables differ: their columns, which rows came, went or moved, and which cells changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ckpt.briefs import cell
from ckpt_ledger.values.alignment import gaps, pairs_in
from ckpt_ledger.values.array_differences import extreme, is_comparable, tally
from ckpt_ledger.values.changes import ColumnChange, Example, Extreme, FrameChange
from ckpt_ledger.values.fingerprints import fingerprint, key_of
from ckpt_ledger.values.tables import Column, Key, Table

__all__ = ["compare_tables"]

_EXAMPLES: Final = 4
_COLUMNS: Final = 50
_PLAIN: Final = frozenset({int, str, bytes, bool})

Alike = Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Which rows belong together, by position."""

    by: str
    left: Any = None
    """Positions of the common rows, rising; None for all of them, as they stand."""
    right: Any = None
    only_left: Sequence[int] = ()
    only_right: Sequence[int] = ()


def compare_tables(left: Table, right: Table, path: str, right_path: str | None, alike: Alike) -> FrameChange | None:
    """`alike` compares two cells that are objects."""
    common = [key for key in left.columns if key in right.columns]
    rows, changed, columns = _aligned(left, right, common, alike)
    moved = 0
    if rows.left is not None and len(rows.right):
        moved = int((rows.right[1:] < rows.right[:-1]).sum()) and int((_ranks(rows.right) != _ranks(rows.left)).sum())
    dtypes = [(key[0], left.columns[key].dtype, right.columns[key].dtype) for key in common]
    dtypes += [("index", left.label_dtype, right.label_dtype), ("name", left.name, right.name)]
    kept = [key for key in right.columns if key in left.columns]
    change = FrameChange(
        path, right_path, left.rows, right.rows, rows.by,
        tuple(key[0] for key in left.columns if key not in right.columns),
        tuple(key[0] for key in right.columns if key not in left.columns),
        common != kept,
        tuple(Example(name, a, b) for name, a, b in dtypes if a != b),
        len(rows.only_left), len(rows.only_right),
        _shown(left, rows.only_left), _shown(right, rows.only_right),
        moved, int(changed.sum()), tuple(columns),
    )  # fmt: skip
    told = (
        change.only_left_columns, change.only_right_columns, change.columns_reordered, change.dtypes,
        change.only_left_rows, change.only_right_rows, moved, change.rows_changed,
    )  # fmt: skip
    return change if any(told) else None


def _aligned(left: Table, right: Table, common: list[Key], alike: Alike) -> tuple[_Rows, Any, list[ColumnChange]]:
    """Which rows belong together, which of these changed, and how in each column."""
    rows, stand = _by_index(left, right), _by_position(left, right)
    if rows is not None:
        may_be_renamed = bool(rows.only_left) and left.rows == right.rows
        if not may_be_renamed or _cells(left, right, common, stand, alike)[1]:
            return rows, *_cells(left, right, common, rows, alike)
    # Not found by their labels, or the same rows under other labels: then these are told as what is in a column.
    left, right, common = _labelled(left, right, common)
    changed, columns = _cells(left, right, common, stand, alike)
    if rows is None and (stand.only_left or stand.only_right or changed.sum() * 2 > len(changed)):
        better = _by_content(left, right, common, int(changed.sum()))
        if better is not None:
            return better, *_cells(left, right, common, better, alike)
    return stand, changed, columns


def _labelled(left: Table, right: Table, common: list[Key]) -> tuple[Table, Table, list[Key]]:
    """The tables with their labels as a further column, where either has any."""
    if left.labels is None and right.labels is None:
        return left, right, common
    key: Key = ("index", -1)
    return left.with_column(key, left.index()), right.with_column(key, right.index()), [key, *common]


def _ranks(positions: Any) -> Any:
    import numpy as np

    return np.argsort(np.argsort(positions, kind="stable"), kind="stable")


def _by_position(left: Table, right: Table) -> _Rows:
    import numpy as np

    if left.rows == right.rows:
        return _Rows("position")
    both = np.arange(min(left.rows, right.rows))
    return _Rows("position", both, both, range(len(both), left.rows), range(len(both), right.rows))


def _by_index(left: Table, right: Table) -> _Rows | None:
    """By label, where there are any and either side's are unique."""
    import numpy as np

    if left.labels is None and right.labels is None:
        return None
    places: list[dict[object, int]] = []
    indices = left.index(), right.index()
    is_one_dtype = indices[0].dtype == indices[1].dtype
    for labels in indices:
        # Labels of one dtype are found as they are; else by their cheap number.
        keys = labels.tolist() if is_one_dtype and labels.dtype.kind in "iubUM" else None
        found = {key: at for at, key in enumerate(keys if keys is not None else map(key_of, labels))}
        if len(found) < len(labels):
            return None
        places.append(found)
    ours, theirs = places
    pairs = [(at, theirs[key]) for key, at in ours.items() if key in theirs]
    only_left = [at for key, at in ours.items() if key not in theirs]
    only_right = [at for key, at in theirs.items() if key not in ours]
    if not only_left and not only_right and all(a == b for a, b in pairs):
        return _Rows("index")
    both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return _Rows("index", both[:, 0], both[:, 1], only_left, only_right)


def _by_content(left: Table, right: Table, common: list[Key], changed: int) -> _Rows | None:
    """By what is in the rows, where that explains more than their positions do."""
    import numpy as np

    cells = [[_numbers(table.columns[key].cells()) for key in common] for table in (left, right)]
    ours, theirs = (_mixed(numbers, table.rows) for numbers, table in zip(cells, (left, right), strict=True))
    if left.rows == right.rows:
        orders = [np.argsort(numbers, kind="stable") for numbers in (ours, theirs)]
        if (ours[orders[0]] == theirs[orders[1]]).all():
            back = np.argsort(orders[0], kind="stable")
            return _Rows("content", np.arange(left.rows), orders[1][back])
    pairs: list[tuple[int, int]] = []
    only_left: list[int] = []
    only_right: list[int] = []
    i = j = 0
    for a, b, c, d in [*gaps(ours.tolist(), theirs.tolist()), (left.rows, left.rows, right.rows, right.rows)]:
        pairs += zip(range(i, a), range(j, c), strict=True)
        alike = pairs_in((a, b, c, d), lambda i, j: sum(one[i] == two[j] for one, two in zip(*cells, strict=True)))
        pairs += alike
        only_left += sorted(set(range(a, b)) - {one for one, _ in alike})
        only_right += sorted(set(range(c, d)) - {two for _, two in alike})
        i, j = b, d
    both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    unlike = int((ours[both[:, 0]] != theirs[both[:, 1]]).sum())
    if unlike + len(only_left) + len(only_right) >= changed + abs(left.rows - right.rows):
        return None
    return _Rows("content", both[:, 0], both[:, 1], only_left, only_right)


def _numbers(cells: Any) -> Any:
    """A number of 64 bits for each cell, alike for cells that are alike."""
    import numpy as np

    if cells.dtype.kind in "iub":
        return cells.astype(np.int64).view(np.uint64)
    if cells.dtype.kind == "f":
        wide = cells.astype(np.float64) + 0.0  # there is one zero
        wide[np.isnan(wide)] = np.nan
        return wide.view(np.uint64)
    if cells.dtype.kind in "mM":
        return cells.astype(f"{cells.dtype.kind}8[us]").view(np.uint64)
    numbers = [hash(part) if type(part) is str else fingerprint(part) for part in cells.tolist()]
    return np.array(numbers, dtype=np.int64).view(np.uint64)


def _mixed(columns: list[Any], rows: int) -> Any:
    """A number for each row, alike for rows that are alike."""
    import numpy as np

    mixed = np.zeros(rows, dtype=np.uint64)
    for numbers in columns:
        one = (numbers ^ (numbers >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + (one ^ (one >> np.uint64(32)))
    return mixed


def _cells(left: Table, right: Table, common: list[Key], rows: _Rows, alike: Alike) -> tuple[Any, list[ColumnChange]]:
    """Which of the common rows changed, and how in each column."""
    import numpy as np

    changed = np.zeros(left.rows if rows.left is None else len(rows.left), dtype=bool)
    columns: list[ColumnChange] = []
    for key in common:
        ours, theirs = left.columns[key].cells(), right.columns[key].cells()
        if rows.left is not None:
            ours, theirs = ours[rows.left], theirs[rows.right]
        mask = np.zeros(len(changed), dtype=bool)
        column = _column(left.columns[key], ours, theirs, mask, _labels(left, rows), alike)
        if column is not None:
            changed |= mask
            if len(columns) < _COLUMNS:
                columns.append(column)
    return changed, columns


def _labels(table: Table, rows: _Rows) -> Callable[[int], str]:
    def label(at: int) -> str:
        row = at if rows.left is None else int(rows.left[at])
        return str(row) if table.labels is None else _told(table.labels[row])

    return label


def _column(
    column: Column, ours: Any, theirs: Any, mask: Any, label: Callable[[int], str], alike: Alike
) -> ColumnChange | None:
    if is_comparable(ours, theirs):
        found = tally(ours, theirs, mask)
        if not found.differing:
            return None
        largest, relative = (_at_label(one, ours.shape, label) for one in (found.largest, found.largest_relative))
        examples = [Example(label(at), cell(a), cell(b)) for at, a, b in found.examples]
        return ColumnChange(
            column.name, found.differing, found.left_nan, found.right_nan, largest, relative, tuple(examples)
        )
    places: list[int] = []
    missing = [0, 0]
    left, right = ours.tolist(), theirs.tolist()
    for at, (a, b) in enumerate(zip(left, right, strict=True)):
        plain = type(a) is type(b) and type(a) in _PLAIN
        if a is b or (a == b if plain else alike(a, b)):
            continue
        mask[at] = True
        places.append(at)
        missing[0] += _is_missing(a)
        missing[1] += _is_missing(b)
    if not places:
        return None
    shown = [Example(label(at), _told(left[at]), _told(right[at])) for at in places[:_EXAMPLES]]
    only = (max(0, missing[0]), max(0, missing[1]))
    return ColumnChange(column.name, len(places), *only, None, None, tuple(shown))


def _told(part: Any) -> str:
    """A cell or a label in short; a label of several levels with all of them."""
    return f"({', '.join(map(cell, part))})" if type(part) is tuple else cell(part)


def _is_missing(part: Any) -> bool:
    return part is None or (type(part) is float and part != part) or type(part).__name__ in ("NAType", "NaTType")  # noqa: PLR0124  NaN


def _at_label(known: Any, shape: tuple[int, ...], label: Callable[[int], str]) -> Extreme | None:
    told = extreme(known, shape)
    return None if told is None else Extreme(label(known[0]), told.left, told.right, told.error)


def _shown(table: Table, places: Sequence[int]) -> tuple[str, ...]:
    """Some rows, as `label: cell, cell, …`."""
    columns = list(table.columns.values())[:8]
    wanted = list(places[:_EXAMPLES])
    cells = [column.cells()[wanted] for column in columns] if wanted else []
    shown = []
    for number, row in enumerate(wanted):
        label = str(row) if table.labels is None else _told(table.labels[row])
        parts = [cell(one[number]) for one in cells] + (["…"] if len(table.columns) > len(columns) else [])
        shown.append(f"{label}: {', '.join(parts)}")
    return tuple(shown)
