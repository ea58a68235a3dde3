"""A disk that is full at every size, one without room for another file, and one that is read-only, for real.

Each is a small tmpfs in a mount namespace of a child's own, which needs no rights.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from children import Report, forked
from rows import Row, Scope
from writes import WAYS, WRITES, NaiveHandler, Way, Write, broken, left_over

from ckpt.errors import AccessDenied, CkptError, StoreUnavailable
from ckpt_local import LocalResultHandler

__all__ = ["rows"]

_NEWUSER, _NEWNS = 0x10000000, 0x00020000
_RDONLY, _REMOUNT, _REC, _PRIVATE, _DETACH = 1, 32, 16384, 1 << 18, 2
_PAGE = 4096
_KEEPING = [write for write in WRITES if write.name.count("deletion") == 0]

Try = Callable[["_Volume", Report], None]


def rows(scope: Scope) -> Iterator[Row]:
    yield _row(
        scope, "no space left, at every size", "size=6m", _fill_space, least=300, control="writing into the file itself"
    )
    yield _row(
        scope, "no room for another file", "size=6m,nr_inodes=40", _fill_inodes, least=30, control="errors not mapped"
    )
    yield _row(scope, "a read-only disk", "size=6m", _read_only, least=100, control="errors not mapped")


def _row(scope: Scope, injected: str, options: str, attempt: Try, *, least: int, control: str) -> Row:
    ways = scope.some(WAYS, injected, quick=1)
    fired, found = 0, []
    for way in ways:
        writes = scope.some(_KEEPING, f"{injected} {way}", quick=2)
        seen, wrong = _tried(scope, options, attempt, way, writes, LocalResultHandler)
        fired += seen
        found += wrong
    _, control_found = _tried(scope, options, attempt, WAYS[0], [WRITES[0], WRITES[2]], NaiveHandler)
    return Row(injected, fired, scope.at_least(least), tuple(found), control, 1, min(1, len(control_found)))


def _tried(
    scope: Scope, options: str, attempt: Try, way: Way, writes: list[Write], kind: type[LocalResultHandler]
) -> tuple[int, list[str]]:
    target = scope.folder / "volume"
    target.mkdir(exist_ok=True)

    def work(report: Report) -> None:
        _enter_namespace()
        for write in writes:
            _mount(target, options)
            attempt(_Volume(scope, target, write, way, kind), report)
            os.chdir("/")
            _call("umount2", os.fsencode(target), _DETACH)

    ended = forked(work)
    lines = [json.loads(line) for line in ended.said.splitlines()]
    found = [f"{text} ({way})" for line in lines for text in line]
    if ended.code:
        found.append(f"the process ended with {ended.code} ({way})")
    return len(lines), found


class _Volume:
    """One write, on a file system of its own."""

    def __init__(self, scope: Scope, target: Path, write: Write, way: Way, kind: type[LocalResultHandler]) -> None:
        self.scope, self.target, self.write, self.way, self.kind = scope, target, write, way, kind
        self.root = target / "top" / "root"

    def anew(self) -> LocalResultHandler:
        gc.collect()  # a deleted folder that an error still has open takes room, and keeps the volume writable
        for path in self.target.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.write.prepare(self.root)
        return self.way.handler(self.root, self.kind)

    def refused(self, handler: LocalResultHandler, expected: type[CkptError], said: str) -> list[str] | None:
        """Write; None where it succeeded, else what is wrong about how it failed."""
        wrong = []
        try:
            self.write.run(handler)
        except CkptError as error:
            if type(error) is not expected or said not in str(error):
                wrong.append(f"{type(error).__name__}: {error}")
        except BaseException as error:
            wrong.append(f"a raw {type(error).__name__}: {error}")
        else:
            return None
        return wrong + self.broken(acknowledged=False)

    def broken(self, *, acknowledged: bool) -> list[str]:
        if not self.root.exists() and not acknowledged and not self.write.before:
            return []
        return broken(self.root, self.write, acknowledged=acknowledged) + left_over(self.target)

    def again(self, handler: LocalResultHandler) -> list[str]:
        """What is wrong with the next write, once there is nothing in its way."""
        try:
            self.write.run(handler)
        except BaseException as error:
            return [f"the next one fails: {type(error).__name__}: {error}"]
        return self.broken(acknowledged=True)


def _fill_space(volume: _Volume, report: Report) -> None:
    """Leave 0, 1, 2, … pages free until the write succeeds."""
    for free in [0, *volume.scope.some(range(1, 320), f"pages {volume.write.name}", quick=8)]:
        if not _fill(volume, report, free, "pages", _pages):
            break


def _fill_inodes(volume: _Volume, report: Report) -> None:
    """Leave room for 0, 1, 2, … files and folders until the write succeeds."""
    for free in range(20):
        if not _fill(volume, report, free, "files", _files):
            break


def _fill(volume: _Volume, report: Report, free: int, what: str, fill: Callable[[Path, int], None]) -> bool:
    """Tell whether a write was refused with so much left free."""
    handler = volume.anew()
    filler = volume.target / "filler"
    filler.mkdir()
    fill(filler, free)
    wrong = volume.refused(handler, StoreUnavailable, "no space left: free some")
    shutil.rmtree(filler)
    if wrong is not None:
        _say(report, volume, f"{free} {what} free", wrong + volume.again(handler))
    return wrong is not None


def _pages(filler: Path, free: int) -> None:
    with (filler / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (os.statvfs(filler).f_bavail - free) * _PAGE)


def _files(filler: Path, free: int) -> None:
    for number in range(os.statvfs(filler).f_ffree - free):
        (filler / str(number)).touch()


def _read_only(volume: _Volume, report: Report) -> None:
    """Refuse all that writes, by a handler that has written and by a new one; go on when it may be written to again."""
    for turn in range(6):
        _refuse_writing(volume, report, used=bool(turn % 2))


def _refuse_writing(volume: _Volume, report: Report, *, used: bool) -> None:
    handler = volume.anew()
    if used:
        handler.write(None, key="used")
        handler.delete("used")
    _call("mount", b"", os.fsencode(volume.target), b"", _REMOUNT | _RDONLY, b"")
    wrong = volume.refused(handler, AccessDenied, "mount it for writing")
    denials = [_denied(handler.for_run), *(_denied(partial(handler.delete, key)) for key in volume.write.before)]
    _call("mount", b"", os.fsencode(volume.target), b"", _REMOUNT, b"")
    for denial in denials:
        _say(report, volume, "read-only", denial)
    _say(report, volume, "read-only", (["it succeeded"] if wrong is None else wrong) + volume.again(handler))


def _denied(act: Callable[[], object]) -> list[str]:
    try:
        act()
    except AccessDenied as error:
        return [] if "mount it for writing" in str(error) else [f"no next step: {error}"]
    except BaseException as error:
        return [f"{type(error).__name__}: {error}"]
    return ["it succeeded"]


def _say(report: Report, volume: _Volume, where: str, wrong: list[str]) -> None:
    report(json.dumps([f"{volume.write.name}, {where}: {each}"[:300] for each in wrong[:10]]).encode() + b"\n")


def _enter_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEWUSER | _NEWNS)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    _call("mount", b"", b"/", b"", _REC | _PRIVATE, b"")


def _mount(target: Path, options: str) -> None:
    _call("mount", b"tmpfs", os.fsencode(target), b"tmpfs", 0, options.encode())


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
