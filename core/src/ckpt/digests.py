"""SHA-256 in a thread of its own, so that hashing large bytes runs beside reading or writing them."""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckpt.stores import Buffer

__all__ = ["SideDigest"]


class SideDigest:
    """A digest that `update` only queues for; it refers to each buffer until `wait` or `finish` returns.

    Must be ended by `finish` or `close`.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._todo: SimpleQueue[Buffer | None] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._pending = 0
        self._open = True
        self._thread = threading.Thread(target=self._run, name="ckpt-digest", daemon=True)
        self._thread.start()

    def update(self, data: Buffer) -> None:
        """Queue `data`; it must not change before `wait` returns."""
        self._pending += 1
        self._todo.put(data)

    def wait(self) -> None:
        """Return once everything queued is hashed and no longer referred to."""
        while self._pending:
            self._done.get()
            self._pending -= 1

    def finish(self) -> hashlib._Hash:
        """Wait, end the thread and return the hash object, which takes further updates."""
        self.wait()
        self.close()
        return self._hash

    def close(self) -> None:
        """End the thread; harmless when called twice."""
        if self._open:
            self._open = False
            self._todo.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (data := self._todo.get()) is not None:
            self._hash.update(data)
            # A buffer that is still referred to cannot be resized or freed by its owner.
            del data
            self._done.put(None)
