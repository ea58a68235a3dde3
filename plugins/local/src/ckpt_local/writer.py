"""One object of a `LocalStore` whose bytes come piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt.errors import Unsupported
from ckpt.stores import Buffer, ObjectInfo, ObjectWriter, flat
from ckpt_local.drafts import Draft

if TYPE_CHECKING:
    from ckpt_local.store import LocalStore

__all__ = ["LocalWriter"]


class LocalWriter(ObjectWriter):
    """A draft that grows; the disk is busy with the last MiB while the next is written."""

    def __init__(self, store: LocalStore, key: str, draft: Draft, *, overwrite: bool) -> None:
        self._store = store
        self._key = key
        self._draft: Draft | None = draft
        self._overwrite = overwrite

    def write(self, data: Buffer) -> None:
        draft = self._open()
        with self._store.explained(self._key):
            draft.write_slices(flat(data), write_back=self._store.durable)

    def commit(self) -> ObjectInfo:
        draft = self._open()
        try:
            self._store.publish(self._key, draft, overwrite=self._overwrite)
        finally:
            self.abort()
        return ObjectInfo(self._key, draft.size)

    def abort(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            with self._store.explained(self._key):
                draft.discard()

    def _open(self) -> Draft:
        if self._draft is None:
            raise Unsupported(f"the writer of {self._key!r} was committed or aborted: open another with open_write")
        return self._draft

    def __del__(self) -> None:
        if hasattr(self, "_draft"):
            self.abort()
