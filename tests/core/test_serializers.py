"""Pickling: which bytes, and what a value that cannot be pickled gets."""

from __future__ import annotations

import dataclasses
import io
import pickle
import threading
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest

from ckpt.errors import NotSerializable, StoreUnavailable
from ckpt.serializers import PickleSerializer, pickled, unpickle

LOCK = threading.Lock()


def dumped(value: object) -> bytes:
    out = io.BytesIO()
    PickleSerializer().dump(value, out)
    return out.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**100, 1.5, float("inf"), 2j, "", "ż" * 300, b"", b"x" * 70_000, "y" * 70_000,
        np.arange(5), np.arange(20_000), np.zeros((3, 4), order="F"), np.array("text"), np.arange(3).astype("M8[D]"),
    ],
    ids=repr,
)  # fmt: skip
def test_the_quick_way_gives_the_bytes_of_cloudpickle(value: object) -> None:
    assert dumped(value) == cloudpickle.dumps(value, 5)
    assert pickled(value) == cloudpickle.dumps(value, 5)


def test_what_only_cloudpickle_can_pickle_goes_through_it() -> None:
    here = 3
    assert unpickle(dumped(lambda x: x + here))(4) == 7  # type: ignore[operator]
    assert unpickle(pickled(lambda x: x + here))(4) == 7  # type: ignore[operator]
    marked = np.zeros(3, dtype=np.dtype("f8", metadata={"how": lambda: 1}))
    assert unpickle(dumped(marked)).tolist() == [0, 0, 0]  # type: ignore[attr-defined]
    objects = np.array([lambda: 5], dtype=object)
    assert unpickle(dumped(objects))[0]() == 5  # type: ignore[index]


def test_a_source_may_be_a_file_and_buffers_may_come_beside() -> None:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(np.arange(4), 5, buffer_callback=buffers.append)
    assert unpickle(io.BytesIO(data), buffers=buffers).tolist() == [0, 1, 2, 3]  # type: ignore[attr-defined]
    assert PickleSerializer().load(io.BytesIO(pickled([1]))) == [1]


@dataclasses.dataclass
class Row:
    when: object
    other: int = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    inner: object


class Plain:
    def __init__(self, rows: object) -> None:
        self.rows = rows


class Hostile:
    @property
    def __dict__(self) -> Any:
        raise RuntimeError("no")

    def __reduce__(self) -> Any:
        raise ValueError("not today")


Point = namedtuple("Point", "x y")


FILE = open("/dev/null", "rb")  # noqa: SIM115, PTH123  kept open for the whole module


def generator() -> Any:
    yield


def holder(held: object) -> Callable[[], object]:
    return lambda: held


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        (LOCK, None, "_thread.lock"),
        (generator(), None, "generator"),
        ([1, LOCK], "[1]", "_thread.lock"),
        ([0] * 5000 + [LOCK] + [0] * 5000, "[5000]", "_thread.lock"),
        ({"a": {"b": [LOCK]}}, "['a']['b'][0]", "_thread.lock"),
        ({"x": 1, (1, LOCK): 2}, " key (1, <unlocked", "_thread.lock"),
        ({1, LOCK}, " item <lock>", "_thread.lock"),
        (Plain([0, 1, 2, Row({"when": LOCK})]), ".rows[3].when['when']", "_thread.lock"),
        (Slotted(inner=(1, LOCK)), ".inner[1]", "_thread.lock"),
        (Point(1, Point(2, LOCK)), ".y.y", "_thread.lock"),
        ([lambda: LOCK], "[0] global LOCK", "_thread.lock"),
        ([holder(LOCK)], "[0] variable held", "_thread.lock"),
        ({"rows": [{"id": 1}, {"id": 2, "in": FILE}]}, "['rows'][1]['in']", "BufferedReader"),
        ([Hostile()], "[0]", "test_serializers.Hostile"),
    ],
)
def test_the_path_to_what_cannot_be_pickled_is_named(value: object, path: str | None, kind: str) -> None:
    for work in (dumped, pickled):
        with pytest.raises(NotSerializable) as caught:
            work(value)
        message = str(caught.value)
        assert (f"the value at {path}" if path else "the value, a ") in message
        assert kind in message
        assert "@task(checkpoint=False)" in message
        assert isinstance(caught.value.__cause__, Exception)


def test_a_deep_value_and_a_full_memory_say_what_happened() -> None:
    deep: list[object] = []
    for _ in range(200_000):
        deep = [deep]
    for work in (dumped, pickled):
        with pytest.raises(NotSerializable, match="a list, is nested too deeply"):
            work(deep)
    while deep:
        deep = deep[0]  # type: ignore[assignment]

    class Huge:
        def __reduce__(self) -> Any:
            raise MemoryError

    with pytest.raises(NotSerializable, match="memory ran out"):
        dumped([Huge()])


def test_a_value_that_changes_while_it_is_pickled_is_refused_whole() -> None:
    class Shy:
        failures = 1

        def __reduce__(self) -> Any:
            if Shy.failures:
                Shy.failures -= 1
                raise RuntimeError("changed size during iteration")
            return (str, ())

    with pytest.raises(NotSerializable, match=r"the value, a list, cannot be pickled \(RuntimeError: changed size"):
        dumped([Shy()])


def test_our_own_errors_and_interrupts_pass_unchanged() -> None:
    class Raises:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __reduce__(self) -> Any:
            raise self.error

    for error in (StoreUnavailable("no room: make some"), KeyboardInterrupt()):
        for work in (dumped, pickled):
            with pytest.raises(type(error)) as caught:
                work([Raises(error)])
            assert caught.value is error
