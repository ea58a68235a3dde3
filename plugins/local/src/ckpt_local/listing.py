"""Walking the files below a folder, and describing one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from ckpt.stores import ObjectInfo
from ckpt_local.names import key_of

__all__ = ["described", "walk"]


def described(key: str, status: os.stat_result) -> ObjectInfo:
    """What the file system says of the file behind `key`."""
    return ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC))


def walk(above: int, name: bytes, path: str, begin: str) -> Iterator[ObjectInfo]:
    """Yield the files below folder `name` of the open folder `above` whose names there start with `begin`.

    Files on their way, symbolic links and names that are no UTF-8 are passed over; what disappears meanwhile
    is too. `path` is that of the folder, with its slash; one descriptor a level is open at a time.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                part = key_of(entry.name)
                if part is None or not part.startswith(begin):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from walk(fd, part.encode(), f"{path}{part}/", "")
                elif entry.is_file(follow_symlinks=False):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield described(path + part, status)
    finally:
        os.close(fd)
