"""A large object read in ranges that travel side by side: what `open_read` of a remote store returns."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Self

from ckpt.stores import Buffer

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from _typeshed import WriteableBuffer

__all__ = ["FIRST", "RANGE", "RangeReader"]

FIRST: Final = 256 << 10
"""Bytes to ask for before it is known whether more than the beginning will be read."""
RANGE: Final = 8 << 20
"""Bytes in a range."""
PARALLEL: Final = 6
"""Ranges ahead of the reader, on their way or waiting in memory: clouds limit what one connection carries."""


class RangeReader(io.RawIOBase):
    """One pass over an object of `size` bytes that begins with `first`.

    `fetch(start, stop)` returns just these bytes, all of one version of the object; it is called from several threads
    at once, and not before more than `first` is read.
    """

    @classmethod
    def empty(cls) -> Self:
        """The reader of an object without bytes."""

        def nothing(start: int, stop: int) -> bytes:
            raise AssertionError("an empty object has no ranges")

        return cls(b"", 0, nothing)

    def __init__(self, first: Buffer, size: int, fetch: Callable[[int, int], Buffer], *, part: int = RANGE) -> None:
        self._piece = memoryview(first).cast("B")
        self.size = size
        self._fetch = fetch
        self._part = part
        self._asked = len(self._piece)
        self._left = size
        self._ahead: deque[Future[memoryview]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        return True

    def pieces(self, target: memoryview) -> Iterator[memoryview]:
        """Fill `target`, of the size of the object, and yield its parts, in order, as soon as each is there.

        What arrives waits for its turn in its own place. Nothing may have been read before.
        """
        if begun := self._asked:
            target[:begun], self._piece = self._piece, memoryview(b"")
            self._left -= begun
            yield target[:begun]
        while self._left:
            part = self._next(target)
            self._left -= len(part)
            yield part

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the whole of `buffer`, as far as the object goes."""
        target = memoryview(buffer).cast("B")
        done = 0
        while done < len(target) and self._left:
            if not self._piece:
                self._piece = self._next()
            part = self._piece[: len(target) - done]
            target[done : done + len(part)] = part
            self._piece = self._piece[len(part) :]
            self._left -= len(part)
            done += len(part)
        return done

    def readall(self) -> bytes:
        data = bytearray(self._left)
        self.readinto(data)
        return bytes(data)

    def _next(self, target: memoryview | None = None) -> memoryview:
        from concurrent.futures import ThreadPoolExecutor

        if self._pool is None:
            self._pool = ThreadPoolExecutor(PARALLEL, "ckpt-range")
        while self._asked < self.size and len(self._ahead) < PARALLEL:
            # Parts of an object are kept apart: a range over two of them costs a server twice.
            stop = min(self._asked - self._asked % self._part + self._part, self.size)
            self._ahead.append(self._pool.submit(self._fetched, self._asked, stop, target))
            self._asked = stop
        return self._ahead.popleft().result()

    def _fetched(self, start: int, stop: int, target: memoryview | None) -> memoryview:
        data = memoryview(self._fetch(start, stop)).cast("B")
        if target is None:
            return data
        target[start:stop] = data
        return target[start:stop]

    def close(self) -> None:
        if not self.closed and self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()
