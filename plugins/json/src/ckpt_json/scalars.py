"""The closed table of values without parts: how each is written, and how its tag is read.

A scalar that JSON has is written plain; every other one is `{"$tag": payload}`. A tag is accepted only if
writing the value that was read gives the very same text, so a tampered payload has no second meaning.
"""

from __future__ import annotations

import reprlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from json.encoder import encode_basestring
from math import isfinite
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID

from ckpt.errors import CkptError, CorruptRecord, Unsupported
from ckpt_json.moments import read_moment, write_moment
from ckpt_json.refusal import Refused, type_name

__all__ = ["SCALARS", "TAGS", "Tag", "damaged", "read_scalar", "string", "tagged", "text_of"]

_PLAIN_BITS = 2048
"""Integers up to here are plain: 617 digits, within the 640 that every Python reads whatever its limit is set to."""

Write = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Tag:
    """One row of the table."""

    name: str
    """The single key of the JSON object."""
    kind: type
    """The exact type that is written and read."""
    payload: Callable[[Any], object]
    """From a value to str, int, float, and lists and dicts of these."""
    read: Callable[[Any], object]
    """From the payload to the value; raises any builtin error where that cannot be."""


def string(value: str) -> str:
    """A str as JSON; tagged where UTF-8 has no bytes for it: escaped, two lone surrogates would merge into one."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return tagged("$str", _lone(value))
    return encode_basestring(value)


def _integer(value: int) -> str:
    return repr(value) if value.bit_length() <= _PLAIN_BITS else tagged("$int", hex(value))


def _real(value: float) -> str:
    return repr(value) if isfinite(value) else tagged("$float", repr(value))


def text_of(payload: object) -> str:
    """A payload as JSON text.

    Raises: `TypeError` for anything that no payload holds.
    """
    kind = type(payload)
    if kind is str or kind is int or kind is float:
        return SCALARS[kind](payload)
    if isinstance(payload, list):
        return f"[{', '.join(map(text_of, payload))}]"
    if isinstance(payload, dict):
        return f"{{{', '.join(f'{string(key)}: {text_of(item)}' for key, item in payload.items())}}}"
    raise TypeError(f"no payload holds a {type_name(kind)}")


def tagged(name: str, payload: object) -> str:
    """The text of one tag."""
    return f'{{"{name}": {text_of(payload)}}}'


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode("ascii")


def _bytes(payload: str) -> bytes:
    return b64decode(payload, validate=True)


def _lone(value: str) -> str:
    return _base64(value.encode("utf-8", "surrogatepass"))


def _from_lone(payload: str) -> str:
    return _bytes(payload).decode("utf-8", "surrogatepass")


def _path(value: PurePath) -> str:
    text = str(value)
    # `pathlib` of Python 3.11 prints a few odd Windows paths so that they read as other ones.
    if type(value)(text) != value:
        raise Refused(f"{value!r} does not survive being written as text")
    return text


def _path_reader(kind: type[PurePath]) -> Callable[[str], PurePath]:
    def read(payload: str) -> PurePath:
        if not isinstance(payload, str):
            raise TypeError(payload)
        try:
            return kind(payload)
        except NotImplementedError:
            raise Unsupported(
                f"{payload!r} is a {kind.__name__} of another operating system: read it on such a system, "
                f"or write Pure{kind.__name__}"
            ) from None

    return read


TAGS: tuple[Tag, ...] = (
    Tag("$int", int, hex, lambda payload: int(payload, 16)),
    Tag("$float", float, repr, float),
    Tag("$str", str, _lone, _from_lone),
    Tag("$complex", complex, lambda value: [value.real, value.imag], lambda payload: complex(*payload)),
    Tag("$bytes", bytes, _base64, _bytes),
    Tag("$bytearray", bytearray, _base64, lambda payload: bytearray(_bytes(payload))),
    Tag("$range", range, lambda value: [value.start, value.stop, value.step], lambda payload: range(*payload)),
    Tag("$date", date, date.isoformat, date.fromisoformat),
    Tag("$time", time, write_moment, lambda payload: read_moment(time, payload)),
    Tag("$datetime", datetime, write_moment, lambda payload: read_moment(datetime, payload)),
    Tag("$timedelta", timedelta, lambda v: [v.days, v.seconds, v.microseconds], lambda payload: timedelta(*payload)),
    Tag("$uuid", UUID, str, UUID),
    Tag("$decimal", Decimal, str, Decimal),
    *(
        Tag(f"${kind.__name__.lower()}", kind, _path, _path_reader(kind))
        for kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)
    ),
)


def _tag_writer(tag: Tag) -> Write:
    name, payload = tag.name, tag.payload
    return lambda value: tagged(name, payload(value))


SCALARS: dict[type, Write] = {tag.kind: _tag_writer(tag) for tag in TAGS} | {
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: _integer,
    float: _real,
    str: string,
}

_BY_NAME = {tag.name: tag for tag in TAGS}


def read_scalar(name: str, payload: object) -> object:
    """The value of a tag that is not a container.

    Raises: `CorruptRecord` for an unknown tag and for a payload that writing does not give.
    """
    tag = _BY_NAME.get(name)
    if tag is None:
        raise CorruptRecord(
            f"the JSON text has an unknown tag {reprlib.repr(name)}: another program wrote it, or a newer ckpt-json "
            "(pip install --upgrade ckpt-json)"
        )
    try:
        value = tag.read(payload)
        same = SCALARS[tag.kind](value) == tagged(name, payload)
    except CkptError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, Refused) as error:
        raise damaged(name) from error
    if not same:
        raise damaged(name)
    return value


def damaged(name: str) -> CorruptRecord:
    """The error for a tag whose payload cannot have been written."""
    return CorruptRecord(
        f"the JSON text was changed since it was written: {name!r} holds what is never written there; "
        "compute the value again"
    )
