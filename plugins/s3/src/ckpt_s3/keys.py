"""Which keys are taken: those that every S3 server and every client on the way leaves as they are.

Nothing is rewritten. A client's HTTP library folds `.` and `..`, some servers keep folders, fold empty parts and take
a backslash for a slash, and no listing in XML can hold control characters: such keys are refused.
"""

from __future__ import annotations

import re
from typing import Final

from ckpt.errors import ConfigError

__all__ = ["can_begin", "check"]

_LONGEST: Final = 1024
"""Bytes. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""
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
        raise _refused(key, f"it has {size} bytes, and S3 takes {_LONGEST}")
    if _CONTROL.search(key):
        raise _refused(key, "it holds a control character")
    if "\\" in key:
        raise _refused(key, "it holds a backslash")
    if not _FOLDED.isdisjoint(key.split("/")):
        raise _refused(key, "one of its parts is empty, '.' or '..'")


def can_begin(prefix: str) -> bool:
    """Could a key that `check` takes begin like this?"""
    try:
        size = len(prefix.encode())
    except UnicodeEncodeError:
        return False
    folders = prefix.split("/")[:-1]
    return size <= _LONGEST and not _CONTROL.search(prefix) and "\\" not in prefix and _FOLDED.isdisjoint(folders)


def _refused(key: str, why: str) -> ConfigError:
    shown = ascii(key) if len(key) <= 200 else f"{key[:200]!a}…"
    return ConfigError(f"the key {shown} cannot be one in S3: {why}. Use another key, prefix or template")
