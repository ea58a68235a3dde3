"""One multipart upload."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from ckpt.errors import AlreadyExists, CkptError, StoreUnavailable
from ckpt.parts import Upload
from ckpt.stores import ObjectInfo

if TYPE_CHECKING:
    from ckpt_s3.store import S3Store

__all__ = ["S3Upload"]

_log = logging.getLogger("ckpt")

_CHECKSUM: Final = "CRC32"


class S3Upload(Upload):
    """Parts of an object that is not there yet; `mark` is in its metadata, to know it again."""

    def __init__(self, store: S3Store, key: str, mark: str, *, overwrite: bool) -> None:
        self._store = store
        self._key = key
        self._mark = mark
        self._overwrite = overwrite
        self._parts: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()
        # As the SDK's own transfers do: parts with checksums belong to an upload that was begun for them.
        self._sums = {"ChecksumAlgorithm": _CHECKSUM} if store.sends_checksums else {}
        begun = self._ask("create_multipart_upload", Metadata=store.marked(mark), **self._sums)
        self._id = begun["UploadId"]

    def send(self, number: int, data: bytearray) -> None:
        answer = self._ask("upload_part", UploadId=self._id, PartNumber=number, Body=data, **self._sums)
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        if f"Checksum{_CHECKSUM}" in answer:
            part[f"Checksum{_CHECKSUM}"] = answer[f"Checksum{_CHECKSUM}"]
        with self._lock:
            self._parts[number] = part

    def complete(self, size: int) -> ObjectInfo:
        parts = [self._parts[number] for number in sorted(self._parts)]
        condition = {} if self._overwrite else {"IfNoneMatch": "*"}
        given = {"UploadId": self._id, "MultipartUpload": {"Parts": parts}, **condition}

        def once() -> None:
            try:
                self._store.ask_once("complete_multipart_upload", self._key, writing=True, **given)
            except (AlreadyExists, StoreUnavailable) as error:
                # The answer to an earlier try may have been lost: then the upload is gone and the object is ours.
                lost = isinstance(error, AlreadyExists) or getattr(error.__cause__, "code", "") == "NoSuchUpload"
                if not lost or not self._store.is_ours(self._key, self._mark):
                    raise

        self._store.attempts(once)
        return ObjectInfo(self._key, size)

    def abort(self) -> None:
        try:
            self._ask("abort_multipart_upload", UploadId=self._id)
        except CkptError as error:
            if getattr(error.__cause__, "code", "") != "NoSuchUpload":
                _log.warning(
                    "parts of an unfinished upload stay behind: %s. A lifecycle rule with "
                    "AbortIncompleteMultipartUpload removes such",
                    error,
                )

    def _ask(self, operation: str, **given: Any) -> Any:
        return self._store.ask(operation, self._key, writing=True, **given)
