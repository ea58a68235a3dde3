"""The way to stored bytes that goes round what is tested."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ckpt.handlers import JSON

__all__ = ["BackDoor"]


class BackDoor(Protocol):
    """Reaches the storage without the handler or store under test: by the SDK, by plain files."""

    def read(self, location: JSON) -> bytes:
        """Return the bytes at `location`."""

    def write(self, location: JSON, data: bytes) -> None:
        """Put `data` at `location`, whatever is there."""

    def list(self) -> Iterable[JSON]:
        """Return every location that holds something, finished or not: what a person looking there would find."""
