"""A large object that is read in ranges side by side: the value is whole, whatever order they arrive in."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO, cast

import numpy as np
import pytest

from ckpt.decoding import read_stream, stream_header
from ckpt.encoding import encode
from ckpt.errors import CorruptRecord, StoreUnavailable
from ckpt.handlers import Meta
from ckpt.ranges import RangeReader
from ckpt.serializers import PickleSerializer
from ckpt.stores import ObjectInfo, ObjectWriter

PART = 100_000
FIRST = 30_000


class Gathered(ObjectWriter):
    def __init__(self) -> None:
        self.data = BytesIO()

    def write(self, data: Any) -> None:
        self.data.write(data)

    def commit(self) -> ObjectInfo:
        return ObjectInfo("key", self.data.tell())

    def abort(self) -> None:
        pass


VALUE = np.arange(200_000)


@pytest.fixture(scope="module")
def record() -> bytes:
    writer = Gathered()
    encode(VALUE, PickleSerializer(), Meta(), lambda: writer)
    return writer.data.getvalue()


def opened(data: bytes, fetch: Callable[[int, int], bytes] | None = None, first: int = FIRST) -> BinaryIO:
    fetch = fetch or (lambda start, stop: data[start:stop])
    return cast("BinaryIO", RangeReader(data[:first], len(data), fetch, part=PART))


@pytest.mark.parametrize("first", [0, FIRST, PART, PART + 1])
def test_a_value_is_whole_although_ranges_overtake_each_other(record: bytes, first: int) -> None:
    def fetch(start: int, stop: int) -> bytes:
        time.sleep(0.02 * (start // PART % 3 == 0))
        return record[start:stop]

    with opened(record, fetch, first) as source:
        value = read_stream(source, len(record), key="key")
    assert np.array_equal(cast("np.ndarray[Any, Any]", value), VALUE)
    assert cast("np.ndarray[Any, Any]", value).flags.writeable


@pytest.mark.parametrize("read", [read_stream, stream_header])
def test_no_range_reaches_into_two_parts_and_none_is_asked_for_twice(record: bytes, read: Callable[..., Any]) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return record[start:stop]

    with opened(record, fetch) as source:
        read(source, len(record), key="key")
    bounds = [*range(PART, len(record), PART), len(record)]
    assert sorted(asked) == list(zip([FIRST, *bounds], bounds, strict=False))


@pytest.mark.parametrize("more", [-1000, 1000])
def test_an_object_of_another_size_than_expected_is_corrupt(record: bytes, more: int) -> None:
    with opened(record) as source, pytest.raises(CorruptRecord, match="ends after" if more > 0 else "longer than"):
        read_stream(source, len(record) + more, key="key")


def test_a_range_that_cannot_be_had_ends_the_reading(record: bytes) -> None:
    def fetch(start: int, stop: int) -> bytes:
        if start >= 5 * PART:
            raise StoreUnavailable("gone: run again")
        return record[start:stop]

    with opened(record, fetch) as source, pytest.raises(StoreUnavailable, match="gone"):
        read_stream(source, len(record), key="key")


def test_a_changed_byte_in_any_range_is_refused(record: bytes) -> None:
    for at in range(0, len(record), PART - 1):
        data = bytearray(record)
        data[at] ^= 1
        with opened(bytes(data)) as source, pytest.raises(CorruptRecord):
            read_stream(source, len(record), key="key")
