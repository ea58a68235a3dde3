"""Objects in one bucket of S3, or of a server that speaks its language."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC
from itertools import islice
from typing import Any, BinaryIO, ClassVar, cast

from ckpt.attempts import Attempts
from ckpt.buckets import BucketStore
from ckpt.errors import AccessDenied, AlreadyExists, CkptError, ConfigError, NotFound, StoreUnavailable
from ckpt.parts import PART, PartWriter
from ckpt.ranges import FIRST, RANGE, RangeReader
from ckpt.redaction import Redaction
from ckpt.stores import Buffer, ObjectInfo, ObjectWriter, flat
from ckpt_s3.connection import S3Connection
from ckpt_s3.keys import can_begin, check
from ckpt_s3.sdkerrors import explained
from ckpt_s3.upload import S3Upload

__all__ = ["S3Store"]

_MARK = "ckpt-write"
"""Name in the metadata of the id of one write, by which a writer whose answer was lost knows its own object."""


class S3Store(BucketStore):
    """Objects in `bucket`, which must be there. The client is made at first use.

    A request that fails for a passing reason is tried again, with growing pauses, for `retry_seconds`; where the
    server says nothing at all, each try takes the connection's `request_timeout`.
    """

    reads = 4
    page: ClassVar[int] = 1000
    """Objects in a page of a list, and in one request that deletes."""
    part: ClassVar[int] = PART
    """Bytes in a part of a large object."""

    def __init__(self, bucket: str, connection: S3Connection | None = None, *, retry_seconds: float = 30.0) -> None:
        self.bucket = bucket
        self.connection = connection or S3Connection()
        self.attempts = Attempts(retry_seconds)
        self._lock = threading.Lock()
        self._made: tuple[Any, Redaction] | None = None

    def __repr__(self) -> str:
        return f"S3Store({self.bucket!r}, {self.connection!r})"

    @property
    def _client(self) -> tuple[Any, Redaction]:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    with explained(self.bucket, None, Redaction()):
                        try:
                            self._made = self.connection.client()
                        except (TypeError, ValueError) as error:
                            if isinstance(error, CkptError):
                                raise
                            raise ConfigError(
                                f"s3://{self.bucket}: boto3 makes no client of these options: {error}"
                            ) from error
        return self._made

    @property
    def sends_checksums(self) -> bool:
        """Does the SDK send a checksum with each body? It does, unless it was told not to."""
        return bool(self._client[0].meta.config.request_checksum_calculation != "when_required")

    def ask_once(self, operation: str, key: str | None, *, writing: bool = False, **given: Any) -> Any:
        """One request, its errors explained."""
        client, redact = self._client
        if key is not None:
            given["Key"] = key
        with explained(self.bucket, key, redact, writing=writing):
            return getattr(client, operation)(Bucket=self.bucket, **given)

    def ask(self, operation: str, key: str | None, *, writing: bool = False, **given: Any) -> Any:
        """One request, tried again as long as that may help."""
        return self.attempts(lambda: self.ask_once(operation, key, writing=writing, **given))

    def check(self, prefix: str = "") -> None:
        try:
            self.ask("list_objects_v2", None, Prefix=prefix, MaxKeys=1)
        except AccessDenied as error:
            # A policy that only allows to write is fine as long as nothing is read.
            if getattr(error.__cause__, "code", "") not in ("AccessDenied", "403"):
                raise

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        check(key)
        body = flat(data)
        if isinstance(body, memoryview):
            body = bytes(body)  # the SDK takes no views
        if overwrite:
            self.ask("put_object", key, writing=True, Body=body)
            return ObjectInfo(key, len(body))
        mark = uuid.uuid4().hex

        def once() -> None:
            try:
                self.ask_once("put_object", key, writing=True, Body=body, IfNoneMatch="*", Metadata=self.marked(mark))
            except AlreadyExists:
                # By this very put, if its answer was lost and it was sent again.
                if not self.is_ours(key, mark):
                    raise

        self.attempts(once)
        return ObjectInfo(key, len(body))

    def marked(self, mark: str) -> dict[str, str]:
        """The metadata of an object that must be known again."""
        return {_MARK: mark}

    def is_ours(self, key: str, mark: str) -> bool:
        """Does the object under `key` come from the write with this mark?

        Raises: `StoreUnavailable` where there is none any more: the write may be tried again.
        """
        try:
            return self.head(key).metadata.get(_MARK) == mark
        except AccessDenied:
            return False  # who may not read cannot know; "taken" is what the server said
        except NotFound as error:
            raise StoreUnavailable(f"{key!r} in s3://{self.bucket} was taken and is free again: run again") from error

    def get(self, key: str) -> bytes:
        check(key)
        return self.attempts(lambda: self._body(key)[0])

    def _body(self, key: str, **given: Any) -> tuple[bytes, dict[str, Any]]:
        """The body of one answer, and the answer."""
        answer = self.ask_once("get_object", key, **given)
        with explained(self.bucket, key, self._client[1]), closing(answer["Body"]) as body:
            return body.read(), answer

    def open_read(self, key: str) -> BinaryIO:
        check(key)
        try:
            first, answer = self.attempts(lambda: self._body(key, Range=f"bytes=0-{FIRST - 1}"))
        except ConfigError as error:
            if getattr(error.__cause__, "code", "") not in ("InvalidRange", "416"):
                raise
            return cast("BinaryIO", RangeReader.empty())
        size = int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else len(first)
        return cast("BinaryIO", RangeReader(first, size, self._fetcher(key, answer["ETag"]), part=RANGE))

    def _fetcher(self, key: str, version: str) -> Callable[[int, int], bytes]:
        def once(start: int, stop: int) -> bytes:
            data, _ = self._body(key, Range=f"bytes={start}-{stop - 1}", IfMatch=version)
            if len(data) != stop - start:
                raise StoreUnavailable(
                    f"{key!r} in s3://{self.bucket}: {len(data)} bytes came of {stop - start} that were asked for: "
                    "run again"
                )
            return data

        return lambda start, stop: self.attempts(lambda: once(start, stop))

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        check(key)
        return PartWriter(
            key,
            put=lambda data: self.put(key, data, overwrite=overwrite),
            begin=lambda: S3Upload(self, key, uuid.uuid4().hex, overwrite=overwrite),
            part=self.part,
        )

    def head(self, key: str) -> ObjectInfo:
        check(key)
        answer = self.ask("head_object", key)
        return ObjectInfo(key, answer["ContentLength"], answer["LastModified"].astimezone(UTC), answer["Metadata"])

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if not can_begin(prefix):
            return
        more: dict[str, Any] = {}
        while True:
            answer = self.ask("list_objects_v2", None, Prefix=prefix, MaxKeys=self.page, **more)
            for each in answer.get("Contents", ()):
                yield ObjectInfo(each["Key"], each["Size"], each["LastModified"].astimezone(UTC))
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        check(key)
        try:
            self.ask("delete_object", key, writing=True)
        except NotFound:
            return  # some servers say so

    def delete_many(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := list(islice(waiting, self.page)):
            for key in batch:
                check(key)
            self.attempts(lambda batch=batch: self._delete_once(batch))  # type: ignore[misc]  # bound in the loop

    def _delete_once(self, keys: Sequence[str]) -> None:
        objects = [{"Key": key} for key in keys]
        answer = self.ask_once("delete_objects", None, writing=True, Delete={"Objects": objects, "Quiet": True})
        for failed in answer.get("Errors", ()):
            if failed.get("Code") != "NoSuchKey":
                self._raise_for(failed)

    def _raise_for(self, failed: dict[str, Any]) -> None:
        """Raise what one part of a batch met, as if it had been asked for alone."""
        from botocore.exceptions import ClientError

        status = {"AccessDenied": 403, "InternalError": 500, "SlowDown": 503, "ServiceUnavailable": 503}
        facts = {"HTTPStatusCode": status.get(failed.get("Code", ""), 400)}
        with explained(self.bucket, failed.get("Key"), self._client[1], writing=True):
            raise ClientError({"Error": failed, "ResponseMetadata": facts}, "DeleteObjects")
