"""One resumable upload."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from ckpt.errors import AlreadyExists, CkptError, StoreUnavailable
from ckpt.parts import Upload
from ckpt.stores import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from ckpt_gcs.store import GCSStore

__all__ = ["GCSUpload"]

_log = logging.getLogger("ckpt")

_STEP: Final = 256 << 10
"""What is not the end of the object comes in multiples of it."""
_MORE: Final = 308
_GONE: Final = (404, 410)
_CANCELLED: Final = 499


class _SessionLost(Exception):
    """The server knows nothing of the session any more."""


class GCSUpload(Upload):
    """An object that is not there yet, in a session that takes one part after the other.

    Sessions take no parts side by side, and temporary objects to be composed would, but they can be seen, and stay
    when the process is killed; the server forgets a session by itself after a week.
    https://cloud.google.com/storage/docs/performing-resumable-uploads
    """

    def __init__(self, store: GCSStore, key: str, mark: str, *, overwrite: bool) -> None:
        self._store = store
        self._key = key
        self._mark = mark
        self._there = 0
        """Bytes that the server has, as far as it said."""
        self._is_complete = False
        self._is_unsure = False
        """Was an answer lost?"""
        self._tail: bytes | bytearray = b""
        self._turn = threading.Condition()
        self._next = 1
        self._broken: BaseException | None = None
        blob = store.blob(key, mark)
        condition = {} if overwrite else {"if_generation_match": 0}
        self._url: str = store.ask(
            lambda: blob.create_resumable_upload_session(
                content_type="application/octet-stream", checksum=None, **condition, **store.plain
            ),
            key,
            writing=True,
        )

    def send(self, number: int, data: bytearray) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._next == number or self._broken is not None)
            if self._broken is not None:
                raise self._broken
        try:
            if len(data) % _STEP:
                self._tail = data  # only the last part is uneven, and the end has to come with the size
            else:
                self._bring(data)
        except BaseException as error:
            self._broken = error
            raise
        finally:
            with self._turn:
                self._next += 1
                self._turn.notify_all()

    def complete(self, size: int) -> ObjectInfo:
        try:
            self._bring(self._tail, size)
        except (AlreadyExists, StoreUnavailable) as error:
            # The answer to an earlier try may have been lost: then the session is gone and the object is ours.
            lost = isinstance(error, AlreadyExists) or isinstance(error.__cause__, _SessionLost)
            if not lost or not self._store.is_ours(self._key, self._mark):
                raise
        return ObjectInfo(self._key, size)

    def abort(self) -> None:
        def cancel() -> None:
            answer = self._request("DELETE", b"", {})
            if answer.status_code not in (_CANCELLED, *_GONE) and not answer.ok:
                self._refuse(answer)

        try:
            self._try(cancel)
        except CkptError as error:
            _log.warning(
                "an unfinished upload stays behind, which nobody sees and which the server removes after a week: %s",
                error,
            )

    def _bring(self, data: bytes | bytearray, size: int | None = None) -> None:
        """Bring `data` there, and with `size` make the object of all of it."""
        begin, end = self._there, self._there + len(data)
        total = "*" if size is None else str(size)

        def once() -> None:
            if self._is_unsure:
                self._learn(self._request("PUT", b"", {"Content-Range": f"bytes */{total}"}))
            while not self._is_complete and (self._there < end or size is not None):
                before = self._there
                rest = memoryview(data)[before - begin :]
                place = f"{before}-{end - 1}" if rest else "*"
                self._is_unsure = True
                self._learn(self._request("PUT", rest, {"Content-Range": f"bytes {place}/{total}"}))
                if self._there == before and not self._is_complete:
                    raise StoreUnavailable(f"{self._key!r} in gs://{self._store.bucket}: it took nothing: run again")

        try:
            self._try(once)
        except _SessionLost as error:
            raise StoreUnavailable(
                f"{self._key!r} in gs://{self._store.bucket}: the server forgot the upload: run again"
            ) from error

    def _learn(self, answer: Any) -> None:
        """Note how far the server got."""
        if answer.status_code == _MORE:
            reached = answer.headers.get("Range", "")
            self._there = int(reached.rpartition("-")[2]) + 1 if reached else 0
        elif answer.ok:
            self._is_complete = True
        else:
            self._refuse(answer)
        self._is_unsure = False

    def _request(self, method: str, data: Any, headers: dict[str, str]) -> Any:
        return self._store.session.request(
            method, self._url, data=data, headers=headers, timeout=self._store.timeout, allow_redirects=False
        )

    def _refuse(self, answer: Any) -> None:
        from google.api_core.exceptions import from_http_response

        if answer.status_code in _GONE:
            raise _SessionLost
        raise from_http_response(answer)  # type: ignore[no-untyped-call]

    def _try(self, work: Callable[[], None]) -> None:
        self._store.ask(work, self._key, writing=True)
