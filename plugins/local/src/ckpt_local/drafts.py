"""A file on its way: written, synced, and only then given its name.

A `NamelessDraft` (O_TMPFILE) leaves nothing behind whatever happens and learns for free whether a name is
taken. Where a file system or a missing /proc does not allow that, a `NamedDraft` goes by a temporary name.
"""

from __future__ import annotations

import errno
import os
import sys
from abc import ABC, abstractmethod

from ckpt_local.folders import Folder
from ckpt_local.names import temporary

__all__ = ["Draft", "NamedDraft", "NamelessDraft", "kind_for"]

SLICE = 1 << 20
"""Bytes written before their write-back is started: the disk is busy while the next slice comes."""

_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EXDEV, errno.ENOSYS})
"""What open or link answer where O_TMPFILE (file system) or /proc (container) is missing."""

if sys.platform == "darwin":  # pragma: no cover
    import fcntl

    def _to_disk(fd: int) -> None:
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync stops at the drive's cache there
else:
    _to_disk = os.fdatasync

_start_writeback = getattr(os, "posix_fadvise", None)


class Draft(ABC):
    """A new file in `folder`, open for writing, that nobody can find yet; mode 0600 whatever the umask."""

    __slots__ = ("fd", "folder", "size", "started")

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.size = 0
        self.started = 0
        self.fd = self._create()
        try:
            os.fchmod(self.fd, 0o600)  # a umask may take rights from the owner too; asking first costs more
        except PermissionError:
            pass  # a file system without modes
        except BaseException:
            self.discard()
            raise

    @abstractmethod
    def _create(self) -> int: ...

    @abstractmethod
    def publish(self, folder: Folder, name: bytes, *, overwrite: bool) -> None:
        """Give the file its name in `folder`, which replaces, or with `overwrite=False` raises FileExistsError."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`."""
        written = os.write(self.fd, data)
        self.size += written
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                written = os.write(self.fd, rest)
                self.size += written
                rest = rest[written:]

    def write_back(self) -> None:
        """Begin to bring to disk what was written since the last call; does not wait."""
        if _start_writeback is not None:
            _start_writeback(self.fd, self.started, 0, os.POSIX_FADV_DONTNEED)
        self.started = self.size

    def write_slices(self, data: bytes | bytearray | memoryview, *, write_back: bool) -> None:
        """Append `data` slice by slice, each on its way to disk while the next is copied."""
        if len(data) <= SLICE:
            self.write(data)
        else:
            view = memoryview(data)
            for start in range(0, len(view), SLICE):
                self.write(view[start : start + SLICE])
                if write_back:
                    self.write_back()
        if write_back and self.size - self.started >= SLICE:
            self.write_back()

    def sync(self) -> None:
        """Wait until the bytes are on disk. Not to be tried again after a failure: the kernel forgets what it lost."""
        _to_disk(self.fd)

    def discard(self) -> None:
        """Close the file; one that was not published is gone. Harmless twice."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


class NamelessDraft(Draft):
    """Made with O_TMPFILE: a file without any name, linked in when it is whole."""

    __slots__ = ()

    def _create(self) -> int:
        return os.open(b".", os.O_WRONLY | os.O_TMPFILE, 0o600, dir_fd=self.folder.fd)

    def publish(self, folder: Folder, name: bytes, *, overwrite: bool) -> None:
        source = b"/proc/self/fd/%d" % self.fd
        into = folder.fd
        try:
            os.link(source, name, dst_dir_fd=into, follow_symlinks=True)
        except FileExistsError:
            if not overwrite:
                raise
            passing = temporary()
            os.link(source, passing, dst_dir_fd=into, follow_symlinks=True)
            try:
                os.rename(passing, name, src_dir_fd=into, dst_dir_fd=into)
            except OSError:
                os.unlink(passing, dir_fd=into)
                raise


class NamedDraft(Draft):
    """Made under a temporary name: for NFS, macOS, containers without /proc."""

    __slots__ = ("_name",)

    def _create(self) -> int:
        self._name: bytes | None = temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(self._name, flags, 0o600, dir_fd=self.folder.fd)

    def publish(self, folder: Folder, name: bytes, *, overwrite: bool) -> None:
        if self._name is None:
            raise FileNotFoundError(errno.ENOENT, "already published")
        if overwrite:
            os.rename(self._name, name, src_dir_fd=self.folder.fd, dst_dir_fd=folder.fd)
            self._name = None
        else:
            os.link(self._name, name, src_dir_fd=self.folder.fd, dst_dir_fd=folder.fd, follow_symlinks=False)

    def discard(self) -> None:
        if self.fd >= 0 and self._name is not None:
            name, self._name = self._name, None
            try:
                os.unlink(name, dir_fd=self.folder.fd)
            except FileNotFoundError:
                pass  # the folder was emptied under us
            finally:
                super().discard()
        super().discard()


def kind_for(folder: Folder) -> tuple[type[Draft], bool]:
    """Which kind of draft works in `folder`, found by trying, and whether that answer holds for good."""
    if not hasattr(os, "O_TMPFILE"):
        return NamedDraft, True
    passing = temporary()
    try:
        draft = NamelessDraft(folder)
        try:
            draft.publish(folder, passing, overwrite=False)
            os.unlink(passing, dir_fd=folder.fd)
        finally:
            draft.discard()
    except OSError as error:
        return NamedDraft, error.errno in _NO_NAMELESS and not folder.is_gone()
    return NamelessDraft, True
