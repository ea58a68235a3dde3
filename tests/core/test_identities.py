"""The identity of a task run: equal for what is the same in every process, different for what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckpt import Flow, Secret, Task, task
from ckpt.identities import Identities, shape

PROGRAM = """
import datetime, decimal, enum, fractions, json, pathlib, sys, uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
import numpy as np
from ckpt import Flow, Secret, task
from ckpt.identities import Identities

@dataclass
class Row:
    name: str
    tags: frozenset = frozenset({"a", "b", "c"})

@dataclass(frozen=True, slots=True)
class Slotted:
    n: int

class Colour(enum.Enum):
    RED = 1

class Plain:
    def __init__(self, n):
        self.n = n
    def method(self):
        return self.n

Point = namedtuple("Point", "x y")

def function(x, y=2):
    return x + y

words = ["one", "two", "three", "four", "five", "six"]
loop = []
loop.append(loop)
text = "".join(["long ", "text "]) * 100
VALUES = {
    "numbers": [None, True, 1, -2**80, 1.5, float("nan"), float("inf"), -0.0, 1j],
    "text": ["text", text, b"bytes" * 1000, bytearray(b"x")],
    "a set": set(words), "a frozenset": frozenset(words), "a set in a list": [1, {"a": set(words)}],
    "a set of tuples": {(word, 1) for word in words}, "a set of sets": {frozenset(words), frozenset(words[:3])},
    "a dict": {word: len(word) for word in words}, "a tuple key": {("a", 1): 2},
    "a dataclass": Row("a", frozenset({"a"})), "with slots": Slotted(3), "in a list": [Slotted(1), Slotted(2)],
    "an enum": Colour.RED, "an enum as a key": {Colour.RED: 1}, "an object": Plain(3), "a point": Point(1, 2),
    "a path": pathlib.Path("a/b"), "dates": [datetime.date(2026, 11, 22), datetime.timedelta(1)],
    "a moment": datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC),
    "decimals": [decimal.Decimal("1.10"), fractions.Fraction(1, 3)], "a uuid": uuid.UUID(int=1),
    "an array": np.arange(10.0), "a matrix": np.ones((3, 4), order="F"), "a numpy number": np.float32(1.5),
    "a dtype": np.dtype("i4"), "ordered": OrderedDict(a=1),
    "a function": function, "a lambda": lambda x: x + 1, "a class": Plain, "a method": Plain(3).method,
    "a range": range(3), "a slice": slice(1, 2), "a builtin": len, "a type": int, "what holds itself": loop,
}

@task(version="1")
def take(x):
    return x

with Flow("f") as flow:
    calls = {name: take(value) for name, value in VALUES.items()}
    calls["a secret"] = take(Secret("env:NAME"))
    calls["a call in a dataclass"] = take(Row(calls["a set"]))
    calls["a call under a key"] = take({Colour.RED: calls["a set"]})

if __name__ == "__main__":
    found = Identities()
    print(json.dumps({name: (start := found.signature(call).start) and start.hex() for name, call in calls.items()}))
"""


def identities(folder: Path, seed: int, source: str = PROGRAM) -> dict[str, str | None]:
    (folder / "program.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env={**os.environ, "PYTHONHASHSEED": str(seed)},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def test_a_constant_is_the_same_in_every_process(tmp_path: Path) -> None:
    first, second = identities(tmp_path, 1), identities(tmp_path, 2)
    assert first == second
    assert [name for name, identity in first.items() if identity is None] == []
    assert len(set(first.values())) == len(first)


def test_it_does_not_count_where_in_its_file_a_class_stands_and_what_it_says_of_itself(tmp_path: Path) -> None:
    other = PROGRAM.replace("class Plain:\n", "class Plain:\n    '''Plain.'''\n    # it is\n")
    assert identities(tmp_path, 1, other) == identities(tmp_path, 1)


def test_the_code_of_an_object_that_is_given_counts(tmp_path: Path) -> None:
    before = identities(tmp_path, 1)
    after = identities(tmp_path, 1, PROGRAM.replace("return self.n\n", "return -self.n\n"))
    assert {name for name in before if before[name] != after[name]} == {"an object", "a class", "a method"}
    after = identities(tmp_path, 1, PROGRAM.replace("return x + y", "return x - y"))
    assert {name for name in before if before[name] != after[name]} == {"a function"}


@task(version="1")
def take(x: Any, *args: Any, y: Any = 0, **named: Any) -> Any:
    return x, args, y, named


def start(build: Callable[[], Any]) -> bytes | None:
    """What a call has in its identity besides its inputs."""
    with Flow("f"):
        call = build()
    return Identities().signature(call).start


class Odd:
    """Looks the same whatever it is."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __hash__(self) -> int:
        return self.n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.n == self.n

    def __repr__(self) -> str:
        return "Odd()"


def one() -> Any:
    return task(name="one", version="1")(lambda: 1)()


DIFFERENT: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
    (lambda: take(1), lambda: take(2)),
    (lambda: take(1), lambda: take(True)),
    (lambda: take(1), lambda: take(1.0)),
    (lambda: take(0.0), lambda: take(-0.0)),
    (lambda: take("1"), lambda: take(1)),
    (lambda: take("a"), lambda: take(b"a")),
    (lambda: take([1, 2]), lambda: take((1, 2))),
    (lambda: take([1, 2]), lambda: take([2, 1])),
    (lambda: take({1, 2}), lambda: take(frozenset({1, 2}))),
    (lambda: take({1, 2}), lambda: take([1, 2])),
    (lambda: take({"a": 1, "b": 2}), lambda: take({"a": 2, "b": 1})),
    (lambda: take(1, 2), lambda: take(1, y=2)),
    (lambda: take(1, 2, 3), lambda: take(1, 3, 2)),
    (lambda: take(1, 2, 3), lambda: take(1, (2, 3))),
    (lambda: take(1, z=2), lambda: take(1, y=2)),
    (lambda: take(1, z=2), lambda: take(1, w=2)),
    (lambda: take(1), lambda: take(1, y=0)),
    (lambda: take(Secret("env:A")), lambda: take(Secret("env:B"))),
    (lambda: take([Secret("env:A")]), lambda: take([Secret("env:B")])),
    (lambda: take(Secret("env:A")), lambda: take("env:A")),
    (lambda: take(one()), lambda: take([one()])),
    (lambda: take([one()]), lambda: take((one(),))),
    (lambda: take(one()[0]), lambda: take(one()[1])),
    (lambda: take(one()[0]), lambda: take(one())),
    (lambda: take({"a": one()}), lambda: take({"b": one()})),
    (lambda: take({Odd(1): one()}), lambda: take({Odd(2): one()})),
    (lambda: take([one(), 1]), lambda: take([one(), 2])),
    (lambda: take("x" * 1000), lambda: take("x" * 1001)),
]


@pytest.mark.parametrize("number", range(len(DIFFERENT)))
def test_what_differs_has_another_identity(number: int) -> None:
    one, other = DIFFERENT[number]
    assert start(one) is not None
    assert start(one) != start(other)
    assert start(one) == start(one)


def test_equal_constants_count_as_one_whether_they_are_one_object_or_not() -> None:
    text = "x y" * 3
    assert shape([text, text]) == shape([text, "x y" + text[3:]])
    row = (1, [2])
    assert shape({"a": row, "b": row}) == shape({"a": row, "b": (1, [2])})


def test_a_task_sees_the_order_of_the_keywords_that_it_gathers() -> None:
    assert start(lambda: take(1, a=1, b=2)) != start(lambda: take(1, b=2, a=1))


def test_an_excluded_argument_does_not_count() -> None:
    def made(x: Any, verbose: Any, *args: Any, **more: Any) -> Task:
        kept = task(version="1", name="t", cache_exclude=["verbose"])(lambda x, verbose=False, *args, **more: x)
        return kept(x, verbose, *args, **more)  # type: ignore[no-any-return]

    assert start(lambda: made(1, True)) == start(lambda: made(1, False))
    assert start(lambda: made(1, True)) != start(lambda: made(2, True))
    with Flow("f"):
        upstream = one()
        signature = Identities().signature(made([upstream], upstream))  # type: ignore[arg-type]
    assert signature.slots == (0,)
    with Flow("f"):
        signature = Identities().signature(made(1, one()))  # type: ignore[arg-type]
    assert signature.slots == (), "an input that does not count"


def test_excluded_gathered_arguments_do_not_count() -> None:
    def made(*args: Any, **more: Any) -> Any:
        return task(version="1", name="t", cache_exclude=["args", "more"])(lambda x, *args, **more: x)(1, *args, **more)

    assert start(lambda: made(1, 2, a=3)) == start(lambda: made(3, 4, a=5))


def test_what_cannot_be_pickled_has_no_identity() -> None:
    import threading

    assert start(lambda: take(threading.Lock())) is None
    assert start(lambda: take([1, {"a": threading.Lock()}])) is None


def test_a_secret_counts_by_its_reference_and_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "hush")
    before = start(lambda: take([Secret("env:KEY")]))
    monkeypatch.setenv("KEY", "changed")
    assert start(lambda: take([Secret("env:KEY")])) == before
    monkeypatch.delenv("KEY")
    assert start(lambda: take([Secret("env:KEY")])) == before


def test_two_tasks_of_one_version_are_not_taken_for_each_other() -> None:
    def load(x: int) -> int:
        return x

    def clean(x: int) -> int:
        return -x

    assert start(lambda: task(version="1")(load)(1)) != start(lambda: task(version="1")(clean)(1))
