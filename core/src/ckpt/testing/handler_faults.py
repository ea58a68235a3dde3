"""What remains when a write fails, is interrupted or has company: the old value or the new, whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from ckpt.errors import CkptError, NotFound, NotSerializable
from ckpt.handlers import JSON, ResultHandler
from ckpt.testing.child import MIDDLE, content, version_of
from ckpt.testing.doors import BackDoor
from ckpt.testing.handler_keys import HandlerKeys
from ckpt.testing.processes import run
from ckpt.testing.suites import asks

__all__ = ["HandlerFaults"]

SIZES = [3_000, 1_200_000]
"""Letters in the values that are raced for: sent at once, and streamed."""
_PATIENCE = 2.0
"""Seconds after which a reader may be waiting for the writer, which is allowed."""


class _Refuses:
    """Cannot be pickled, but only when everything before it has been."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("this part cannot be pickled")


class _Calls:
    """Calls a function of this process while it is pickled; comes back as None."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        self._function()
        return type(None), ()


class HandlerFaults(HandlerKeys):
    """Failures, kills and races."""

    @asks("basic")
    def test_a_failed_write_leaves_the_old_value(self, handler: ResultHandler, place: str) -> None:
        location = self.keyed(handler, place)
        handler.write("the old value", key=place)
        for before in (b"", b"x" * MIDDLE):
            self.refusal(NotSerializable, "writing", handler.write, [before, _Refuses()], key=place)
            assert handler.read(location) == "the old value"

    @asks("complete")
    def test_a_failed_write_of_a_new_key_leaves_nothing(
        self, handler: ResultHandler, place: str, raw: BackDoor | None
    ) -> None:
        readable = self.keyed(handler, f"{place}-old") == f"{place}-old"
        if not readable and raw is None:
            self.unasked("give the fixture `raw`: where nothing should be can only be seen from outside")
        before = sorted(map(str, raw.list())) if raw else None
        for number, begin in enumerate((b"", b"x" * MIDDLE)):
            key = f"{place}-{number}"
            self.refusal(NotSerializable, "writing", handler.write, [begin, _Refuses()], key=key)
            if readable:
                self.refusal(NotFound, "reading what was never written", handler.read, key)
        if raw:
            assert sorted(map(str, raw.list())) == before, "the failed write left something behind"

    @asks("complete")
    def test_a_reader_during_a_write_sees_the_old_value(self, handler: ResultHandler, place: str) -> None:
        location = self.keyed(handler, place)
        handler.write("the old value", key=place)
        seen: list[object] = []

        def look() -> None:
            reader = threading.Thread(target=lambda: seen.append(_read(handler, location)))
            reader.start()
            readers.append(reader)
            reader.join(_PATIENCE)

        readers: list[threading.Thread] = []
        try:
            handler.write([b"x" * MIDDLE, _Calls(look), b"y" * MIDDLE], key=place)
        except NotSerializable as error:
            self.pointless(f"the handler takes no value that calls back while it is written: {error}")
        for reader in readers:
            reader.join()
        new = [b"x" * MIDDLE, None, b"y" * MIDDLE]
        assert handler.read(location) == new
        assert seen, "the value was written without having been pickled"
        assert all(value in ("the old value", new) for value in seen), f"a reader saw {str(seen)[:200]}"

    @asks("complete")
    def test_readers_and_writers_in_threads_meet_whole_values_only(self, handler: ResultHandler, place: str) -> None:
        location = self.keyed(handler, place)
        handler.write(content(0, 10), key=place)
        wrong: list[str] = []
        stop = threading.Event()

        def write(number: int) -> None:
            for turn in range(6):
                handler.write(content(number * 10 + turn, SIZES[turn % 2]), key=place)

        def read() -> None:
            while not stop.is_set():
                version_of(handler.read(location))

        readers = [_guarded(read, wrong) for _ in range(2)]
        writers = [_guarded(partial(write, number), wrong) for number in range(2)]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in readers:
            thread.join()
        assert not wrong

    @asks("complete")
    def test_sixteen_processes_meet_whole_values_only(self, handler: ResultHandler, place: str) -> None:
        data = self.shipped(handler)
        location = self.keyed(handler, place)
        handler.write(content(0, 10), key=place)
        told = run("handler", data, "race", key=place, location=location, processes=16, rounds=3, sizes=SIZES)
        assert told["wrong"] == []
        assert (told["reported"], told["writes"], told["reads"]) == (16, 48, 144)
        version_of(handler.read(location))

    @asks("complete")
    def test_a_write_killed_in_the_middle_leaves_the_old_value(self, handler: ResultHandler, place: str) -> None:
        data = self.shipped(handler)
        location = self.keyed(handler, place)
        handler.write("the old value", key=place)
        told = run("handler", data, "stop", key=place)
        if not told["killed"]:
            self.pointless("the handler writes without pickling what it is given, so nothing can kill it there")
        assert handler.read(location) == "the old value"

    @asks("complete")
    def test_writes_killed_at_any_moment_leave_whole_values(self, handler: ResultHandler, place: str) -> None:
        data = self.shipped(handler)
        location = self.keyed(handler, place)
        handler.write(content(0, 10), key=place)
        told: dict[str, Any] = run(
            "handler", data, "kill", key=place, location=location, times=self.kills, sizes=SIZES, seed=1
        )
        assert told["wrong"] == []
        assert told["killed"] == self.kills
        self.note("killed", f"{told['killed']} processes, after {told['acknowledged']} acknowledged writes")

    @asks("complete")
    def test_a_value_is_durable_when_write_returns(self, handler: ResultHandler, place: str) -> None:
        data = self.shipped(handler)
        for size in SIZES:
            told = run("handler", data, "leave", key=f"{place}-{size}", version=3, size=size)
            if "refused" in told:
                assert size > SIZES[0], told["refused"]
                self.note("values refused", f"{size} letters", told["refused"])
                continue
            assert told["killed"]
            location = told["location"]
            assert version_of(handler.read(location)) == 3, "the value did not outlive the process that wrote it"
            assert run("handler", data, "see", location=location) == {"killed": False, "version": 3}


def _read(handler: ResultHandler, location: JSON) -> object:
    try:
        return handler.read(location)
    except CkptError as error:
        return error


def _guarded(work: Callable[[], object], wrong: list[str]) -> threading.Thread:
    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
            wrong.append(f"{type(error).__name__}: {error}"[:300])

    return threading.Thread(target=guarded)
