"""Objects as files below one folder: each whole or not there, on disk when acknowledged."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar, cast
from weakref import WeakValueDictionary

from ckpt.errors import AccessDenied, CkptError
from ckpt.stores import Buffer, ObjectInfo, ObjectStore, flat
from ckpt_local.drafts import Draft, kind_for
from ckpt_local.folders import Folder, Folders
from ckpt_local.listing import described, walk
from ckpt_local.names import split, split_prefix
from ckpt_local.oserrors import VANISHED, explained, explanation
from ckpt_local.reader import LocalReader
from ckpt_local.writer import LocalWriter

__all__ = ["Durability", "LocalStore"]

Durability = Literal["disk", "os"]

T = TypeVar("T")

# O_NONBLOCK: a named pipe in the place of a file must not hang the reader; it changes nothing for files.
_TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

_TRIES = 100
"""How often a put makes its folder again that is deleted under it: others may be deleting the last value in it."""


_stores: WeakValueDictionary[tuple[int, str, str], LocalStore] = WeakValueDictionary()


class LocalStore(ObjectStore):
    """Files below the folder `dir`, which is made (mode 0700) with the first value; a key is a relative path.

    With `durability="disk"` a put is acknowledged once the file and its name would survive a power loss; with
    `"os"` once they would survive the end of this process. Values whose names begin alike (`a` and `a/b`)
    cannot both be kept: one would be a file and a folder. Deleting the last value of a folder removes the
    folder. A folder that is *moved* away while this process has it open goes on receiving its values.
    """

    def __init__(self, dir: str | os.PathLike[str], *, durability: Durability = "disk") -> None:  # noqa: A002  the name of the setting
        path = Path(dir).absolute()
        self.dir = str(path)
        self.durable = durability == "disk"
        # Two threads are as quick as four while the disk is ours alone, and twice as slow where others wait for it
        # too. Not at all behind the flow where nothing waits.
        self.writers = 4 if self.durable else 0
        self.batch = 64 if self.durable else 1
        self._folders = Folders(path, durable=self.durable)
        self._kind: type[Draft] | None = None

    @classmethod
    def shared(cls, dir: Path, durability: Durability) -> LocalStore:  # noqa: A002  as above
        """The store of this process for that folder: states of many runs share its few open folders."""
        # Two threads at once may make two, which costs open folders only; a lock would not survive a fork.
        return _stores.setdefault((os.getpid(), str(dir), durability), cls(dir, durability=durability))

    def __repr__(self) -> str:
        return f"LocalStore({self.dir!r}, durability={'disk' if self.durable else 'os'!r})"

    def check(self) -> None:
        """Prove that a value could be kept, by writing a byte to a file that never gets a name.

        Folders that were open are opened anew, so that a run begins with those that are there now.

        Raises: `AccessDenied`, `StoreUnavailable`, `ConfigError`, as a put would.
        """
        self._folders = Folders(Path(self.dir), durable=self.durable)
        with explained(self.dir, None, writing=True):
            draft = self._again(b"", self._draft)
            try:
                draft.write(b"\0")
            finally:
                draft.discard()

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        path, name = split(key)
        data = flat(data)

        def attempt(folder: Folder) -> Folder:
            draft = self._draft(folder)
            try:
                draft.write_slices(data, write_back=self.durable)
                if self.durable:
                    draft.sync()
                draft.publish(folder, name, overwrite=overwrite)
            finally:
                draft.discard()
            return folder

        try:  # what `explained` does, for nothing where nothing is wrong: most values come this way
            folder = self._again(path, attempt)
            if self.durable:
                self._settle(folder)
        except CkptError:
            raise
        except OSError as error:
            raise explanation(error, self.dir, key, writing=True) from error
        return ObjectInfo(key, len(data))

    def put_many(self, objects: Sequence[tuple[str, Buffer]]) -> Sequence[CkptError | None]:
        if not self.durable:
            return super().put_many(objects)
        answers: list[CkptError | None] = []
        for start in range(0, len(objects), self.batch):
            answers += self._put_batch(objects[start : start + self.batch])
        return answers

    def _put_batch(self, objects: Sequence[tuple[str, Buffer]]) -> list[CkptError | None]:
        """Write all, so that the disk works on all at once, then wait for each, and once for each folder."""
        answers: list[CkptError | None] = [None] * len(objects)
        drafts: list[Draft | None] = [None] * len(objects)
        named: dict[Folder, list[int]] = {}
        try:
            for place, (key, data) in enumerate(objects):
                try:
                    drafts[place] = self._begin(key, flat(data))
                except CkptError as error:
                    answers[place] = error
            for place, draft in enumerate(drafts):
                if draft is not None:
                    try:
                        folder = self._finish(objects[place][0], draft)
                    except CkptError as error:
                        answers[place] = error
                    else:
                        named.setdefault(folder, []).append(place)
        finally:
            for place, draft in enumerate(drafts):
                if draft is not None:
                    try:
                        draft.discard()
                    except OSError as error:
                        answers[place] = explanation(error, self.dir, objects[place][0], writing=True)
        for folder, places in named.items():
            try:
                self._settle(folder)
            except OSError as error:
                for place in places:
                    answers[place] = explanation(error, self.dir, objects[place][0], writing=True)
        return answers

    def _begin(self, key: str, data: bytes | bytearray | memoryview) -> Draft:
        """Write a draft and start to bring it to disk."""
        path, _ = split(key)
        with explained(self.dir, key, writing=True):
            draft = self._again(path, self._draft)
            try:
                draft.write_slices(data, write_back=True)
                draft.write_back()
            except BaseException:
                draft.discard()
                raise
        return draft

    def _finish(self, key: str, draft: Draft) -> Folder:
        """Wait for a draft to be on disk and give it its name; the folder that must be settled comes back."""
        path, name = split(key)
        with explained(self.dir, key, writing=True):
            draft.sync()
            return self._link(path, name, draft, overwrite=True)

    def _link(self, path: bytes, name: bytes, draft: Draft, *, overwrite: bool) -> Folder:
        def attempt(folder: Folder) -> Folder:
            draft.publish(folder, name, overwrite=overwrite)
            return folder

        return self._again(path, attempt)

    def publish(self, key: str, draft: Draft, *, overwrite: bool) -> None:
        """Give a draft its name, durably; the other half of `open_write`."""
        path, name = split(key)
        with explained(self.dir, key, writing=True):
            if self.durable:
                draft.sync()
            folder = self._link(path, name, draft, overwrite=overwrite)
            if self.durable:
                self._settle(folder)

    def open_write(self, key: str, *, overwrite: bool = True) -> LocalWriter:
        path, _ = split(key)
        with explained(self.dir, key, writing=True):
            return LocalWriter(self, key, self._again(path, self._draft), overwrite=overwrite)

    def explained(self, key: str) -> explained:
        """The context manager in which something is written under `key`."""
        return explained(self.dir, key, writing=True)

    def _again(self, path: bytes, attempt: Callable[[Folder], T]) -> T:
        """Do it in the folder, and in a new one as long as the folder turns out to be deleted."""
        tries = _TRIES
        while True:
            folder = None
            try:
                folder = self._folders.open(path, make=True)
                return attempt(folder)
            except OSError as error:
                tries -= 1
                # ext4 answers EPERM to O_TMPFILE in a deleted folder, so the folder is asked too.
                if not tries or not (error.errno in VANISHED or (folder is not None and folder.is_gone())):
                    raise
                self._folders.forget(path)

    def _draft(self, folder: Folder) -> Draft:
        if self._kind is None:
            kind, for_good = kind_for(folder)
            if not for_good:
                return kind(folder)
            self._kind = kind
        return self._kind(folder)

    def _settle(self, folder: Folder) -> None:
        try:
            folder.settle()
        except OSError:
            self._folders.forget_all()  # what failed once is not asked again: the kernel forgets what it lost
            raise

    def get(self, key: str) -> bytes:
        with self.open_read(key) as file, explained(self.dir, key):
            size = os.fstat(file.fileno()).st_size
            data = os.read(file.fileno(), size)
            return data if len(data) == size else data + file.read()  # one call gives 2 GiB at most

    def open_read(self, key: str) -> BinaryIO:
        path, name = split(key)
        with explained(self.dir, key):
            fd = self._in(path, lambda folder: os.open(name, _TO_READ, dir_fd=folder.fd))
            try:
                self._refuse_irregular(key, os.fstat(fd))
                return cast("BinaryIO", LocalReader(fd, self.dir, key))
            except BaseException:
                os.close(fd)
                raise

    def head(self, key: str) -> ObjectInfo:
        path, name = split(key)
        with explained(self.dir, key):
            status = self._in(path, lambda folder: os.stat(name, dir_fd=folder.fd, follow_symlinks=False))
            self._refuse_irregular(key, status)
        return described(key, status)

    def _in(self, path: bytes, look: Callable[[Folder], T]) -> T:
        """Look into a folder as it is, opened again if it was deleted and made anew since it was opened."""
        while True:
            folder = self._folders.open(path, make=False)
            try:
                return look(folder)
            except OSError as error:
                if error.errno not in VANISHED or not folder.is_gone():
                    raise
                self._folders.forget(path)

    def _refuse_irregular(self, key: str, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no regular file"
            raise AccessDenied(f"{key!r} in {self.dir} is {kind}, and such are not read: remove it")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        place = split_prefix(prefix)
        if place is None:
            return
        path, begin = place
        with explained(self.dir, prefix or None):
            try:
                folder = self._in(path, lambda folder: (os.stat(b".", dir_fd=folder.fd), folder)[1])
            except (FileNotFoundError, NotADirectoryError):
                return
            yield from walk(folder.fd, b".", f"{path.decode()}/" if path else "", begin.decode())

    def delete(self, key: str) -> None:
        path, _ = split(key)
        if self._unlink(key):
            self._prune(path)

    def delete_many(self, keys: Iterable[str]) -> None:
        touched: set[bytes] = set()
        try:
            for key in keys:
                if self._unlink(key):
                    touched.add(split(key)[0])
        finally:
            for path in sorted(touched, key=len, reverse=True):
                self._prune(path)

    def _unlink(self, key: str) -> bool:
        path, name = split(key)
        with explained(self.dir, key, writing=True):
            try:
                self._in(path, lambda folder: os.unlink(name, dir_fd=folder.fd))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return False
        return True

    def _prune(self, path: bytes) -> None:
        """Remove the folder and those above it as far as they are empty; a put that comes between makes them anew."""
        while path:
            above, _, name = path.rpartition(b"/")
            try:
                os.rmdir(name, dir_fd=self._folders.open(above, make=False).fd)
            except OSError:
                return  # not empty, or not ours to remove: folders without values do no harm
            self._folders.forget(path)
            path = above
