"""A model of a disk that loses power, after ALICE (Pillai et al., OSDI 2014): from system calls to what may be left.

What is promised by POSIX and no more. The bytes of a file are safe once the file was synced, a name once the folder it
stands in was: neither brings the other. Until then each naming, renaming and removing may have reached the disk or not,
in any combination, and of the bytes all, half, none, all but the last block, or only their number.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from children import Call

__all__ = ["Disk", "File", "Folder", "State"]

_MOST = 32
"""Combinations tried at one moment: all of them, or so many at random."""
_BLOCK = 4096
_HARMLESS = re.compile(
    "access|faccessat2?|fadvise64|fchmod|fchmodat|fcntl|fstat|fstatfs|getcwd|getdents64|ioctl|lseek|lstat|mmap|"
    "newfstatat|poll|pread64|read|readlink|readlinkat|stat|statx"
)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(eq=False, slots=True)
class File:
    """One file, under whatever names: its bytes on disk, and those that are on their way."""

    safe: bytes = b""
    now: bytes = b""
    variants: dict[tuple[bytes, bytes], list[bytes]] = field(default_factory=dict)

    def left(self) -> list[bytes]:
        """What may be found in it after a loss of power; the first is what was written."""
        if self.safe == self.now:
            return [self.now]
        key = (self.safe, self.now)
        if key not in self.variants:
            half = (len(self.safe) + len(self.now)) // 2
            last = max(len(self.now) - 1, 0) // _BLOCK * _BLOCK
            zeroed = self.now[:last] + bytes(len(self.now) - last)
            ways = [self.now, self.safe, self.now[:half], zeroed, bytes(len(self.now))]
            self.variants[key] = list(dict.fromkeys(ways))
        return self.variants[key]


@dataclass(eq=False, slots=True)
class Folder:
    """One folder: its names on disk, and the changes that are on their way, in order."""

    safe: dict[bytes, File | Folder] = field(default_factory=dict)
    now: dict[bytes, File | Folder] = field(default_factory=dict)
    pending: list[dict[bytes, File | Folder | None]] = field(default_factory=list)

    def change(self, change: dict[bytes, File | Folder | None]) -> None:
        """Change names in one step."""
        self.pending.append(change)
        _apply(self.now, change)

    def left(self, persisted: tuple[bool, ...]) -> dict[bytes, File | Folder]:
        """The names after a loss of power, of the pending changes those that `persisted`."""
        names = dict(self.safe)
        for change, is_there in zip(self.pending, persisted, strict=True):
            if is_there:
                _apply(names, change)
        return names


@dataclass(frozen=True, slots=True)
class State:
    """What may be on the disk when power comes back."""

    reports: int
    """How many reports of the program had gone out: what they acknowledged must be there."""
    files: frozenset[tuple[bytes, bytes]]
    """Path and bytes of each."""


class Disk:
    """The part of the file system below the folder `base`, which was empty and is on disk itself."""

    def __init__(self, base: str) -> None:
        self._base = base.encode()
        self._root = Folder()
        self._open: dict[int, File | Folder] = {}
        self._reports = 0
        self.synced: list[bool] = []
        """Of each call that synced something: was it something below `base`?"""

    def states(self, calls: tuple[Call, ...], chosen: random.Random) -> Iterator[State]:
        """Yield each state that a loss of power may leave, at any moment of `calls`, once."""
        seen = {State(0, frozenset())}
        for call in calls:
            if call.result >= 0 and self._follow(call):
                for state in self._left(chosen):
                    if state not in seen:
                        seen.add(state)
                        yield state

    def _follow(self, call: Call) -> bool:
        """Do what the call did; tell whether it could have changed what may be left."""
        if call.is_report:
            self._reports += 1
            return True
        follow = getattr(self, f"_{call.name}", None)
        if follow is None:
            if not _HARMLESS.fullmatch(call.name):
                raise NotImplementedError(f"the model of a disk does not know the call {call.name}: teach it")
            return False
        return follow(call, call.arguments.split(", ")) is not False

    def _openat(self, call: Call, words: list[str]) -> bool:
        self._open.pop(call.result, None)
        flags = words[2]
        if "O_TMPFILE" in flags:
            self._open[call.result] = File()
            return False
        place = self._place(words[0], words[1])
        if place is None:
            return False
        folder, name = place
        node = folder if name == b"." else folder.now.get(name)
        if node is None:
            node = File()
            folder.change({name: node})
        if isinstance(node, File) and "O_TRUNC" in flags:
            node.now = b""
        self._open[call.result] = node
        return "O_CREAT" in flags

    def _close(self, call: Call, words: list[str]) -> bool:
        self._open.pop(call.fd, None)
        return False

    def _write(self, call: Call, words: list[str]) -> None:
        node = self._open.get(call.fd)
        if isinstance(node, File):
            node.now += _text(words[1])[: call.result]

    def _fsync(self, call: Call, words: list[str]) -> None:
        node = self._open.get(call.fd)
        self.synced.append(node is not None)
        if isinstance(node, File):
            node.safe = node.now
        elif node is not None:
            node.safe, node.pending = dict(node.now), []

    _fdatasync = _fsync

    def _mkdirat(self, call: Call, words: list[str]) -> bool:
        return self._name(words[0], words[1], Folder())

    def _mkdir(self, call: Call, words: list[str]) -> bool:
        return self._name("AT_FDCWD", words[0], Folder())

    def _linkat(self, call: Call, words: list[str]) -> bool:
        source = _text(words[1])
        if source.startswith(b"/proc/self/fd/"):
            node: File | Folder | None = self._open[int(source.rpartition(b"/")[2])]
        else:
            folder, name = self._known(words[0], words[1])
            node = folder.now[name]
        return self._name(words[2], words[3], node)

    def _renameat(self, call: Call, words: list[str]) -> None:
        (source, old), (target, new) = self._known(words[0], words[1]), self._known(words[2], words[3])
        if source is not target:
            raise NotImplementedError("the model of a disk renames within one folder: teach it")
        target.change({old: None, new: source.now[old]})

    def _rename(self, call: Call, words: list[str]) -> None:
        self._renameat(call, ["AT_FDCWD", words[0], "AT_FDCWD", words[1]])

    def _unlinkat(self, call: Call, words: list[str]) -> bool:
        return self._name(words[0], words[1], None)

    def _unlink(self, call: Call, words: list[str]) -> bool:
        return self._name("AT_FDCWD", words[0], None)

    def _rmdir(self, call: Call, words: list[str]) -> bool:
        return self._name("AT_FDCWD", words[0], None)

    def _name(self, at: str, path: str, node: File | Folder | None) -> bool:
        place = self._place(at, path)
        if place is None:
            return False
        place[0].change({place[1]: node})
        return True

    def _known(self, at: str, path: str) -> tuple[Folder, bytes]:
        place = self._place(at, path)
        assert place is not None, (at, path)
        return place

    def _place(self, at: str, path: str) -> tuple[Folder, bytes] | None:
        """The folder and the name in it that a call means; None outside of `base`."""
        text = _text(path)
        if text.startswith(b"/"):
            if text != self._base and not text.startswith(self._base + b"/"):
                return None
            folder, text = self._root, text[len(self._base) + 1 :] or b"."
        else:
            start = None if at == "AT_FDCWD" else self._open.get(int(at))
            if not isinstance(start, Folder):
                return None
            folder = start
        *way, name = text.split(b"/")
        for part in way:
            below = folder.now.get(part)
            if not isinstance(below, Folder):
                return None
            folder = below
        return folder, name

    def _left(self, chosen: random.Random) -> Iterator[State]:
        folders = list(_folders(self._root))
        changes = [len(folder.pending) for folder in folders]
        for persisted in _combinations([2] * sum(changes), chosen):
            bits = iter(persisted)
            names = {
                id(folder): folder.left(tuple(not next(bits) for _ in range(count)))
                for folder, count in zip(folders, changes, strict=True)
            }
            files = dict(_files(self._root, b"", names))
            ways = {path: file.left() for path, file in files.items()}
            for choice in _combinations([len(way) for way in ways.values()], chosen):
                left = frozenset((path, way[place]) for (path, way), place in zip(ways.items(), choice, strict=True))
                yield State(self._reports, left)


def _apply(names: dict[bytes, File | Folder], change: dict[bytes, File | Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _folders(folder: Folder) -> Iterator[Folder]:
    """The folder and all that were ever reachable below it and may still be."""
    found: dict[int, Folder] = {}
    waiting = [folder]
    while waiting:
        each = waiting.pop()
        if id(each) not in found:
            found[id(each)] = each
            nodes = itertools.chain(each.safe.values(), *(change.values() for change in each.pending))
            waiting += [node for node in nodes if isinstance(node, Folder)]
    return iter(found.values())


def _files(folder: Folder, path: bytes, names: dict[int, dict[bytes, File | Folder]]) -> Iterator[tuple[bytes, File]]:
    for name, node in names[id(folder)].items():
        if isinstance(node, File):
            yield path + name, node
        else:
            yield from _files(node, path + name + b"/", names)


def _combinations(ways: list[int], chosen: random.Random) -> Iterator[tuple[int, ...]]:
    """One of each, in all combinations or in `_MOST` of them: always the first of all and the last of all."""
    total = 1
    for count in ways:
        total *= count
    if total <= _MOST:
        return itertools.product(*map(range, ways))
    some = {tuple(0 for _ in ways), tuple(count - 1 for count in ways)}
    while len(some) < _MOST:
        some.add(tuple(chosen.randrange(count) for count in ways))
    return iter(sorted(some))


def _text(word: str) -> bytes:
    """The bytes of an argument as strace -xx shows it."""
    match = _TEXT.search(word)
    assert match is not None, word[:100]
    return bytes.fromhex(match[1].replace("\\x", ""))
