"""What the codec keeps: the text of every row of its table, and equality with type on the way back."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid1
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ckpt_json import decode, encode


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"
    ALSO_RED = "r"  # noqa: PIE796  an alias: the member comes back


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: object
    y: object = None


@dataclass(frozen=True, slots=True)
class Order:
    when: date
    lines: tuple[Point, ...] = ()
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", len(self.lines))


@dataclass(order=True)
class Square:
    side: float

    @cached_property
    def area(self) -> float:
        return self.side**2


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    content: T


TYPES = (Color, Level, Mode, Point, Order, Square, Box)
HERE = __name__
BERLIN = ZoneInfo("Europe/Berlin")
NAN = float("nan")


def same(left: Any, right: Any) -> bool:
    """Equal and of the same type all the way down, nan being equal to nan and -0.0 unequal to 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, set | frozenset):
        rest = list(right)
        for item in left:
            match = next((place for place, other in enumerate(rest) if same(item, other)), None)
            if match is None:
                return False
            del rest[match]
        return not rest
    if is_dataclass(left):
        return all(same(getattr(left, each.name), getattr(right, each.name)) for each in fields(left))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (left.hex() == right.hex())
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, Decimal):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, datetime | time):
        return (left.isoformat(), left.fold, str(left.tzinfo), type(left.tzinfo)) == (
            right.isoformat(),
            right.fold,
            str(right.tzinfo),
            type(right.tzinfo),
        )
    if isinstance(left, np.generic):
        number = np.issubdtype(left.dtype, np.inexact)
        return left.dtype == right.dtype and (
            same(left.item(), right.item()) if number else left.tobytes() == right.tobytes()
        )
    if isinstance(left, range):
        return repr(left) == repr(right)
    return bool(left == right)


def hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


# The text of a value is a stored format: a row may be added, and none may change.
GOLDEN: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (3, "3"),
    (-(2**64), "-18446744073709551616"),
    (1 << 2047, str(1 << 2047)),
    (1 << 2048, f'{{"$int": "{hex(1 << 2048)}"}}'),
    (-(1 << 2048), f'{{"$int": "{hex(-(1 << 2048))}"}}'),
    (2.5, "2.5"),
    (-0.0, "-0.0"),
    (5e-324, "5e-324"),
    (1e16, "1e+16"),
    (NAN, '{"$float": "nan"}'),
    (math.inf, '{"$float": "inf"}'),
    (-math.inf, '{"$float": "-inf"}'),
    ("", '""'),
    ('a "b"\\\n\x00\x7f', '"a \\"b\\"\\\\\\n\\u0000\x7f"'),
    ("Grüße 😀\u2028", '"Grüße 😀\u2028"'),
    ("\ud83d\ude00", '{"$str": "7aC97biA"}'),
    ([1, [2.5, None], []], "[1, [2.5, null], []]"),
    ({"a": [1, 2.5, None], "": {}}, '{"a": [1, 2.5, null], "": {}}'),
    ({"$a": 1, "b": 2}, '{"$a": 1, "b": 2}'),
    ({"$date": "2026-11-22"}, '{"$dict": [["$date", "2026-11-22"]]}'),
    ({"$dict": [["a", 1]]}, '{"$dict": [["$dict", [["a", 1]]]]}'),
    ({"$": 1}, '{"$dict": [["$", 1]]}'),
    ({"\ud800": 1, "b": 2}, '{"$dict": [[{"$str": "7aCA"}, 1], ["b", 2]]}'),
    ({2: "b", 1: "a"}, '{"$dict": [[2, "b"], [1, "a"]]}'),
    ({True: 1, None: 2, (1, "x"): 3, 1.5: 4}, '{"$dict": [[true, 1], [null, 2], [{"$tuple": [1, "x"]}, 3], [1.5, 4]]}'),
    ((), '{"$tuple": []}'),
    ((1, (2,)), '{"$tuple": [1, {"$tuple": [2]}]}'),
    ({10, 9, "a"}, '{"$set": ["a", 10, 9]}'),
    (frozenset({frozenset(), (1,)}), '{"$frozenset": [{"$frozenset": []}, {"$tuple": [1]}]}'),
    (complex(1.5, -0.0), '{"$complex": [1.5, -0.0]}'),
    (complex(NAN, math.inf), '{"$complex": [{"$float": "nan"}, {"$float": "inf"}]}'),
    (range(5), '{"$range": [0, 5, 1]}'),
    (range(9, 1 << 2048, 3), f'{{"$range": [9, {{"$int": "{hex(1 << 2048)}"}}, 3]}}'),
    (b"", '{"$bytes": ""}'),
    (b"\x00\xff?", '{"$bytes": "AP8/"}'),
    (bytearray(b"abcd"), '{"$bytearray": "YWJjZA=="}'),
    (date(1, 1, 1), '{"$date": "0001-01-01"}'),
    (time(10), '{"$time": "10:00:00"}'),
    (time(1, 2, 3, 4, fold=1), '{"$time": {"at": "01:02:03.000004", "fold": 1}}'),
    (time(1, tzinfo=BERLIN), '{"$time": {"at": "01:00:00", "zone": "Europe/Berlin"}}'),
    (datetime(2026, 11, 22, 10), '{"$datetime": "2026-11-22T10:00:00"}'),  # noqa: DTZ001  naive ones are kept, too
    (datetime(2026, 11, 22, 10, 0, 0, 5, UTC), '{"$datetime": "2026-11-22T10:00:00.000005+00:00"}'),
    (
        datetime(1900, 1, 1, tzinfo=timezone(-timedelta(hours=5, seconds=7))),
        '{"$datetime": "1900-01-01T00:00:00-05:00:07"}',
    ),
    (
        datetime(1900, 1, 1, tzinfo=timezone(timedelta(microseconds=9), "near")),
        '{"$datetime": {"at": "1900-01-01T00:00:00", "offset": [0, 0, 9], "name": "near"}}',
    ),
    (
        datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=2), "CEST")),
        '{"$datetime": {"at": "2026-07-01T00:00:00+02:00", "name": "CEST"}}',
    ),
    (
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        '{"$datetime": {"at": "2026-10-25T02:30:00", "zone": "Europe/Berlin", "fold": 1}}',
    ),
    (
        datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
        '{"$datetime": {"at": "2026-03-29T02:30:00", "zone": "Europe/Berlin"}}',
    ),
    (datetime(2026, 1, 1, fold=1), '{"$datetime": {"at": "2026-01-01T00:00:00", "fold": 1}}'),  # noqa: DTZ001  as above
    (timedelta(-1, 2, 3), '{"$timedelta": [-1, 2, 3]}'),
    (UUID(int=1), '{"$uuid": "00000000-0000-0000-0000-000000000001"}'),
    (Decimal("1.10"), '{"$decimal": "1.10"}'),
    (Decimal("-0E+3"), '{"$decimal": "-0E+3"}'),
    (Decimal("1E-999999"), '{"$decimal": "1E-999999"}'),
    (Decimal("-Infinity"), '{"$decimal": "-Infinity"}'),
    (Decimal("-NaN123"), '{"$decimal": "-NaN123"}'),
    (Decimal("sNaN"), '{"$decimal": "sNaN"}'),
    (PosixPath("/a/b c"), '{"$posixpath": "/a/b c"}'),
    (PosixPath("\udcff"), '{"$posixpath": {"$str": "7bO/"}}'),
    (PurePosixPath("//a/../b"), '{"$pureposixpath": "//a/../b"}'),
    (PureWindowsPath("C:/a"), '{"$purewindowspath": "C:\\\\a"}'),
    (np.bool_(True), '{"$numpy": ["bool", true]}'),
    (np.int8(-128), '{"$numpy": ["int8", -128]}'),
    (np.uint64(2**64 - 1), '{"$numpy": ["uint64", 18446744073709551615]}'),
    (np.float16(0.1), '{"$numpy": ["float16", 0.0999755859375]}'),
    (np.float32("nan"), '{"$numpy": ["float32", {"$float": "nan"}]}'),
    (np.float64(-0.0), '{"$numpy": ["float64", -0.0]}'),
    (np.complex64(1 + 2j), '{"$numpy": ["complex64", {"$complex": [1.0, 2.0]}]}'),
    (np.str_("a\0é"), '{"$numpy": ["str", "a\\u0000é"]}'),
    (np.bytes_(b"a\xff"), '{"$numpy": ["bytes", {"$bytes": "Yf8="}]}'),
    (np.datetime64("2026-11-22"), '{"$numpy": ["datetime64[D]", 20779]}'),
    (np.datetime64(3, "25s"), '{"$numpy": ["datetime64[25s]", 3]}'),
    (np.datetime64("NaT", "s"), '{"$numpy": ["datetime64[s]", -9223372036854775808]}'),
    (np.timedelta64(-7, "ns"), '{"$numpy": ["timedelta64[ns]", -7]}'),
    (Color.RED, f'{{"$enum": ["{HERE}:Color", "RED"]}}'),
    (Color.ALSO_RED, f'{{"$enum": ["{HERE}:Color", "RED"]}}'),
    (Level.LOW, f'{{"$enum": ["{HERE}:Level", "LOW"]}}'),
    (Mode.READ | Mode.WRITE, f'{{"$enum": ["{HERE}:Mode", 3]}}'),
    (Mode(0), f'{{"$enum": ["{HERE}:Mode", 0]}}'),
    (
        Order(date(2026, 1, 2)),
        (
            f'{{"$dataclass": ["{HERE}:Order", '
            '{"when": {"$date": "2026-01-02"}, "lines": {"$tuple": []}, "total": 0}]}'
        ),
    ),
    (
        Point(1, [Color.GREEN]),
        f'{{"$dataclass": ["{HERE}:Point", {{"x": 1, "y": [{{"$enum": ["{HERE}:Color", "GREEN"]}}]}}]}}',
    ),
    (Square(2.0), f'{{"$dataclass": ["{HERE}:Square", {{"side": 2.0}}]}}'),
    (Box[int](3), f'{{"$dataclass": ["{HERE}:Box", {{"content": 3}}]}}'),
]


@pytest.mark.parametrize(("value", "text"), GOLDEN, ids=[text[:60] for _, text in GOLDEN])
def test_a_value_has_this_text_and_comes_back_equal_and_of_the_same_type(value: object, text: str) -> None:
    assert encode(value, TYPES) == text
    assert same(decode(text, TYPES), value)
    assert json.loads(text) is not ...  # any JSON reader takes it


@pytest.mark.parametrize(("value", "text"), GOLDEN, ids=[text[:60] for _, text in GOLDEN])
def test_a_value_comes_back_from_inside_every_container(value: Any, text: str) -> None:
    holders: list[object] = [[value], (value,), {"key": value, "other": [value]}, {7: value}, {"$date": value}]
    holders += [Point(value, (value,))]
    if hashable(value):
        holders += [{value}, frozenset([value, 1]), {value: "as key", (value, 1): 2}]
    for holder in holders:
        assert same(decode(encode(holder, TYPES), TYPES), holder)


OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
ZONES = st.one_of(st.none(), st.builds(timezone, OFFSETS), st.builds(timezone, OFFSETS, st.text()), st.just(BERLIN))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-9, 9).map(lambda number: (1 << 2048) + number),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.sampled_from(["$", "$date", "$dict", "$str"]),
    st.complex_numbers(),
    st.binary(),
    st.dates(),
    st.times(timezones=ZONES),
    st.datetimes(timezones=ZONES),
    st.datetimes(timezones=ZONES).map(lambda moment: moment.replace(fold=1)),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=True).filter(lambda number: not number.is_snan()),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.text().map(PurePosixPath),
    st.builds(np.float32, st.floats(width=32)),
    st.builds(np.int16, st.integers(-(2**15), 2**15 - 1)),
    st.sampled_from([*Color, *Level, Mode.READ | Mode.WRITE]),
)


@st.composite
def scalars(draw: st.DrawFn) -> object:
    """One scalar; a strategy of its own, because hypothesis prints the whole of any other."""
    return draw(SCALARS)


def with_tuples(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3))


def with_containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.just("$date")), inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=3),
        st.sets(KEYS, max_size=4),
        st.builds(Point, inner, inner),
    )


# Never keys: numpy overflows when a set compares moments of different units.
MOMENTS = st.builds(np.datetime64, st.integers(-(2**63), 2**63 - 1), st.sampled_from(["Y", "D", "7m", "ns", "as"]))
KEYS = st.recursive(scalars(), with_tuples, max_leaves=4)
VALUES = st.recursive(st.one_of(scalars(), st.binary().map(bytearray), MOMENTS), with_containers, max_leaves=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_whatever_is_taken_comes_back_and_has_the_same_text_again(value: object) -> None:
    text = encode(value, TYPES)
    text.encode()
    back = decode(text, TYPES)
    assert same(back, value), text
    assert encode(back, TYPES) == text


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {1: value}
    return value


def test_the_deepest_value_taken_is_read_from_a_deep_stack() -> None:
    text = encode(deep(100))

    def from_depth(frames: int) -> object:
        return from_depth(frames - 1) if frames else decode(text)

    assert from_depth(400) == deep(100)


def test_equal_sets_have_equal_text_whatever_their_history() -> None:
    def made(order: Iterator[int]) -> set[int]:
        made = set(range(1000))
        made.clear()
        made.update(order)
        return made

    assert encode({1 << n for n in range(60)}) == encode(made(1 << n for n in reversed(range(60))))


def test_a_value_that_occurs_twice_is_not_taken_for_a_cycle() -> None:
    shared: list[int] = [1]
    assert decode(encode([shared, {"a": shared}, shared])) == [[1], {"a": [1]}, [1]]


def test_a_dataclass_is_read_without_running_its_init() -> None:
    order = Order(date(2026, 1, 1))
    object.__setattr__(order, "total", 99)
    back = decode(encode(order, [Order]), [Order])
    assert isinstance(back, Order)
    assert back.total == 99


def test_a_cached_property_is_not_state() -> None:
    square = Square(3.0)
    assert square.area == 9.0
    assert decode(encode(square, [Square]), [Square]) == square


def test_the_local_zone_and_a_real_uuid_come_back() -> None:
    now = datetime.now().astimezone()
    back = decode(encode(now))
    assert same(back, now)
    assert decode(encode(uuid := uuid1())) == uuid
    assert type(decode(encode(Path("x")))) is type(Path("x"))
