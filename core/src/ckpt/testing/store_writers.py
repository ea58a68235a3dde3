"""Objects that come piece by piece: nothing is seen before the commit."""

from __future__ import annotations

import contextlib

import pytest

from ckpt.errors import AlreadyExists, NotFound
from ckpt.stores import ObjectStore
from ckpt.testing.child import MIDDLE
from ckpt.testing.comparing import assert_same_bytes
from ckpt.testing.doors import BackDoor
from ckpt.testing.store_values import StoreValues, held
from ckpt.testing.suites import asks

__all__ = ["StoreWriters"]


class StoreWriters(StoreValues):
    """Writers."""

    @pytest.fixture
    def raw(self) -> BackDoor | None:
        """The back door to the stored bytes. Optional."""
        return None

    @asks("basic")
    def test_nothing_is_seen_before_the_commit(self, store: ObjectStore, place: str) -> None:
        store.put(f"{place}/taken", b"old")
        for key in (f"{place}/new", f"{place}/taken"):
            with store.open_write(key) as writer:
                for _ in range(MIDDLE >> 20):
                    writer.write(b"x" * (1 << 20))
                assert held(store, f"{place}/taken") == b"old"
                self.refusal(NotFound, "reading before the commit", store.get, f"{place}/new")
                self.refusal(NotFound, "head before the commit", store.head, f"{place}/new")
                assert [info.key for info in store.list(f"{place}/")] == [f"{place}/taken"]
        assert held(store, f"{place}/taken") == b"old"
        with store.open_write(f"{place}/new") as writer:
            writer.write(b"one ")
            writer.write(b"")
            writer.write(b"two")
            info = writer.commit()
        assert (info.key, info.size) == (f"{place}/new", 7)
        assert held(store, f"{place}/new") == b"one two"

    @asks("basic")
    def test_a_commit_replaces(self, store: ObjectStore, place: str) -> None:
        store.put(place, b"old" * 100)
        for data in (b"new", b""):
            with store.open_write(place) as writer:
                writer.write(data)
                writer.commit()
            assert_same_bytes(held(store, place), data)

    @asks("basic")
    def test_an_aborted_write_leaves_the_old_value(self, store: ObjectStore, place: str, raw: BackDoor | None) -> None:
        store.put(f"{place}/taken", b"old")
        before = sorted(map(str, raw.list())) if raw else None
        for key in (f"{place}/new", f"{place}/taken"):
            writer = store.open_write(key)
            writer.write(b"x" * MIDDLE)
            writer.abort()
            writer.abort()
            with store.open_write(key) as writer:
                writer.write(b"left without a commit")
            with contextlib.suppress(ZeroDivisionError), store.open_write(key) as writer:
                writer.write(b"left by an error")
                raise ZeroDivisionError
        assert held(store, f"{place}/taken") == b"old"
        self.refusal(NotFound, "reading what was aborted", store.get, f"{place}/new")
        assert [info.key for info in store.list(f"{place}/")] == [f"{place}/taken"]
        if raw:
            assert sorted(map(str, raw.list())) == before, "the aborted write left something behind"

    @asks("basic")
    def test_an_abort_after_the_commit_is_harmless(self, store: ObjectStore, place: str) -> None:
        with store.open_write(place) as writer:
            writer.write(b"kept")
            writer.commit()
            writer.abort()
        assert held(store, place) == b"kept"

    @asks("basic")
    def test_a_create_only_writer_keeps_what_is_there(self, store: ObjectStore, place: str) -> None:
        def created(data: bytes) -> None:
            with store.open_write(place, overwrite=False) as writer:
                writer.write(data)
                writer.commit()

        created(b"first")
        self.refusal(AlreadyExists, "creating a taken key piece by piece", created, b"second")
        assert held(store, place) == b"first"

    @asks("basic")
    def test_of_two_create_only_writers_one_wins(self, store: ObjectStore, place: str) -> None:
        first, second = (store.open_write(place, overwrite=False) for _ in range(2))
        with first, second:
            first.write(b"first")
            second.write(b"second")
            first.commit()
            self.refusal(AlreadyExists, "creating a key that was taken meanwhile", second.commit)
        assert held(store, place) == b"first"

    @asks("basic")
    def test_a_buffer_may_be_reused_after_a_write(self, store: ObjectStore, place: str) -> None:
        buffer = bytearray(b"1" * (1 << 20))
        with store.open_write(place) as writer:
            for digit in b"123":
                buffer[:] = bytes([digit]) * len(buffer)
                writer.write(buffer)
            buffer[:] = b"0" * len(buffer)
            writer.commit()
        assert held(store, place) == b"".join(bytes([digit]) * (1 << 20) for digit in b"123")
