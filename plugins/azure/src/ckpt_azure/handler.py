"""The handler that keeps each value as a blob in Azure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ckpt.attempts import Attempts
from ckpt.buckets import BucketResultHandler
from ckpt.errors import ConfigError
from ckpt.handlers import DEFAULT_TEMPLATE
from ckpt_azure.connection import AzureConnection
from ckpt_azure.store import AzureStore

__all__ = ["AzureResultHandler"]

_NAME: Final = re.compile(r"\$root|\$web|[a-z0-9](?:-?[a-z0-9]){2,62}")


class AzureResultHandler(BucketResultHandler):
    """Keeps each value as one block blob in the container `container`, through azure-storage-blob.

    The account is named by `account_url` (`"https://ACCOUNT.blob.core.windows.net"`, a SAS may follow) or by
    `connection_string`; with neither by `AZURE_STORAGE_CONNECTION_STRING` in the environment. `credential` is what the
    SDK takes: an account key, a SAS, or an object of azure-identity. Without one `DefaultAzureCredential` is asked.

    `credential`, `connection_string` and `account_url` may be a reference, `env:NAME` or `file:PATH`, which is looked
    up in the process that reads or writes; a credential that is given as a value or an object serves this process
    only. `client_kwargs` goes to `azure.storage.blob.ContainerClient`.

    A request that fails for a passing reason is tried again for `retry_seconds`; `request_timeout` is the time in
    seconds that one may be silent.

    Raises: `ConfigError` for an option that cannot be right.
    """

    __module__ = "ckpt_azure"  # its public path, for `repr` and pickles
    storage_type: ClassVar[str] = "azure"
    schemes: ClassVar[tuple[str, ...]] = ("az",)
    kind: ClassVar[str] = "an Azure handler"
    holder: ClassVar[str] = "container"
    connection: AzureConnection

    def __init__(
        self,
        container: str,
        *,
        account_url: str | None = None,
        connection_string: str | None = None,
        credential: Any = None,
        client_kwargs: Mapping[str, Any] | None = None,
        request_timeout: float = 20.0,
        retry_seconds: float = 30.0,
        prefix: str = "",
        template: str = DEFAULT_TEMPLATE,
        serializer: str = "pickle",
    ) -> None:
        super().__init__(prefix=prefix, template=template, serializer=serializer)
        name: object = container
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 63:
            raise ConfigError(
                f"container={container!r} is no container: give its name alone (3 to 63 of a-z, 0-9 and single "
                "hyphens), and the account by account_url"
            )
        self.container = container
        self.retry_seconds = Attempts(retry_seconds).seconds
        self.connection = AzureConnection(
            account_url=account_url,
            connection_string=connection_string,
            credential=credential,
            client_kwargs=client_kwargs or {},
            request_timeout=request_timeout,
        )

    def open_store(self) -> AzureStore:
        return AzureStore(self.container, self.connection, retry_seconds=self.retry_seconds)
