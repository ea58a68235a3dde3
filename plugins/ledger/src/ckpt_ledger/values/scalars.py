"""How two numbers, moments or other things in one piece differ."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from math import isfinite
from typing import Any, Final

from ckpt.attributes import qualified_name
from ckpt.briefs import atom, brief
from ckpt_ledger.values.changes import ValueChange

__all__ = ["compare_scalars", "is_scalar", "same_scalar", "unlike"]

_PLAIN: Final = frozenset({int, float, bool, type(None)})


def is_scalar(value: Any) -> bool:
    """Is it a number, a moment, a path, a member of an enumeration or the like?"""
    kind = type(value)
    return kind in _PLAIN or (kind is not str and not _has_parts(kind) and atom(value, 1) is not None)


def _has_parts(kind: type) -> bool:
    """A person's own number may carry more than the number."""
    return issubclass(kind, int | float | complex) and not issubclass(kind, Enum) and kind.__dictoffset__ != 0


def same_scalar(left: Any, right: Any) -> bool:
    """Are a scalar and another value equal, in type as well?"""
    kind, other = type(left), type(right)
    if kind is not other and (qualified_name(kind) != qualified_name(other)):
        return False
    if kind in _PLAIN:
        return left == right or (left != left and right != right)  # type: ignore[no-any-return]  # noqa: PLR0124  NaN
    if issubclass(kind, Enum):
        return brief(left) == brief(right)
    try:
        alike = bool(left == right) or bool(left != left and right != right)  # noqa: PLR0124  NaN, NaT
    except Exception:  # noqa: BLE001  a signalling NaN, a missing value of pandas
        alike = atom(left, 1000) == atom(right, 1000)
    if alike and isinstance(left, datetime):
        return left.utcoffset() == right.utcoffset()  # type: ignore[no-any-return]  # a datetime as well
    return alike


def compare_scalars(left: Any, right: Any, path: str, right_path: str | None) -> ValueChange | None:
    """Both values, and how far they are apart where they are numbers."""
    if same_scalar(left, right):
        return None
    return unlike(left, right, path, right_path)


def unlike(left: Any, right: Any, path: str, right_path: str | None, note: str = "") -> ValueChange:
    """Two values that are not equal, or of which only `note` can be said."""
    kinds = qualified_name(type(left)), qualified_name(type(right))
    absolute, relative = _errors(left, right)
    right_text = f"{brief(right, 80)} ({note})" if note else brief(right, 80)
    return ValueChange(path, right_path, brief(left, 80), right_text, *kinds, absolute, relative)


def _errors(left: Any, right: Any) -> tuple[float | None, float | None]:
    if not _is_number(left) or not _is_number(right):
        return None, None
    absolute = _float(lambda: abs(right - left))
    size = _float(lambda: abs(left))
    return absolute, absolute / size if absolute is not None and size else None


def _float(number: Callable[[], Any]) -> float | None:
    try:
        found = float(number())
    except Exception:  # noqa: BLE001  numbers beyond floats, of kinds that do not mix
        return None
    return found if isfinite(found) else None


def _is_number(value: Any) -> bool:
    name = qualified_name(type(value))
    if name in ("bool", "numpy.bool") or issubclass(type(value), Enum):
        return False
    return (
        issubclass(type(value), int | float | complex)
        or name in ("decimal.Decimal", "fractions.Fraction")
        or (name.startswith("numpy.") and name[6:].startswith(("int", "uint", "float", "longdouble", "complex")))
    )
