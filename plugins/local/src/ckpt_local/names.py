"""From a key to the names of folders and a file, so that two accepted keys never meet.

Nothing is rewritten: a key that a folder could not hold as it is, or that would lead out of it, is refused.
Names are UTF-8 on disk whatever the locale says. A backslash is a character like any other. On a file
system that folds case (macOS, by default) keys that differ in case alone are one key.
"""

from __future__ import annotations

import os

from ckpt.errors import ConfigError

__all__ = ["TEMPORARY", "key_of", "split", "split_prefix", "temporary"]

TEMPORARY = b".ckpt-tmp-"
"""How the names of files on their way begin; no key may."""

_LONGEST = 255
"""Bytes in one name on every common file system."""


def split(key: str) -> tuple[bytes, bytes]:
    """Return the folder (`b"a/b"`, of a key without one `b""`) and the name of the file.

    The folder's parts are checked where the folder is opened, once, by `check`.

    Raises: `ConfigError` for a key that cannot be a file below the folder.
    """
    try:
        folder, slash, name = key.encode().rpartition(b"/")
    except UnicodeEncodeError:
        raise _refused(key, "it holds half a surrogate pair, which is no text") from None
    if slash and not folder:
        raise _refused(key, "it begins with a slash")
    check(name, key)
    return folder, name


def check(part: bytes, key: str) -> None:
    """Refuse a part of `key` that is no name of a file or folder; see `split`."""
    if not part:
        raise _refused(key, "one of its parts is empty")
    if part[0] == 46 and (part in (b".", b"..") or part.startswith(TEMPORARY)):  # 46: a dot
        raise _refused(key, f"no part may be '.' or '..' or begin with {TEMPORARY.decode()!r}")
    if len(part) > _LONGEST:
        raise _refused(key, f"one of its parts is longer than {_LONGEST} bytes")
    if b"\0" in part:
        raise _refused(key, "it holds a NUL character")


def split_prefix(prefix: str) -> tuple[bytes, bytes] | None:
    """Return the folder to look in and how names in it must begin; None where no key can begin so."""
    try:
        folder, slash, begin = prefix.encode().rpartition(b"/")
        if slash:
            for part in folder.split(b"/"):
                check(part, prefix)
    except ValueError:
        return None
    return folder, begin


def key_of(name: str) -> str | None:
    """What `os.scandir` calls a file, as a part of a key; None where no key has such a name."""
    raw = os.fsencode(name)
    if raw.startswith(TEMPORARY):
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def temporary() -> bytes:
    """A name that no key and no other process has."""
    return TEMPORARY + b"%d-" % os.getpid() + os.urandom(8).hex().encode()


def _refused(key: str, why: str) -> ConfigError:
    shown = key if len(key) <= 200 else key[:200] + "…"
    return ConfigError(
        f"key {shown!r} cannot be kept as a file: {why}. Use relative names with single slashes between them, "
        "as in '2026/11/22/add-1.ckpt'"
    )
