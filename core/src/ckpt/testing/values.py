"""The values that must come back: builtins, what people return from tasks, what is awkward, and numpy where it is."""

from __future__ import annotations

import datetime as dt
import enum
import math
import random
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Final
from uuid import UUID

from ckpt.testing.cases import Case, same

__all__ = ["CASES", "large_cases"]

SLICE: Final = 1 << 20
"""A handler may treat values below and above this size differently; those around it are tried."""


class Colour(enum.Enum):
    """An enumeration that a module holds."""

    RED = 1


@dataclass(frozen=True)
class Paint:
    """A dataclass that a module holds."""

    colour: Colour
    names: tuple[str, ...]


class Slotted:
    """A class without a dict."""

    __slots__ = ("x",)

    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]  # equal by a value that may change


Point = namedtuple("Point", "x y")


def _plain() -> dict[str, object]:
    return {
        "None": None,
        "False": False,
        "True": True,
        "0": 0,
        "-1": -1,
        "beyond 64 bits": 2**64 + 1,
        "0.0": 0.0,
        "1.5": 1.5,
        "smallest float": 5e-324,
        "empty text": "",
        "text": "plain text",
        "unicode text": "żółć 日本語 \U0001f600 e\u0301",
        "text with NUL and newlines": "a\0b\r\n\t\x1b",
        "empty list": [],
        "empty dict": {},
        "list": [1, "two", None, 3.0, True],
        "dict": {"b": 1, "a": [1, {"c": None}]},
        "10 KB of text": "ab" * 5_000,
    }


def _builtin() -> dict[str, object]:
    return {
        "-0.0": -0.0,
        "nan": math.nan,
        "infinity": -math.inf,
        "0 bytes": b"",
        "bytes": bytes(range(256)),
        "bytearray": bytearray(b"abc"),
        "empty tuple": (),
        "tuple": (1, (2, [3])),
        "empty set": set(),
        "set": {1, 2, 3},
        "empty frozenset": frozenset(),
        "frozenset": frozenset({"a"}),
        "complex": 1 - 2j,
        "0j": 0j,
        "range": range(0, 10, 3),
        "empty range": range(0),
        "slice": slice(1, None, 2),
        "dict with odd keys": {1: "int", None: "none", (1, 2): "tuple", "": "empty"},
        "1,000 digits": 10**1000 + 7,
        "half a surrogate pair": "\ud800",
        "datetime": dt.datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=dt.UTC),
        "naive datetime": dt.datetime(2026, 11, 22, 1, 2, 3, fold=1),  # noqa: DTZ001  it is what people have
        "date": dt.date(2026, 11, 22),
        "time": dt.time(23, 59, 59),
        "timedelta": dt.timedelta(0),
        "Decimal": Decimal("1.10"),
        "Fraction": Fraction(1, 3),
        "UUID": UUID(int=7),
        "path": PurePosixPath("a/../b"),
        "enum": Colour.RED,
        "dataclass": Paint(Colour.RED, ("a",)),
        "namedtuple": Point(1, [2]),
        "slotted": Slotted([1]),
        "namespace": SimpleNamespace(a=1),
        "deque": deque([1, 2], maxlen=5),
        "Counter": Counter("aab"),
        "OrderedDict": OrderedDict(b=1, a=2),
        "defaultdict": defaultdict(list, {"a": [1]}),
        "class": Paint,
        "builtin function": len,
        "pickle inside": b"\x80\x05N.",
        "looks like the end of a record": b"x" * 100 + b"CKPTEND\n",
        "10,000 texts": [f"text {number}" for number in range(10_000)],
    }


def _nested(levels: int) -> object:
    value: object = "innermost"
    for level in range(levels):
        value = {"in": value} if level % 2 else [value]
    return value


def _recursive() -> object:
    value: list[object] = [1]
    value.append(value)
    return value


def _local() -> object:
    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

        def double(self) -> int:
            return 2 * self.x

    return Local(21)


def _closure() -> Callable[[int], int]:
    step = 5

    def add(x: int) -> int:
        return x + step

    return add


def _random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311  to be repeatable


def _one(values: Callable[[], dict[str, object]], name: str) -> object:
    return values()[name]


def _simple(values: Callable[[], dict[str, object]], *, plain: bool) -> list[Case]:
    return [Case(name, partial(_one, values, name), same, plain) for name in values()]


def _special() -> list[Case]:
    return [
        Case("Ellipsis", lambda: ..., lambda _, read: read is ...),
        Case("NotImplemented", lambda: NotImplemented, lambda _, read: read is NotImplemented),
        Case("nested 60 levels", lambda: _nested(60), same),
        Case("recursive", _recursive, lambda _, read: read[1] is read and read[0] == 1),
        Case("partial", lambda: partial(int, base=2), lambda _, read: read("101") == 5),
        Case("lambda", lambda: lambda x: x + 1, lambda made, read: read(4) == made(4)),
        Case("closure", _closure, lambda made, read: read(4) == made(4)),
        Case("local class", lambda: type(_local()), lambda _, read: read(3).double() == 6),
        Case("instance of a local class", _local, lambda _, read: read.double() == 42),
        Case(
            "exception",
            lambda: ValueError("a", 1),
            lambda made, read: type(read) is ValueError and read.args == made.args,
        ),
        *[
            Case(f"{size} bytes", partial(_random_bytes, size), same)
            for size in (1, 65_535, 65_536, SLICE - 200, SLICE, SLICE + 1)
        ],
        Case("3 MiB of unicode text", lambda: "ż€\U0001f600" * (SLICE // 3), same),
        Case("many parts of 100 KB", lambda: [_random_bytes(100_000 + n) for n in range(15)], same),
    ]


def large_cases(size: int) -> list[Case]:
    """Values of about `size` bytes."""
    cases = [
        Case("large bytes", partial(_random_bytes, size), same),
        Case("large bytearray", lambda: bytearray(_random_bytes(size)), same),
    ]
    return cases + _of_numpy(lambda arrays: arrays.large(size))


def _of_numpy(choose: Callable[[ModuleType], list[Case]]) -> list[Case]:
    if find_spec("numpy") is None:
        return []
    from ckpt.testing import arrays

    return choose(arrays)


CASES: Final = [
    *_simple(_plain, plain=True),
    *_simple(_builtin, plain=False),
    *_special(),
    *_of_numpy(lambda arrays: list(arrays.CASES)),
]
