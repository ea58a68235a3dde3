"""numpy's arrays in all layouts; imported where numpy is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ckpt.testing.cases import Case

__all__ = ["CASES", "large"]


def _same(made: Any, read: Any) -> bool:
    """Type, dtype, shape, elements, and whether an array may be written to."""
    if type(made) is not type(read) or made.dtype != read.dtype or made.shape != read.shape:
        return False
    writable = not hasattr(made, "flags") or made.flags.writeable <= read.flags.writeable
    if made.dtype.hasobject or made.dtype.names is not None:
        return bool(writable and made.tolist() == read.tolist())
    return bool(writable and made.tobytes() == read.tobytes())


def _readonly() -> Any:
    array = np.arange(30_000)
    array.flags.writeable = False
    return array


def _both(made: Any, read: Any) -> bool:
    return _same(made[0], read[0]) and _same(made[1], read[1])


def _views() -> object:
    array = np.arange(12.0)
    return [array, array]


_MAKERS: Final[dict[str, Callable[[], Any]]] = {
    "float64": lambda: np.linspace(0, 1, 1000),
    "with nan": lambda: np.array([1.0, np.nan, -0.0, np.inf]),
    "empty": lambda: np.empty((0, 3)),
    "no dimension": lambda: np.array(3.5),
    "C order": lambda: np.arange(24).reshape(2, 3, 4),
    "Fortran order": lambda: np.asfortranarray(np.arange(24.0).reshape(4, 6)),
    "transposed": lambda: np.arange(300_000.0).reshape(300, 1000).T,
    "strided": lambda: np.arange(1000)[::3],
    "strided, large": lambda: np.arange(400_000.0)[::2],
    "backwards": lambda: np.arange(10)[::-1],
    "inner part": lambda: np.arange(100).reshape(10, 10)[2:5, 3:7],
    "broadcast": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "read-only": _readonly,
    "big-endian": lambda: np.arange(5, dtype=">i4"),
    "bool": lambda: np.array([True, False]),
    "float16": lambda: np.ones(3, np.float16),
    "complex": lambda: np.array([1 + 2j]),
    "text": lambda: np.array(["a", "żółć"]),
    "bytes": lambda: np.array([b"a", b"bcd"]),
    "datetime64": lambda: np.array(["2026-11-22", "NaT"], dtype="datetime64[s]"),
    "structured": lambda: np.array([(1, "a"), (2, "b")], dtype=[("x", "i4"), ("y", "U3")]),
    "objects": lambda: np.array([None, "a", [1]], dtype=object),
    "scalar": lambda: np.float32(1.5),
    "above 1 MiB": lambda: np.arange(200_000.0),
    "above 1 MiB, Fortran order": lambda: np.asfortranarray(np.arange(200_000.0).reshape(400, 500)),
}

CASES: Final = [
    *[Case(f"array: {name}", make, _same) for name, make in _MAKERS.items()],
    Case("array: the same twice", _views, _both),
    Case("array: in a dict", lambda: {"a": np.arange(50_000.0)}, lambda made, read: _same(made["a"], read["a"])),
]


def large(size: int) -> list[Case]:
    """Arrays of about `size` bytes."""
    return [
        Case("large array", lambda: np.arange(size // 8, dtype=np.float64), _same),
        Case(
            "large array, Fortran order",
            lambda: np.asfortranarray(np.arange(size // 16, dtype=np.float64).reshape(-1, 64)),
            _same,
        ),
    ]
