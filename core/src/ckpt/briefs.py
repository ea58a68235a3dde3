"""A value in a few characters, as Python would write it where that is short, without running a person's code.

No `__repr__`, `__len__`, `__iter__` or property of theirs: each may raise, hang, load what is lazy, or tell what its
author hides. Builtin types and what derives from them are read through the builtin's own methods.
"""

from __future__ import annotations

import sys
from enum import Enum
from itertools import islice
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final

from ckpt.arguments import Secret
from ckpt.attributes import attributes, qualified_name
from ckpt.libraries import describe_foreign, measure

__all__ = ["atom", "brief", "cell", "first", "kind_of", "length", "printable", "quoted", "short_name"]

# Immutable things of the standard library, numpy's scalars and pandas' moments: their `str` is short, quick and pure.
_PLAINLY_TOLD: Final = frozenset({
    "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "datetime.timezone",
    "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "zoneinfo.ZoneInfo", "range", "slice", "ellipsis",
    "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath", "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath", "pathlib._local.PurePosixPath", "numpy.datetime64", "numpy.timedelta64", "numpy.bool",
    "numpy.float32", "numpy.float16", "numpy.longdouble", "numpy.complex64", "numpy.int8", "numpy.int16", "numpy.int32",
    "numpy.int64", "numpy.uint8", "numpy.uint16", "numpy.uint32", "numpy.uint64",
    "pandas.Timestamp", "pandas.Timedelta", "pandas._libs.tslibs.timestamps.Timestamp",
    "pandas._libs.tslibs.timedeltas.Timedelta", "pandas._libs.tslibs.nattype.NaTType", "pandas._libs.missing.NAType",
})  # fmt: skip

_UNNAMED: Final = (type(...), range, slice)
_SIZED: Final[tuple[Any, ...]] = (list, tuple, dict, set, frozenset)


def brief(value: object, most: int = 40) -> str:
    """A value in about `most` characters, all of them printable; never raises, never changes the value."""
    try:
        told = _brief(value, most)
    except Exception:  # noqa: BLE001  whatever a foreign type does, its name can be told
        told = None
    return short_name(type(value)) if told is None else told


def _brief(value: object, most: int) -> str | None:
    kind = type(value)
    if issubclass(kind, Secret):
        return None
    if (told := atom(value, most)) is not None:
        return told
    if issubclass(kind, str | bytes | bytearray):
        return quoted(value, most)
    if issubclass(kind, type):
        return f"class {printable(qualified_name(value), most)}"  # type: ignore[arg-type]  # a class
    if issubclass(kind, FunctionType | BuiltinFunctionType):
        return f"function {printable(value.__qualname__, most)}"  # type: ignore[attr-defined]  # functions have it
    if (size := length(value)) is not None:
        return f"{short_name(kind)} of {size:,}"
    foreign = describe_foreign(value, None)
    return None if foreign is None else measure(short_name(kind), foreign)


def cell(value: object) -> str:
    """A value in a table: text without quotes."""
    return printable(value, 24) if issubclass(type(value), str) else brief(value, 24)  # type: ignore[arg-type]  # text


def kind_of(value: object) -> str:
    """What a value is; of text and bytes only how long."""
    for base in (str, bytes, bytearray):
        if issubclass(type(value), base) and not issubclass(type(value), Enum):
            return f"{short_name(type(value))} of {base.__len__(value):,}"  # type: ignore[arg-type]  # of that base
    return brief(value)


def atom(value: Any, most: int) -> str | None:
    """What is told in one piece: numbers, moments, paths, members of an enumeration; None for all else."""
    kind = type(value)
    if value is None:
        return "None"
    if issubclass(kind, Enum):
        return f"{short_name(kind)}.{printable(str(attributes(value).get('_name_')), most)}"
    if kind is bool:
        return str(value)
    if issubclass(kind, int):
        bits = int.bit_length(value)
        return int.__repr__(value) if bits <= 256 else f"int of {bits:,} bits"
    if issubclass(kind, float):
        return float.__repr__(value)
    if issubclass(kind, complex):
        return complex.__repr__(value)
    name = qualified_name(kind)
    if name not in _PLAINLY_TOLD:
        return None
    module, _, short = name.rpartition(".")
    # Only the real one: anybody may call a class of theirs by such a name.
    real = kind in _UNNAMED or getattr(sys.modules.get(module), short, None) is kind
    if not real:
        return None
    text = str(value)
    if short == "datetime64" and "." in text:
        text = text.rstrip("0").rstrip(".").removesuffix("T00:00:00")
    return printable(text, most)


def length(value: object) -> int | None:
    """How many parts a list, tuple, dict or set has, or what derives from one."""
    for base in _SIZED:
        if issubclass(type(value), base):
            return base.__len__(value)  # type: ignore[no-any-return]
    return None


def first(value: object, most: int) -> list[object]:
    """The first parts of the same; of a dict the keys."""
    for base in _SIZED:
        if issubclass(type(value), base):
            return list(islice(base.__iter__(value), most))
    return []


def quoted(value: object, most: int) -> str:
    """Text or bytes as Python writes it; one that is longer than `most` ends with `…`."""
    base: Any = next(base for base in (str, bytes, bytearray) if issubclass(type(value), base))
    start = base.__getitem__(value, slice(most))
    written = repr(start if base is str else bytes(start))
    return written if base.__len__(value) <= most else f"{written[:-1]}…{written[-1]}"


def printable(text: str, most: int = 40, end: str = "…") -> str:
    """The start of a text in which every character can be shown and stored: no controls, no lone surrogates."""
    start = str.__getitem__(text, slice(most + 1))
    if not start.isprintable():
        start = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    return start if len(start) <= most else f"{start[: most - len(end)]}{end}"


def short_name(kind: type) -> str:
    """The name of a class without its module."""
    return printable(qualified_name(kind).rpartition(".")[2])
