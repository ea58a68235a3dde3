"""The bytes of one object: written, read back, refused when anything about them is wrong."""

from __future__ import annotations

import array
import contextlib
import dataclasses
import datetime
import decimal
import gc
import hashlib
import io
import json
import mmap
import pathlib
import pickle
import pickletools
import runpy
import subprocess
import sys
import textwrap
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ckpt.decoding import header, read_record, read_stream, stream_header
from ckpt.encoding import Encoded, encode
from ckpt.errors import ConfigError, CorruptRecord, NotSerializable, StoreUnavailable, Unreadable
from ckpt.handlers import Meta
from ckpt.records import LARGE, MAX_HEADER, PREFIX, TRAILER, seal
from ckpt.serializers import PickleSerializer
from ckpt.stores import Buffer, ObjectInfo, ObjectStore, ObjectWriter

GOLDEN = pathlib.Path(__file__).with_name("golden")
WRITTEN = runpy.run_path(str(GOLDEN / "write_golden.py"))
META = Meta(**WRITTEN["META"])

found_classes: list[str] = []
is_listening = False


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if is_listening and event == "pickle.find_class":
        found_classes.append(".".join(map(str, arguments)))


sys.addaudithook(_listen)


@pytest.fixture
def unpickled() -> Iterator[list[str]]:
    """The classes that any unpickler has looked up during the test: none were, where nothing was unpickled."""
    global is_listening  # noqa: PLW0603  an audit hook cannot be removed
    found_classes.clear()
    is_listening = True
    yield found_classes
    is_listening = False


class Store(ObjectStore):
    """Objects in a dict; a writer that gathers pieces, and can be told to break."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.breaks_after = breaks_after
        self.aborted = 0

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        self.objects[key] = bytes(data)
        return ObjectInfo(key, len(self.objects[key]))

    def get(self, key: str) -> Buffer:
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.objects[key]))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self.head(key) for key in self.objects if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        return Writer(self, key)


class Writer(ObjectWriter):
    def __init__(self, store: Store, key: str) -> None:
        self.store, self.key = store, key
        self.pieces: list[bytes] = []

    def write(self, data: Buffer) -> None:
        if self.store.breaks_after is not None and len(self.pieces) >= self.store.breaks_after:
            raise StoreUnavailable("the disk is full: make room")
        assert memoryview(data).nbytes <= 1 << 20 or not self.pieces
        self.pieces.append(bytes(data))

    def commit(self) -> ObjectInfo:
        if self.store.breaks_after == -1:
            raise OSError(5, "of a backend that forgot to map it")
        return self.store.put(self.key, b"".join(self.pieces))

    def abort(self) -> None:
        self.store.aborted += 1


def record(value: object, meta: Meta = META) -> tuple[bytes, Encoded]:
    store = Store()
    made = encode(value, PickleSerializer(), meta, lambda: store.open_write("key"))
    data = store.objects["key"] if made.data is None else made.data
    assert made.size == len(data)
    return data, made


def both_ways(data: bytes, **options: Any) -> list[Callable[[], object]]:
    return [
        lambda: read_record(data, key="a/key", **options),
        lambda: read_stream(io.BytesIO(data), len(data), key="a/key", **options),
    ]


def resealed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The record with another header and right digests: what only somebody who writes records can make."""
    offset, length = int.from_bytes(data[-64:-56]), int.from_bytes(data[-56:-52])
    facts = json.loads(data[offset : offset + length])
    replaced = change(facts)
    text = replaced if isinstance(replaced, bytes) else json.dumps(facts).encode()
    body = data[:offset] + text + offset.to_bytes(8) + len(text).to_bytes(4) + data[-52:-48]
    return body + hashlib.sha256(body).digest() + data[-16:]


@dataclasses.dataclass
class Row:
    name: str
    values: np.ndarray[Any, Any]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.name == other.name and same(self.values, other.values) is None


class Labelled(np.ndarray[Any, Any]):
    """A subclass, which goes another way through the pickler."""


def same(a: Any, b: Any, path: str = "value") -> str | None:
    """Where `b` differs from `a` in type, contents or layout; None where it does not."""
    if type(a) is not type(b):
        return f"{path}: {type(a)} became {type(b)}"
    if isinstance(a, np.ndarray):
        flags = ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE")
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{path}: {a.dtype}{a.shape} became {b.dtype}{b.shape}"
        changed = [flag for flag in flags if a.flags[flag] != b.flags[flag]]
        if changed and (a.flags.contiguous or a.flags.f_contiguous):
            return f"{path}: {changed} changed"
        if not b.flags.aligned:
            return f"{path}: not aligned"
        return None if a.tolist() == b.tolist() else f"{path}: other numbers"
    if isinstance(a, pd.DataFrame | pd.Series):
        return None if a.equals(b) else f"{path}: other rows"
    if isinstance(a, dict):
        if list(a) != list(b):
            return f"{path}: other keys"
        return next((found for key in a if (found := same(a[key], b[key], f"{path}[{key!r}]"))), None)
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return f"{path}: other length"
        pairs = enumerate(zip(a, b, strict=True))
        return next((found for place, (x, y) in pairs if (found := same(x, y, f"{path}[{place}]"))), None)
    return None if a == b else f"{path}: {a!r:.80} became {b!r:.80}"


def read_only(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = values.copy(order="K")
    values.flags.writeable = False
    return values


KINDS: dict[str, Callable[[int], object]] = {
    "float64": lambda n: np.arange(float(n)),
    "C order": lambda n: np.arange(float(n)).reshape(-1, 10),
    "Fortran order": lambda n: np.asfortranarray(np.arange(float(n)).reshape(-1, 10)),
    "read-only": lambda n: read_only(np.arange(float(n))),
    "read-only Fortran": lambda n: read_only(np.asfortranarray(np.arange(float(n)).reshape(-1, 10))),
    "strided": lambda n: np.arange(float(3 * n))[::3],
    "reversed": lambda n: np.arange(float(n))[::-1],
    "transposed": lambda n: np.arange(float(n)).reshape(-1, 10).T,
    "0-d": lambda n: [np.array(1.5), np.arange(float(n))],
    "empty": lambda n: [np.empty((0, 3)), np.arange(float(n))],
    "structured": lambda n: np.zeros(n, dtype=[("a", "<i4"), ("b", "<f8")]),
    "big-endian": lambda n: np.arange(float(n)).astype(">f8"),
    "bool": lambda n: np.arange(8 * n) % 3 == 0,
    "complex128": lambda n: np.arange(n) * 1j,
    "datetime64": lambda n: np.arange(n).astype("M8[s]"),
    "unicode": lambda n: np.arange(n).astype("U8"),
    "object": lambda n: np.array([{"i": i} for i in range(n)], dtype=object),
    "subclass": lambda n: np.arange(float(n)).view(Labelled),
    "3 arrays of one size": lambda n: [np.full(n, i) for i in range(3)],
    "shared array": lambda n: [shared := np.arange(float(n)), shared, {"again": shared}],
    "view and base": lambda n: [base := np.arange(float(n)), base[: n // 2]],
    "nested": lambda n: {"x": [{"y": (np.arange(float(n)), "text", read_only(np.ones(n)))}], "z": None},
    "dataclass": lambda n: Row("first", np.arange(float(n))),
    "DataFrame": lambda n: pd.DataFrame(
        {"a": np.arange(float(n)), "b": np.arange(n), "c": [f"r{i}" for i in range(n)]}
    ),
    "Series": lambda n: pd.Series(np.arange(float(n)), name="s"),
    "array.array": lambda n: array.array("d", range(n)),
    "bytes": lambda n: b"12345678" * n,
    "bytearray": lambda n: bytearray(b"12345678" * n),
    "str": lambda n: "zażółć g" * n,
    "many small objects": lambda n: [{"id": i, "name": f"row {i}", "at": (i, None)} for i in range(n // 4)],
    "builtins": lambda n: [uuid.UUID(int=1), decimal.Decimal(1), datetime.date(2026, 1, 1), {1, 2}, b"12345678" * n],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [20, 200_000])
def test_a_value_comes_back_equal(kind: str, n: int) -> None:
    value = KINDS[kind](n)
    data, made = record(value)
    assert (made.data is None) == (n > 20), "the large one must have been streamed, the small one not"
    for read in both_ways(data, digest=made.digest):
        assert same(value, read()) is None
    assert same(value, pickle.loads(data)) is None, "without ckpt"


def test_shared_values_stay_shared_and_writable_ones_stay_apart() -> None:
    a = np.arange(200_000.0)
    data, _ = record([a, a, a.copy()])
    first, second, third = read_stream(io.BytesIO(data), len(data), key="k")  # type: ignore[misc]
    assert first is second
    first[0] = -1
    assert third[0] == 0
    assert read_record(data, key="k")[0][0] == 0  # type: ignore[index]


def test_large_arrays_are_views_of_what_was_read_and_aligned() -> None:
    data, _ = record({"text": "x" * 7, "a": np.arange(200_000.0), "b": read_only(np.arange(100_001, dtype="i1"))})
    value: Any = read_stream(io.BytesIO(data), len(data), key="k")
    for name in ("a", "b"):
        base = value[name]
        assert base.ctypes.data % 64 == 0
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, memoryview)
        assert isinstance(base.obj, mmap.mmap)


def test_a_pickle_tool_can_take_a_record_apart() -> None:
    data, _ = record(["text", np.arange(200_000.0)])
    assert "NEXT_BUFFER" not in [opcode.name for opcode, _, _ in pickletools.genops(data)]


def test_a_source_that_gives_little_at_a_time_is_read_whole() -> None:
    data, _ = record(np.arange(200_000.0))

    class Slow(io.BytesIO):
        def readinto(self, target: Any, /) -> int:
            return super().readinto(memoryview(target)[:70_001])

    class Old:
        def __init__(self) -> None:
            self.read = io.BytesIO(data).read

    for source in (Slow(data), Old()):
        assert read_stream(source, len(data), key="k")[-1] == 199_999  # type: ignore[arg-type, index]


def test_the_digest_does_not_depend_on_run_key_or_time() -> None:
    value = {"rows": [1, 2, 3], "array": np.arange(200_000.0)}
    one, first = record(value, Meta(run="a", call="x-1", created="2026-01-01T00:00:00Z"))
    two, second = record(value, Meta(run="b", call="y-9", attempt=3, identity="ff"))
    assert first.digest == second.digest
    assert one != two
    assert record({**value, "rows": [1, 2, 4]})[1].digest != first.digest


def test_the_header_says_where_the_value_comes_from() -> None:
    data, made = record([1, 2], META)
    for facts in (header(data, key="k"), stream_header(io.BytesIO(data), len(data), key="k")):
        assert {name: facts[name] for name in WRITTEN["META"]} == WRITTEN["META"]
        assert facts["content"] == made.digest
        assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
        assert facts["serializer"] == "pickle"
    data, _ = record(np.arange(200_000.0), Meta(call='odd "call"\\ é'))
    facts = stream_header(io.BytesIO(data), len(data), key="k")
    assert (facts["call"], facts["run"], facts["identity"]) == ('odd "call"\\ é', None, None)
    created = datetime.datetime.fromisoformat(str(facts["created"]))
    assert abs(datetime.datetime.now(datetime.UTC) - created) < datetime.timedelta(minutes=5)


def test_the_header_lists_the_largest_buffers_that_fit_and_the_rest_is_still_read() -> None:
    buffers = [(64 + i * 2**30, 2**16 + (i * 7919) % 5000, i % 2 == 0) for i in range(5000)]
    _, tail = seal(hashlib.sha256(), 2**50, "pickle", META, buffers)
    assert len(tail) <= MAX_HEADER + TRAILER
    listed = json.loads(tail[:-TRAILER])["buffers"]
    assert 1000 < len(listed) < 5000
    assert listed == sorted(listed)
    left_out = sorted((b[1] for b in buffers), reverse=True)[len(listed) :]
    assert min(length for _, length, _ in listed) >= max(left_out)
    arrays = [np.full(200_000, i) for i in range(3)]
    data = resealed(record(arrays)[0], lambda facts: facts["buffers"].pop(1))
    assert same(arrays, read_stream(io.BytesIO(data), len(data), key="k")) is None


def test_names_too_long_for_a_header_are_refused() -> None:
    with pytest.raises(ConfigError, match="shorten"):
        record(1, Meta(call="x" * MAX_HEADER))


# Golden bytes: read for ever


@pytest.mark.parametrize("name", WRITTEN["VALUES"])
def test_golden_records_are_read(name: str) -> None:
    data = (GOLDEN / f"v1-{name}.ckpt").read_bytes()
    expected = WRITTEN["VALUES"][name]
    if name == "buffers":
        expected = [bytes(part) if isinstance(part, pickle.PickleBuffer) else part for part in expected]
    facts = header(data, key=name)
    assert {each: facts[each] for each in WRITTEN["META"]} == WRITTEN["META"]
    for read in (*both_ways(data, digest=facts["content"]), lambda: pickle.loads(data)):
        value: Any = read()
        if name == "buffers":
            assert value[0] is value[3]
            value = [part if isinstance(part, str) else bytes(part) for part in value]
        assert same(expected, value) is None


# How classes are named in a pickle is a matter of the versions of Python and numpy: 3.13 moved pathlib's.
@pytest.mark.parametrize("name", sorted(WRITTEN["VALUES"].keys() - {"array", "builtins"}))
def test_todays_bytes_have_the_golden_layout(name: str) -> None:
    golden = (GOLDEN / f"v1-{name}.ckpt").read_bytes()
    today, _ = record(WRITTEN["VALUES"][name])
    was, now = header(golden, key=name), header(today, key=name)
    assert list(was) == list(now)
    assert {**was, "python": 0, "cloudpickle": 0, "ckpt": 0} == {**now, "python": 0, "cloudpickle": 0, "ckpt": 0}
    end = int.from_bytes(golden[-64:-56])
    assert golden[:end] == today[:end]
    assert golden[-52:-48] == today[-52:-48]
    assert golden[-16:] == today[-16:]


# Damage


SMALL = {"path": pathlib.PurePosixPath("a/b"), "rows": [1, 2, 3]}
"""Cannot be unpickled without looking a class up."""


def refused(read: Callable[[], object]) -> bool:
    try:
        read()
    except CorruptRecord as error:
        return str(error).startswith("a/key: ")
    return False


def test_every_flipped_bit_is_refused_before_anything_is_unpickled(unpickled: list[str]) -> None:
    data, _ = record(SMALL)
    survived = []
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        survived += [bit for read in both_ways(bytes(broken)) if not refused(read)]
        if not refused(lambda broken=broken: stream_header(io.BytesIO(broken), len(broken), key="a/key")):
            survived.append(bit)
    assert survived == []
    assert unpickled == []
    assert read_record(data, key="k") == SMALL
    assert unpickled, "the control: whoever unpickles is seen"


def test_every_truncation_is_refused_before_anything_is_unpickled(unpickled: list[str]) -> None:
    data, _ = record(SMALL)
    for size in range(len(data)):
        assert all(map(refused, both_ways(data[:size])))
        assert refused(lambda size=size: read_stream(io.BytesIO(data[:size]), len(data), key="a/key"))
        assert refused(lambda size=size: stream_header(io.BytesIO(data[:size]), len(data), key="a/key"))
    assert all(map(refused, both_ways(data + b"\0")))
    assert all(map(refused, both_ways(data[-100:] + data)))
    assert refused(lambda: read_stream(io.BytesIO(data + data), len(data), key="a/key"))
    assert unpickled == []


def test_damage_in_a_large_record_is_refused_wherever_it_is(unpickled: list[str]) -> None:
    data, _ = record([pathlib.PurePosixPath("a"), np.zeros(1_200_000)])
    for place in (0, 12, 20, 100, 1 << 20, 4 << 20, (8 << 20) + 1, len(data) - 70_000, len(data) - 65, len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 4
        assert refused(lambda broken=broken: read_stream(io.BytesIO(broken), len(broken), key="a/key"))
        assert refused(lambda broken=broken: stream_header(io.BytesIO(broken), len(broken), key="a/key"))
    assert unpickled == []


def test_a_whole_record_of_another_value_is_refused_where_the_digest_is_pinned(unpickled: list[str]) -> None:
    data, _ = record(SMALL)
    other, made = record([pathlib.PurePosixPath("other")])
    assert all(map(refused, both_ways(data, digest=made.digest)))
    # Somebody swapped the payload and made the record digest right, and even claims the pinned content.
    offset = int.from_bytes(other[-64:-56])
    body = PREFIX + pickle.dumps(pathlib.PurePosixPath("evil"))
    tail = other[offset:-64] + len(body).to_bytes(8) + other[-56:-48]
    forged = body + tail + hashlib.sha256(body + tail).digest() + other[-16:]
    assert all(map(refused, both_ways(forged)))
    assert unpickled == []


def test_a_header_that_lies_is_refused(unpickled: list[str]) -> None:
    data, _ = record([np.arange(20_000.0), SMALL])
    lies: list[Callable[[dict[str, Any]], object]] = [
        lambda facts: b"not json",
        lambda facts: b"[]",
        lambda facts: b"[" * 60_000,
        lambda facts: b"\xff\xfe",
        lambda facts: b"9" * 5000,
        lambda facts: facts.pop("content"),
        lambda facts: facts.update(content=1),
        lambda facts: facts.update(serializer="json"),
        lambda facts: facts.update(buffers=None),
        lambda facts: facts.update(content="0" * 64),
        lambda facts: facts.update(created=None),
        lambda facts: facts.pop("attempt"),
        lambda facts: b'{"pad": "' + b"x" * MAX_HEADER + b'"}',
    ]
    for lie in lies:
        assert all(map(refused, both_ways(resealed(data, lie))))
    [offset, length, readonly] = header(data, key="k")["buffers"][0]  # type: ignore[index, misc]
    places: list[object] = [
        [[offset - 1, length, readonly]],
        [[offset, length + 8, readonly]],
        [[offset, length, True]],
        [[offset, length, readonly], [offset, length, readonly]],
        [[-1, 4, False]],
        [[0, 10, False]],
        [[offset, 2**63, False]],
        [[offset, -1, False]],
        [[str(offset), length, readonly]],
        [[offset, length]],
        [7],
    ]
    for place in places:
        broken = resealed(data, lambda facts, place=place: facts.update(buffers=place))
        assert refused(lambda broken=broken: read_stream(io.BytesIO(broken), len(broken), key="a/key")), place
    assert unpickled == []


def test_a_trailer_that_lies_is_refused_although_its_digest_is_right(unpickled: list[str]) -> None:
    data, _ = record(SMALL)
    offset, length = int.from_bytes(data[-64:-56]), int.from_bytes(data[-56:-52])
    for place in ((offset, length + 1), (offset, 0), (offset - 1, length), (offset + 1, length - 1), (5, length)):
        for at, size in (place, (place[0] + 2**40, place[1]), (place[0], place[1] + 2**20)):
            body = data[:-64] + at.to_bytes(8) + size.to_bytes(4) + data[-52:-48]
            forged = body + hashlib.sha256(body).digest() + data[-16:]
            assert all(map(refused, both_ways(forged))), (at, size)
            assert refused(lambda forged=forged: stream_header(io.BytesIO(forged), len(forged), key="a/key"))
    assert unpickled == []


def test_a_record_of_a_later_layout_says_what_to_install() -> None:
    data, _ = record(1)
    for place in (-51, -49):
        later = bytearray(data)
        later[place] = 2
        for read in both_ways(bytes(later)):
            with pytest.raises(CorruptRecord, match="pip install -U ckpt-core"):
                read()


def test_a_pickle_without_a_record_is_refused_unless_allowed(unpickled: list[str]) -> None:
    bare = pickle.dumps([SMALL, "x" * 100])
    for read in both_ways(bare):
        with pytest.raises(CorruptRecord, match="not read unless allowed"):
            read()
    assert unpickled == []
    for read in both_ways(bare, allow_unframed=True):
        assert read() == [SMALL, "x" * 100]
    data, _ = record(SMALL)
    broken = data[:100] + b"!" + data[101:]
    assert all(map(refused, both_ways(broken, allow_unframed=True))), "what begins like a record is one"


def test_a_size_that_cannot_be_is_refused() -> None:
    data, _ = record(1)
    with pytest.raises(MemoryError, match="more memory"):
        read_stream(io.BytesIO(data), 1 << 62, key="a/key")
    assert refused(lambda: read_stream(io.BytesIO(data), -5, key="a/key"))
    assert refused(lambda: read_stream(io.BytesIO(b""), 0, key="a/key"))


# Writing that fails


@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_writer_that_breaks_is_aborted_and_its_error_kept(after: int) -> None:
    store = Store(breaks_after=after)
    threads = threading.active_count()
    for value in (np.zeros(600_000), [np.zeros(600_000), "x" * 10], list(range(900_000)), b"x" * 5_000_000):
        store.aborted = 0
        with pytest.raises(StoreUnavailable, match="make room"):
            encode(value, PickleSerializer(), META, lambda: store.open_write("key"))
        assert (store.objects, store.aborted) == ({}, 1)
    assert threading.active_count() == threads


def test_a_write_that_failed_lets_go_of_the_value_at_once() -> None:
    store, value = Store(breaks_after=0), np.zeros(600_000)
    gone = weakref.ref(value)
    gc.disable()
    try:
        with contextlib.suppress(StoreUnavailable):
            encode(value, PickleSerializer(), META, lambda: store.open_write("key"))
        del value
        assert gone() is None
    finally:
        gc.enable()


def test_an_error_of_the_store_is_not_taken_for_one_of_the_value() -> None:
    store = Store(breaks_after=-1)
    store.open_write = lambda key, overwrite=True: Unmapped(store, key)  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="forgot"):
        encode(np.zeros(600_000), PickleSerializer(), META, lambda: store.open_write("key"))
    assert store.aborted == 1


class Unmapped(Writer):
    def write(self, data: Buffer) -> None:
        raise OSError(5, "of a backend that forgot to map it")


def test_a_value_that_fails_midway_leaves_nothing() -> None:
    store = Store()
    with pytest.raises(NotSerializable, match=r"the value at \[1\], a _thread.lock,"):
        encode([np.zeros(600_000), threading.Lock()], PickleSerializer(), META, lambda: store.open_write("key"))
    assert (store.objects, store.aborted) == ({}, 1)


def test_what_happens_to_a_value_later_does_not_reach_its_record() -> None:
    for n in (20, 20_000, 200_000):
        values = np.zeros(n)
        rows: list[object] = [values, bytearray(b"a" * 100_000), [1]]
        data, _ = record(rows)
        values[:] = 1
        rows.append("later")
        rows[1][:] = b"b" * 100_000  # type: ignore[index]
        read: Any = read_record(data, key="k")
        assert read[0].sum() == 0
        assert (len(read), read[1]) == (3, b"a" * 100_000)


class Wipes:
    """Changes a buffer when its own turn to be pickled comes, which is after the buffer was."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer

    def __reduce__(self) -> tuple[Any, ...]:
        self.buffer[:] = bytes(len(self.buffer))
        return (str, ())


@pytest.mark.parametrize("size", [100_000, 16 << 20])
def test_a_buffer_is_finished_with_when_the_pickler_goes_on(size: int) -> None:
    buffer = bytearray(b"a" * size)
    data, _ = record([pickle.PickleBuffer(buffer), Wipes(buffer)])
    for read in both_ways(data):
        first, _ = read()  # type: ignore[misc]
        assert bytes(first) == b"a" * size


# Reading that fails although the bytes are right


def test_a_value_whose_module_is_gone_names_the_versions_that_wrote_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "passing_module.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import passing_module  # type: ignore[import-not-found]

    data, _ = record(passing_module.Thing())
    data = resealed(data, lambda facts: facts.update(python="3.9.1", cloudpickle="1.0", ckpt="0.0.7"))
    del sys.modules["passing_module"]
    (tmp_path / "passing_module.py").unlink()
    for read in both_ways(data):
        with pytest.raises(Unreadable) as caught:
            read()
        message = str(caught.value)
        for part in ("a/key", "ModuleNotFoundError", "passing_module", "python 3.9.1", "cloudpickle 1.0", "ckpt 0.0.7"):
            assert part in message
        assert ".".join(map(str, sys.version_info[:3])) in message
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)


# Memory


MEASURED = """
    import gc, io, os, pathlib, sys
    import numpy as np
    from ckpt.decoding import read_stream
    from ckpt.encoding import encode
    from ckpt.handlers import Meta
    from ckpt.serializers import PickleSerializer
    from ckpt.stores import ObjectWriter

    class Writer(ObjectWriter):
        def __init__(self): self.file = open(sys.argv[1], "wb", buffering=0)
        def write(self, data): assert self.file.write(data) == len(data)
        def commit(self): self.file.close()
        def abort(self): pass

    def status(field):
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) * 1024

    def peak_of(work):
        gc.collect()
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        value = work()
        return (status("VmHWM") - before) / SIZE, value

    SIZE = 64 << 20
    small = encode(np.zeros(200_000), PickleSerializer(), Meta(), Writer)
    with open(sys.argv[1], "rb") as file:
        read_stream(file, small.size, key="k")
    value = {"a": np.ones(SIZE // 8), "text": "x"}
    written, made = peak_of(lambda: encode(value, PickleSerializer(), Meta(), Writer))
    del value
    def read():
        with open(sys.argv[1], "rb", buffering=0) as file:
            return read_stream(file, made.size, key="k", digest=made.digest)
    got, value = peak_of(read)
    assert value["a"].sum() == SIZE // 8
    print(written, got)
"""


def test_neither_writing_nor_reading_makes_a_second_copy(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path / "value")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written, read = map(float, done.stdout.split())
    assert written < 0.3, "arrays of memory above the value itself"
    assert 0.9 < read < 1.3, "arrays of memory, the value included"


def test_a_small_value_opens_no_writer() -> None:
    def no_writer() -> ObjectWriter:
        raise AssertionError("opened")

    assert encode(b"x" * (LARGE - 1000), PickleSerializer(), META, no_writer).data is not None
