"""Which keys are taken: those that Google Cloud Storage and every client on the way leave as they are.

Nothing is rewritten. HTTP libraries and tools that copy to folders fold `.`, `..` and empty parts, and control
characters break lists and lines: such keys are refused.
"""

from __future__ import annotations

import re
from typing import Final

from ckpt.errors import ConfigError

__all__ = ["can_begin", "check"]

_LONGEST: Final = 1024
"""Bytes. https://cloud.google.com/storage/docs/objects#naming"""
_RESERVED: Final = ".well-known/acme-challenge/"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_FOLDED: Final = frozenset({"", ".", ".."})
_PLAIN: Final = re.compile(r"(?:[\w!()*'-][\w!()*'.-]*/)*[\w!()*'-][\w!()*'.-]*", re.ASCII)


def check(key: str) -> None:
    """Refuse a key that would not come back the same.

    Raises: `ConfigError`.
    """
    if len(key) <= _LONGEST and _PLAIN.fullmatch(key):
        return
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise _refused(key, "it holds half a surrogate pair, which is no text") from None
    if size > _LONGEST:
        raise _refused(key, f"it has {size} bytes, and Google Cloud Storage takes {_LONGEST}")
    if _CONTROL.search(key):
        raise _refused(key, "it holds a control character")
    if key.startswith(_RESERVED):
        raise _refused(key, f"Google Cloud Storage keeps {_RESERVED} for itself")
    if not _FOLDED.isdisjoint(key.split("/")):
        raise _refused(key, "one of its parts is empty, '.' or '..'")


def can_begin(prefix: str) -> bool:
    """Could a key that `check` takes begin like this?"""
    try:
        size = len(prefix.encode())
    except UnicodeEncodeError:
        return False
    folders = prefix.split("/")[:-1]
    return size <= _LONGEST and not _CONTROL.search(prefix) and _FOLDED.isdisjoint(folders)


def _refused(key: str, why: str) -> ConfigError:
    shown = ascii(key) if len(key) <= 200 else f"{key[:200]!a}…"
    return ConfigError(
        f"the key {shown} cannot be one in Google Cloud Storage: {why}. Use another key, prefix or template"
    )
