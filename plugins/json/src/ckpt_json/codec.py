r"""Values as JSON text and back, equal and of the same type, through a closed table of tags.

What JSON has is written as JSON: None, bool, str, int (to 2048 bits), finite float, list, and dict with str keys,
in its order. Everything else is a tag: **an object with exactly one key, and that key begins with `$`**.

    value                       text
    -------------------------   ---------------------------------------------------------------------------
    2**5000, inf, lone "\ud800" {"$int": "0x1…"}  {"$float": "inf" | "-inf" | "nan"}  {"$str": base64}
    complex, range              {"$complex": [1.0, -0.0]}  {"$range": [start, stop, step]}
    bytes, bytearray            {"$bytes": base64}  {"$bytearray": base64}
    date, timedelta             {"$date": "2026-11-22"}  {"$timedelta": [days, seconds, microseconds]}
    datetime, time              {"$datetime": "2026-11-22T10:00:00+01:00"}  {"$time": "10:00:00"}
      zone, name, offset, fold  {"$datetime": {"at": "2026-10-25T02:30:00", "zone": "Europe/Berlin", "fold": 1}}
    UUID, Decimal               {"$uuid": "…"}  {"$decimal": "1.10"}
    PosixPath, WindowsPath      {"$posixpath": "/a"}  {"$windowspath": …}; of the other system: Unsupported
    PurePosixPath, …            {"$pureposixpath": "/a"}  {"$purewindowspath": "c:\\a"}
    tuple, set, frozenset       {"$tuple": […]}  {"$set": […]}  {"$frozenset": […]}, sets sorted by text
    other dicts                 {"$dict": [[key, value], …]}
    numpy scalars               {"$numpy": ["float32", 0.5]}  {"$numpy": ["datetime64[ns]", 17]}
    types=[…]                   {"$enum": ["module:Color", "RED"]}  {"$dataclass": ["module:Point", {"x": 1}]}

"Other dicts" are those with a key that is not str, and those that would look like a tag themselves:
`{"$date": 1}` is written as `{"$dict": [["$date", 1]]}`, so no value can be mistaken for a tag. Subclasses
of these types are refused, as they would come back as their base. Equal values of equal types give equal text
in every process; a value that occurs twice in another is written, and comes back, twice.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from math import isinf
from typing import Any, NoReturn

from ckpt.errors import CkptError, CorruptRecord, NotSerializable
from ckpt_json.declared import DeclaredTypes
from ckpt_json.numpy_scalars import numpy_payload, read_numpy
from ckpt_json.refusal import Refused, type_name
from ckpt_json.scalars import SCALARS, damaged, read_scalar
from ckpt_json.writer import TooLarge, Writer

__all__ = ["Codec", "decode", "encode"]


class Codec:
    """Both directions for one set of declared types; shared by threads, and its pickle holds the types alone."""

    __slots__ = ("_declared", "_decoder")

    def __init__(self, types: Sequence[type] = ()) -> None:
        self._declared = DeclaredTypes(types)
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._read_object, parse_constant=_no_constant, parse_float=_finite
        )

    @property
    def types(self) -> tuple[type, ...]:
        """The Enum and dataclass types that it keeps beside the builtin ones."""
        return self._declared.types

    def __reduce__(self) -> tuple[type[Codec], tuple[tuple[type, ...]]]:
        return Codec, (self.types,)

    def encode(self, value: object, max_bytes: int | None = None) -> str:
        """The JSON text of `value`, of at most `max_bytes` in UTF-8.

        Raises: `NotSerializable` naming the path inside the value, or the size.
        """
        kind = type(value)
        if kind is int or kind is float or kind is bool or value is None:
            text = SCALARS[kind](value)
        else:
            writer = Writer(self._declared, sys.maxsize if max_bytes is None else max_bytes)
            try:
                text = writer.text(value)
            except Refused as refused:
                raise refused.explain() from None
            except RecursionError:
                raise NotSerializable(
                    "JSON cannot keep this value from so deep a stack; use a handler that pickles"
                ) from None
            except TooLarge as large:
                raise _too_large(f"at least {large.size}", max_bytes) from None
        if max_bytes is not None and len(text) * 4 > max_bytes and (size := len(text.encode())) > max_bytes:
            raise _too_large(str(size), max_bytes)
        return text

    def decode(self, text: object) -> object:
        """The value whose text this is.

        Raises: `CorruptRecord` for anything that `encode` does not write; `ConfigError` naming a type that was
        not given; `Unsupported` where this machine lacks numpy, a time zone or a kind of path.
        """
        if not isinstance(text, str):
            raise CorruptRecord(f"JSON text is a str, not {type_name(type(text))}: this location is of another handler")
        try:
            return self._decoder.decode(text)
        except CkptError:
            raise
        except ValueError as error:
            raise CorruptRecord(f"not the JSON text that was written: {error}; compute the value again") from error
        except RecursionError:
            raise CorruptRecord(
                "the JSON text is nested more deeply than ckpt-json writes; compute the value again"
            ) from None

    def _read_object(self, pairs: list[tuple[str, Any]]) -> object:
        if len(pairs) == 1 and pairs[0][0].startswith("$"):
            return self._read_tag(*pairs[0])
        value = dict(pairs)
        if len(value) != len(pairs):
            raise CorruptRecord("the JSON text has an object with the same key twice: ckpt-json never writes that")
        return value

    def _read_tag(self, name: str, payload: Any) -> object:
        try:
            if name in _CONTAINER_TAGS:
                return _CONTAINER_TAGS[name](payload)
            if name == "$enum":
                return self._declared.read_enum(payload)
            if name == "$dataclass":
                return self._declared.read_dataclass(payload)
            if name == "$numpy":
                value = read_numpy(payload)
                if self.encode(numpy_payload(value)) == self.encode(payload):
                    return value
                raise damaged(name)
        except CkptError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, Warning) as error:
            # numpy 1 only warns of an item that does not fit, which a filter may have made an error.
            raise damaged(name) from error
        return read_scalar(name, payload)


def _list_of(payload: object) -> list[Any]:
    if not isinstance(payload, list):
        raise TypeError(payload)
    return payload


def _distinct(payload: object, kind: type[set[object]] | type[frozenset[object]]) -> set[object] | frozenset[object]:
    value = kind(_list_of(payload))
    if len(value) != len(_list_of(payload)):
        raise ValueError(payload)
    return value


def _read_pairs(payload: object) -> dict[object, object]:
    value = {key: item for key, item in map(_list_of, _list_of(payload))}  # noqa: C416  each pair must be a list of two
    if len(value) != len(_list_of(payload)):
        raise ValueError(payload)
    return value


_CONTAINER_TAGS: dict[str, Callable[[object], object]] = {
    "$tuple": lambda payload: tuple(_list_of(payload)),
    "$set": lambda payload: _distinct(payload, set),
    "$frozenset": lambda payload: _distinct(payload, frozenset),
    "$dict": _read_pairs,
}


def _no_constant(name: str) -> NoReturn:
    raise CorruptRecord(f'the JSON text has a bare {name}, which is not JSON: ckpt-json writes {{"$float": …}}')


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise CorruptRecord(f"the JSON text has a number too large for a float: {text[:40]}")
    return value


def _too_large(size: str, max_bytes: int | None) -> NotSerializable:
    return NotSerializable(
        f"JSON text of {size} bytes is over the limit of {max_bytes}: "
        "use a handler that writes files or objects, such as LocalResultHandler(), or JSONResultHandler(max_bytes=…)"
    )


_BUILTIN = Codec()


def encode(value: object, types: Sequence[type] = ()) -> str:
    """The JSON text of `value`; `types` are the Enum and dataclass types it may hold.

    Raises: `NotSerializable` naming the path inside the value; `ConfigError` for a type that cannot be given.
    """
    return (Codec(types) if types else _BUILTIN).encode(value)


def decode(text: str, types: Sequence[type] = ()) -> object:
    """The value that `encode` wrote.

    Raises: what `Codec.decode` raises.
    """
    return (Codec(types) if types else _BUILTIN).decode(text)
