"""A large object on its way in parts that travel side by side: what `open_write` of a remote store returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ckpt.errors import Unsupported
from ckpt.stores import Buffer, ObjectInfo, ObjectWriter

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["PART", "PartWriter", "Upload"]

PART: Final = 8 << 20
"""Bytes in a part."""
PARALLEL: Final = 6
"""Parts on their way at once, as clouds limit what one connection carries; one more is being filled, none waits."""
_EQUAL: Final = 1000
"""So many parts have one size, then it grows: clouds allow some thousands of parts, and objects of terabytes."""


class Upload(ABC):
    """One unfinished object at the store: of it nothing is visible before `complete`."""

    @abstractmethod
    def send(self, number: int, data: bytearray) -> None:
        """Bring part `number` (from 1) there; from several threads at once, in any order."""

    @abstractmethod
    def complete(self, size: int) -> ObjectInfo:
        """Make the object of all parts visible whole; durable when it returns."""

    @abstractmethod
    def abort(self) -> None:
        """Remove the parts; nothing is sent at that time or later. Logs what it cannot remove: it never raises."""


class PartWriter(ObjectWriter):
    """Sends a part as soon as it is full, in a thread of its own. An object of less than a part is put whole.

    `put` puts the whole object, `begin` begins an upload.
    """

    def __init__(
        self, key: str, *, put: Callable[[Buffer], ObjectInfo], begin: Callable[[], Upload], part: int = PART
    ) -> None:
        self._key = key
        self._put = put
        self._begin = begin
        self._part = part
        self._size = 0
        self._filled = 0
        self._area = bytearray()
        self._spare: list[bytearray] = []
        self._number = 0
        self._open = True
        self._upload: Upload | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._sent: list[Future[bytearray]] = []

    def write(self, data: Buffer) -> None:
        self._check_open()
        view = memoryview(data).cast("B")
        while view:
            if not self._area:
                self._area = self._spare.pop() if self._spare else bytearray(self._next_size())
            count = min(len(view), len(self._area) - self._filled)
            memoryview(self._area)[self._filled : self._filled + count] = view[:count]
            self._filled += count
            self._size += count
            view = view[count:]
            if self._filled == len(self._area):
                self._send()

    def commit(self) -> ObjectInfo:
        self._check_open()
        try:
            if self._upload is None:
                return self._put(memoryview(self._area)[: self._filled])
            if self._filled:
                self._send()
            while self._sent:
                self._sent.pop(0).result()
            return self._upload.complete(self._size)
        except BaseException:
            self.abort()
            raise
        finally:
            self._close()

    def abort(self) -> None:
        if self._open:
            self._close()
            if self._upload is not None:
                self._upload.abort()

    def _send(self) -> None:
        """Hand the filled area to a thread; wait while there are too many on their way."""
        from concurrent.futures import ThreadPoolExecutor

        if self._upload is None or self._pool is None:
            self._upload = self._begin()
            self._pool = ThreadPoolExecutor(PARALLEL, "ckpt-part")
        while len(self._sent) >= PARALLEL:
            used = self._sent.pop(0).result()
            if len(used) == self._next_size():
                self._spare.append(used)
        area, self._area = self._area, bytearray()
        del area[self._filled :]
        self._filled = 0
        self._number += 1
        self._sent.append(self._pool.submit(_sent, self._upload, self._number, area))

    def _next_size(self) -> int:
        return self._part * (1 + self._number // _EQUAL)

    def _close(self) -> None:
        self._open = False
        self._area, self._spare, self._sent = bytearray(), [], []
        if self._pool is not None:
            # What is on its way would be left behind by an abort that overtook it.
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _check_open(self) -> None:
        if not self._open:
            raise Unsupported(f"the writer of {self._key!r} was committed or aborted: open another with open_write")


def _sent(upload: Upload, number: int, area: bytearray) -> bytearray:
    upload.send(number, area)
    return area
