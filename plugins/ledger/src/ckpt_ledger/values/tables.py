"""Frames and series of pandas, polars and pyarrow in one shape: named columns, each a numpy array when asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ckpt.attributes import base_classes, qualified_name
from ckpt.briefs import brief, printable

__all__ = ["Column", "Key", "Table", "table_of"]

Key = tuple[str, int]
"""Of a column: its name, and how many columns before bear the same."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `cells` makes the array."""

    name: str
    dtype: str
    cells: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A frame, or a series as a frame of one column."""

    rows: int
    columns: dict[Key, Column]
    """By name, and how many columns before bear the same."""
    labels: Any = None
    """The index as an array, where it is more than the rows' numbers."""
    label_dtype: str = ""
    name: str = ""
    """Of a series."""

    def index(self) -> Any:
        """The labels of the rows as an array; their numbers where there are no others."""
        import numpy as np

        return np.arange(self.rows) if self.labels is None else self.labels

    def with_column(self, key: Key, cells: Any) -> Table:
        """The same with a further column."""
        column = Column(key[0], str(cells.dtype), lambda: cells)
        return replace(self, columns={**self.columns, key: column})


def table_of(value: Any) -> Table | None:
    """The table that a value is; None for anything else."""
    for base in base_classes(type(value)):
        full = qualified_name(base)
        root, _, rest = full.partition(".")
        name = rest.rpartition(".")[2]
        make = _MAKE.get(f"{root}.{name}")
        if make is not None and getattr(sys.modules.get(root), name, None) is base:
            return make(value)
    return None


def _named(columns: Sequence[tuple[object, str, Callable[[], Any]]]) -> dict[Key, Column]:
    named: dict[Key, Column] = {}
    times: dict[str, int] = {}
    for key, dtype, cells in columns:
        name = printable(key, 200) if type(key) is str else brief(key)
        times[name] = times.get(name, -1) + 1
        named[name, times[name]] = Column(name, dtype, cells)
    return named


def _pandas(value: Any) -> Table:
    series = [value] if value.ndim == 1 else [value.iloc[:, number] for number in range(value.shape[1])]
    keys = ["value"] if value.ndim == 1 else list(value.columns)
    columns = [(key, str(one.dtype), partial(_pandas_cells, one)) for key, one in zip(keys, series, strict=True)]
    index, labels = value.index, None
    if type(index).__name__ != "RangeIndex" or (index.start, index.step) != (0, 1):
        labels = _pandas_cells(index)
    names = ", ".join(brief(name) for name in index.names if name is not None)
    label_dtype = f"{index.dtype}{f' named {names}' if names else ''}"
    # A range is what an index of whole numbers is where it can be: that is no change of dtype.
    return Table(len(value), _named(columns), labels, label_dtype, brief(value.name) if value.ndim == 1 else "")


def _pandas_cells(one: Any) -> Any:
    import numpy as np

    if isinstance(one.dtype, np.dtype):
        return one.to_numpy()
    kind = getattr(one.dtype, "kind", "O")
    if kind in "iufb" and not one.hasnans:
        return one.to_numpy(dtype=one.dtype.numpy_dtype)
    if kind == "M" and hasattr(one.dtype, "tz"):
        moments = one.dt if hasattr(one, "dt") else one
        return moments.tz_convert(None).to_numpy()
    return np.asarray(one, dtype=object)


def _polars_column(one: Any) -> Callable[[], Any]:
    def cells() -> Any:
        import numpy as np

        if one.dtype.is_nested() or one.null_count() or not (one.dtype.is_numeric() or one.dtype.is_temporal()):
            return _objects(one.to_list())
        return np.asarray(one.to_numpy())

    return cells


def _polars(value: Any) -> Table:
    series = [value] if len(value.shape) == 1 else value.get_columns()
    keys = ["value"] if len(value.shape) == 1 else value.columns
    columns = [(key, str(one.dtype), _polars_column(one)) for key, one in zip(keys, series, strict=True)]
    return Table(len(value), _named(columns), name=brief(value.name) if len(value.shape) == 1 else "")


def _arrow_column(one: Any) -> Callable[[], Any]:
    def cells() -> Any:
        if one.null_count or str(one.type) not in _ARROW_NUMBERS:
            return _objects(one.to_pylist())
        return one.to_numpy() if hasattr(one, "chunks") else one.to_numpy(zero_copy_only=False)

    return cells


def _arrow(value: Any) -> Table:
    fields = list(zip(value.schema.names, value.schema.types, value.columns, strict=True))
    return Table(value.num_rows, _named([(name, str(kind), _arrow_column(one)) for name, kind, one in fields]))


_ARROW_NUMBERS = frozenset({f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {"float", "double"})


def _objects(parts: list[Any]) -> Any:
    import numpy as np

    # One by one: lists in it would become further dimensions.
    cells = np.empty(len(parts), dtype=object)
    for number, part in enumerate(parts):
        cells[number] = part
    return cells


_MAKE: dict[str, Callable[[Any], Table]] = {
    "pandas.DataFrame": _pandas,
    "pandas.Series": _pandas,
    "polars.DataFrame": _polars,
    "polars.Series": _polars,
    "pyarrow.Table": _arrow,
    "pyarrow.RecordBatch": _arrow,
}
