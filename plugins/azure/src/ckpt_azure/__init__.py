"""The values of a ckpt flow as blobs in Azure: `AzureResultHandler`, and `AzureStore` below it."""

from __future__ import annotations

from ckpt import ResultHandler, hookimpl
from ckpt_azure.connection import AzureConnection
from ckpt_azure.handler import AzureResultHandler
from ckpt_azure.store import AzureStore

__all__ = ["AzureConnection", "AzureResultHandler", "AzureStore"]


@hookimpl
def ckpt_result_handlers() -> list[type[ResultHandler]]:
    """The handlers of this distribution."""
    return [AzureResultHandler]
