"""The ways in which two values can differ: plain facts, for a person and for `--json`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ckpt import JSON

__all__ = [
    "ArrayChange",
    "BytesChange",
    "Change",
    "ColumnChange",
    "Difference",
    "Example",
    "Extreme",
    "FrameChange",
    "Group",
    "PartChange",
    "SetChange",
    "TextChange",
    "ValueChange",
]


@dataclass(frozen=True, slots=True)
class Example:
    """One place inside an array or a frame, and what is there on both sides."""

    at: str
    """Where, as Python behind the array's name (`[3, 1]`), or the row's label."""
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Extreme:
    """Where an error is largest."""

    at: str
    left: str
    right: str
    error: float | str
    """A number, or a duration as text. A relative error is relative to the left value."""


@dataclass(frozen=True, slots=True)
class Change:
    """One place where the two values differ."""

    kind: ClassVar[str] = ""
    path: str
    """Behind the left value's name this is Python: `['orders'][3].price`; empty for the value itself."""
    right_path: str | None
    """The same for the right value, where it is another: elements were inserted before."""


@dataclass(frozen=True, slots=True)
class ValueChange(Change):
    """Two numbers, moments or things of different types."""

    kind: ClassVar[str] = "value"
    left: str
    right: str
    left_type: str
    right_type: str
    absolute: float | None = None
    """Distance of two numbers; None where it says nothing (NaN, text)."""
    relative: float | None = None
    """The same relative to the left number; None where that is zero."""


@dataclass(frozen=True, slots=True)
class PartChange(Change):
    """A key, attribute or run of elements that one side has and the other has not."""

    kind: ClassVar[str] = "part"
    side: str
    """`left` or `right`: the one that has it."""
    value: str
    """The part; of several elements the first."""
    count: int = 1
    """How many elements the run has."""


@dataclass(frozen=True, slots=True)
class TextChange(Change):
    """Two texts."""

    kind: ClassVar[str] = "text"
    left_length: int
    right_length: int
    line: int
    """From 1: the first line that differs, in the left text."""
    column: int
    """From 1: its first character that differs."""
    left: str
    """The line around that column, cut with `…` where it is long."""
    right: str
    removed: int
    """Lines of the left text that the right one has not; 0 with `added` for texts of one line."""
    added: int
    hunks: tuple[str, ...] = ()
    """The first of a unified diff."""


@dataclass(frozen=True, slots=True)
class BytesChange(Change):
    """Two byte strings."""

    kind: ClassVar[str] = "bytes"
    left_length: int
    right_length: int
    offset: int
    """The first byte that differs, from 0."""
    shown_from: int
    """The offset of the first byte in `left` and `right`."""
    left: str
    """Hex, two digits a byte."""
    right: str


@dataclass(frozen=True, slots=True)
class SetChange(Change):
    """Two sets."""

    kind: ClassVar[str] = "set"
    left_size: int
    right_size: int
    only_left: int
    only_right: int
    left: tuple[str, ...]
    """The first elements that only the left set has."""
    right: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArrayChange(Change):
    """Two arrays."""

    kind: ClassVar[str] = "array"
    left_dtype: str
    right_dtype: str
    left_shape: tuple[int, ...]
    right_shape: tuple[int, ...]
    compared: int
    """How many elements could be set side by side: all, or those of the rows that both have; 0 for other shapes."""
    differing: int
    """How many of these differ."""
    inserted_at: int | None = None
    """The row before which the longer array has more, and all else is equal; None where it is not that simple."""
    only_left_nan: int = 0
    only_right_nan: int = 0
    largest: Extreme | None = None
    largest_relative: Extreme | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """The cells of one column, in the rows that both frames have."""

    name: str
    cells: int
    """How many differ."""
    only_left_missing: int
    """Of these, missing (NaN, None) in the left frame alone."""
    only_right_missing: int
    largest: Extreme | None
    largest_relative: Extreme | None
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class FrameChange(Change):
    """Two frames or series."""

    kind: ClassVar[str] = "frame"
    left_rows: int
    right_rows: int
    aligned_by: str
    """How rows found each other: `position`, `index` or `content`."""
    only_left_columns: tuple[str, ...] = ()
    only_right_columns: tuple[str, ...] = ()
    columns_reordered: bool = False
    dtypes: tuple[Example, ...] = ()
    """Columns of another dtype; also `index`, and `name` of a series."""
    only_left_rows: int = 0
    only_right_rows: int = 0
    left_examples: tuple[str, ...] = ()
    """The first rows that only the left frame has."""
    right_examples: tuple[str, ...] = ()
    rows_moved: int = 0
    """Rows that both have, at another place."""
    rows_changed: int = 0
    """Rows that both have, with another content."""
    columns: tuple[ColumnChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Changes at places alike, such as one attribute of every element of a list."""

    pattern: str
    """The path with `[*]` for what varies."""
    count: int
    """How many elements changed, came or went there."""
    places: int
    """How many changes these are."""
    changes: tuple[Change, ...]
    """The first."""
    largest: ValueChange | None = None
    """Of numbers, the one with the largest absolute error."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How two values differ."""

    left: str
    """The left value in one line."""
    right: str
    total: int
    """How many changes there are."""
    groups: tuple[Group, ...]
    """In the order of the left value; the first, if there are very many."""
    more: int = 0
    """How many changes are in no group, because there are too many groups."""

    def to_dict(self) -> dict[str, JSON]:
        """Plain JSON."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def _plain(value: Any) -> JSON:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if dataclasses.is_dataclass(value):
        told = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": value.kind, **told} if isinstance(value, Change) else told
    return value  # type: ignore[no-any-return]  # a number, text or None
