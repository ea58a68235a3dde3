"""What the codec does not keep, and what it does not believe."""

from __future__ import annotations

import enum
import importlib.resources
import json
import sys
import warnings
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, make_dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ckpt.errors import CkptError, ConfigError, CorruptRecord, NotSerializable, Unsupported
from ckpt_json import decode, encode


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    READ = 1


@dataclass
class Line:
    item: object


@dataclass
class Basket:
    orders: list[object]


@dataclass
class Fuller(Basket):
    pass


class Name(str):
    __slots__ = ()


class Amount(Decimal):
    pass


class Oddly(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "odd"


class Anything:
    pass


class Shouting:
    def __repr__(self) -> str:
        raise RuntimeError("no")


Pair = namedtuple("Pair", "a b")


def from_module(module: str, name: str, *fields: str) -> Any:
    """A dataclass as if it were defined in `module`."""
    made = make_dataclass(name, fields)
    made.__module__ = module
    return made


UNKEPT: list[tuple[Any, str]] = [
    (Anything(), f"{__name__}.Anything"),
    (Shouting(), f"{__name__}.Shouting"),
    (object, "type"),
    (len, "builtin_function_or_method"),
    (..., "ellipsis"),
    (NotImplemented, "NotImplementedType"),
    (memoryview(b""), "memoryview"),
    (iter([]), "list_iterator"),
    (ValueError("x"), "ValueError"),
    (np.arange(2), "numpy.ndarray"),
    (np.longdouble(1), "numpy.longdouble"),
    (np.longlong(1), "numpy.longlong"),
    (np.void(b"ab"), "numpy.void"),
    (Name("x"), "a plain str"),
    (Amount(1), "a plain decimal.Decimal"),
    (Pair(1, 2), "a plain tuple"),
    (OrderedDict(a=1), "a plain dict"),
    (defaultdict(int), "a plain dict"),
    (Counter(), "a plain dict"),
    (Level.LOW, "types=[Level]"),
    (Color.RED, "types=[Color]"),
    (Mode.READ, "types=[Mode]"),
    (Line(1), "types=[Line]"),
    (datetime(2026, 1, 1, tzinfo=Oddly()), "Oddly"),
]


@pytest.mark.parametrize(("value", "named"), UNKEPT, ids=[named for _, named in UNKEPT])
def test_what_cannot_be_kept_is_refused_by_type_with_the_next_step(value: object, named: str) -> None:
    for holder in (value, [value], {"a": value}):
        with pytest.raises(NotSerializable) as caught:
            encode(holder)
        assert named in str(caught.value)
        assert "handler that pickles" in str(caught.value) or "ZoneInfo(name)" in str(caught.value)


BAD = Anything()
PATHS: list[tuple[Any, str]] = [
    (BAD, "the value itself"),
    (Basket([0, 1, 2, {"when": BAD}]), ".orders[3]['when']"),
    ({"a": {1: (0, BAD)}}, "['a'][1][1]"),
    ({"$date": BAD}, "['$date']"),
    ({"a": 1, BAD: 2}, ".keys()[1]"),
    ({"a": {(1, (2, BAD)): 3}}, "['a'].keys()[0][1][1]"),
    ({"a": 1, "b\ud800": BAD}, "['b\\ud800']"),
    ([{frozenset([BAD])}], "[0]{…}{…}"),
    ([Line(Line([BAD]))], "[0].item.item[0]"),
    ([datetime(2026, 1, 1, tzinfo=Oddly())], "[0].tzinfo"),
    ({"k" * 500: BAD}, "['kkkkkkkkkkkk...kkkkkkkkkkkkk']"),
]


@pytest.mark.parametrize(("value", "path"), PATHS, ids=[path for _, path in PATHS])
def test_the_path_inside_the_value_is_named(value: object, path: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        encode(value, [Basket, Line])
    assert f"JSON cannot keep {path}: " in str(caught.value)


def test_cycles_are_refused_with_both_ends_named() -> None:
    plain: list[object] = [0]
    plain.append({"me": plain})
    with pytest.raises(NotSerializable, match=r"\['top'\]\[1\]\['me'\] is \['top'\] again"):
        encode({"top": plain})
    line = Line(None)
    line.item = (line,)
    with pytest.raises(NotSerializable, match=r"\.item\[0\] is the value itself again"):
        encode(line, [Line])
    branching: list[object] = []
    branching.extend([branching] * 5)
    with pytest.raises(NotSerializable, match=r"\[0\] is the value itself again"):
        encode(branching)


@pytest.mark.parametrize("levels", [101, 100_000])
def test_deep_nesting_is_refused(levels: int) -> None:
    value: object = []
    for _ in range(levels):
        value = [value]
    with pytest.raises(NotSerializable, match="deeper than 100"):
        encode(value)


def test_a_stack_that_is_used_up_is_no_recursion_error() -> None:
    value: object = 1
    for _ in range(90):
        value = [value]

    def from_depth(frames: int) -> None:
        if frames:
            from_depth(frames - 1)
        else:
            encode(value)

    depth = 0
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    with pytest.raises(NotSerializable, match="deep a stack"):
        from_depth(sys.getrecursionlimit() - depth - 60)


def test_a_subclass_of_a_given_type_is_not_taken_for_it() -> None:
    with pytest.raises(NotSerializable, match=r"types=\[Fuller\]"):
        encode(Fuller([]), [Basket])


def test_state_beside_the_fields_is_refused() -> None:
    line = Line(1)
    line.extra = 2  # type: ignore[attr-defined]
    with pytest.raises(NotSerializable, match=r"\[0\].*'extra' that is not a field"):
        encode([line], [Line])
    del line.item
    del line.extra  # type: ignore[attr-defined]
    with pytest.raises(NotSerializable, match=r"'item' of this .* is not set"):
        encode(line, [Line])


def test_a_zone_without_a_name_is_refused() -> None:
    with importlib.resources.files("tzdata").joinpath("zoneinfo", "Europe", "Berlin").open("rb") as file:
        zone = ZoneInfo.from_file(file)
    with pytest.raises(NotSerializable, match="not known by a name"):
        encode(datetime(2026, 1, 1, tzinfo=zone))


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ([int], "int is neither"),
        ([Pair], "neither"),
        (["Color"], "takes classes"),
        ([Color.RED], "takes classes"),
        ([make_dataclass("Listing", [("x", int)], bases=(list,))], "not all that its instances hold"),
        ([make_dataclass("Twin", ["x"]), make_dataclass("Twin", ["y"])], "two types with the name"),
    ],
)
def test_types_that_cannot_be_given_are_refused_when_they_are_given(types: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        encode(1, types)


def test_a_type_that_is_not_given_is_named_on_reading() -> None:
    for value in (Color.RED, Line(1)):
        kind = type(value)
        text = encode([value], [kind])
        with pytest.raises(ConfigError) as caught:
            decode(text)
        assert f"{kind.__module__}:{kind.__qualname__}" in str(caught.value)
        assert f"types=[{kind.__name__}]" in str(caught.value)
        with pytest.raises(ConfigError):
            decode(text, [Mode])


def test_a_class_that_changed_is_named_on_reading() -> None:
    before = from_module("place", "Moving", "a", "b")
    after = from_module("place", "Moving", "a")
    with pytest.raises(ConfigError, match=r"place:Moving was written with the fields \['a', 'b'\] and has \['a'\] now"):
        decode(encode(before(1, 2), [before]), [after])
    old, new = (enum.Enum("Stage", names, module="place") for names in ("ON OFF", "ON"))
    with pytest.raises(ConfigError, match="place:Stage has no member 'OFF' any more"):
        decode(encode(old["OFF"], [old]), [new])


def test_a_script_and_its_module_are_the_same_types() -> None:
    script = from_module("__main__", "Row", "a")
    module = from_module("flow", "Row", "a")
    other = from_module("other", "Row", "a")
    assert decode(encode(script(1), [script]), [module]) == module(1)
    assert decode(encode(module(1), [module]), [script]) == script(1)
    with pytest.raises(ConfigError):
        decode(encode(module(1), [module]), [other])
    with pytest.raises(ConfigError):
        decode(encode(script(1), [script]), [module, other])


def tampered() -> list[str]:
    wrong: dict[str, list[object]] = {
        "$int": ["0x1", "1", "0X" + "f" * 600, " 0x" + "f" * 600, "0x0" + "f" * 600, 7, None, "", "f" * 10_000, True],
        "$float": ["1.5", "NaN", "Infinity", "+inf", "-nan", "", 1.5, None, " inf"],
        "$str": ["", "YQ==", "7aC", "!", 1, None, ["7aCA"]],
        "$complex": [[1, 2], [1.0], [1.0, 2.0, 3.0], 1.0, "1+2j", None, [True, 1.0]],
        "$bytes": ["YQ", "YQ=", "YR==", "YQ==\n", "Y Q==", "é", 1, None, ["YQ=="]],
        "$bytearray": ["YQ", "YR==", 5, [1, 2], None],
        "$range": [[1], [1, 2], [0, 5, 0], [0.0, 5, 1], [True, 5, 1], "range(5)", [1, 2, 3, 4], None],
        "$date": ["20261122", "2026-W47-7", "2026-11-31", "2026-11-22T00:00:00", "", 1, None, ["2026-11-22"]],
        "$time": ["10", "10:00", "T10:00:00", "25:00:00", {"at": "10:00:00"}, {"fold": 1, "at": "10:00:00"}, 1, None],
        "$datetime": [
            "2026-11-22",
            "2026-11-22 10:00:00",
            "2026-11-22T10:00:00Z",
            "2026-11-22T10:00:00.5",
            {"at": "2026-11-22T10:00:00", "fold": 0},
            {"at": "2026-11-22T10:00:00", "fold": 2},
            {"at": "2026-11-22T10:00:00", "fold": True},
            {"at": "2026-11-22T10:00:00", "zone": "../../../etc/passwd"},
            {"at": "2026-11-22T10:00:00", "zone": "/etc/passwd"},
            {"at": "2026-11-22T10:00:00", "zone": 1},
            {"at": "2026-11-22T10:00:00+01:00", "zone": "Europe/Berlin"},
            {"at": "2026-11-22T10:00:00", "name": "CET"},
            {"at": "2026-11-22T10:00:00", "offset": [0, 3600, 0]},
            {"at": "2026-11-22T10:00:00", "offset": [2, 0, 1]},
            {"at": "2026-11-22T10:00:00", "offset": "+01:00"},
            {"at": "2026-11-22T10:00:00", "zone": "UTC", "offset": [0, 0, 1]},
            {"at": "2026-11-22T10:00:00", "zone": "UTC", "name": "UTC"},
            {"at": "2026-11-22T10:00:00+01:00", "name": "UTC+01:00"},
            {"at": "2026-11-22T10:00:00", "zone": "UTC", "more": 1},
            {"zone": "UTC", "fold": 1},
            ["2026-11-22T10:00:00"],
            0,
            None,
        ],
        "$timedelta": [[0, -1, 0], [0, 86400, 0], [1], [1.5, 0, 0], [10**9, 0, 0], [0, 0, True], 5, "1 day", None],
        "$uuid": ["0" * 32, "{00000000-0000-0000-0000-000000000001}", "A" * 8, "", 1, None],
        "$decimal": ["1_000", " 1", "\u0661", "nan", "Inf", "1e5", "", 1, [0, [1], 0], "x", None],
        "$posixpath": ["a//b", "./a", "", 1, None, ["a"]],
        "$pureposixpath": ["a/./b", "a/", "", 1, None],
        "$purewindowspath": ["a/b", "", 1, None],
        "$windowspath": [1, None],
        "$tuple": [None, 1, "ab", {"a": 1}],
        "$set": [None, "ab", [1, 1], [[1]], {"a": 1, "b": 2}, [1, True], [1, 1.0]],
        "$frozenset": [None, "ab", ["a", "a"], [{}]],
        "$dict": [None, "ab", ["ab"], [[1]], [[1, 2, 3]], [[[], 1]], [[1, 2], [1, 3]], [[1, 2], [True, 3]], {"a": 1}],
        "$enum": [None, [], ["x"], "RED", [1, "RED"], ["", "RED"], ["x:", "RED"], [f"{__name__}:Line", "RED"]],
        "$dataclass": [
            None,
            [],
            ["x:Y"],
            ["x:Y", {}, 1],
            [f"{__name__}:Line", [1]],
            [f"{__name__}:Color", {"item": 1}],
        ],
        "$numpy": [
            None,
            [],
            ["float32"],
            ["float32", 0.1],
            ["float32", 1],
            ["float16", 1e10],
            ["int8", 300],
            ["int8", "1"],
            ["int8", 1.0],
            ["bool", 1],
            ["bool_", True],
            ["float128", 1.0],
            ["object", None],
            ["O", "x"],
            ["V8", "x"],
            ["<f4", 1.0],
            ["str", 1],
            ["bytes", "a"],
            ["datetime64[ns]", "2026-01-01"],
            ["datetime64[ns]", 1 << 63],
            ["datetime64[1s]", 1],
            ["datetime64[fortnight]", 1],
            ["datetime64[0s]", 1],
            ["datetime64", 1],
            ["timedelta64[s]", 1.5],
            ["int8,int8", [1, 2]],
            [["a", "i4"], 1],
            7,
        ],
    }
    texts = [json.dumps({tag: payload}) for tag, payloads in wrong.items() for payload in payloads]
    texts += [json.dumps({tag: {"$tuple": [1.0, 2.0]}}) for tag in wrong]
    return [
        *texts,
        '{"$nothing": 1}',
        '{"$": 1}',
        '{"$DATE": "2026-11-22"}',
        '{"$date": "2026-11-22", "$date": "2026-11-22"}',
    ]


@pytest.mark.parametrize("text", tampered(), ids=lambda text: text[:70])
def test_a_payload_that_was_never_written_is_corrupt(text: str) -> None:
    for nested in (text, f"[1, {text}]", f'{{"a": {text}, "b": 2}}'):
        with pytest.raises(CorruptRecord):
            decode(nested, [Color, Line])


GARBAGE = ["", " ", "{", "nul", "[1, ]", "[1", '"a', "NaN", "-Infinity", "[Infinity]", "1e999", "-1e999", "01", "'a'"]
GARBAGE += [
    "{1: 2}",
    '{"a": 1, "a": 1}',
    '[{"a": {"b": 1, "b": 2}}]',
    "1 2",
    '"\n"',
    "\ufeff1",
    "[" * 100_000,
    "9" * 5000,
]
GARBAGE += ['{"a":' * 50_000, "\x80\x05K\x03.", '{"$tuple": ' * 20_000]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: repr(text[:20]))
def test_garbage_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptRecord):
        decode(text)


@pytest.mark.parametrize("location", [None, 3, ["3"], {"a": 1}, b"3"])
def test_what_is_no_text_is_corrupt(location: Any) -> None:
    with pytest.raises(CorruptRecord):
        decode(location)


def test_every_truncation_of_a_text_is_corrupt() -> None:
    value = {
        "a": [1, 2.5, None, Color.RED, Line((Decimal(1), {2: b"x"}))],
        "n": np.float32(1),
        "w": datetime(2026, 1, 1, tzinfo=UTC),
    }
    text = encode(value, [Color, Line])
    for end in range(len(text)):
        with pytest.raises(CorruptRecord):
            decode(text[:end], [Color, Line])


def test_every_changed_character_is_another_value_or_an_error_of_ours() -> None:
    value = [
        {3: UUID(int=7)},
        (Decimal("1.5"), b"xyz"),
        {np.int16(5), 1j},
        PurePosixPath("a/b"),
        timedelta(1),
        Color.RED,
    ]
    text = encode(value, [Color])
    refused = 0
    for place in range(len(text)):
        for character in '0"{}[],: $aZ\\':
            changed = text[:place] + character + text[place + 1 :]
            try:
                read = decode(changed, [Color])
            except CkptError:
                refused += 1
            else:
                encode(read, [Color])
    assert refused > len(text)


def test_a_path_of_another_system_is_not_read_as_something_else() -> None:
    with pytest.raises(Unsupported, match="PureWindowsPath"):
        decode('{"$windowspath": "C:\\\\a"}')
    assert WindowsPath is not PureWindowsPath


def test_a_zone_that_is_not_known_here_is_named() -> None:
    with pytest.raises(Unsupported, match=r"'Europe/Atlantis': pip install tzdata"):
        decode('{"$datetime": {"at": "2026-11-22T10:00:00", "zone": "Europe/Atlantis"}}')


def test_a_windows_path_that_text_would_change_is_not_changed() -> None:
    path = PureWindowsPath("./c:foo")
    try:
        text = encode(path)
    except NotSerializable:
        return  # Python 3.11 prints it as `c:foo`, which is another path
    assert decode(text) == path


def test_a_numpy_moment_without_a_unit_is_refused_with_what_to_do() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy deprecates them, too
        moments = [np.datetime64("NaT"), np.timedelta64(7)]
        for moment in moments:
            with pytest.raises(NotSerializable, match=r"without a unit; give it one: value\.astype\('.*64\[ns\]'\)"):
                encode(moment)


def test_a_function_with_arguments_is_refused_by_name() -> None:
    with pytest.raises(NotSerializable, match=r"\['callback'\].*functools\.partial"):
        encode({"callback": partial(len)})
