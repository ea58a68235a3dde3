"""Reading a record: the whole is verified first, then unpickled without copying its large buffers."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final, cast

from ckpt.digests import SideDigest
from ckpt.errors import CorruptRecord, Unreadable
from ckpt.handlers import JSON
from ckpt.ranges import RangeReader
from ckpt.records import MAX_TAIL, PREFIX, SMALLEST, Verified, corrupt, is_record, verify, versions
from ckpt.serializers import NEXT_BUFFER, READONLY_BUFFER, buffer_opcode, unpickle
from ckpt.stores import Buffer

__all__ = ["header", "read_record", "read_stream", "stream_header"]

_STEP: Final = 4 << 20


def read_record(data: Buffer, *, key: str, digest: str | None = None, allow_unframed: bool = False) -> object:
    """Verify the record in `data` and return its value, which shares no memory with `data`.

    `digest` is the content digest that the record must have; `key` is for messages. A pickle without a record
    around it cannot be verified and is refused, unless `allow_unframed` says that its origin is trusted.

    Raises: `CorruptRecord` before anything is unpickled; `Unreadable` where unpickling fails.
    """
    if allow_unframed and not is_record(data):
        return _load_unframed(memoryview(data), key)
    record = _verified(data, key)
    _check_pin(record, digest, key)
    # The splicing would make arrays of `data` itself: read-only ones, or ones that change with it.
    return _load(memoryview(data)[: record.offset], record, key)


def read_stream(
    source: BinaryIO, size: int, *, key: str, digest: str | None = None, allow_unframed: bool = False
) -> object:
    """Like `read_record`, for a large record of `size` bytes: large arrays in the value are views of what was read.

    `source` is read in this thread, from where it stands to its end, and hashed in another.
    """
    if size < SMALLEST and not allow_unframed:
        raise corrupt(key, f"it has {size} bytes, and no record has less than {SMALLEST}")
    region = _region(size)
    side = SideDigest()
    try:
        at = 0
        for part in _filled(source, region, key):
            if at == 0 and not allow_unframed and not is_record(part):
                raise _unframed(key)
            side.update(part[: max(0, size - MAX_TAIL - at)])
            at += len(part)
        _expect_end(source, size, key)
        hashed = side.finish()
    finally:
        side.close()
    if allow_unframed and not is_record(region):
        return _load_unframed(region, key)
    record = verify(region, region[max(0, size - MAX_TAIL) :], size, hashed, key=key)
    _check_pin(record, digest, key)
    pieces, buffers = _spliced(region, record, key)
    if not buffers:
        return _load(region[: record.offset], record, key)
    return _load(_Pieces(pieces), record, key, buffers)


def header(data: Buffer, *, key: str) -> dict[str, JSON]:
    """Verify the record in `data` and return its header; nothing is unpickled.

    Raises: `CorruptRecord`.
    """
    return _verified(data, key).header


def stream_header(source: BinaryIO, size: int, *, key: str) -> dict[str, JSON]:
    """Like `header`, for a record of `size` bytes that need not fit in memory."""
    block = memoryview(bytearray(min(size, _STEP)))
    hashed, start, tail = hashlib.sha256(), b"", b""
    for at in range(0, size, _STEP):
        part = block[: size - at]
        _fill(source, part, at, size, key)
        start = start or bytes(part[: len(PREFIX)])
        tail += part
        hashed.update(tail[:-MAX_TAIL])
        tail = tail[-MAX_TAIL:]
    _expect_end(source, size, key)
    return verify(start, memoryview(tail), size, hashed, key=key).header


def _verified(data: Buffer, key: str) -> Verified:
    view = memoryview(data)
    if not is_record(view):
        raise _unframed(key)
    return verify(view, view, len(view), hashlib.sha256(), key=key)


def _unframed(key: str) -> CorruptRecord:
    return corrupt(key, "it does not begin like a record of ckpt, and other pickles are not read unless allowed")


def _check_pin(record: Verified, digest: str | None, key: str) -> None:
    content = record.header["content"]
    if digest is not None and content != digest:
        raise corrupt(key, f"it is a whole record with the content {content}, but of another value than {digest}")
    if record.header["serializer"] != "pickle":
        raise corrupt(key, f"its payload is of serializer {record.header['serializer']!r}, and only pickle has records")


def _region(size: int) -> memoryview:
    """Memory to read into: in huge pages where there are any, private to this process, freed with its last view."""
    if size <= 0 or not hasattr(mmap, "MAP_PRIVATE"):
        return memoryview(bytearray(max(size, 0)))
    try:
        region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no room to read {size} bytes: read the value on a machine with more memory") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without huge pages answers EINVAL, and ordinary pages are as right.
        with contextlib.suppress(OSError):
            region.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(region)


def _filled(source: BinaryIO, region: memoryview, key: str) -> Iterator[memoryview]:
    """Fill `region` from `source`, yielding its parts in order."""
    if isinstance(source, RangeReader) and source.size == len(region):
        yield from source.pieces(region)
        return
    for at in range(0, len(region), _STEP):
        part = region[at : at + _STEP]
        _fill(source, part, at, len(region), key)
        yield part


def _fill(source: BinaryIO, part: memoryview, at: int, size: int, key: str) -> None:
    """Fill `part`, which begins at `at` of `size` bytes, from `source`."""
    readinto = getattr(source, "readinto", None)
    done = 0
    while done < len(part):
        if readinto is not None:
            count = readinto(part[done:])
        else:
            data = source.read(len(part) - done)
            count = len(data)
            part[done : done + count] = data
        if not count:
            raise corrupt(key, f"it ends after {at + done} of {size} bytes")
        done += count


def _expect_end(source: BinaryIO, size: int, key: str) -> None:
    if source.read(1):
        raise corrupt(key, f"it is longer than the {size} bytes that were expected")


def _spliced(region: memoryview, record: Verified, key: str) -> tuple[list[memoryview], list[memoryview]]:
    """Cut the listed buffers out: what is left, with opcodes that ask for a buffer in their stead, and the buffers."""
    pieces: list[memoryview] = []
    buffers: list[memoryview] = []
    at = 0
    for offset, length, readonly in record.buffers:
        opcode = buffer_opcode(length, readonly)
        start = offset - len(opcode)
        if start < at or region[start:offset] != opcode:
            raise corrupt(key, f"its header lists a buffer at {offset} where none is")
        pieces += (region[at:start], memoryview(NEXT_BUFFER + (READONLY_BUFFER if readonly else b"")))
        buffers.append(region[offset : offset + length])
        at = offset + length
    pieces.append(region[at : record.offset])
    return pieces, buffers


class _Pieces:
    """A stream over pieces of memory: what `unpickle` needs of a file."""

    def __init__(self, pieces: Sequence[memoryview]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readinto(self, target: memoryview) -> int:
        count = 0
        while count < len(target):
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = piece
            part = self._rest[: len(target) - count]
            target[count : count + len(part)] = part
            self._rest = self._rest[len(part) :]
            count += len(part)
        return count

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        return bytes(memoryview(data)[: self.readinto(memoryview(data))])

    def readline(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return line


def _load(
    payload: memoryview | _Pieces, record: Verified, key: str, buffers: Sequence[memoryview] | None = None
) -> object:
    try:
        return unpickle(cast("BinaryIO", payload), buffers=buffers)
    except Exception as error:
        raise _unreadable(key, error, _said({name: record.header[name] for name in versions()})) from error


def _load_unframed(payload: memoryview, key: str) -> object:
    try:
        return unpickle(payload)
    except Exception as error:
        raise _unreadable(key, error, "versions that it does not record") from error


def _unreadable(key: str, error: Exception, writers: str) -> Unreadable:
    return Unreadable(
        f"{key}: the bytes are those that were written, but no value comes of them here "
        f"({type(error).__name__}: {error}). Written with {writers}; here is {_said(versions())}: "
        "install what is missing, or read it where it was written"
    )


def _said(facts: Mapping[str, JSON]) -> str:
    return ", ".join(f"{name} {fact}" for name, fact in facts.items())
