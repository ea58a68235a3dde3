"""The ready-made half of a handler, over a store that is as small as the contract allows."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pytest

from ckpt.errors import (
    AccessDenied,
    ConfigError,
    CorruptRecord,
    NotFound,
    NotSerializable,
    PluginNotFound,
    StoreUnavailable,
)
from ckpt.handlers import JSON, Meta
from ckpt.objects import ObjectResultHandler
from ckpt.records import LARGE
from ckpt.results import SafeResult
from ckpt.serializers import Serializer
from ckpt.stores import Buffer, ObjectInfo, ObjectStore


class Memory(ObjectStore):
    """Objects in a dict, and a list of what was asked."""

    def __init__(self, writers: int = 16) -> None:
        self.kept: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.writers = writers
        self.batch = 7

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        if key.startswith("refused"):
            raise AccessDenied(f"{key}: ask for the right to write")
        self.asked.append("put")
        self.kept[key] = bytes(data)
        return ObjectInfo(key, len(self.kept[key]))

    def get(self, key: str) -> Buffer:
        self.asked.append("get")
        return self._bytes(key)

    def head(self, key: str) -> ObjectInfo:
        self.asked.append("head")
        return ObjectInfo(key, len(self._bytes(key)), datetime(2026, 11, 22, tzinfo=UTC))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (ObjectInfo(key, len(data)) for key, data in self.kept.items() if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    def open_read(self, key: str) -> BinaryIO:
        self.asked.append("open_read")
        return io.BytesIO(self._bytes(key))

    def _bytes(self, key: str) -> bytes:
        if key.startswith("refused"):
            raise AccessDenied(f"{key}: ask for the right to read")
        if key not in self.kept:
            raise NotFound(f"{key}: nothing is kept there")
        return self.kept[key]


class MemoryHandler(ObjectResultHandler):
    storage_type = "memory-of-a-test"
    stores: ClassVar[dict[str, Memory]] = {}
    opened: ClassVar[list[int]] = []

    def __init__(self, name: str = "one", **options: Any) -> None:
        super().__init__(**options)
        self.name = name

    def open_store(self) -> ObjectStore:
        self.opened.append(os.getpid())
        return self.stores.setdefault(self.name, Memory())

    def to_spec(self) -> dict[str, JSON]:
        return super().to_spec() | {"name": self.name}


class Shout(Serializer):
    """Text in capitals: bytes of its own, without a record."""

    name = "shout"
    suffix = ".shout"

    def dump(self, value: object, out: BinaryIO) -> None:
        if not isinstance(value, str):
            raise NotSerializable(f"the value, a {type(value).__name__}, is not text: return text")
        out.write(value.upper().encode())

    def load(self, source: BinaryIO) -> object:
        return source.read().decode().lower()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    MemoryHandler.stores.clear()
    MemoryHandler.opened.clear()
    monkeypatch.setattr("ckpt.plugins.serializer_class", {"shout": Shout}.__getitem__)


@pytest.fixture
def handler() -> MemoryHandler:
    return MemoryHandler()


def memory(handler: MemoryHandler) -> Memory:
    store = handler.objects
    assert isinstance(store, Memory)
    return store


def kept(handler: MemoryHandler, value: object, key: str = "a/b.ckpt") -> SafeResult:
    return SafeResult.of(handler.store(value, key=key, meta=Meta(run="r", call="c-1")), handler)


LARGE_VALUE = np.arange(300_000.0)


@pytest.mark.parametrize("value", [None, {"a": [1, 2]}, LARGE_VALUE], ids=["none", "small", "large"])
@pytest.mark.parametrize("way", ["write", "store", "stage"])
def test_a_value_comes_back_from_its_location_and_from_its_safe_result(
    handler: MemoryHandler, value: object, way: str
) -> None:
    if way == "write":
        location = handler.write(value, key="some/key")
        safe = SafeResult(location, handler)
    else:
        if way == "store":
            stored = handler.store(value, key="some/key", meta=Meta())
        else:
            staged = handler.stage(value, key="some/key", meta=Meta())
            stored = staged.stored
            if staged.data is not None:
                assert memory(handler).kept == {}, "staged is not sent"
                assert list(handler.send([staged])) == [None]
        data = memory(handler).kept["some/key"]
        assert (stored.location, stored.size, stored.serializer) == ("some/key", len(data), "pickle")
        safe = SafeResult.of(stored, handler)
    assert safe.value == "some/key"
    for found in (handler.read("some/key"), handler.fetch(safe), pickle.loads(memory(handler).kept["some/key"])):
        assert np.array_equal(found, value)  # type: ignore[arg-type]


def test_a_large_value_is_durable_when_it_is_staged(handler: MemoryHandler) -> None:
    assert handler.stage(LARGE_VALUE, key="k", meta=Meta()).data is None
    assert "k" in memory(handler).kept


def test_a_store_without_writers_gets_every_value_at_once() -> None:
    MemoryHandler.stores["one"] = Memory(writers=0)
    handler = MemoryHandler()
    assert handler.stage(1, key="k", meta=Meta()).data is None
    assert "k" in memory(handler).kept
    assert (handler.writers, handler.batch) == (0, 7)


def test_each_of_a_batch_is_answered(handler: MemoryHandler) -> None:
    staged = [handler.stage(1, key=key, meta=Meta()) for key in ("a", "refused/b", "c")]
    first, second, third = handler.send(staged)
    assert (first, third) == (None, None)
    assert isinstance(second, AccessDenied)
    assert set(memory(handler).kept) == {"a", "c"}


def test_a_write_without_a_key_makes_a_new_one_each_time() -> None:
    handler = MemoryHandler(prefix="/under/here/")
    first, second = handler.write(1), handler.write(1)
    assert first != second
    for location in (first, second):
        assert re.fullmatch(r"under/here/\d{4}/\d\d/\d\d/[0-9a-f]{32}\.ckpt", str(location))
        assert handler.read(location) == 1


def test_a_small_value_is_read_with_one_request_and_a_large_one_as_a_stream(handler: MemoryHandler) -> None:
    small, large = kept(handler, 1, "small"), kept(handler, LARGE_VALUE, "large")
    memory(handler).asked.clear()
    handler.fetch(small)
    assert memory(handler).asked == ["get"]
    memory(handler).asked.clear()
    handler.fetch(large)
    assert "open_read" in memory(handler).asked
    assert "get" not in memory(handler).asked


def test_what_the_safe_result_pins_is_checked(handler: MemoryHandler) -> None:
    for value, other in ((1, 2), (LARGE_VALUE, LARGE_VALUE + 1)):
        safe = kept(handler, value)
        kept(handler, other)
        with pytest.raises(CorruptRecord, match=r"a/b\.ckpt: .*another value"):
            handler.fetch(safe)
    data = memory(handler).kept["a/b.ckpt"]
    for change in (data[:-1], data + b"x", data[:50], b""):
        memory(handler).kept["a/b.ckpt"] = change
        with pytest.raises(CorruptRecord, match=r"a/b\.ckpt: "):
            handler.fetch(safe)
        with pytest.raises(CorruptRecord, match=r"a/b\.ckpt: "):
            handler.read("a/b.ckpt")


def test_a_size_that_a_safe_result_only_claims_allocates_nothing(handler: MemoryHandler) -> None:
    kept(handler, 1, "k")
    for size in (1 << 60, -1):
        with pytest.raises(CorruptRecord, match="k: "):
            handler.fetch(SafeResult("k", handler, size=size))


def test_a_value_that_is_replaced_while_it_is_read_is_read_whole(handler: MemoryHandler) -> None:
    values = [LARGE_VALUE[:-1], LARGE_VALUE]
    kept(handler, values[0], "k")

    class Replaced(Memory):
        def open_read(self, key: str) -> BinaryIO:
            if len(values) > 1:
                values.pop(0)
                kept(handler, values[0], key)
            return super().open_read(key)

    store = memory(handler)
    store.__class__ = Replaced
    assert np.array_equal(handler.read("k"), LARGE_VALUE)  # type: ignore[arg-type]


def test_a_value_that_is_replaced_there_and_back_while_it_is_read_is_read_whole(handler: MemoryHandler) -> None:
    kept(handler, LARGE_VALUE, "k")
    large = memory(handler).kept["k"]
    kept(handler, "small", "k")
    small = memory(handler).kept["k"]
    memory(handler).kept["k"] = large

    class Swapped(Memory):
        def open_read(self, key: str) -> BinaryIO:
            self.kept[key] = small
            source = super().open_read(key)
            self.kept[key] = large
            return source

    memory(handler).__class__ = Swapped
    assert np.array_equal(handler.read("k"), LARGE_VALUE)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["notes.txt", "v1.2/of x.y z", "a.", "a/.hidden"])
def test_a_key_of_a_persons_own_may_end_in_anything(
    handler: MemoryHandler, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> type[Serializer]:
        if name != "shout":
            raise PluginNotFound(f"no installed plugin serves the serializer {name!r}")
        return Shout

    monkeypatch.setattr("ckpt.plugins.serializer_class", found)
    assert handler.read(handler.write(["value"], key=key)) == ["value"]
    bare = MemoryHandler("bare", serializer="shout")
    assert bare.read(bare.write("value", key=key)) == "value"


def test_errors_of_the_store_pass_unchanged(handler: MemoryHandler) -> None:
    for location, error in (("missing", NotFound), ("refused/x", AccessDenied)):
        with pytest.raises(error):
            handler.read(location)
        with pytest.raises(error):
            handler.fetch(SafeResult(location, handler, size=10, digest="0" * 64, serializer="pickle"))
        with pytest.raises(error):
            handler.meta(location)
    with pytest.raises(AccessDenied):
        handler.store(1, key="refused/x", meta=Meta())
    with pytest.raises(AccessDenied):
        handler.store(LARGE_VALUE, key="refused/x", meta=Meta())


def test_exists_asks_for_the_head_alone_and_refused_is_not_absent(handler: MemoryHandler) -> None:
    kept(handler, 1, "there")
    memory(handler).asked.clear()
    assert handler.exists("there")
    assert not handler.exists("elsewhere")
    assert memory(handler).asked == ["head", "head"]
    with pytest.raises(AccessDenied):
        handler.exists("refused/x")
    handler.delete("there")
    handler.delete("there")
    assert not handler.exists("there")


@pytest.mark.parametrize("location", [None, 7, "", ["a"], {"key": "a"}, True])
def test_a_location_that_is_no_key_is_refused(handler: MemoryHandler, location: JSON) -> None:
    for use in (handler.read, handler.exists, handler.delete, handler.raw, handler.meta):
        with pytest.raises(ConfigError, match="not a location"):
            use(location)


# Serializers


def test_bare_bytes_are_kept_as_they_are_and_pinned_by_the_safe_result(caplog: pytest.LogCaptureFixture) -> None:
    handler = MemoryHandler(serializer="shout")
    assert handler.suffix == ".shout"
    safe = kept(handler, "quiet", "a/b.shout")
    data = memory(handler).kept["a/b.shout"]
    assert data == b"QUIET"
    assert (safe.digest, safe.size, safe.serializer) == (hashlib.sha256(data).hexdigest(), 5, "shout")
    with caplog.at_level(logging.INFO, logger="ckpt"):
        assert handler.fetch(safe) == "quiet"
        assert caplog.messages == []
        assert handler.read("a/b.shout") == "quiet"
        assert "not verified" in caplog.text
    for damaged in (b"QUIEX", b"QUIE", b"QUIET."):
        memory(handler).kept["a/b.shout"] = damaged
        with pytest.raises(CorruptRecord, match=r"a/b\.shout: "):
            handler.fetch(safe)
    memory(handler).kept["a/b.shout"] = b"\xff"
    with pytest.raises(CorruptRecord, match="shout cannot read it"):
        handler.read("a/b.shout")
    with pytest.raises(NotSerializable):
        handler.store(1, key="k", meta=Meta())


def test_a_large_bare_value_is_durable_when_it_is_staged() -> None:
    handler = MemoryHandler(serializer="shout")
    staged = handler.stage("x" * LARGE, key="k.shout", meta=Meta())
    assert staged.data is None
    assert handler.fetch(SafeResult.of(staged.stored, handler)) == "x" * LARGE


def test_what_was_recorded_reads_the_value_not_what_the_handler_writes_now() -> None:
    pickling, shouting = MemoryHandler(), MemoryHandler(serializer="shout")
    old, new = kept(pickling, {"a": 1}, "old"), kept(shouting, "text", "new")
    large = kept(pickling, LARGE_VALUE, "large")
    assert shouting.fetch(old) == {"a": 1}
    assert pickling.fetch(new) == "text"
    assert np.array_equal(shouting.fetch(large), LARGE_VALUE)  # type: ignore[arg-type]
    # By key alone: the bytes say that they are a record, else the end of the key counts.
    kept(shouting, "text", "other.shout")
    assert shouting.read("old") == {"a": 1}
    assert np.array_equal(shouting.read("large"), LARGE_VALUE)  # type: ignore[arg-type]
    assert pickling.read("other.shout") == "text"
    assert shouting.read("new") == "text"


def test_a_pickle_that_is_no_record_is_never_read(handler: MemoryHandler) -> None:
    shouting = MemoryHandler(serializer="shout")
    memory(handler)
    for key in ("a", "a.ckpt"):
        for data in (pickle.dumps(1), pickle.dumps(LARGE_VALUE)):
            memory(handler).kept[key] = data
            for safe in (
                SafeResult(key, handler),
                SafeResult(key, handler, serializer="pickle"),
                SafeResult(key, handler, size=len(data), digest="0" * 64, serializer="pickle"),
            ):
                with pytest.raises(CorruptRecord):
                    handler.fetch(safe)
    with pytest.raises(CorruptRecord):
        shouting.read("a.ckpt")


# For the command


def test_raw_and_meta_show_what_is_there_without_unpickling(handler: MemoryHandler) -> None:
    for value in ([1], LARGE_VALUE):
        safe = kept(handler, value)
        assert handler.raw(safe.value) == memory(handler).kept["a/b.ckpt"]
        facts = handler.meta(safe.value)
        assert (facts["run"], facts["call"], facts["content"]) == ("r", "c-1", safe.digest)
        broken = bytearray(memory(handler).kept["a/b.ckpt"])
        broken[40] ^= 1
        memory(handler).kept["a/b.ckpt"] = bytes(broken)
        with pytest.raises(CorruptRecord):
            handler.meta(safe.value)
    shouting = MemoryHandler(serializer="shout")
    kept(shouting, "text", "x.shout")
    assert handler.meta("x.shout") == {"serializer": "shout", "size": 4, "modified": "2026-11-22T00:00:00+00:00"}


# Handlers travel


def test_the_spec_holds_what_is_not_the_default() -> None:
    assert MemoryHandler().to_spec() == {"type": "memory-of-a-test", "name": "one"}
    full = MemoryHandler("two", prefix="/p/", template="{call}{map}", serializer="shout")
    spec = full.to_spec()
    assert spec == {
        "type": "memory-of-a-test", "name": "two", "prefix": "p", "template": "{call}{map}", "serializer": "shout",
    }  # fmt: skip
    assert MemoryHandler.from_spec(spec).to_spec() == spec


def test_a_wrong_template_or_prefix_is_refused_when_the_handler_is_made() -> None:
    with pytest.raises(ConfigError, match="did you mean 'run_id'"):
        MemoryHandler(template="{runid}/{call}")
    with pytest.raises(ConfigError, match="prefix"):
        MemoryHandler(prefix="../x")


def test_the_store_is_opened_once_however_many_threads_ask(handler: MemoryHandler) -> None:
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        handler.objects  # noqa: B018  opens it

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(MemoryHandler.opened) == 1


def test_a_store_that_could_not_be_opened_is_tried_again(handler: MemoryHandler) -> None:
    def refuse() -> ObjectStore:
        raise StoreUnavailable("no network: try again")

    handler.open_store = refuse  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        handler.write(1)
    del handler.open_store  # type: ignore[attr-defined]
    assert handler.read(handler.write(1)) == 1


def test_the_store_stays_behind_when_the_handler_is_pickled(handler: MemoryHandler) -> None:
    handler.write(1)
    handler.__dict__["_store"].unpicklable = threading.Lock()
    copy = pickle.loads(pickle.dumps(handler))
    assert copy.__dict__.keys() == MemoryHandler().__dict__.keys()
    assert copy.to_spec() == handler.to_spec()
    copy.write(1)
    assert len(MemoryHandler.opened) == 2


def test_a_child_of_fork_opens_its_own_store_even_while_a_thread_was_opening_one(handler: MemoryHandler) -> None:
    handler.write(1)
    inside, leave = threading.Event(), threading.Event()

    class Slow(MemoryHandler):
        def open_store(self) -> ObjectStore:
            inside.set()
            leave.wait()
            return Memory()

    thread = threading.Thread(target=lambda: Slow().objects)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        before = len(MemoryHandler.opened)
        handler.write(1)
        os._exit(0 if MemoryHandler.opened[before:] == [os.getpid()] else 1)
    leave.set()
    thread.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    handler.write(1)
    assert len(MemoryHandler.opened) == 1, "the parent keeps its own"


def test_a_broken_record_never_reaches_the_store(handler: MemoryHandler) -> None:
    for value in ([threading.Lock()], [LARGE_VALUE, threading.Lock()]):
        with pytest.raises(NotSerializable):
            handler.store(value, key="k", meta=Meta())
    assert MemoryHandler.stores.get("one", Memory()).kept == {}


def test_a_key_that_could_not_be_read_is_not_written(handler: MemoryHandler) -> None:
    with pytest.raises(ConfigError, match="text keys"):
        handler.write("value", key="")
    assert MemoryHandler.stores.get("one", Memory()).kept == {}
