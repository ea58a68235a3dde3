"""Stores in company: threads, processes, kills."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from ckpt.errors import AlreadyExists, CkptError
from ckpt.stores import ObjectStore
from ckpt.testing.child import content, version_of
from ckpt.testing.handler_faults import SIZES
from ckpt.testing.processes import run
from ckpt.testing.store_values import StoreValues, held
from ckpt.testing.suites import asks

__all__ = ["StoreFaults"]


class StoreFaults(StoreValues):
    """Races and kills."""

    @pytest.fixture
    def opener(self) -> Callable[[], ObjectStore] | None:
        """What opens the same store in another process: a function that can be pickled, or a partial. Optional."""
        return None

    @asks("complete")
    def test_threads_meet_whole_objects_only(self, store: ObjectStore, place: str) -> None:
        store.put(place, _bytes(0, 10))
        stop = threading.Event()
        wrong: list[str] = []

        def write(number: int) -> None:
            for turn in range(6):
                version = number * 10 + turn
                if turn % 2:
                    store.put(place, _bytes(version, SIZES[turn % 2]))
                else:
                    with store.open_write(place) as writer:
                        writer.write(_bytes(version, SIZES[turn % 2]))
                        writer.commit()

        def read() -> None:
            while not stop.is_set():
                _version(store, place)
                if store.head(place).size < 10:
                    raise ValueError("a head told of a part of an object")

        def guarded(work: Callable[[], None]) -> threading.Thread:
            def run_guarded() -> None:
                try:
                    work()
                except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
                    wrong.append(f"{type(error).__name__}: {error}"[:300])

            return threading.Thread(target=run_guarded)

        readers = [guarded(read) for _ in range(2)]
        writers = [guarded(partial(write, number)) for number in range(3)]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in readers:
            thread.join()
        assert not wrong

    @asks("complete")
    def test_of_threads_that_create_one_key_one_wins(self, store: ObjectStore, place: str) -> None:
        for turn in range(5):
            key = f"{place}/{turn}"
            barrier = threading.Barrier(8)
            won: list[int] = []
            wrong: list[str] = []

            def create(number: int, key: str = key, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                try:
                    store.put(key, _bytes(number, 20_000), overwrite=False)
                except AlreadyExists:
                    return
                except CkptError as error:
                    wrong.append(repr(error))  # noqa: B023  joined below, in the same turn
                else:
                    won.append(number)  # noqa: B023  joined below, in the same turn

            threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (len(won), wrong) == (1, [])
            assert _version(store, key) == won[0], "the one that was told it had created the key is not there"

    @asks("proven")
    def test_another_process_sees_an_object_at_once(
        self, store: ObjectStore, place: str, opener: Callable[[], ObjectStore] | None
    ) -> None:
        data = self.shipped(self.given(opener, "opener"))
        store.put(place, _bytes(5, 3000))
        assert run("store", data, "see", location=place)["version"] == 5

    @asks("proven")
    def test_an_object_is_durable_when_it_is_acknowledged(
        self, store: ObjectStore, place: str, opener: Callable[[], ObjectStore] | None
    ) -> None:
        data = self.shipped(self.given(opener, "opener"))
        for version, size in ((3, SIZES[0]), (4, SIZES[1])):
            key = f"{place}/{version}"
            assert run("store", data, "leave", key=key, version=version, size=size)["killed"]
            assert _version(store, key) == version, "the object did not outlive the process that put it"

    @asks("proven")
    def test_sixteen_processes_meet_whole_objects_only(
        self, store: ObjectStore, place: str, opener: Callable[[], ObjectStore] | None
    ) -> None:
        data = self.shipped(self.given(opener, "opener"))
        store.put(place, _bytes(0, 10))
        told = run("store", data, "race", key=place, location=place, processes=16, rounds=3, sizes=SIZES)
        assert told["wrong"] == []
        assert (told["reported"], told["writes"], told["reads"]) == (16, 48, 144)
        _version(store, place)

    @asks("proven")
    def test_of_sixteen_processes_that_create_one_key_one_wins(
        self, store: ObjectStore, place: str, opener: Callable[[], ObjectStore] | None
    ) -> None:
        data = self.shipped(self.given(opener, "opener"))
        reports = run("store", data, "create", key=place, processes=16)["reports"]
        won = [report["won"] for report in reports if "won" in report]
        assert (len(won), len([report for report in reports if "lost" in report])) == (1, 15), reports
        assert _version(store, place) == won[0]

    @asks("proven")
    def test_a_write_killed_in_the_middle_leaves_the_old_value(
        self, store: ObjectStore, place: str, opener: Callable[[], ObjectStore] | None
    ) -> None:
        data = self.shipped(self.given(opener, "opener"))
        store.put(f"{place}/taken", b"old")
        for key in (f"{place}/taken", f"{place}/new"):
            assert run("store", data, "stop", key=key)["killed"]
        assert held(store, f"{place}/taken") == b"old"
        assert [info.key for info in store.list(f"{place}/")] == [f"{place}/taken"]

    @asks("proven")
    def test_writes_killed_at_any_moment_leave_whole_objects(
        self, store: ObjectStore, place: str, opener: Callable[[], ObjectStore] | None
    ) -> None:
        data = self.shipped(self.given(opener, "opener"))
        store.put(place, _bytes(0, 10))
        told = run("store", data, "kill", key=place, location=place, times=self.kills, sizes=SIZES, seed=1)
        assert told["wrong"] == []
        assert told["killed"] == self.kills
        assert [info.key for info in store.list(place)] == [place], "killed writers left objects that are listed"
        self.note("killed", f"{told['killed']} processes, after {told['acknowledged']} acknowledged writes")


def _bytes(version: int, size: int) -> bytes:
    return content(version, size).encode()


def _version(store: ObjectStore, key: str) -> int:
    return version_of(held(store, key).decode(errors="replace"))
