"""Blobs in one container of Azure."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from itertools import islice
from typing import Any, BinaryIO, ClassVar, Final, cast

from ckpt.attempts import Attempts
from ckpt.buckets import BucketStore
from ckpt.errors import AccessDenied, AlreadyExists, ConfigError, NotFound, StoreUnavailable
from ckpt.explained import SDKCause
from ckpt.parts import PART, PartWriter
from ckpt.ranges import FIRST, RANGE, RangeReader
from ckpt.redaction import Redaction
from ckpt.stores import Buffer, ObjectInfo, ObjectWriter, flat
from ckpt_azure.connection import AzureConnection
from ckpt_azure.keys import can_begin, check
from ckpt_azure.sdkerrors import code_of, explained
from ckpt_azure.upload import AzureUpload

__all__ = ["AzureStore"]

_MARK: Final = "ckpt_write"
"""Name in the metadata of the id of one write, by which a writer whose answer was lost knows its own blob."""
_FOLDER: Final = "hdi_isfolder"
"""Name in the metadata of what an account with folders keeps of a folder."""

_NO_LIST: Final = frozenset(
    {"AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch", "InsufficientAccountPermissions"}
)
"""What a role or SAS that may not list gets: it may be good for writing all the same."""


class AzureStore(BucketStore):
    """Blobs in `container`, which must be there. The client is made at first use.

    A request that fails for a passing reason is tried again, with growing pauses, for `retry_seconds`; where the
    server says nothing at all, each try takes the connection's `request_timeout`. A body that breaks off the SDK asks
    for twice more by itself.
    """

    reads = 4
    page: ClassVar[int] = 5000
    """Blobs in a page of a list."""
    batch_delete: ClassVar[int] = 256
    """Blobs in one request that deletes."""
    part: ClassVar[int] = PART
    """Bytes in a block of a large blob."""

    def __init__(
        self, container: str, connection: AzureConnection | None = None, *, retry_seconds: float = 30.0
    ) -> None:
        self.container = container
        self.connection = connection or AzureConnection()
        self.attempts = Attempts(retry_seconds)
        self._lock = threading.Lock()
        self._made: tuple[Any, Redaction] | None = None

    def __repr__(self) -> str:
        return f"AzureStore({self.container!r}, {self.connection!r})"

    @property
    def _client(self) -> tuple[Any, Redaction]:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self.connection.client(self.container)
        return self._made

    def ask_once(self, operation: str, key: str, *, writing: bool = False, **given: Any) -> Any:
        """One request about one blob, its errors explained."""
        client, redact = self._client
        with explained(self.container, key, redact, writing=writing):
            return getattr(client.get_blob_client(key), operation)(**given)

    def ask(self, operation: str, key: str, *, writing: bool = False, **given: Any) -> Any:
        """One request about one blob, tried again as long as that may help."""
        return self.attempts(lambda: self.ask_once(operation, key, writing=writing, **given))

    def check(self, prefix: str = "") -> None:
        try:
            self.attempts(lambda: self._page(prefix, None, 1))
        except AccessDenied as error:
            if code_of(error) not in _NO_LIST:
                raise

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        check(key)
        if memoryview(data).nbytes > self.part:
            with self.open_write(key, overwrite=overwrite) as writer:
                writer.write(data)
                return writer.commit()
        body = bytes(flat(data))
        whole = {"data": body, "length": len(body), "validate_content": True}
        if overwrite:
            self.ask("upload_blob", key, writing=True, overwrite=True, **whole)
            return ObjectInfo(key, len(body))
        mark = uuid.uuid4().hex

        def once() -> None:
            try:
                self.ask_once("upload_blob", key, writing=True, metadata=self.marked(mark), **whole)
            except AlreadyExists:
                # By this very put, if its answer was lost and it was sent again.
                if not self.is_ours(key, mark):
                    raise

        self.attempts(once)
        return ObjectInfo(key, len(body))

    def marked(self, mark: str) -> dict[str, str]:
        """The metadata of a blob that must be known again."""
        return {_MARK: mark}

    def is_ours(self, key: str, mark: str) -> bool:
        """Does the blob under `key` come from the write with this mark?

        Raises: `StoreUnavailable` where there is none any more: the write may be tried again.
        """
        try:
            return self.head(key).metadata == self.marked(mark)
        except AccessDenied:
            return False  # who may not read cannot know; "taken" is what the server said
        except NotFound as error:
            raise StoreUnavailable(
                f"{key!r} in az://{self.container} was taken and is free again: run again"
            ) from error

    def get(self, key: str) -> bytes:
        check(key)
        return self.attempts(lambda: self._body(key)[0])

    def _body(self, key: str, **given: Any) -> tuple[bytes, Any]:
        """The bytes that were asked for, and what is said of the blob."""
        with explained(self.container, key, self._client[1]):
            answer = self.ask_once("download_blob", key, **given)
            # Of a range there is one chunk, and joining one copies nothing; `readall` copies.
            return b"".join(answer.chunks()), answer.properties

    def open_read(self, key: str) -> BinaryIO:
        check(key)
        try:
            first, facts = self.attempts(lambda: self._body(key, offset=0, length=FIRST))
        except ConfigError as error:
            if code_of(error) != "InvalidRange":
                raise
            return cast("BinaryIO", RangeReader.empty())
        size = int(facts.content_range.rpartition("/")[2])
        return cast("BinaryIO", RangeReader(first, size, self._fetcher(key, facts.etag), part=RANGE))

    def _fetcher(self, key: str, version: str) -> Callable[[int, int], bytes]:
        from azure.core import MatchConditions

        same = {"etag": version, "match_condition": MatchConditions.IfNotModified}

        def once(start: int, stop: int) -> bytes:
            data, _ = self._body(key, offset=start, length=stop - start, **same)
            if len(data) != stop - start:
                raise StoreUnavailable(
                    f"{key!r} in az://{self.container}: {len(data)} bytes came of {stop - start} that were asked for: "
                    "run again"
                )
            return data

        return lambda start, stop: self.attempts(lambda: once(start, stop))

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        check(key)
        return PartWriter(
            key,
            put=lambda data: self.put(key, data, overwrite=overwrite),
            begin=lambda: AzureUpload(self, key, uuid.uuid4().hex, overwrite=overwrite),
            part=self.part,
        )

    def head(self, key: str) -> ObjectInfo:
        check(key)
        found = self.ask("get_blob_properties", key)
        return ObjectInfo(key, found.size, found.last_modified.astimezone(UTC), found.metadata)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if not can_begin(prefix):
            return
        after: str | None = None
        while True:
            blobs, after = self.attempts(lambda after=after: self._page(prefix, after, self.page))  # type: ignore[misc]  # bound in the loop
            for each in blobs:
                metadata = each.metadata or {}
                if _FOLDER not in metadata:
                    yield ObjectInfo(each.name, each.size, each.last_modified.astimezone(UTC), metadata)
            if not after:
                return

    def _page(self, prefix: str, after: str | None, size: int) -> tuple[Sequence[Any], str | None]:
        """One page of a list, and where the next one begins."""
        client, redact = self._client
        with explained(self.container, None, redact):
            blobs = client.list_blobs(name_starts_with=prefix or None, include=["metadata"], results_per_page=size)
            pages = blobs.by_page(after)
            return tuple(next(pages, ())), pages.continuation_token

    def delete(self, key: str) -> None:
        check(key)
        try:
            self.ask("delete_blob", key, writing=True)
        except NotFound:
            return

    def delete_many(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := list(islice(waiting, self.batch_delete)):
            for key in batch:
                check(key)
            self.attempts(lambda batch=batch: self._delete_once(batch))  # type: ignore[misc]  # bound in the loop

    def _delete_once(self, keys: Sequence[str]) -> None:
        client, redact = self._client
        with explained(self.container, None, redact, writing=True):
            answers = list(client.delete_blobs(*keys, raise_on_any_failure=False))
        for answer in answers:
            if answer.status_code >= 300:
                code = answer.headers.get("x-ms-error-code", "")
                kind, meaning = explained(self.container, None, redact, writing=True).meaning(code, answer.status_code)
                if kind is not NotFound:
                    told = f"{code}, HTTP {answer.status_code}"
                    raise kind(f"a blob in az://{self.container}: {meaning} ({told})") from SDKCause(told, code)
