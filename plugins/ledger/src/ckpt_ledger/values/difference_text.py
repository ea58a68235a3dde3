"""A difference as plain lines: first what happened, in one sentence, and then where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ckpt_ledger.values.changes import (
    ArrayChange,
    BytesChange,
    Change,
    ColumnChange,
    Difference,
    Example,
    Extreme,
    FrameChange,
    Group,
    PartChange,
    SetChange,
    TextChange,
    ValueChange,
)

__all__ = ["lines", "many"]

_COLUMNS: Final = 12
"""Columns of a frame that are told one by one."""


def lines(difference: Difference) -> list[str]:
    """The headline and, indented below it, the details; no line is a control sequence."""
    groups = difference.groups
    if len(groups) == 1 and not difference.more:
        head, *details = _group(groups[0])
        return [head, *(f"  {line}" for line in details)]
    places = len(groups)
    kinds = f" at {places:,}{'+' if difference.more else ''} kinds of place" if difference.total > places else ""
    out = [f"{many(difference.total, 'difference')}{kinds}"]
    for group in groups:
        head, *details = _group(group)
        out += [f"  {head}", *(f"    {line}" for line in details)]
    if difference.more:
        out.append(f"  and {difference.more:,} more")
    return out


def _group(group: Group) -> list[str]:
    if group.places == 1:
        head, *details = _change(group.changes[0])
        return [f"{group.pattern}: {head}" if group.pattern else head, *details]
    first = group.changes[0]
    said = "differ"
    if isinstance(first, PartChange):
        said = f"only {first.side}"
    largest = ""
    if group.largest is not None:
        largest = f", largest {_number(group.largest.absolute)} at {group.largest.path}"
    out = [f"{group.pattern}: {group.count:,} {said}{largest}"]
    for change in group.changes:
        head, *details = _change(change)
        out += [f"{change.path}: {head}", *(f"  {line}" for line in details)]
    if group.places > len(group.changes):
        out.append(f"and {group.places - len(group.changes):,} more")
    return out


def _change(change: Change) -> list[str]:
    told = list(_TOLD[change.kind](change))
    if change.right_path is not None:
        told[0] += f"   (right: {change.right_path})"
    return told


def _value(change: ValueChange) -> Iterator[str]:
    off = ""
    if change.absolute:
        relative = f", {_percent(change.relative)}" if change.relative is not None else ""
        off = f"   (off by {_number(change.absolute)}{relative})"
    kinds = f"   ({change.left_type} → {change.right_type})" if change.left_type != change.right_type else ""
    yield f"{change.left} → {change.right}{off}{kinds}"


def _part(change: PartChange) -> Iterator[str]:
    run = f" ({change.count:,} elements, the first: {change.value})" if change.count > 1 else f" ({change.value})"
    yield f"only {change.side}{run}"


def _text(change: TextChange) -> Iterator[str]:
    sizes = _sizes(change.left_length, change.right_length, "character")
    if not change.removed and not change.added:
        yield f"text differs from character {change.column} on, {sizes}"
        yield f"- {change.left}"
        yield f"+ {change.right}"
        return
    yield f"text differs from line {change.line:,} on: {many(change.removed, 'line')} removed, {change.added:,} added"
    if change.removed == change.added == 1:
        yield f"line {change.line:,}, from character {change.column} on"
    yield from change.hunks
    left = change.removed + change.added - sum(line[0] in "-+" for line in change.hunks)
    if left > 0:
        yield f"and {many(left, 'more line')}"


def _bytes(change: BytesChange) -> Iterator[str]:
    sizes = _sizes(change.left_length, change.right_length, "byte")
    yield f"bytes differ from offset {change.offset:,} on, {sizes}"
    at = f"{change.shown_from:08x}"
    pairs = [[text[n : n + 2] for n in range(0, len(text), 2)] for text in (change.left, change.right)]
    for sign, ours, theirs in (("-", *pairs), ("+", *pairs[::-1])):
        unlike = [n >= len(theirs) or byte != theirs[n] for n, byte in enumerate(ours)]
        shown = (f"[{byte}]" if other else f" {byte} " for byte, other in zip(ours, unlike, strict=True))
        yield f"{sign} {at} {''.join(shown)}".rstrip()


def _set(change: SetChange) -> Iterator[str]:
    sizes = _sizes(change.left_size, change.right_size, "element")
    yield f"{change.only_left:,} only left, {change.only_right:,} only right, of {sizes}"
    for sign, shown, count in (("-", change.left, change.only_left), ("+", change.right, change.only_right)):
        if shown:
            yield f"{sign} {', '.join(shown)}{_rest(count, shown)}"


def _array(change: ArrayChange) -> Iterator[str]:
    said = []
    if change.left_shape != change.right_shape:
        said.append(f"shape {_shape(change.left_shape)} → {_shape(change.right_shape)}")
    if change.left_dtype != change.right_dtype:
        said.append(f"dtype {change.left_dtype} → {change.right_dtype}")
    if change.inserted_at is not None:
        side = "right" if change.right_shape > change.left_shape else "left"
        rows = abs(change.left_shape[0] - change.right_shape[0])
        said.append(f"{rows:,} only {side} at [{change.inserted_at}], all else equal")
        yield ", ".join(said)
        return
    if change.differing:
        largest = f", largest {_number(change.largest.error)}" if change.largest else ""
        differ = "differs" if change.differing == 1 else "differ"
        said.append(f"{change.differing:,} of {change.compared:,} elements {differ}{largest}")
    elif change.compared:
        said.append(f"the {change.compared:,} compared elements are equal")
    yield ", ".join(said)
    yield from _extremes(change.largest, change.largest_relative, change.examples)
    yield from _missing("NaN", change.only_left_nan, change.only_right_nan)


def _frame(change: FrameChange) -> Iterator[str]:
    said = []
    if change.rows_changed:
        both = change.left_rows - change.only_left_rows
        said.append(f"{change.rows_changed:,} of {both:,} rows changed{_in_columns(change.columns)}")
    said += [
        f"{many(count, 'row')} only {side}"
        for side, count in (("left", change.only_left_rows), ("right", change.only_right_rows))
        if count
    ]
    if change.rows_moved:
        said.append(f"{change.rows_moved:,} {'of the same ' if not said else ''}rows in another order")
    said += [
        f"column{'s' if len(names) > 1 else ''} {_names(names)} only {side}"
        for side, names in (("left", change.only_left_columns), ("right", change.only_right_columns))
        if names
    ]
    if change.columns_reordered:
        said.append("columns in another order")
    if change.dtypes:
        said.append(f"dtype of {_names([one.at for one in change.dtypes])} changed")
    yield ", ".join(said)
    if change.left_rows != change.right_rows:
        aligned = {"position": "by position", "index": "by index", "content": "by content"}[change.aligned_by]
        yield f"{change.left_rows:,} → {change.right_rows:,} rows, set side by side {aligned}"
    yield from (f"dtype of {one.at}: {one.left} → {one.right}" for one in change.dtypes)
    for sign, rows, count in (
        ("-", change.left_examples, change.only_left_rows),
        ("+", change.right_examples, change.only_right_rows),
    ):
        yield from (f"{sign} {row}" for row in rows)
        if count > len(rows):
            yield f"{sign} {_rest(count, rows).lstrip(', ')}"
    for column in change.columns[:_COLUMNS]:
        yield from _column(column)
    if len(change.columns) > _COLUMNS:
        yield f"and {len(change.columns) - _COLUMNS:,} more columns"


def _column(column: ColumnChange) -> Iterator[str]:
    yield f"{column.name}: {many(column.cells, 'cell')}"
    for line in _extremes(column.largest, column.largest_relative, column.examples, "row "):
        yield f"  {line}"
    for line in _missing("missing", column.only_left_missing, column.only_right_missing):
        yield f"  {line}"


def _in_columns(columns: Sequence[ColumnChange]) -> str:
    names = [column.name for column in columns]
    largest = columns[0].largest if len(columns) == 1 else None
    told = f", largest {_number(largest.error)}" if largest is not None else ""
    return f" in column{'s' if len(names) > 1 else ''} {_names(names)}{told}" if names else ""


def _extremes(
    largest: Extreme | None, relative: Extreme | None, examples: Sequence[Example], row: str = ""
) -> Iterator[str]:
    told = set()
    if largest is not None and len(examples) > 1:
        yield f"largest at {row}{largest.at}: {largest.left} → {largest.right}"
        told.add(largest.at)
    if relative is not None and isinstance(relative.error, float) and len(examples) > 1:
        yield f"largest relative {_percent(relative.error)} at {row}{relative.at}: {relative.left} → {relative.right}"
        told.add(relative.at)
    yield from (f"{row}{one.at}: {one.left} → {one.right}" for one in examples if one.at not in told)


def _missing(word: str, left: int, right: int) -> Iterator[str]:
    said = [f"{count:,} {word} only {side}" for side, count in (("left", left), ("right", right)) if count]
    if said:
        yield ", ".join(said)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (_rest(len(names), names[:6]) if len(names) > 6 else "")


def _rest(count: int, shown: Sequence[object]) -> str:
    return f", and {count - len(shown):,} more" if count > len(shown) else ""


def _sizes(left: int, right: int, word: str) -> str:
    return many(left, word) if left == right else f"{left:,} → {many(right, word)}"


def many(count: int, word: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(f"{size:,}" for size in shape) or "()"  # noqa: RUF001  times


def _number(error: float | str | None) -> str:
    return f"{error:.6g}" if isinstance(error, float) else str(error)


def _percent(relative: float) -> str:
    return f"{relative * 100:.3g} %" if relative < 10 else f"{relative:,.3g} times"


_TOLD: Final[dict[str, Callable[[Any], Iterator[str]]]] = {
    "value": _value,
    "part": _part,
    "text": _text,
    "bytes": _bytes,
    "set": _set,
    "array": _array,
    "frame": _frame,
}
