"""The content of a constant as bytes that are the same in every process.

A pickle would do but for two things: sets are in an order that differs from process to process, and classes and
functions of a script travel by value, with names that are made anew each time. Here sets are put in order, and a class
or function is what the caller says that it is.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from enum import Enum
from types import FunctionType
from typing import Any

from ckpt.errors import CkptError, NotSerializable
from ckpt.serializers import PROTOCOL, pickled
from ckpt.stores import Buffer

__all__ = ["digest_of", "travels_by_value"]

Name = Callable[[Any], str | None]
"""What stands for a class or function; None for one that is found by its own name wherever it is needed."""

_PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None)})


def digest_of(value: object, name: Name) -> str:
    """Hex digest over the content of `value`.

    Raises: `NotSerializable`.
    """
    if type(value) in _PLAIN:
        return hashlib.sha256(pickled(value)).hexdigest()
    from cloudpickle import Pickler

    class Contents(Pickler):  # type: ignore[misc]  # cloudpickle says nothing of its types
        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, type | FunctionType) and (said := name(thing)) is not None:
                return _named, (said,)
            if isinstance(thing, Enum):  # by itself it travels differently in each version of Python
                return _named, (type(thing), thing.name, thing.value)
            if isinstance(thing, _Ordered):
                return _named, (thing.kind, thing.parts)
            return super().reducer_override(thing)

    # Without references to what was written before: whether equal parts are one object says nothing of the content.
    failure: Exception | None = None
    for fast in (True, False):
        out = _Digest()
        pickler = Contents(out, PROTOCOL)
        pickler.fast = fast
        try:
            pickler.dump(_ordered(value, name) if fast else value)
            return out.digest.hexdigest()
        except CkptError:
            raise
        except Exception as error:  # noqa: BLE001  a person's value may raise anything
            failure = error  # of what contains itself the first way alone
    what = f"a constant, a {type(value).__qualname__},"
    raise NotSerializable(f"{what} cannot be pickled ({type(failure).__name__}: {failure})") from failure


def travels_by_value(thing: Any) -> bool:
    """Is this class or function one that no other process finds by its name?"""
    from cloudpickle.cloudpickle import list_registry_pickle_by_value

    module, found = thing.__module__, sys.modules.get(thing.__module__ or "")
    if found is None or module == "__main__" or module in list_registry_pickle_by_value():
        return True
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is not thing


class _Digest:
    """Takes a pickle as a file would, and keeps only the digest: a large constant is never copied."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: Buffer) -> int:
        self.digest.update(data)
        return memoryview(data).nbytes


class _Ordered:
    """In the place of a set."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: str, parts: list[str]) -> None:
        self.kind, self.parts = kind, parts


def _named(*parts: object) -> None:
    """Only its name is ever used."""


def _ordered(value: Any, name: Name) -> Any:
    """`value` with the sets in it, as far as containers of Python's own hold them, in the order of their parts."""
    kind = type(value)
    if kind is set or kind is frozenset:
        return _Ordered(kind.__name__, sorted(digest_of(part, name) for part in value))
    if kind is list or kind is tuple:
        parts = [_ordered(part, name) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else kind(parts)
    if kind is dict:
        found = {key: _ordered(part, name) for key, part in value.items()}
        return value if all(found[key] is value[key] for key in value) else found
    return value
