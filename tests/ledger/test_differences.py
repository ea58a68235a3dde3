"""How two values differ: nothing where they are equal by value, and where they are not, the very place."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import json
import random
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckpt_ledger.values.changes import ArrayChange, Change, FrameChange, PartChange, SetChange, TextChange, ValueChange
from ckpt_ledger.values.difference_text import lines
from ckpt_ledger.values.differences import Difference, compare


@dataclasses.dataclass
class Order:
    price: Any
    tags: Any = ()


@dataclasses.dataclass(slots=True)
class Slotted:
    inner: Any


Point = collections.namedtuple("Point", ["x", "y"])


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def changes(left: object, right: object) -> list[Change]:
    found = compare(left, right)
    assert found is not None
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    told = lines(found)
    assert told
    assert len(told) < 400
    assert all(line.isprintable() for line in told)
    mirrored = compare(right, left)
    assert mirrored is not None
    return [change for group in found.groups for change in group.changes]


def only(left: object, right: object) -> Any:
    found = changes(left, right)
    assert len(found) == 1
    return found[0]


def text(left: object, right: object) -> list[str]:
    found = compare(left, right)
    assert found is not None
    return lines(found)


# -- equal by value

FRAME = pd.DataFrame({
    "date": pd.date_range("2020-01-01", periods=1461), "precipitation": np.arange(1461.0),
    "place": ["x", "y", None] * 487,
})  # fmt: skip


def deep(depth: int, end: object) -> object:
    for _ in range(depth):
        end = [end]
    return end


def cycle() -> Any:
    around: dict[str, Any] = {"a": [1]}
    around["self"] = around
    around["a"].append(around)
    return around


EQUAL: list[tuple[str, Callable[[], object]]] = [
    ("NaN", lambda: [float("nan"), np.float64("nan"), decimal.Decimal("NaN"), complex("nan"), pd.NaT]),
    ("containers", lambda: {"a": [1, (2, {3})], "b": {"c": None}, (1, "x"): b"z"}),
    ("objects", lambda: [Order(1.5, {"a"}), Slotted([1]), Point(1, [2]), Colour.RED, collections.deque([1, [2]])]),
    ("arrays", lambda: [np.array([1, np.nan]), np.array(["a"]), np.array([[1], None], dtype=object), np.array(3)]),
    ("structured", lambda: np.array([(1, np.nan)], dtype=[("a", "i4"), ("b", "f8")])),
    ("moments", lambda: np.array(["2020", "NaT"], dtype="M8[D]")),
    ("masked", lambda: np.ma.array([1.0, 2.0], mask=[True, False])),
    ("frame", FRAME.copy),
    ("frame by date", lambda: FRAME.set_index("date")),
    ("series", lambda: FRAME["place"].copy()),
    ("odd frame", lambda: pd.DataFrame([[1, {2}], [None, [3]]], columns=["a", "a"])),
    ("types", lambda: pd.DataFrame({
        "c": pd.Categorical(["a"]), "i": pd.array([None], "Int64"), "z": pd.to_datetime(["2020"], utc=True),
    })),
    ("nested frame", lambda: {"f": [FRAME.head()]}),
    ("cycle", cycle),
    ("deep", lambda: deep(50_000, 1)),
    ("functions", lambda: [len, lambda x: x + 1, Order]),
    ("error", lambda: ValueError("x", [1])),
]  # fmt: skip


@pytest.mark.parametrize("make", [make for _, make in EQUAL], ids=[name for name, _ in EQUAL])
def test_values_made_twice_are_equal(make: Callable[[], object]) -> None:
    assert compare(make(), make()) is None


def test_other_bytes_may_be_the_same_value() -> None:
    assert compare({"a": 1, "b": 2}, {"b": 2, "a": 1}) is None
    assert compare({"a", "b", (1, "c")}, {(1, "c"), "b", "a"}) is None
    array = np.arange(12.0).reshape(3, 4)
    assert compare(array.T, array.T.copy()) is None
    assert compare(-0.0, 0.0) is None
    shared = [1]
    assert compare([shared, shared], [[1], [1]]) is None


SOURCE = """
class Row:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return type(self) is type(other) and self.x == other.x
    def __hash__(self): return hash(self.x)
"""


def test_instances_of_a_class_that_is_there_twice_compare_by_what_they_hold() -> None:
    one: dict[str, Any] = {"__name__": "__main__"}
    two: dict[str, Any] = {"__name__": "__main__"}
    exec(SOURCE, one)
    exec(SOURCE, two)
    assert one["Row"](1) != two["Row"](1)
    assert compare(one["Row"](1), two["Row"](1)) is None
    assert compare({one["Row"](1)}, {two["Row"](1)}) is None
    assert compare({one["Row"](1): 5}, {two["Row"](1): 5}) is None
    assert (
        compare([one["Row"], cloudpickle.loads(cloudpickle.dumps(one["Row"](2)))], [two["Row"], two["Row"](2)]) is None
    )
    assert only([one["Row"](1)], [two["Row"](2)]).path == "[0].x"


# -- scalars, text, bytes


@pytest.mark.parametrize(
    ("left", "right", "line"),
    [
        (10, 12, "10 → 12   (off by 2, 20 %)"),
        (0.5, float("nan"), "0.5 → nan"),
        (1, 1.0, "1 → 1.0   (int → float)"),
        (1, True, "1 → True   (int → bool)"),
        (None, 3, "None → 3   (NoneType → int)"),
        (Colour.RED, Colour.BLUE, "Colour.RED → Colour.BLUE"),
        (decimal.Decimal(1), decimal.Decimal(2), "1 → 2   (off by 1, 100 %)"),
        ([1], (1,), "list of 1 → tuple of 1   (list → tuple)"),
        (datetime.date(2020, 1, 1), datetime.date(2020, 1, 2), "2020-01-01 → 2020-01-02"),
        (10**400, 10**400 + 1, "int of 1,329 bits → int of 1,329 bits   (off by 1)"),
    ],
)
def test_two_scalars_are_told_with_their_distance(left: object, right: object, line: str) -> None:
    assert text(left, right) == [line]


def adder(n: object) -> Callable[[int], object]:
    return lambda x: (x, n)


def test_functions_are_told_by_code_and_what_they_captured() -> None:
    assert compare(adder([1]), adder([1])) is None
    change = only({"f": adder([1])}, {"f": adder([2])})
    assert change.path == "['f'].__closure__[0].cell_contents[0]"
    assert (change.left, change.right) == ("1", "2")
    assert changes(lambda x: x + 1, lambda x: x + 2)


def test_the_same_moment_in_another_zone_is_another_value() -> None:
    moment = datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC)
    assert only(moment, moment.astimezone(datetime.timezone(datetime.timedelta(hours=1)))).kind == "value"


def test_a_line_of_text_is_told_by_its_first_other_character() -> None:
    assert text("hello world", "hello wörld") == [
        "text differs from character 8 on, 11 characters", "  - hello world", "  + hello wörld",
    ]  # fmt: skip
    long = "x" * 5000
    change = only(long + "a" + long, long + "b" + long)
    assert (change.column, len(change.left) < 100, "xa" in change.left, "xb" in change.right) == (
        5001,
        True,
        True,
        True,
    )


def test_lines_of_text_are_told_as_a_diff() -> None:
    left = "".join(f"line {n}\n" for n in range(1000))
    right = left.replace("line 500\n", "line five hundred\n").replace("line 700\n", "")
    change = only(left, right)
    assert (change.line, change.removed, change.added) == (501, 2, 1)
    assert "- line 500" in change.hunks
    assert "+ line five hundred" in change.hunks
    assert "- line 700" in change.hunks
    assert text("a\nb\nc\n", "a\nB\nc\n")[2:] == ["  @@ -2,1 +2,1 @@", "    a", "  - b", "  + B", "    c"]


@given(st.text("ab\n", max_size=40), st.text("ab\n", max_size=40))
def test_any_two_texts_are_told_by_the_first_character_that_differs(left: str, right: str) -> None:
    if left == right:
        assert compare(left, right) is None
        return
    change = only(left, right)
    assert isinstance(change, TextChange)
    at = sum(len(line) + 1 for line in left.split("\n")[: change.line - 1]) + change.column - 1
    assert left[:at] == right[:at]
    assert left[at : at + 1] != right[at : at + 1]


def test_bytes_are_told_by_the_first_offset_that_differs() -> None:
    data = random.Random(1).randbytes(300_000)
    for at in (0, 5, 65_535, 65_536, 200_001, 299_999):
        change = only(data, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert change.offset == at
        assert bytes.fromhex(change.left)[at - change.shown_from] == data[at]
    assert only(data, data + b"!").offset == len(data)


# -- containers


def test_a_path_is_python_that_leads_to_the_place() -> None:
    left = {"orders": [Order(float(n)) for n in range(9)], 3: {"it's": (Point(1, Slotted([None, b"x"])),)}}
    right = copy.deepcopy(left)
    right["orders"][3].price = 12
    right[3]["it's"][0].y.inner[1] = b"y"
    found = changes(left, right)
    assert [change.path for change in found] == ["['orders'][3].price", '[3]["it\'s"][0].y.inner[1]']
    assert eval("left" + found[1].path) == b"x"
    assert eval("right" + found[1].path) == b"y"


def test_keys_that_came_and_went_are_named() -> None:
    found = changes({"a": 1, "b": 2}, {"b": 2, "c": [3]})
    assert [(change.path, change.side, change.value) for change in found if isinstance(change, PartChange)] == [
        ("['a']", "left", "1"), ("['c']", "right", "list of 1"),
    ]  # fmt: skip


def test_what_was_inserted_into_a_list_does_not_change_what_follows() -> None:
    left = [Order(float(n)) for n in range(100)]
    right = copy.deepcopy(left)
    right.insert(10, Order(-1.0))
    right[51].price = 0.5
    del right[70:73]
    found = changes(left, right)
    assert [(change.path, change.right_path) for change in found] == [
        ("[10]", None), ("[50].price", "[51].price"), ("[69:72]", None),
    ]  # fmt: skip
    assert only(list(range(1000)), [*range(500), *range(501, 1000)]).path == "[500]"


def test_a_changed_element_beside_a_new_one_is_known_by_what_they_share() -> None:
    left = [{"id": n, "name": f"n{n}", "price": n} for n in range(5)]
    right = copy.deepcopy(left)
    right[2]["price"] = 7
    right.insert(2, {"id": 99, "name": "new", "price": 0})
    assert [change.path for change in changes(left, right)] == ["[2]", "[2]['price']"]


def test_many_changes_alike_are_told_as_one() -> None:
    left = {"orders": [Order(float(n)) for n in range(1, 1001)], "rest": 1}
    right = {"orders": [Order(n + n / 8) for n in range(1, 1001)], "rest": 2}
    found = compare(left, right)
    assert found is not None
    assert found.total == 1001
    assert [(group.pattern, group.count) for group in found.groups] == [("['orders'][*].price", 1000), ("['rest']", 1)]
    assert found.groups[0].largest is not None
    assert found.groups[0].largest.path == "['orders'][999].price"
    assert "and 997 more" in lines(found)[5]
    unlike = compare({n: n for n in range(30)} | {str(n): n for n in range(1000)}, {})
    assert unlike is not None
    assert unlike.total == 1030
    records = compare([{f"k{n}": n} for n in range(500)], [{f"k{n}": -1} for n in range(500)])
    assert records is not None
    assert (len(records.groups), records.more) == (20, 480)
    assert lines(records)[-1] == "  and 480 more"


def test_sets_are_told_by_what_only_one_has() -> None:
    change = only({1, "a", (2, "b")}, {1, (2, "c"), None})
    assert isinstance(change, SetChange)
    assert (change.only_left, change.only_right) == (2, 2)
    assert "'a'" in change.left
    assert "None" in change.right


def test_a_cycle_is_compared_once() -> None:
    left, right = cycle(), cycle()
    right["a"][0] = 2
    assert only(left, right).path == "['a'][0]"
    assert only(deep(20_000, 1), deep(20_000, 2)).kind == "value"


# -- arrays


def test_arrays_are_told_by_count_and_largest_error() -> None:
    left = np.arange(1.0, 200_001).reshape(400, 500)
    right = left.copy()
    right[3, 4] += 5
    right[399, 499] += 12.5
    right[0, 0] += 0.5
    right[7, 7] = np.nan
    change = only({"x": left.T}, {"x": right.T})
    assert isinstance(change, ArrayChange)
    assert (change.differing, change.compared, change.only_right_nan) == (4, 200_000, 1)
    assert change.largest is not None
    assert change.largest_relative is not None
    assert (change.largest.at, change.largest.error) == ("[499, 399]", 12.5)
    assert (change.largest_relative.at, change.largest_relative.error) == ("[0, 0]", 0.5)
    assert eval("left.T" + change.largest.at) == 200_000
    assert text(left, right)[0] == "4 of 200,000 elements differ, largest 12.5"


@pytest.mark.parametrize(
    ("left", "right", "line"),
    [
        (np.zeros(3), np.zeros(3, "f4"), "dtype float64 → float32, the 3 compared elements are equal"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "shape 2 × 3 → 3 × 2"),  # noqa: RUF001  times
        (np.arange(9), np.delete(np.arange(9), [4, 5]), "shape 9 → 7, 2 only left at [4], all else equal"),
        (np.arange(3), np.arange(5), "shape 3 → 5, 2 only right at [3], all else equal"),
        (np.array([1, 2]), np.array([1, 2**62]), "1 of 2 elements differs, largest 4.61169e+18"),
        (np.array([1, 2], "u8"), np.array([1, 3]), "dtype uint64 → int64, 1 of 2 elements differs, largest 1"),
        (np.array([True]), np.array([False]), "1 of 1 elements differs"),
        (np.array(["a", "b"]), np.array(["a", "c"]), "1 of 2 elements differs"),
        (np.array(["a"]), np.array([1]), "dtype <U1 → int64, 1 of 1 elements differs"),
        (
            np.array(["2020"], "M8[D]"), np.array(["2020-01-03"], "M8[D]"),
            "1 of 1 elements differs, largest 2 days, 0:00:00",
        ),
        (np.array([1, 2j]), np.array([1, 4j]), "1 of 2 elements differs, largest 2"),
        (np.array([np.inf, 1]), np.array([1.0, 1]), "1 of 2 elements differs, largest inf"),
        (np.array(1.0), np.array(2.0), "1 of 1 elements differs, largest 1"),
        (np.zeros((0, 3)), np.zeros((2, 3)), "shape 0 × 3 → 2 × 3, 2 only right at [0], all else equal"),  # noqa: RUF001  times
    ],
)  # fmt: skip
def test_arrays_of_all_kinds_are_told(left: Any, right: Any, line: str) -> None:
    changes(left, right)
    assert text(left, right)[0] == line


def test_elements_of_object_and_structured_arrays_have_paths() -> None:
    left = np.array([[None, "a"], [{"k": [1]}, 2]], dtype=object)
    right = copy.deepcopy(left)
    right[1, 0]["k"][0] = 5
    assert only(left, right).path == "[1, 0]['k'][0]"
    rows = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f8")])
    other = rows.copy()
    other["b"][1] = 5
    change = only(rows, other)
    assert (change.path, change.largest.at) == ("['b']", "[1]")


# -- frames


def frame_change(left: Any, right: Any) -> FrameChange:
    change = only(left, right)
    assert isinstance(change, FrameChange)
    return change


def test_changed_cells_are_told_by_column() -> None:
    right = FRAME.copy()
    right.loc[[7, 8, 9], "precipitation"] += [1.0, 12.4, 2.0]
    assert text(FRAME, right)[0] == "3 of 1,461 rows changed in column precipitation, largest 12.4"
    right.loc[9, "place"] = "z"
    change = frame_change({"f": FRAME}, {"f": right})
    assert (change.path, change.rows_changed, [column.name for column in change.columns]) == (
        "['f']", 3, ["precipitation", "place"],
    )  # fmt: skip
    assert change.columns[1].examples[0].at == "9"
    dated = frame_change(FRAME.set_index("date"), right.set_index("date"))
    assert dated.columns[0].examples[0].at == "2020-01-08"


def test_columns_and_dtypes_are_told() -> None:
    right = FRAME.assign(new=1, precipitation=FRAME.precipitation.astype("f4")).drop(columns="place")
    change = frame_change(FRAME, right)
    assert (change.only_left_columns, change.only_right_columns) == (("place",), ("new",))
    assert [(one.at, one.left, one.right) for one in change.dtypes] == [("precipitation", "float64", "float32")]
    assert frame_change(FRAME, FRAME[["place", "date", "precipitation"]]).columns_reordered


def test_rows_that_came_and_went_are_found_by_their_index() -> None:
    left = FRAME.set_index("date")
    right = left.drop(left.index[[3, 900]]).sort_index(ascending=False)
    right.iloc[0, 0] = -1.0
    change = frame_change(left, right)
    assert (change.aligned_by, change.only_left_rows, change.only_right_rows, change.rows_changed) == ("index", 2, 0, 1)
    assert change.rows_moved > 1400
    assert change.left_examples[0].startswith("2020-01-04: 3.0")


INDICES: list[tuple[Any, Any]] = [
    (["x", "y", "z"], ["p", "q", "r"]),
    ([0, 1, 2], [10, 11, 12]),
    (None, [3, 4, 5]),
    (["a", "a", "b"], ["a", "b", "b"]),
    (["x", "y", "z"], ["y", "z", "w"]),
    (pd.date_range("2026-01-01", periods=3), pd.date_range("2025-01-01", periods=3)),
    (
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("c", 1)]),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), INDICES, ids=str)
@pytest.mark.parametrize("made", [pd.Series, pd.DataFrame])
def test_the_same_rows_under_other_labels_are_another_value(made: Any, ours: Any, theirs: Any) -> None:
    change = frame_change(made([1.0, 2.0, 3.0], index=ours), made([1.0, 2.0, 3.0], index=theirs))
    labels = [list(range(3) if each is None else each) for each in (ours, theirs)]
    expected = sum(one != other for one, other in zip(*labels, strict=True))
    assert (change.aligned_by, change.rows_changed, change.only_left_rows) == ("position", expected, 0)
    assert [(column.name, column.cells) for column in change.columns] == [("index", expected)]


def test_rows_that_share_no_label_are_other_rows() -> None:
    change = frame_change(pd.Series([1, 2, 3], index=list("xyz")), pd.Series([7, 8], index=list("pq")))
    assert (change.aligned_by, change.only_left_rows, change.only_right_rows) == ("index", 3, 2)
    assert change.right_examples == ("p: 7", "q: 8")
    same_length = frame_change(pd.Series([1, 2], index=list("xy")), pd.Series([7, 8], index=list("pq")))
    assert (same_length.aligned_by, same_length.only_left_rows, same_length.rows_changed) == ("index", 2, 0)


def test_rows_in_another_order_have_moved_with_their_labels() -> None:
    change = frame_change(pd.Series([1, 1, 1], index=list("xyz")), pd.Series([1, 1, 1], index=list("zxy")))
    assert (change.aligned_by, change.rows_moved, change.rows_changed, change.columns) == ("index", 3, 0, ())


def test_numbered_rows_are_what_they_are_however_the_numbers_are_kept() -> None:
    assert compare(pd.Series([1, 2]), pd.Series([1, 2], index=pd.Index([0, 1]))) is None
    filtered = frame_change(pd.Series([1, 2, 3]), pd.Series([1, 2, 3])[[0, 2]])
    assert (filtered.aligned_by, filtered.only_left_rows, filtered.rows_changed) == ("index", 1, 0)


def test_a_label_of_several_levels_is_told_whole() -> None:
    ours, theirs = (pd.Series([1], index=pd.MultiIndex.from_tuples([("a", last)])) for last in (1, 2))
    assert "(a, 1) → (a, 2)" in "\n".join(lines(compare(ours, theirs)))  # type: ignore[arg-type]  # they differ


def test_rows_that_came_and_went_are_found_by_content_without_an_index() -> None:
    right = FRAME.drop(index=[3, 4, 900]).reset_index(drop=True)
    right.loc[2, "precipitation"] = 99.0
    change = frame_change(FRAME, right)
    assert (change.aligned_by, change.only_left_rows, change.only_right_rows, change.rows_changed) == (
        "content",
        3,
        0,
        1,
    )
    assert change.columns[0].examples[0].at == "2"
    shuffled = FRAME.sample(frac=1, random_state=1).reset_index(drop=True)
    change = frame_change(FRAME, shuffled)
    assert (change.rows_moved > 1400, change.rows_changed, change.only_left_rows) == (True, 0, 0)
    again = frame_change(FRAME, pd.concat([FRAME, FRAME.head(2)]))
    assert (again.only_right_rows, again.rows_changed) == (2, 0)


def test_series_and_missing_cells_are_told() -> None:
    left = pd.Series([1, None, 3, None], dtype="Int64", name="a")
    right = pd.Series([1, 2, None, None], dtype="Int64", name="b")
    change = frame_change(left, right)
    assert [(one.at, one.left, one.right) for one in change.dtypes] == [("name", "'a'", "'b'")]
    assert (change.columns[0].cells, change.columns[0].only_left_missing, change.columns[0].only_right_missing) == (
        2,
        1,
        1,
    )


# -- whatever people write


def _raise(*given: object, **named: object) -> Any:
    raise RuntimeError("no")


class Raising:
    __eq__ = __hash__ = __repr__ = __len__ = __bool__ = _raise

    def __init__(self, x: object) -> None:
        self.x = x


class Lying:
    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> Any:
        return True

    __hash__ = None  # type: ignore[assignment]


class Arrayish:
    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> Any:
        return np.array([True, False])

    __hash__ = None  # type: ignore[assignment]


class Opaque:
    __slots__ = ()
    __reduce_ex__ = _raise


@pytest.mark.parametrize("kind", [Raising, Lying, Arrayish])
def test_what_a_class_says_of_equality_is_not_asked(kind: Any) -> None:
    assert compare([kind(1), {"a": kind([2])}], [kind(1), {"a": kind([2])}]) is None
    assert only([kind(1), kind([2])], [kind(1), kind([3])]).path == "[1].x[0]"
    assert compare(np.array([kind(1), None], dtype=object), np.array([kind(1), None], dtype=object)) is None
    assert frame_change(pd.DataFrame({"a": [kind(1), 2]}), pd.DataFrame({"a": [kind(3), 2]})).rows_changed == 1


class Metres(float):
    __float__ = __eq__ = __hash__ = _raise

    def __init__(self, number: float) -> None:
        self.unit = "m"


def test_a_number_of_a_persons_class_is_the_number_and_what_it_carries() -> None:
    assert compare([Metres(1.5)], [Metres(1.5)]) is None
    assert text([Metres(1.5)], [Metres(3.0)]) == ["[0]: 1.5 → 3.0   (off by 1.5, 100 %)"]
    feet = Metres(1.5)
    feet.unit = "ft"
    assert only(Metres(1.5), feet).path == ".unit"


def test_what_cannot_be_compared_is_told() -> None:
    assert "cannot be compared: RuntimeError" in text([Opaque()], [Opaque()])[0]
    assert only(Raising(1), Lying(1)).kind == "value"
    changes([iter([1])], [iter([2])])


# -- anything

ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=20), st.dates(),
    st.lists(st.integers(-9, 9), max_size=5).map(lambda parts: np.array(parts, dtype=float)),
    st.sets(st.text(max_size=3) | st.integers(), max_size=4),
)  # fmt: skip
KEYS = st.text(max_size=5) | st.integers()


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(KEYS, inner, max_size=6), st.tuples(inner, inner),
        st.builds(Order, inner, inner), st.builds(Slotted, inner), st.builds(Point, inner, inner),
        st.builds(Lying, inner),
    )  # fmt: skip


VALUES = st.recursive(ATOMS, _nested, max_leaves=25)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_a_copy_is_equal(value: object) -> None:
    assert compare(value, copy.deepcopy(value)) is None


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, VALUES)
def test_both_sides_agree_on_whether_they_differ(left: object, right: object) -> None:
    found = compare(left, right)
    assert (found is None) == (compare(right, left) is None)
    if found is not None:
        json.dumps(found.to_dict(), allow_nan=False)
        assert len(lines(found)) < 1000


class Marker:
    """What was planted."""


def planted(value: Any, choose: Callable[[int], int]) -> tuple[Any, str]:
    """Replace one part somewhere in a copy, and return the copy with the path to the part."""
    steps: list[tuple[str, Callable[[Any], None], Any]] = []
    if isinstance(value, dict):
        steps = [(f"[{key!r}]", key, part) for key, part in value.items()]  # type: ignore[misc]
    elif isinstance(value, Point):
        steps = [(f".{name}", name, getattr(value, name)) for name in value._fields]  # type: ignore[misc]
    elif isinstance(value, list | tuple):
        steps = [(f"[{at}]", at, part) for at, part in enumerate(value)]  # type: ignore[misc]
    elif isinstance(value, Order | Slotted | Lying):
        names = {Order: ["price", "tags"], Slotted: ["inner"], Lying: ["x"]}[type(value)]
        steps = [(f".{name}", name, getattr(value, name)) for name in names]  # type: ignore[misc]
    at = choose(len(steps) + 1)
    if at == len(steps):
        return Marker(), ""
    step, key, part = steps[at]
    new, path = planted(part, choose)
    if isinstance(value, Point):
        return value._replace(**{str(key): new}), step + path
    if isinstance(value, tuple):
        return (*value[:key], new, *value[key + 1 :]), step + path  # type: ignore[index,operator]
    copied = copy.copy(value)
    if isinstance(value, dict | list):
        copied[key] = new  # type: ignore[index]
    else:
        setattr(copied, str(key), new)
    return copied, step + path


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, st.data())
def test_a_planted_change_is_found_and_named(value: Any, data: st.DataObject) -> None:
    changed, path = planted(value, lambda count: data.draw(st.integers(0, count - 1)))
    change = only(value, copy.deepcopy(changed))
    assert isinstance(change, ValueChange)
    assert change.path == path
    assert change.right_path is None


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=30))
def test_lists_differ_where_aligning_them_says(left: list[int], right: list[int]) -> None:
    found = compare(left, right, most=100)
    gone = added = 0
    if isinstance(found, Difference):
        for group in found.groups:
            first = group.changes[0]
            if isinstance(first, PartChange):
                gone += group.count if first.side == "left" else 0
                added += group.count if first.side == "right" else 0
    assert len(left) - gone == len(right) - added
