"""Errors that say what they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ckpt.errors import CkptError

__all__ = ["telling"]


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Begin an error of ours with what it is about: the value of which task run, which argument."""
    try:
        yield
    except CkptError as error:
        raise type(error)(f"{what}: {error}") from error
