"""The suite for result handlers."""

from __future__ import annotations

from typing import ClassVar

from ckpt.testing.handler_faults import HandlerFaults
from ckpt.testing.handler_travel import HandlerTravel
from ckpt.testing.handler_trust import HandlerTrust
from ckpt.testing.handler_values import HandlerValues

__all__ = ["ResultHandlerTests"]


class ResultHandlerTests(HandlerValues, HandlerTravel, HandlerFaults, HandlerTrust):
    """Every promise of a `ckpt.ResultHandler`: subclass it and give the fixture `handler`.

    `handler` is a new handler that has not been used, in a module that another process can import. More is asked
    where the fixtures `raw`, `refused`, `unreachable`, `secret` (with `secretive`) and `missing` are given.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"missing", "raw", "refused", "secret", "unreachable"})
