"""Which keys are taken: those that Azure and every client on the way leave as they are.

Nothing is rewritten. A client's HTTP library folds `.` and `..`, a backslash is a slash for some of them, Azure takes a
dot or a slash from the end, accounts with folders fold empty parts, and no listing in XML can hold control characters:
such keys are refused. https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
"""

from __future__ import annotations

import re
from typing import Final

from ckpt.errors import ConfigError

__all__ = ["can_begin", "check"]

_LONGEST: Final = 1024
"""Characters."""
_PARTS: Final = 254
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_PLAIN: Final = re.compile(r"(?:(?:\.?[\w!()*'-])+/){0,253}(?:\.?[\w!()*'-])+", re.ASCII)


def check(key: str) -> None:
    """Refuse a key that would not come back the same.

    Raises: `ConfigError`.
    """
    if len(key) <= _LONGEST and _PLAIN.fullmatch(key):
        return
    if not _is_text(key):
        raise _refused(key, "it holds half a surrogate pair, which is no text")
    if len(key) > _LONGEST:
        raise _refused(key, f"it has {len(key)} characters, and Azure takes {_LONGEST}")
    if _CONTROL.search(key):
        raise _refused(key, "it holds a control character")
    if "\\" in key:
        raise _refused(key, "it holds a backslash")
    parts = key.split("/")
    if len(parts) > _PARTS:
        raise _refused(key, f"it has {len(parts)} parts, and Azure takes {_PARTS}")
    if any(_is_folded(part) for part in parts):
        raise _refused(key, "one of its parts is empty or ends in a dot")


def can_begin(prefix: str) -> bool:
    """Could a key that `check` takes begin like this?"""
    folders = prefix.split("/")[:-1]
    return (
        len(prefix) <= _LONGEST
        and len(folders) < _PARTS
        and _is_text(prefix)
        and not _CONTROL.search(prefix)
        and "\\" not in prefix
        and not any(_is_folded(part) for part in folders)
    )


def _is_folded(part: str) -> bool:
    return not part or part.endswith(".")


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(key: str, why: str) -> ConfigError:
    shown = ascii(key) if len(key) <= 200 else f"{key[:200]!a}…"
    return ConfigError(f"the key {shown} cannot be one in Azure: {why}. Use another key, prefix or template")
