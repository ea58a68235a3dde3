"""The handler that keeps each value as an object in Google Cloud Storage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ckpt.attempts import Attempts
from ckpt.buckets import BucketResultHandler
from ckpt.errors import ConfigError
from ckpt.handlers import DEFAULT_TEMPLATE
from ckpt_gcs.connection import GCSConnection
from ckpt_gcs.store import GCSStore

__all__ = ["GCSResultHandler"]

_NOT_A_NAME = re.compile(r"[/:\s]")


class GCSResultHandler(BucketResultHandler):
    """Keeps each value as one object in the bucket `bucket`, through google-cloud-storage.

    Without other options Application Default Credentials are used, as the SDK finds them. `credentials` may be a
    reference, `env:NAME` or `file:PATH`, to the JSON of a service account or of an authorized user, which is looked up
    in the process that reads or writes; a credentials object of google-auth serves this process only.
    `client_kwargs` goes to `google.cloud.storage.Client`.

    A request that fails for a passing reason is tried again for `retry_seconds`; `request_timeout` is the time in
    seconds that one may be silent.

    Raises: `ConfigError` for an option that cannot be right.
    """

    __module__ = "ckpt_gcs"  # its public path, for `repr` and pickles
    storage_type: ClassVar[str] = "gcs"
    schemes: ClassVar[tuple[str, ...]] = ("gs",)
    kind: ClassVar[str] = "a GCS handler"
    connection: GCSConnection

    def __init__(
        self,
        bucket: str,
        *,
        project: str | None = None,
        credentials: Any = None,
        api_endpoint: str | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        request_timeout: float = 20.0,
        retry_seconds: float = 30.0,
        prefix: str = "",
        template: str = DEFAULT_TEMPLATE,
        serializer: str = "pickle",
    ) -> None:
        super().__init__(prefix=prefix, template=template, serializer=serializer)
        name: object = bucket
        if not isinstance(name, str) or not name or _NOT_A_NAME.search(name):
            raise ConfigError(f"bucket={bucket!r} is no bucket: give its name alone, and a server by api_endpoint")
        self.bucket = bucket
        self.retry_seconds = Attempts(retry_seconds).seconds
        self.connection = GCSConnection(
            project=project,
            credentials=credentials,
            api_endpoint=api_endpoint,
            client_kwargs=client_kwargs or {},
            request_timeout=request_timeout,
        )

    def open_store(self) -> GCSStore:
        return GCSStore(self.bucket, self.connection, retry_seconds=self.retry_seconds)
