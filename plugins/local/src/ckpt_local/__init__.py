"""The values of a ckpt flow as files: `LocalResultHandler`, and `LocalStore` below it."""

from __future__ import annotations

from ckpt import ResultHandler, hookimpl
from ckpt_local.handler import LocalResultHandler
from ckpt_local.store import LocalStore

__all__ = ["LocalResultHandler", "LocalStore"]


@hookimpl
def ckpt_result_handlers() -> list[type[ResultHandler]]:
    """The handlers of this distribution."""
    return [LocalResultHandler]
