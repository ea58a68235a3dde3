"""The one place where an `OSError` becomes an error of `ckpt.errors`."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from ckpt.errors import (
    AccessDenied,
    AlreadyExists,
    CkptError,
    ConfigError,
    NotFound,
    StoreUnavailable,
)

__all__ = ["VANISHED", "explained", "explanation"]

VANISHED = frozenset({errno.ENOENT, errno.ESTALE})
"""What a folder answers that was deleted while it was open."""

_ELSEWHERE = "choose another folder with LocalResultHandler(dir=…)"

_UNAVAILABLE = {
    errno.ENOSPC: f"no space left: free some, or {_ELSEWHERE}",
    errno.EDQUOT: f"the disk quota is used up: free some, or {_ELSEWHERE}",
    errno.EFBIG: f"the file would be larger than the limit allows: raise it (ulimit -f), or {_ELSEWHERE}",
    errno.EIO: f"the disk reported an error: look at it (dmesg), or {_ELSEWHERE}",
    errno.EMFILE: "this process has too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "the machine has too many open files: close some programs",
    errno.ENOENT: "the folder is deleted again and again while it is written to: stop what deletes it",
    errno.ESTALE: "the folder was deleted or its server restarted: mount it again",
}


class explained:  # noqa: N801  a context manager, read as a verb; a class because a generator costs 1 µs a put
    """Turn every `OSError` of the block into the fitting error of `ckpt.errors`, its cause kept."""

    __slots__ = ("_dir", "_key", "_writing")

    def __init__(self, directory: str, key: str | None, *, writing: bool = False) -> None:
        self._dir, self._key, self._writing = directory, key, writing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Some errors of ckpt are OSErrors too: they say what they mean already.
        if isinstance(error, OSError) and not isinstance(error, CkptError):
            raise explanation(error, self._dir, self._key, writing=self._writing) from error


def explanation(error: OSError, directory: str, key: str | None, *, writing: bool = False) -> CkptError:
    """The error of `ckpt.errors` that says what `error` means for `key` (None: for the folder as a whole)."""
    where = directory if key is None else f"{key!r} in {directory}"
    code = error.errno or 0
    said = os.strerror(code) if code else str(error)
    if code in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR) and not writing:
        return NotFound(f"nothing is kept under {where}: check the key and the folder")
    if code == errno.EEXIST:
        return AlreadyExists(f"{where} is taken: use another key, or allow overwriting")
    if code in (errno.EACCES, errno.EPERM):
        verb = "writing" if writing else "reading"
        return AccessDenied(f"{where}: {said}: give this user the right of {verb} there, or {_ELSEWHERE}")
    if code == errno.EROFS:
        return AccessDenied(f"{where}: {said}: mount it for writing, or {_ELSEWHERE}")
    if code == errno.ELOOP:
        return AccessDenied(f"{where} is a symbolic link, and none is followed below the folder: remove it")
    if code in (errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY):
        if key is None:
            return ConfigError(f"{where} is not a folder: {_ELSEWHERE}")
        return ConfigError(f"{where} cannot be a file: part of it is a file, or it is a folder: use another key")
    if code == errno.ENAMETOOLONG:
        return ConfigError(f"{where}: the name is too long for this file system: use a shorter key")
    return StoreUnavailable(f"{where}: {_UNAVAILABLE.get(code) or f'{said}: check the disk, or {_ELSEWHERE}'}")
