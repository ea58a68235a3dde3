"""One object of a `LocalStore` on its way to the reader."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ckpt_local.oserrors import explained

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["LocalReader"]


class LocalReader(io.FileIO):
    """An open file whose errors are those of `ckpt.errors`: a disk may fail long after it was opened."""

    def __init__(self, fd: int, directory: str, key: str) -> None:
        self._explained = explained(directory, key)
        super().__init__(fd)

    def read(self, size: int | None = -1, /) -> bytes:
        with self._explained:
            return super().read(-1 if size is None else size)

    def readall(self) -> bytes:
        with self._explained:
            return super().readall()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with self._explained:
            return super().readinto(buffer)

    def close(self) -> None:
        with self._explained:
            super().close()
