"""Writing a record: a small one into memory, a large one to storage while it is pickled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pickle import PickleBuffer
from typing import BinaryIO, Final, NamedTuple, cast

from ckpt.digests import SideDigest
from ckpt.errors import NotSerializable
from ckpt.handlers import Meta
from ckpt.records import LARGE, PREFIX, Buffered, seal
from ckpt.serializers import Serializer, buffer_opcode
from ckpt.stores import Buffer, ObjectWriter

__all__ = ["Encoded", "encode"]

_SLICE: Final = 1 << 20
_ALIGNMENT: Final = 64


class Encoded(NamedTuple):
    """A value as a record."""

    digest: str
    """Content digest, hex."""
    size: int
    """Bytes of the whole record."""
    data: bytes | None
    """The record; None: it was large, has been streamed, and is durable."""


def encode(value: object, serializer: Serializer, meta: Meta, open_writer: Callable[[], ObjectWriter]) -> Encoded:
    """Make the record of `value`, in memory or, from `LARGE` on, through the writer that `open_writer` then gives.

    The writer is committed when this returns, and aborted when it raises. Large buffers of the value are written
    as they are, without a copy: nobody may change them meanwhile.

    Raises: `NotSerializable`; `ConfigError` for a meta that fits in no header; what the writer raises.
    """
    out = _Encoder(open_writer)
    try:
        serializer.dump(value, cast("BinaryIO", out))
        return out.finish(serializer.name, meta)
    except NotSerializable as error:
        out.abort()
        # A writer that broke is not the fault of the value.
        if out.failure is not None:
            raise out.failure from error.__cause__
        raise
    except BaseException:
        out.abort()
        raise
    finally:
        out.failure = None  # it refers to this frame: together they would keep the value until garbage is collected


class _Encoder:
    """What the serializer writes to."""

    __slots__ = ("_buffers", "_held", "_open_writer", "_parts", "_size", "_stream", "failure")

    def __init__(self, open_writer: Callable[[], ObjectWriter]) -> None:
        self._open_writer = open_writer
        self._parts: list[bytes] = [PREFIX]
        self._held = self._size = len(PREFIX)
        self._buffers: list[Buffered] = []
        self._stream: _Stream | None = None
        self.failure: BaseException | None = None
        """What the writer raised."""

    def write(self, data: Buffer) -> int:
        part = data if type(data) is bytes else self._flat(data)
        size = len(part)
        if self._size + size < LARGE:
            self._parts.append(bytes(part))
            self._held += size
        else:
            try:
                self._write_large(part)
            except BaseException as failure:
                self.failure = failure
                raise
        self._size += size
        return size

    def _flat(self, data: Buffer) -> memoryview:
        if type(data) is not PickleBuffer:
            return memoryview(data).cast("B")
        view = data.raw()
        self._note(len(view), view.readonly)
        return view

    def _note(self, size: int, readonly: bool) -> None:
        """Note the place of the buffer that comes next, and move its start to a multiple of the alignment."""
        opcode = buffer_opcode(size, readonly)
        # The pickler flushes right before it writes a large buffer, so the last part ends with the buffer's opcode.
        last = self._parts[-1]
        if not last.endswith(opcode):
            return
        if gap := -self._size % _ALIGNMENT:
            # SHORT_BINBYTES, its argument, POP: at least three bytes that do nothing, outside any frame.
            gap += _ALIGNMENT if gap < 3 else 0
            self._parts[-1:] = last[: -len(opcode)], b"C%c%b0" % (gap - 3, bytes(gap - 3)), opcode
            self._held += gap
            self._size += gap
        self._buffers.append((self._size, size, readonly))

    def _write_large(self, data: bytes | memoryview) -> None:
        if self._stream is None:
            self._stream = _Stream(self._open_writer())
        if self._held >= _SLICE or len(data) >= _SLICE:
            self._stream.write(b"".join(self._parts))
            self._parts, self._held = [b""], 0
        if len(data) >= _SLICE:
            self._stream.write(data)
        else:
            self._parts.append(bytes(data))
            self._held += len(data)

    def finish(self, serializer: str, meta: Meta) -> Encoded:
        body = b"".join(self._parts)
        if self._stream is None:
            content, tail = seal(hashlib.sha256(body), self._size, serializer, meta, self._buffers)
            return Encoded(content, self._size + len(tail), body + tail)
        self._stream.write(body)
        content, tail = seal(self._stream.digest.finish(), self._size, serializer, meta, self._buffers)
        self._stream.writer.write(tail)
        self._stream.writer.commit()
        return Encoded(content, self._size + len(tail), None)

    def abort(self) -> None:
        if self._stream is not None:
            self._stream.abort()


class _Stream:
    """A writer, and the digest of what goes into it, which is made beside it."""

    __slots__ = ("digest", "writer")

    def __init__(self, writer: ObjectWriter) -> None:
        self.writer = writer
        try:
            self.digest = SideDigest()
        except BaseException:
            writer.abort()
            raise

    def write(self, data: Buffer) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            piece = view[start : start + _SLICE]
            self.digest.update(piece)
            self.writer.write(piece)
        # The pickler may free or reuse the buffer after this.
        self.digest.wait()

    def abort(self) -> None:
        try:
            self.digest.close()
        finally:
            self.writer.abort()
