"""A large object read in ranges that travel side by side: what `open_read` of a remote store returns."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ckpt.stores import Buffer

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from _typeshed import WriteableBuffer

__all__ = ["FIRST", "RANGE", "RangeReader"]

FIRST: Final = 256 << 10
"""Bytes to ask for before it is known whether more than the beginning will be read."""
RANGE: Final = 8 << 20
"""Bytes in a range."""
PARALLEL: Final = 4
"""Ranges ahead of the reader, on their way or waiting in memory."""


class RangeReader(io.RawIOBase):
    """One pass over an object of `size` bytes that begins with `first`.

    `fetch(start, stop)` returns just these bytes, all of one version of the object; it is called from several threads
    at once, and not before more than `first` is read.
    """

    def __init__(self, first: Buffer, size: int, fetch: Callable[[int, int], Buffer], *, part: int = RANGE) -> None:
        self._piece = memoryview(first).cast("B")
        self._size = size
        self._fetch = fetch
        self._part = part
        self._asked = len(self._piece)
        self._left = size
        self._ahead: deque[Future[Buffer]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        return True

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

    def _next(self) -> memoryview:
        from concurrent.futures import ThreadPoolExecutor

        if self._pool is None:
            self._pool = ThreadPoolExecutor(PARALLEL, "ckpt-range")
        while self._asked < self._size and len(self._ahead) < PARALLEL:
            stop = min(self._asked + self._part, self._size)
            self._ahead.append(self._pool.submit(self._fetch, self._asked, stop))
            self._asked = stop
        return memoryview(self._ahead.popleft().result()).cast("B")

    def close(self) -> None:
        if not self.closed and self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()
