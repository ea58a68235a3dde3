"""What is told of a value without unpickling it: short, safe, plain JSON, and no code of a person is run for it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckpt import Result, Secret
from ckpt.results import Held
from ckpt.summaries import LARGEST, as_text, summarize

FRAME = pd.DataFrame({
    "date": pd.date_range("2020-01-01", periods=1461), "precipitation": np.arange(1461.0), "n": range(1461)
})  # fmt: skip


@dataclasses.dataclass
class Row:
    when: object
    price: float = 1.5
    token: str = dataclasses.field(default="hunter2", repr=False)


@dataclasses.dataclass(slots=True)
class Slotted:
    inner: object


class Discreet:
    def __init__(self) -> None:
        self.name, self.size, self.__own = "hunter2", 3, [1]

    def __repr__(self) -> str:
        raise AssertionError("a person's repr was run")


Point = collections.namedtuple("Point", ["x", "y"])


class Colour(enum.IntEnum):
    RED = 1


def checked(value: object) -> dict[str, Any]:
    summary = summarize(value)
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert len(text) <= LARGEST
    text.encode()
    line = as_text(summary)
    assert line
    assert line.isprintable()
    assert len(line) <= 100
    return summary


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "None"),
        (True, "True"),
        (42, "42"),
        (2**70, str(2**70)),
        (1 << 10_000, "int of 10,001 bits"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (2j, "2j"),
        ("text", '"text"'),
        ("x" * 1000, f'"{"x" * 80}…"'),
        ("a\0b\ud800", '"a\\x00b\\ud800"'),
        (b"\x89PNG", r"bytes of 4: b'\x89PNG'"),
        (bytearray(3), r"bytearray of 3: b'\x00\x00\x00'"),
        ({"a": 1, "b": 2, 3: 3}, "dict of 3: a, b, 3"),
        ({}, "dict of 0"),
        (list(range(100)), "list of 100: 0, 1, 2, 3, 4, 5, 6, 7, …"),
        ((1, "a", [2]), "tuple of 3: 1, 'a', list of 1"),
        ({1}, "set of 1: 1"),
        (Point(1, "a"), "Point(x=1, y='a')"),
        (Colour.RED, "Colour.RED"),
        (Row(datetime.date(2020, 1, 2)), "Row(when=2020-01-02, price=1.5)"),
        (Slotted((1, 2)), "Slotted(inner=tuple of 2)"),
        (Discreet(), "Discreet(name=str of 7, size=3, _Discreet__own=list of 1)"),
        (decimal.Decimal("1.50"), "1.50"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (pathlib.PurePosixPath("/a\nb" * 30), ("/a\\nb" * 30)[:79] + "…"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC), "2020-01-02 03:00:00+00:00"),
        (np.zeros((3, 4)), "float64 array 3 × 4"),  # noqa: RUF001  times
        (np.array(1), "int64 array ()"),
        (np.float64(2.5), "2.5"),
        (np.int8(2), "2"),
        (np.datetime64("2020-01-01"), "2020-01-01"),
        (FRAME, "DataFrame 1,461 × 3 · date, precipitation, n"),  # noqa: RUF001  times
        (FRAME["n"], "Series of 1,461 · n"),
        (Row, f"class {Row.__module__}.Row"),
        (len, "function len"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_line_says_what_a_value_is(value: object, line: str) -> None:
    assert as_text(checked(value)) == line


def test_a_frame_is_told_with_columns_dtypes_and_first_rows() -> None:
    summary = checked(FRAME)
    assert summary["columns"] == [["date", "datetime64[us]"], ["precipitation", "float64"], ["n", "int64"]]
    assert (summary["rows"], summary["width"], len(summary["first"])) == (1461, 3, 4)
    assert summary["first"][1] == ["2020-01-02 00:00:00", "1.0", "1"]
    assert checked(FRAME.set_index("date"))["index"]["first"][0] == "2020-01-01 00:00:00"
    wide = pd.DataFrame(np.zeros((3, 500)), columns=[f"column {'ł' * 50} {number}" for number in range(500)])
    assert checked(wide)["width"] == 500
    checked(pd.DataFrame({"a": ["😀" * 500] * 9, "b": [Discreet()] * 9}))
    checked(pd.DataFrame([["x" * 100] * 12] * 4, columns=["a"] * 12, index=["😀" * 40] * 4))


def test_what_a_class_does_not_show_is_not_told() -> None:
    assert "hunter2" not in json.dumps(checked(Discreet()))
    assert "hunter2" not in json.dumps(checked([Discreet(), Row(1)]))
    assert "hunter2" not in json.dumps(checked(Row(1)))


def test_a_secret_is_nothing_but_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE_OF_IT", "hunter2")
    secret = Secret("env:PLACE_OF_IT")
    assert set(checked(secret)) == {"type"}
    for value in ([secret], {"k": secret}, Row(secret), pd.Series([secret])):
        told = json.dumps(checked(value))
        assert "hunter2" not in told
        assert "PLACE_OF_IT" not in told


def test_an_iterator_is_not_advanced() -> None:
    for iterator in (iter([1, 2]), (part for part in [1, 2]), map(str, [1, 2]), zip([1, 2], strict=True)):
        checked(iterator)
        checked([iterator])
        assert len(list(iterator)) == 2


def test_a_value_that_is_elsewhere_is_not_fetched() -> None:
    class Far(Held):
        def load(self) -> object:
            raise AssertionError("loaded")

    checked(Far())
    checked(Result(Far()))


RUN: list[str] = []
"""What of the following was run; raising alone would not show, since it is caught."""


def _raise(*given: object, **named: object) -> Any:
    RUN.append("a person's code was run")
    raise RuntimeError


class Hostile:
    __slots__ = ("__dict__", "unset")
    __repr__ = __str__ = __len__ = __iter__ = __eq__ = __hash__ = __bool__ = __format__ = _raise
    __getattribute__ = __getattr__ = __index__ = __float__ = __array__ = __reduce_ex__ = __sizeof__ = _raise
    shape = dtype = columns = __class__ = property(_raise)


def hostile(base: type, *given: Any) -> Any:
    names = ["__repr__", "__str__", "__len__", "__iter__", "__eq__", "__getitem__", "__getattribute__", "__bool__"]
    space = {name: _raise for name in names if name in dir(base) or base is object}
    return type("Hostile", (base,), {**space, "__hash__": base.__hash__})(*given)


class Meta(type):
    __getattribute__ = __repr__ = __str__ = __instancecheck__ = __subclasscheck__ = _raise


class Meant(metaclass=Meta):
    pass


class Impostor:
    __str__ = _raise


Impostor.__module__, Impostor.__qualname__ = "decimal", "Decimal"


class NoDict:
    __dict__ = property(_raise)  # type: ignore[assignment]


# Behind a function: pytest looks at what it is given.
HOSTILE: list[Callable[[], Any]] = [
    Hostile, lambda: object.__new__(Meant), Impostor, NoDict, lambda: hostile(dict, {"a": 1}),
    lambda: hostile(list, [1]), lambda: hostile(tuple, (1,)), lambda: hostile(set, {1}), lambda: hostile(str, "text"),
    lambda: hostile(bytes, b"text"), lambda: hostile(int, 3), lambda: hostile(float, 3.5), lambda: hostile(object),
]  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE, ids=range(len(HOSTILE)))
def test_no_code_of_a_person_is_run(make: Callable[[], Any]) -> None:
    value = make()
    RUN.clear()
    for held in (value, [value], {"a": value}, (value, value), Row(value), Slotted(value)):
        summary = summarize(held)
        json.dumps(summary)
        as_text(summary)
    assert not RUN


def test_a_cycle_and_a_deep_nest_are_told_by_their_outside() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    assert as_text(checked(cycle)) == "list of 1: list of 1"
    deep: object = None
    for _ in range(10_000):
        deep = [deep]
    assert as_text(checked(deep)) == "list of 1: list of 1"


def test_a_class_of_a_foreign_library_that_fails_leaves_its_type() -> None:
    class Broken(pd.DataFrame):
        @property
        def shape(self) -> Any:
            raise MemoryError

        @property
        def iloc(self) -> Any:
            raise RuntimeError

    assert set(checked(Broken({"a": [1]}))) == {"type"}
    assert as_text(checked([Broken({"a": [1]})])) == "list of 1: Broken"


def test_a_summary_of_another_time_is_shown_as_far_as_it_is_understood() -> None:
    for summary in ({}, {"type": 3}, {"type": "x", "columns": 4, "rows": "?"}, {"type": "d", "items": [1, [2]]}):
        assert isinstance(as_text(summary), str)  # type: ignore[arg-type]


def _values() -> st.SearchStrategy[Any]:
    text = st.text(st.characters(exclude_categories=()), max_size=300)
    atoms = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), text, st.binary(max_size=300),
        st.datetimes(timezones=st.none() | st.timezones()), st.decimals(), st.fractions(), st.uuids(), st.timedeltas(),
        st.sampled_from([FRAME, np.zeros(3), np.float32("nan"), Secret("env:X"), ...]), st.builds(Discreet),
    )  # fmt: skip

    def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.lists(inner, max_size=30), st.dictionaries(text, inner, max_size=30), st.tuples(inner, inner),
            st.builds(Row, inner), st.builds(Slotted, inner), st.builds(Point, inner, inner),
            st.lists(inner, max_size=9).map(lambda parts: np.array([*parts, None], dtype=object)[:-1]),
        )  # fmt: skip

    return st.recursive(atoms, containers, max_leaves=30)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(_values())
def test_any_value_has_a_small_summary_of_plain_json(value: object) -> None:
    checked(value)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(st.characters(exclude_categories=())), min_size=1, max_size=40, unique=True), st.data())
def test_any_frame_has_a_small_summary(names: list[str], data: st.DataObject) -> None:
    frame = pd.DataFrame({name: data.draw(st.lists(_values(), min_size=3, max_size=3)) for name in names[:5]})
    checked(frame)
    checked(pd.DataFrame([names] * 5, columns=names))


def test_looking_changes_nothing() -> None:
    def parts() -> Iterator[Any]:
        yield {"b": [1], "a": {2}}
        yield collections.defaultdict(list, {"a": 1})
        yield collections.OrderedDict(a=1)
        yield FRAME.copy()

    for before, value in zip(parts(), parts(), strict=True):
        checked(value)
        assert before.equals(value) if isinstance(before, pd.DataFrame) else before == value
