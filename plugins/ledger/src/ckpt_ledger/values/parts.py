"""What two values of one class are made of, part by part, read without their own methods wherever that is possible."""

from __future__ import annotations

import functools
import sys
from collections import deque
from itertools import islice
from types import CellType, CodeType, FunctionType
from typing import Any, Final

from ckpt.attributes import attributes, base_classes, class_space, qualified_name

__all__ = ["array_of", "base_of", "listed", "named_parts", "state_of"]

_BASES: Final[tuple[Any, ...]] = (dict, list, tuple, deque, set, frozenset, str, bytes, bytearray, int, float, complex)
_FAR: Final = frozenset({"torch", "jax", "jaxlib", "cupy", "tensorflow", "mlx"})
_ITEMS: Final = 1_000_000


def base_of(kind: type) -> Any:
    """The builtin type that a class derives from; None for other objects."""
    return next((base for base in _BASES if issubclass(kind, base)), None)


def listed(value: Any, base: Any) -> list[Any]:
    """The elements of a sequence or set, or the items of a dict, whatever its class makes of iterating."""
    return list(dict.items(value) if base is dict else base.__iter__(value))


def array_of(value: Any) -> Any:
    """The numpy array that a value is, or that an array of another library makes; None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    kind = type(value)
    if issubclass(kind, numpy.ndarray):
        return value
    if any(qualified_name(base).partition(".")[0] in _FAR for base in base_classes(kind)):
        near = value.detach().cpu() if hasattr(value, "detach") else value
        if hasattr(near, "shape") and hasattr(near, "dtype"):
            array = numpy.asarray(near)
            return array if array.shape == tuple(near.shape) else None
    return None


def named_parts(value: Any) -> dict[str, Any]:
    """By the steps that lead to them: what a function or an object without known contents is made of."""
    if type(value) is FunctionType:
        parts = {"__code__": value.__code__, "__defaults__": value.__defaults__, "__kwdefaults__": value.__kwdefaults__}
        return {**parts, **{f"__closure__[{at}]": cell for at, cell in enumerate(value.__closure__ or ())}}
    if type(value) is CodeType:
        # Not its file and lines: they move with what stands above.
        return {name: getattr(value, name) for name in ("co_code", "co_consts", "co_names", "co_varnames")}
    if type(value) is CellType:
        return {"cell_contents": value.cell_contents}
    if type(value) is functools.partial:
        return {"func": value.func, "args": value.args, "keywords": value.keywords}
    held = attributes(value)
    if issubclass(type(value), BaseException):
        held = {"args": BaseException.__dict__["args"].__get__(value), **held}
    return {name: part for name, part in held.items() if not _is_cached(value, name)}


def _is_cached(value: Any, name: str) -> bool:
    """Is it what a `cached_property` has kept? It is made again when it is asked for, so it is no part of the value."""
    return any(type(class_space(base).get(name)) is functools.cached_property for base in base_classes(type(value)))


def state_of(value: Any) -> tuple[Any, ...]:
    """What a value of an extension's class, without attributes, pickles itself as."""
    reduced = value.__reduce_ex__(4)
    if not isinstance(reduced, tuple):
        return (reduced,)
    # After function, arguments and state come iterators over elements and items.
    return (*reduced[:3], *(part if part is None else list(islice(part, _ITEMS)) for part in reduced[3:5]))
