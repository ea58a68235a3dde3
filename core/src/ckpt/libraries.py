"""Arrays and frames of other libraries, described without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ckpt.attributes import base_classes, qualified_name

if TYPE_CHECKING:
    from ckpt.handlers import JSON

__all__ = ["describe_foreign", "measure"]

Tell = Callable[[object], str]
"""How one cell is written."""

_COLUMNS: Final = 12
_ROWS: Final = 4

# Their shape and dtype are facts that each array carries, also a lazy one and one on a GPU.
_ARRAYS: Final = frozenset(
    {"cupy", "dask", "h5py", "jax", "jaxlib", "mlx", "scipy", "sparse", "tensorflow", "torch", "zarr"}
)


def describe_foreign(value: object, tell: Tell | None) -> dict[str, JSON] | None:
    """Shape and dtype, or rows, columns and the first rows; None for what is neither array nor frame.

    Without `tell` the sizes alone.
    """
    kind = type(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        return {"dtype": str(numpy.ndarray.dtype.__get__(value))[:60], "shape": [*numpy.ndarray.shape.__get__(value)]}
    for base in base_classes(kind):
        full = qualified_name(base)
        root, name = full.partition(".")[0], full.rpartition(".")[2]
        if root in _ARRAYS:
            return _array(value)
        describe = _DESCRIBED.get(f"{root}.{name}")
        # Only the real one: anybody may call a class of theirs by such a name.
        if describe is not None and getattr(sys.modules.get(root), name, None) is base:
            return describe(value, tell)
    return None


def _array(value: Any) -> dict[str, JSON] | None:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return None
    return {"dtype": str(dtype)[:60], "shape": [int(size) if isinstance(size, int) else None for size in shape]}


def _frame(rows: int, width: int, columns: Iterable[tuple[object, object, Any]], tell: Tell | None) -> dict[str, JSON]:
    """`columns`: name, dtype and first cells of each."""
    summary: dict[str, JSON] = {"rows": rows, "width": width}
    if tell is not None:
        named = list(columns)
        summary["columns"] = [[tell(name), str(dtype)[:40]] for name, dtype, _ in named]
        summary["first"] = [[tell(cell) for cell in row] for row in zip(*(cells for *_, cells in named), strict=False)]
    return summary


def _pandas_frame(value: Any, tell: Tell | None) -> dict[str, JSON]:
    rows, width = value.shape
    head = value.iloc[:_ROWS, :_COLUMNS] if tell is not None else value

    def columns() -> Iterator[tuple[object, object, Any]]:
        for name, column in head.items():
            array = column.array
            yield name, array.dtype, list(array)

    return _frame(rows, width, columns(), tell) | _index(head, tell)


def _pandas_series(value: Any, tell: Tell | None) -> dict[str, JSON]:
    head = value.iloc[:_ROWS]
    summary = _frame(len(value), 1, [(value.name, value.dtype, list(head.array))], tell) | _index(head, tell)
    del summary["width"]
    return summary


def _index(head: Any, tell: Tell | None) -> dict[str, JSON]:
    if tell is None or type(head.index).__name__ == "RangeIndex":
        return {}
    names = ", ".join(tell(name) for name in head.index.names if name is not None)
    return {"index": {"name": names or None, "first": [tell(label) for label in head.index]}}


def _polars_frame(value: Any, tell: Tell | None) -> dict[str, JSON]:
    rows, width = value.shape
    columns = ((s.name, s.dtype, s.to_list()) for s in value[:_ROWS, :_COLUMNS].get_columns()) if tell else ()
    return _frame(rows, width, columns, tell)


def _polars_series(value: Any, tell: Tell | None) -> dict[str, JSON]:
    summary = _frame(len(value), 1, [(value.name, value.dtype, value[:_ROWS].to_list())], tell)
    del summary["width"]
    return summary


def _arrow_table(value: Any, tell: Tell | None) -> dict[str, JSON]:
    rows, width = value.num_rows, value.num_columns
    if tell is None:
        return _frame(rows, width, (), None)
    fields = (value.schema.field(number) for number in range(min(width, _COLUMNS)))
    cells = (value.column(number).slice(0, _ROWS).to_pylist() for number in range(min(width, _COLUMNS)))
    return _frame(rows, width, ((f.name, f.type, c) for f, c in zip(fields, cells, strict=True)), tell)


_DESCRIBED: Final[dict[str, Callable[[Any, Tell | None], dict[str, JSON]]]] = {
    "pandas.DataFrame": _pandas_frame,
    "pandas.Series": _pandas_series,
    "polars.DataFrame": _polars_frame,
    "polars.Series": _polars_series,
    "pyarrow.Table": _arrow_table,
    "pyarrow.RecordBatch": _arrow_table,
}


def measure(name: str, summary: Mapping[str, JSON]) -> str:
    """The name of a type with the sizes that a description holds: `DataFrame 1,461 × 6`."""  # noqa: RUF002  times
    shape, rows, width, length = (summary.get(key) for key in ("shape", "rows", "width", "length"))
    if isinstance(rows, int):
        return f"{name} {rows:,} × {width:,}" if isinstance(width, int) else f"{name} of {rows:,}"  # noqa: RUF001  times
    if isinstance(shape, list):
        sizes = " × ".join(f"{size:,}" if isinstance(size, int) else "?" for size in shape)  # noqa: RUF001  times
        return f"{summary.get('dtype')} {'array' if name == 'ndarray' else name} {sizes or '()'}"
    return f"{name} of {length:,}" if isinstance(length, int) else name
