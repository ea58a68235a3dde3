"""The values of a ckpt flow as objects in S3: `S3ResultHandler`, and `S3Store` below it."""

from __future__ import annotations

from ckpt import ResultHandler, hookimpl
from ckpt_s3.connection import S3Connection
from ckpt_s3.handler import S3ResultHandler
from ckpt_s3.store import S3Store

__all__ = ["S3Connection", "S3ResultHandler", "S3Store"]


@hookimpl
def ckpt_result_handlers() -> list[type[ResultHandler]]:
    """The handlers of this distribution."""
    return [S3ResultHandler]
