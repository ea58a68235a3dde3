"""The values of a ckpt flow as objects in Google Cloud Storage: `GCSResultHandler`, and `GCSStore` below it."""

from __future__ import annotations

from ckpt import ResultHandler, hookimpl
from ckpt_gcs.connection import GCSConnection
from ckpt_gcs.handler import GCSResultHandler
from ckpt_gcs.store import GCSStore

__all__ = ["GCSConnection", "GCSResultHandler", "GCSStore"]


@hookimpl
def ckpt_result_handlers() -> list[type[ResultHandler]]:
    """The handlers of this distribution."""
    return [GCSResultHandler]
