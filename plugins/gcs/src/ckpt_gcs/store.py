"""Objects in one bucket of Google Cloud Storage."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, BinaryIO, ClassVar, Final, TypeVar, cast

from ckpt.attempts import Attempts
from ckpt.buckets import BucketStore
from ckpt.errors import AccessDenied, AlreadyExists, CkptError, ConfigError, CorruptRecord, NotFound, StoreUnavailable
from ckpt.parts import PART, PartWriter
from ckpt.ranges import FIRST, RANGE, RangeReader
from ckpt.redaction import Redaction
from ckpt.stores import Buffer, ObjectInfo, ObjectWriter, flat
from ckpt_gcs.connection import GCSConnection
from ckpt_gcs.keys import can_begin, check
from ckpt_gcs.sdkerrors import explained
from ckpt_gcs.upload import GCSUpload

__all__ = ["GCSStore"]

T = TypeVar("T")

_MARK: Final = "ckpt-write"
"""Name in the metadata of the id of one write, by which a writer whose answer was lost knows its own object."""
_EMPTY: Final = 416
"""What is answered to a range of an object without bytes."""


class GCSStore(BucketStore):
    """Objects in `bucket`, which must be there. The client is made at first use.

    A request that fails for a passing reason is tried again, with growing pauses, for `retry_seconds`; where the
    server says nothing at all, each try takes the connection's `request_timeout`.
    """

    reads = 4
    page: ClassVar[int] = 1000
    """Objects in a page of a list."""
    part: ClassVar[int] = PART
    """Bytes in a part of a large object: a multiple of 256 KiB."""

    def __init__(self, bucket: str, connection: GCSConnection | None = None, *, retry_seconds: float = 30.0) -> None:
        self.bucket = bucket
        self.connection = connection or GCSConnection()
        self.attempts = Attempts(retry_seconds)
        self._lock = threading.Lock()
        self._made: tuple[Any, Redaction] | None = None

    def __repr__(self) -> str:
        return f"GCSStore({self.bucket!r}, {self.connection!r})"

    @property
    def _client(self) -> tuple[Any, Redaction]:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    with explained(self.bucket, None, Redaction()):
                        try:
                            self._made = self.connection.client()
                        except (AttributeError, TypeError, ValueError) as error:
                            if isinstance(error, CkptError):
                                raise
                            raise ConfigError(
                                f"gs://{self.bucket}: google-cloud-storage makes no client of these options: {error}"
                            ) from error
        return self._made

    @property
    def session(self) -> Any:
        """What the SDK sends its requests through, with credentials."""
        return self._client[0]._http  # noqa: SLF001  the SDK has no call for one part of an upload

    @property
    def timeout(self) -> float:
        return self.connection.request_timeout

    @property
    def plain(self) -> dict[str, Any]:
        """For every call of the SDK: tried once, since the store knows what may be tried again and for how long."""
        return {"retry": None, "timeout": self.timeout}

    def blob(self, key: str, mark: str | None = None) -> Any:
        """The SDK's object for `key`; with `mark`, one to be known again."""
        blob = self._client[0].bucket(self.bucket).blob(key)
        if mark is not None:
            blob.metadata = {_MARK: mark}
        return blob

    def ask_once(self, work: Callable[[], T], key: str | None, *, writing: bool = False) -> T:
        """One request, its errors explained."""
        with explained(self.bucket, key, self._client[1], writing=writing):
            return work()

    def ask(self, work: Callable[[], T], key: str | None, *, writing: bool = False) -> T:
        """One request, tried again as long as that may help."""
        return self.attempts(lambda: self.ask_once(work, key, writing=writing))

    def check(self, prefix: str = "") -> None:
        try:
            self.ask(lambda: self._page(prefix, None, 1), None)
        except AccessDenied as error:
            # A role that only allows to write is fine as long as nothing is read.
            if "storage.objects.list" not in str(error):
                raise

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        check(key)
        if memoryview(data).nbytes >= self.part:
            with self.open_write(key, overwrite=overwrite) as writer:
                writer.write(data)
                return writer.commit()
        body = bytes(flat(data))
        if overwrite:
            self.ask(lambda: self.blob(key).upload_from_string(body, **_BINARY, **self.plain), key, writing=True)
            return ObjectInfo(key, len(body))
        mark = uuid.uuid4().hex

        def create() -> None:
            self.blob(key, mark).upload_from_string(body, if_generation_match=0, **_BINARY, **self.plain)

        def once() -> None:
            try:
                self.ask_once(create, key, writing=True)
            except AlreadyExists:
                # By this very put, if its answer was lost and it was sent again.
                if not self.is_ours(key, mark):
                    raise

        self.attempts(once)
        return ObjectInfo(key, len(body))

    def is_ours(self, key: str, mark: str) -> bool:
        """Does the object under `key` come from the write with this mark?

        Raises: `StoreUnavailable` where there is none any more: the write may be tried again.
        """
        try:
            return self.head(key).metadata.get(_MARK) == mark
        except AccessDenied:
            return False  # who may not read cannot know; "taken" is what the server said
        except NotFound as error:
            raise StoreUnavailable(f"{key!r} in gs://{self.bucket} was taken and is free again: run again") from error

    def get(self, key: str) -> bytes:
        check(key)
        return self.ask(lambda: self._body(key)[0], key)

    def _body(self, key: str, **given: Any) -> tuple[bytes, int | None]:
        """The body of one answer, and the generation of the object that it is of."""
        blob = self.blob(key)
        body = _Body()
        blob.download_to_file(body, raw_download=True, single_shot_download=True, **given, **self.plain)
        return body.data, blob.generation

    def open_read(self, key: str) -> BinaryIO:
        check(key)
        try:
            first, generation = self.ask(lambda: self._body(key, start=0, end=FIRST - 1), key)
        except CorruptRecord as error:
            if getattr(error.__cause__, "status", 0) != _EMPTY:
                raise
            return cast("BinaryIO", RangeReader.empty())
        # Of the whole no answer to a range tells through the SDK, so it is asked for where there is more.
        size = len(first) if len(first) != FIRST else self._size(key, generation)
        return cast("BinaryIO", RangeReader(first, size, self._fetcher(key, generation), part=RANGE))

    def _size(self, key: str, generation: int | None) -> int:
        blob = self.blob(key)
        self.ask(lambda: blob.reload(**self.plain), key)
        self._check_version(key, generation, blob.generation)
        return int(blob.size)

    def _fetcher(self, key: str, generation: int | None) -> Callable[[int, int], bytes]:
        pinned = {} if generation is None else {"if_generation_match": generation}

        def once(start: int, stop: int) -> bytes:
            data, found = self._body(key, start=start, end=stop - 1, **pinned)
            self._check_version(key, generation, found)
            if len(data) != stop - start:
                raise StoreUnavailable(
                    f"{key!r} in gs://{self.bucket}: {len(data)} bytes came of {stop - start} that were asked for: "
                    "run again"
                )
            return data

        return lambda start, stop: self.ask(lambda: once(start, stop), key)

    def _check_version(self, key: str, expected: int | None, found: int | None) -> None:
        if found != expected:
            raise CorruptRecord(
                f"{key!r} in gs://{self.bucket}: it was replaced while it was being read: read it again"
            )

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        check(key)
        return PartWriter(
            key,
            put=lambda data: self.put(key, data, overwrite=overwrite),
            begin=lambda: GCSUpload(self, key, uuid.uuid4().hex, overwrite=overwrite),
            part=self.part,
        )

    def head(self, key: str) -> ObjectInfo:
        check(key)
        blob = self.blob(key)
        self.ask(lambda: blob.reload(**self.plain), key)
        return _info(blob)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if not can_begin(prefix):
            return
        token: str | None = None
        while True:
            found, token = self.ask(lambda token=token: self._page(prefix, token, self.page), None)  # type: ignore[misc]  # bound in the loop
            yield from found
            if not token:
                return

    def _page(self, prefix: str, token: str | None, count: int) -> tuple[Sequence[ObjectInfo], str | None]:
        answer = self._client[0].list_blobs(
            self.bucket,
            prefix=prefix or None,
            page_token=token,
            page_size=count,
            fields="items(name,size,updated),nextPageToken",
            **self.plain,
        )
        found = [_info(blob) for blob in next(answer.pages, ())]
        return found, answer.next_page_token

    def delete(self, key: str) -> None:
        check(key)
        try:
            self.ask(lambda: self.blob(key).delete(**self.plain), key)
        except NotFound:
            return

    def delete_many(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        with ThreadPoolExecutor(self.writers, "ckpt-delete") as pool:
            while batch := list(islice(waiting, self.page)):
                for key in batch:
                    check(key)
                for _ in pool.map(self.delete, batch):
                    pass


class _Body:
    """Takes what the SDK downloads without copying it: it comes in one piece."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = self.data + data if self.data else data


_BINARY: Final = {"content_type": "application/octet-stream"}


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(blob.name, int(blob.size), blob.updated, blob.metadata or {})
