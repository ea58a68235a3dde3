"""A small safe description of a value, made where the value is, so that looking never needs unpickling.

Nothing that a person wrote is run for it (`ckpt.briefs`, `ckpt.attributes`), so it cannot raise, hang, load what is
lazy, or tell what a class hides: of an object whose class does not show its values by a generated `__repr__`, only
numbers and the kinds of the rest are told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from math import isfinite
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from ckpt.arguments import Secret
from ckpt.attributes import attributes, base_classes, class_space, qualified_name
from ckpt.briefs import atom, brief, cell, first, kind_of, length, printable, quoted
from ckpt.libraries import describe_foreign, measure

if TYPE_CHECKING:
    from ckpt.handlers import JSON

__all__ = ["LARGEST", "as_text", "summarize"]

LARGEST: Final = 2048
"""Bytes of a summary as JSON."""

_TEXT: Final = 80
"""Characters of text that is given whole."""
_BYTES: Final = 32
_PARTS: Final = 8
"""How many parts of a container are told of."""
_LINE: Final = 100
"""Characters of `as_text`."""


def summarize(value: object) -> dict[str, JSON]:
    """Describe a value in plain JSON of at most `LARGEST` bytes; never raises, and never changes the value.

    `type` is always there. Beside it: `value` of what is small; `length` with `value` or `start` of text and bytes;
    `shape` and `dtype` of an array; `rows`, `width`, `columns` (name and dtype), `first` rows and, where it says
    something, `index` of a frame; `length` with `items` (key and value) of a dict or `first` of another collection;
    `fields` (name and value) of an object; `name` of a function or class.
    """
    quick = _QUICK.get(type(value))
    if quick is not None:
        return quick(value)
    summary: dict[str, JSON] = {"type": printable(qualified_name(type(value)), 120)}
    try:
        return _within_limits(summary | _described(value))
    except Exception:  # noqa: BLE001  whatever a foreign type does, a summary fails no task
        return summary


def _described(value: Any) -> dict[str, JSON]:
    kind = type(value)
    if issubclass(kind, Secret):
        return {}
    if issubclass(kind, float) and isfinite(value):
        return {"value": float.__float__(value)}
    if (told := atom(value, _TEXT)) is not None:
        return {"value": told}
    if issubclass(kind, str | bytes | bytearray):
        return _characters(value)
    if issubclass(kind, dict):
        pairs = islice(dict.items(value), _PARTS)
        return {"length": length(value), "items": [[_key(key), brief(part)] for key, part in pairs]}
    if (names := _named_fields(kind)) is not None:
        return {"fields": _fields(dict(zip(names, first(value, len(names)), strict=False)), brief)}
    if (size := length(value)) is not None:
        return {"length": size, "first": [brief(part) for part in first(value, _PARTS)]}
    if issubclass(kind, type | FunctionType | BuiltinFunctionType):
        return {"name": brief(value, _TEXT)}
    foreign = describe_foreign(value, cell)
    if foreign is not None:
        return foreign
    held, shown = attributes(value), _shown_fields(kind)
    if shown is not None:
        return {"fields": _fields({name: held[name] for name in shown if name in held}, brief)}
    return {"fields": _fields(held, kind_of)} if held else {}


def _fields(parts: Mapping[str, object], tell: Callable[[object], str]) -> list[JSON]:
    return [[printable(name), tell(part)] for name, part in islice(parts.items(), 2 * _PARTS)]


def _within_limits(summary: dict[str, JSON]) -> dict[str, JSON]:
    """Halve the longest list until the whole is small enough."""
    while len(json.dumps(summary, allow_nan=False)) > LARGEST:
        lists = [part for part in summary.values() if isinstance(part, list) and len(part) > 1]
        if not lists:
            return {name: part for name, part in summary.items() if not isinstance(part, list)}
        longest = max(lists, key=lambda part: len(json.dumps(part)))
        del longest[len(longest) // 2 :]
    return summary


def _named_fields(kind: type) -> tuple[str, ...] | None:
    """The names of a named tuple's elements."""
    if not issubclass(kind, tuple) or kind is tuple:
        return None
    for owner in base_classes(kind):
        names = class_space(owner).get("_fields")
        if type(names) is tuple and all(type(name) is str for name in names):
            return names
    return None


def _shown_fields(kind: type) -> list[str] | None:
    """The names that the generated `__repr__` of a dataclass shows; None where there is no such `__repr__`."""
    for owner in base_classes(kind):
        space = class_space(owner)
        if "__repr__" not in space:
            continue
        fields = space.get("__dataclass_fields__")
        code = getattr(getattr(space["__repr__"], "__wrapped__", None), "__code__", None)
        # dataclasses compile it from text.
        if type(fields) is dict and getattr(code, "co_filename", None) == "<string>":
            return [name for name, field in fields.items() if getattr(field, "repr", False)]
        return None
    return None


def _characters(value: Any) -> dict[str, JSON]:
    # Not `isinstance`: for what is no `str` it asks the value's own `__class__`.
    base: Any = next(base for base in (str, bytes, bytearray) if issubclass(type(value), base))
    size, most = base.__len__(value), _TEXT if base is str else _BYTES
    start = printable(value, most, end="") if base is str else quoted(value, most)
    return {"length": size, "value" if size <= most else "start": start}


def _key(key: object) -> str:
    return printable(key) if type(key) is str else brief(key)


def _quick_text(value: Any) -> dict[str, JSON]:
    if len(value) <= _TEXT and value.isprintable():
        return {"type": "str", "length": len(value), "value": value}
    return {"type": "str", **_characters(value)}


def _quick_int(value: Any) -> dict[str, JSON]:
    # What does not fit 64 bits is text: not every reader of JSON takes it.
    return {"type": "int", "value": value if -(2**63) <= value < 2**63 else atom(value, _TEXT)}


_QUICK: Final[dict[type, Callable[[Any], dict[str, JSON]]]] = {
    type(None): lambda value: {"type": "NoneType", "value": value},
    bool: lambda value: {"type": "bool", "value": value},
    int: _quick_int,
    float: lambda value: {"type": "float", "value": value if isfinite(value) else repr(value)},
    str: _quick_text,
}


def as_text(summary: Mapping[str, JSON]) -> str:
    """A summary in one line of a table: `DataFrame 1,461 × 6 · date, precipitation, …`."""  # noqa: RUF002  times
    return printable(_line(str(summary.get("type", "")).rpartition(".")[2], summary), _LINE)


def _line(name: str, summary: Mapping[str, JSON]) -> str:
    if name == "str" and "value" in summary:
        return f'"{summary["value"]}"'
    if name == "str" and "start" in summary:
        return f'"{summary["start"]}…"'
    if "rows" in summary or "shape" in summary:
        return _listed(measure(name, summary), " · ", _pairs(summary.get("columns")), summary.get("width"))
    if "items" in summary:
        return _listed(measure(name, summary), ": ", _pairs(summary["items"]), summary.get("length"))
    if "first" in summary:
        parts = summary["first"] if isinstance(summary["first"], list) else []
        return _listed(measure(name, summary), ": ", [(str(part), "") for part in parts], summary.get("length"))
    if "length" in summary:
        return f"{measure(name, summary)}: {summary.get('value', summary.get('start', '…'))}"
    if "value" in summary:
        return f"{summary['value']}"
    if "fields" in summary:
        return f"{name}({', '.join(f'{field}={part}' for field, part in _pairs(summary['fields']))})"
    return str(summary.get("name", name))


def _listed(head: str, between: str, parts: list[tuple[str, str]], total: JSON) -> str:
    names = [name for name, _ in parts]
    if names and isinstance(total, int) and total > len(names):
        names.append("…")
    return f"{head}{between}{', '.join(names)}" if names else head


def _pairs(pairs: JSON) -> list[tuple[str, str]]:
    if not isinstance(pairs, list):
        return []
    return [(str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
