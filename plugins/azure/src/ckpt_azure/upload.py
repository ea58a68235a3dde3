"""One blob on its way in blocks."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from ckpt.errors import AlreadyExists, ConfigError, NotFound, StoreUnavailable
from ckpt.parts import Upload
from ckpt.stores import ObjectInfo
from ckpt_azure.sdkerrors import code_of

if TYPE_CHECKING:
    from ckpt_azure.store import AzureStore

__all__ = ["AzureUpload"]


class AzureUpload(Upload):
    """Blocks that no list of blocks names yet, so they cannot be seen; `mark` is in their ids and in the metadata.

    Azure removes such blocks a week after the last one came, and as soon as another write of the same key is through.
    """

    def __init__(self, store: AzureStore, key: str, mark: str, *, overwrite: bool) -> None:
        self._store = store
        self._key = key
        self._mark = mark
        self._overwrite = overwrite
        self._numbers: set[int] = set()
        self._lock = threading.Lock()

    def send(self, number: int, data: bytearray) -> None:
        # The SDK makes one itself of bytes alone, and a copy of each block is memory.
        digest = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        self._store.ask(
            "stage_block",
            self._key,
            writing=True,
            block_id=self._id(number),
            data=data,
            length=len(data),
            headers={"Content-MD5": digest},
        )
        with self._lock:
            self._numbers.add(number)

    def complete(self, size: int) -> ObjectInfo:
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock

        given: dict[str, Any] = {
            "block_list": [BlobBlock(self._id(number)) for number in sorted(self._numbers)],
            "metadata": self._store.marked(self._mark),
        }
        if not self._overwrite:
            given["match_condition"] = MatchConditions.IfMissing

        def once() -> bool:
            try:
                self._store.ask_once("commit_block_list", self._key, writing=True, **given)
            except AlreadyExists:
                # The answer to an earlier try may have been lost: then the blob is ours.
                if not self._store.is_ours(self._key, self._mark):
                    raise
            except ConfigError as error:
                if code_of(error) != "InvalidBlockList":
                    raise
                return False
            return True

        if not self._store.attempts(once) and not self._is_there():
            raise StoreUnavailable(
                f"{self._key!r} in az://{self._store.container}: another write of this key was through first, at "
                "which Azure removed the blocks of this one: run again, and let one at a time write it"
            )
        return ObjectInfo(self._key, size)

    def abort(self) -> None:
        """Leave the blocks to Azure: nothing but a write of the key would remove them, and it could be seen."""

    def _is_there(self) -> bool:
        try:
            return self._store.head(self._key).metadata == self._store.marked(self._mark)
        except NotFound:
            return False

    def _id(self, number: int) -> str:
        # All of one length, as Azure wants the ids of a blob's blocks.
        return f"{self._mark}-{number:06d}"
