"""The handler that keeps each value as an object in S3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ckpt.attempts import Attempts
from ckpt.buckets import BucketResultHandler
from ckpt.errors import ConfigError
from ckpt.handlers import DEFAULT_TEMPLATE
from ckpt_s3.connection import S3Connection
from ckpt_s3.store import S3Store

__all__ = ["S3ResultHandler"]

_NOT_A_NAME = re.compile(r"[/:\s]")


class S3ResultHandler(BucketResultHandler):
    """Keeps each value as one object in the bucket `bucket`, through boto3.

    Without other options boto3's own chain finds region and credentials. A credential that is given may be a
    reference, `env:NAME` or `file:PATH`, which is looked up in the process that reads or writes; one that is given as
    a value serves this process only. `boto3_kwargs` goes to `boto3.session.Session.client`.

    A request that fails for a passing reason is tried again for `retry_seconds`; `request_timeout` is the time in
    seconds that one may be silent.

    Raises: `ConfigError` for an option that cannot be right.
    """

    __module__ = "ckpt_s3"  # its public path, for `repr` and pickles
    storage_type: ClassVar[str] = "s3"
    schemes: ClassVar[tuple[str, ...]] = ("s3",)
    kind: ClassVar[str] = "an S3 handler"
    connection: S3Connection

    def __init__(
        self,
        bucket: str,
        *,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        profile_name: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        boto3_kwargs: Mapping[str, Any] | None = None,
        request_timeout: float = 20.0,
        retry_seconds: float = 30.0,
        prefix: str = "",
        template: str = DEFAULT_TEMPLATE,
        serializer: str = "pickle",
    ) -> None:
        super().__init__(prefix=prefix, template=template, serializer=serializer)
        name: object = bucket
        if not isinstance(name, str) or not name or (not name.startswith("arn:") and _NOT_A_NAME.search(name)):
            raise ConfigError(f"bucket={bucket!r} is no bucket: give its name alone, and a server by endpoint_url")
        self.bucket = bucket
        self.retry_seconds = Attempts(retry_seconds).seconds
        self.connection = S3Connection(
            region_name=region_name,
            endpoint_url=endpoint_url,
            profile_name=profile_name,
            aws_access_key_id=aws_access_key_id,
            aws_secret_access_key=aws_secret_access_key,
            aws_session_token=aws_session_token,
            boto3_kwargs=boto3_kwargs or {},
            request_timeout=request_timeout,
        )

    def open_store(self) -> S3Store:
        return S3Store(self.bucket, self.connection, retry_seconds=self.retry_seconds)
