"""What every object store is for: bytes at keys, whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pickle import PickleBuffer
from random import Random

import pytest

from ckpt.errors import AlreadyExists, CkptError, NotFound
from ckpt.stores import Buffer, ObjectStore
from ckpt.testing.comparing import assert_same_bytes
from ckpt.testing.suites import Suite, asks

__all__ = ["StoreValues", "held", "read_at_once"]

SIZES = [0, 1, 4_095, 65_536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1]


class StoreValues(Suite):
    """Putting, getting, replacing, deleting."""

    @asks("basic")
    @pytest.mark.parametrize("size", SIZES)
    def test_bytes_come_back_the_same(self, store: ObjectStore, place: str, size: int) -> None:
        data = Random(size).randbytes(size)  # noqa: S311  to be repeatable
        info = store.put(place, data)
        assert (info.key, info.size) == (place, size)
        assert_same_bytes(held(store, place), data)

    @asks("complete")
    def test_large_objects_come_back_the_same(self, store: ObjectStore, place: str) -> None:
        data = Random(1).randbytes(self.large)  # noqa: S311  to be repeatable
        store.put(place, data)
        assert_same_bytes(held(store, place), data)
        with store.open_write(f"{place}-streamed") as writer:
            for start in range(0, len(data), 3_000_000):
                writer.write(data[start : start + 3_000_000])
            assert writer.commit().size == len(data)
        assert_same_bytes(held(store, f"{place}-streamed"), data)

    @asks("basic")
    @pytest.mark.parametrize(
        "made",
        [bytes, bytearray, memoryview, PickleBuffer, lambda data: memoryview(b"".join(b"%c-" % b for b in data))[::2]],
        ids=["bytes", "bytearray", "memoryview", "PickleBuffer", "strided memoryview"],
    )
    def test_every_kind_of_buffer_is_taken(
        self, store: ObjectStore, place: str, made: Callable[[bytes], Buffer]
    ) -> None:
        data = bytes(range(256)) * 10
        assert store.put(place, made(data)).size == len(data)
        assert_same_bytes(held(store, place), data)
        if memoryview(made(data)).c_contiguous:
            with store.open_write(place) as writer:
                writer.write(made(data))
                writer.commit()
            assert_same_bytes(held(store, place), data)

    @asks("basic")
    def test_a_buffer_may_be_reused_after_a_put(self, store: ObjectStore, place: str) -> None:
        buffer = bytearray(b"as it was")
        store.put(place, buffer)
        buffer[:] = b"destroyed"
        assert held(store, place) == b"as it was"
        got = store.get(place)
        if not memoryview(got).readonly:
            memoryview(got).cast("B")[0] = 0
            assert held(store, place) == b"as it was", "a reader's change reached what is kept"

    @asks("basic")
    def test_a_put_replaces(self, store: ObjectStore, place: str) -> None:
        for data in (b"a long first value" * 1000, b"", b"short", b"last"):
            store.put(place, data)
            assert_same_bytes(held(store, place), data)
            assert store.head(place).size == len(data)

    @asks("basic")
    def test_create_only_keeps_what_is_there(self, store: ObjectStore, place: str) -> None:
        assert store.put(place, b"first", overwrite=False).size == 5
        self.refusal(AlreadyExists, "creating a taken key", store.put, place, b"second", overwrite=False)
        assert held(store, place) == b"first"
        store.put(f"{place}-empty", b"")
        self.refusal(AlreadyExists, "creating over nothing", store.put, f"{place}-empty", b"x", overwrite=False)
        store.delete(place)
        store.put(place, b"third", overwrite=False)
        assert held(store, place) == b"third"

    @asks("basic")
    def test_nothing_there_is_not_found(self, store: ObjectStore, place: str) -> None:
        store.put(f"{place}/below", b"beside")
        for key in (place, f"{place}/below/deeper", f"{place}/bel", f"{place}/other", f"{place}-other"):
            self.refusal(NotFound, "get", store.get, key)
            error = self.refusal(NotFound, "head", store.head, key)
            assert key in str(error), "the message does not say where nothing was found"
            self.refusal(NotFound, "open_read", read_at_once, store, key)

    @asks("basic")
    def test_deletion_removes_one_object_and_is_harmless_twice(self, store: ObjectStore, place: str) -> None:
        for name in ("a", "ab", "b"):
            store.put(f"{place}/{name}", name.encode())
        store.delete(f"{place}/a")
        store.delete(f"{place}/a")
        store.delete(f"{place}/never-there")
        self.refusal(NotFound, "reading what was deleted", store.get, f"{place}/a")
        self.refusal(NotFound, "head of what was deleted", store.head, f"{place}/a")
        assert (held(store, f"{place}/ab"), held(store, f"{place}/b")) == (b"ab", b"b")
        store.put(f"{place}/a", b"again")
        assert held(store, f"{place}/a") == b"again"

    @asks("basic")
    def test_many_are_deleted_at_once(self, store: ObjectStore, place: str) -> None:
        keys = [f"{place}/{number}" for number in range(30)]
        for key in keys:
            store.put(key, b"x")
        store.delete_many(iter([*keys[:20], f"{place}/never-there"]))
        assert sorted(info.key for info in store.list(f"{place}/")) == sorted(keys[20:])
        store.delete_many([])

    @asks("basic")
    def test_many_are_put_at_once_and_answered_in_order(self, store: ObjectStore, place: str) -> None:
        objects: list[tuple[str, Buffer]] = [(f"{place}/{n // 10}/{n}", b"%d" % n) for n in range(70)]
        store.put(objects[3][0], b"to be replaced")
        assert list(store.put_many(objects)) == [None] * len(objects)
        assert [held(store, key) for key, _ in objects] == [data for _, data in objects]
        assert list(store.put_many([])) == []
        refused = next((key for key in ("", "..", "a/../b", "\0", "x" * 5000) if self._refuses(store, key)), None)
        if refused is None:
            self.note("good to know", "no key is refused, so put_many was not asked to answer for one that failed")
            return
        bad, good, also_good = store.put_many([(refused, b"bad"), (f"{place}/x", b"x"), (f"{place}/y", b"y")])
        assert (good, also_good) == (None, None)
        assert isinstance(bad, CkptError)
        assert (held(store, f"{place}/x"), held(store, f"{place}/y")) == (b"x", b"y")

    def _refuses(self, store: ObjectStore, key: str) -> bool:
        try:
            store.put(key, b"")
        except CkptError:
            return True
        store.delete(key)
        return False

    @asks("basic")
    def test_a_head_describes_the_object(self, store: ObjectStore, place: str) -> None:
        store.put(place, b"12345")
        info = store.head(place)
        assert (info.key, info.size) == (place, 5)
        assert info.modified is not None, "a head knows when the object was written"
        assert info.modified.utcoffset() == timedelta(0), "`modified` is in UTC, and says so"
        assert abs((info.modified - _now()).total_seconds()) < 86_400

    @asks("basic")
    def test_an_object_can_be_read_in_pieces(self, store: ObjectStore, place: str) -> None:
        data = Random(2).randbytes(300_000)  # noqa: S311  to be repeatable
        store.put(place, data)
        with store.open_read(place) as source:
            assert source.read(10) == data[:10]
            rest = bytearray()
            while piece := source.read(70_000):
                rest += piece
            assert data[10:] == bytes(rest)
            assert source.read(1) == b""
        with store.open_read(place) as source:
            area, done = bytearray(len(data) + 10), 0
            while count := source.readinto(memoryview(area)[done:]):  # type: ignore[attr-defined]  # the fast path
                done += count
        assert_same_bytes(area[:done], data)


def _now() -> datetime:
    return datetime.now(UTC)


def held(store: ObjectStore, key: str) -> bytes:
    """What the store gives for `key`."""
    return bytes(memoryview(store.get(key)).cast("B"))


def read_at_once(store: ObjectStore, key: str) -> bytes:
    """What the store gives for `key` as a stream."""
    with store.open_read(key) as source:
        return source.read()
