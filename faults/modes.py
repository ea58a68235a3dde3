"""Every umask: files 0600 and folders 0700, at once and whatever the umask gives or takes."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from children import Report, forked
from rows import Row, Scope
from writes import WAYS, WRITES, NaiveHandler, Way, Write

from ckpt_local import LocalResultHandler

__all__ = ["rows"]

_UMASKS = (0o000, 0o002, 0o022, 0o027, 0o077, 0o277, 0o777)


def rows(scope: Scope) -> Iterator[Row]:
    fired, found = 0, []
    for mask in scope.some(_UMASKS, "umasks", quick=2):
        for way in scope.some(WAYS, f"umask {mask}", quick=2):
            for write in WRITES:
                seen, wrong = _written(scope, mask, way, write, LocalResultHandler)
                fired += seen
                found += [f"{write.name} ({way}), umask {mask:03o}: {each}" for each in wrong]
    _, control = _written(scope, 0o000, WAYS[0], WRITES[0], NaiveHandler)
    yield Row(
        injected="umasks from 000 to 777: folders are 0700, files 0600",
        fired=fired,
        least=scope.at_least(500),
        found=tuple(found),
        control="files made as the umask says",
        planted=1,
        caught=min(1, len(control)),
    )


def _written(scope: Scope, mask: int, way: Way, write: Write, kind: type[LocalResultHandler]) -> tuple[int, list[str]]:
    """How many files and folders there are after a write under a umask, and which have other modes than promised."""
    base = scope.memory / "modes"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    ended = forked(partial(_work, base / "top" / "root", mask, way, write, kind))
    if ended.code:
        return 0, [f"the process ended with {ended.code}"]
    modes: dict[str, int] = json.loads(ended.said)
    wrong = [f"{path} has the mode {mode:03o}" for path, mode in modes.items() if mode not in (0o600, 0o700)]
    return len(modes), wrong


def _work(root: Path, mask: int, way: Way, write: Write, kind: type[LocalResultHandler], report: Report) -> None:
    os.umask(mask)
    write.prepare(root)
    write.run(way.handler(root, kind))
    paths = [root.parent, *root.parent.rglob("*")]
    report(json.dumps({str(path.relative_to(root.parents[1])): _mode(path) for path in paths}).encode())


def _mode(path: Path) -> int:
    """The rights, with a bit that no file should have where a folder has a file's or a file a folder's."""
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    expected = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
    return mode if mode == expected else mode | stat.S_ISVTX
