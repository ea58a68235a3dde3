"""A cheap number for a value, alike for values that are alike: who belongs to whom in two lists, dicts and sets.

It decides what is compared with what, never whether it is equal. No method of a person's class is called.
"""

from __future__ import annotations

import sys
from collections import deque
from enum import Enum
from typing import Any, Final

from ckpt.attributes import attributes, qualified_name
from ckpt.briefs import atom

__all__ = ["fingerprint", "key_of", "part_prints"]

_NODES: Final = 200
"""Parts of one value that are looked at."""
_DEPTH: Final = 12
_PLAIN: Final = frozenset({int, str, bytes, bool, type(None), complex})


def fingerprint(value: Any) -> int:
    """Look at up to 200 parts; what is not reached counts by its type and length."""
    return _print(value, [_NODES], 0)


def key_of(key: Any) -> object:
    """What a key of a dict or an element of a set is found by on the other side."""
    kind = type(key)
    return key if kind is str or kind is int else ("other", fingerprint(key))


def part_prints(value: Any) -> dict[object, int]:
    """The fingerprints of a value's own parts, by what leads to them."""
    kind = type(value)
    if issubclass(kind, dict):
        return {key_of(key): fingerprint(part) for key, part in list(dict.items(value))[:_NODES]}
    for base in (list, tuple):
        if issubclass(kind, base):
            return {at: fingerprint(part) for at, part in enumerate(base.__getitem__(value, slice(_NODES)))}
    return {} if kind in _PLAIN else {name: fingerprint(part) for name, part in attributes(value).items()}


def _print(value: Any, left: list[int], depth: int) -> int:
    kind = type(value)
    if kind in _PLAIN:
        return hash((kind.__name__, value))
    if kind is float:
        return hash(("float", value if value == value else "nan"))  # noqa: PLR0124  NaN alone differs from itself
    left[0] -= 1
    name = qualified_name(kind)
    if issubclass(kind, Enum):
        return hash((name, str(attributes(value).get("_name_"))))
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        plain = value.size and not value.dtype.hasobject
        return hash((name, value.shape, str(value.dtype), value.flat[:8].tobytes() if plain else b""))
    size = _size(value)
    if size is not None:
        if size > left[0] or depth > _DEPTH:
            return hash((name, size))
        return hash((name, size, _contents(value, left, depth + 1)))
    told = atom(value, 200)
    if told is not None:
        return hash((name, told))
    if issubclass(kind, str | bytes | bytearray):
        plainly = next(base for base in (str, bytes, bytearray) if issubclass(kind, base))
        return hash((name, bytes(value) if plainly is bytearray else plainly.__getitem__(value, slice(None))))
    if issubclass(kind, type):
        return hash((name, qualified_name(value)))
    held = attributes(value)
    if depth > _DEPTH or len(held) > left[0]:
        return hash((name, len(held)))
    return hash((name, *((part, _print(held[part], left, depth + 1)) for part in sorted(held))))


def _size(value: Any) -> int | None:
    for base in (list, tuple, dict, set, frozenset, deque):
        if issubclass(type(value), base):
            return base.__len__(value)
    return None


def _contents(value: Any, left: list[int], depth: int) -> object:
    kind = type(value)
    if issubclass(kind, dict):
        # Each with the same room, since the order is not to matter.
        return sum(hash((_print(k, [8], depth), _print(v, [left[0] // 4], depth))) for k, v in list(dict.items(value)))
    for base in (list, tuple, deque):
        if issubclass(kind, base):
            return tuple([_print(part, left, depth) for part in list(base.__iter__(value))])
    kept: Any = set if issubclass(kind, set) else frozenset
    return sum(_print(part, [8], depth) for part in list(kept.__iter__(value)))
