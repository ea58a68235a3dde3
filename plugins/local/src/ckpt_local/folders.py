"""Folders, opened once: the way from the root to a folder, and the fsync that many puts share.

A folder is opened part by part without following a symbolic link, relative to the one above it, and stays
open: later files in it need no path at all, which is quicker than checking one and leaves no race.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ckpt.errors import AccessDenied, ConfigError
from ckpt_local.names import check
from ckpt_local.oserrors import VANISHED

__all__ = ["Folder", "Folders"]

_AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_LIMIT = 64
"""Folders kept open at once."""


class _Above(Protocol):
    """What a folder's own name lies in."""

    def settle(self) -> None: ...


class Folder:
    """One open folder; its descriptor is closed when nobody uses it any more."""

    __slots__ = ("_above", "_begun", "_done", "_failed", "_lock", "fd")

    def __init__(self, fd: int, above: _Above | None) -> None:
        self.fd = fd
        self._above = above
        self._lock = threading.Lock()
        self._begun = 0
        self._done = 0
        self._failed: OSError | None = None

    def settle(self) -> None:
        """Return once every name given in this folder before the call would survive a power loss.

        That needs the folder's own name too, which another process may have made and not synced: the
        folders above are synced before the first value is acknowledged, and then never again.
        """
        above = self._above
        if above is not None:
            above.settle()
            self._above = None
        self._sync()

    def _sync(self) -> None:
        """One fsync for all who call while the one before is running (group commit)."""
        ticket = self._begun
        with self._lock:
            # A sync with a higher number began after we came, so it covers our names; its failure is ours too.
            if self._failed is None and self._done <= ticket:
                self._begun += 1
                try:
                    os.fsync(self.fd)
                except OSError as error:
                    self._failed = error
                self._done = self._begun
            if self._failed is not None:
                raise OSError(self._failed.errno, self._failed.strerror)

    def is_gone(self) -> bool:
        """Was the folder deleted while it was open?"""
        try:
            return os.fstat(self.fd).st_nlink == 0
        except OSError as error:
            if error.errno in VANISHED:
                return True
            raise

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)


class _Ancestors:
    """The folders above the root, of which we or another process may have made some just now."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def settle(self) -> None:
        path = self._root.resolve()
        device = path.stat().st_dev
        for above in path.parents:
            if above.stat().st_dev != device:
                return
            try:
                fd = os.open(above, _AS_FOLDER)
            except PermissionError:
                return  # one that we may not read is one that nobody like us has made
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


class Folders:
    """The open folders below one root, most recently used last; a forked child begins with none."""

    def __init__(self, root: Path, *, durable: bool, limit: int = _LIMIT) -> None:
        self._root = root
        self._durable = durable
        self._limit = limit
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[bytes, Folder] = OrderedDict()
        self._pid = os.getpid()

    def open(self, path: bytes, *, make: bool) -> Folder:
        """Return the folder at `path` (`b""`: the root), made with mode 0700 where it is missing and `make` is set.

        Raises: `OSError`; `ConfigError` for a part that is no name; `AccessDenied` for a symbolic link.
        """
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            folder = self._open.get(path)
            if folder is not None:
                self._open.move_to_end(path)
                return folder
        if path:
            for part in path.split(b"/"):
                check(part, f"{path.decode()}/…")
        return self._remember(path, self._enter(path, make=make) if path else self._enter_root(make=make))

    def forget(self, path: bytes) -> None:
        """Forget a folder and those above it: at least one of them is not what it was."""
        with self._lock:
            while self._open.pop(path, None) is not None or path:
                path = path.rpartition(b"/")[0]

    def forget_all(self) -> None:
        """Forget every folder."""
        with self._lock:
            self._open.clear()

    def _remember(self, path: bytes, folder: Folder) -> Folder:
        with self._lock:
            folder = self._open.setdefault(path, folder)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
        return folder

    def _enter(self, path: bytes, *, make: bool) -> Folder:
        above_path, _, name = path.rpartition(b"/")
        above = self.open(above_path, make=make)
        try:
            fd = _open_part(above.fd, name, make=make)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(above.fd, name):
                raise AccessDenied(
                    f"folder {path.decode()!r} in {self._root} is a symbolic link, "
                    "and none is followed below the root: replace it by a folder"
                ) from error
            if error.errno in VANISHED and not make and above.is_gone():
                self.forget(above_path)
                return self._enter(path, make=make)
            raise
        return Folder(fd, above if self._durable else None)

    def _enter_root(self, *, make: bool) -> Folder:
        try:
            fd = os.open(self._root, _AS_FOLDER)
        except FileNotFoundError:
            if not make:
                raise
            for path in (self._root, *self._root.parents):
                if path.is_symlink() and not path.exists():
                    raise ConfigError(
                        f"folder {path} is a symbolic link to nothing: make {str(path.readlink())!r}"
                    ) from None
            _make_with_parents(self._root)
            fd = os.open(self._root, _AS_FOLDER)
        return Folder(fd, _Ancestors(self._root) if self._durable else None)


def _open_part(above: int, name: bytes, *, make: bool) -> int:
    try:
        return os.open(name, _AS_FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=above)
        _lift_umask(name, above)
    except FileExistsError:
        pass  # another process was quicker
    return os.open(name, _AS_FOLDER | os.O_NOFOLLOW, dir_fd=above)


def _make_with_parents(path: Path) -> None:
    if not path.parent.exists():
        _make_with_parents(path.parent)
    try:
        path.mkdir(0o700)
        _lift_umask(path, None)
    except FileExistsError:
        pass  # another process was quicker


def _lift_umask(name: bytes | Path, above: int | None) -> None:
    """Undo a umask that takes rights from the owner."""
    if os.stat(name, dir_fd=above, follow_symlinks=False).st_mode & 0o777 != 0o700:
        os.chmod(name, 0o700, dir_fd=above)


def _is_link(above: int, name: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
