"""SIGKILL at every system call of a write: the old value or the new, and nothing lost that was acknowledged."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator

from children import Ended, Report, traced
from rows import Row, Scope
from writes import WAYS, WRITES, NaiveHandler, Way, Write, broken

from ckpt_local import LocalResultHandler

__all__ = ["rows"]

_STARTED, _ACKNOWLEDGED = b"(", b")"


def rows(scope: Scope) -> Iterator[Row]:
    for write in scope.some(WRITES, "kills", quick=3):
        fired, found = 0, []
        for way in scope.some(WAYS, f"kills {write.name}", quick=1):
            killed = _Kills(scope, write, way, LocalResultHandler)
            killed.at_each_call(quick=15)
            fired += killed.fired
            found += killed.found
        control = _Kills(scope, write, WAYS[0], NaiveHandler)
        control.at_each_call(enough=1)
        yield Row(
            injected=f"SIGKILL at each system call of: {write.name}",
            fired=fired,
            least=scope.at_least(90),
            found=tuple(found),
            control="writing into the file itself, deleting what was emptied",
            planted=1,
            caught=min(1, len(control.found)),
        )


class _Kills:
    """One write, again and again, killed at another call each time."""

    def __init__(self, scope: Scope, write: Write, way: Way, kind: type[LocalResultHandler]) -> None:
        self._scope, self._write, self._way, self._kind = scope, write, way, kind
        self._root = scope.folder / "kills" / "top" / "root"
        self.fired = 0
        self.found: list[str] = []

    def at_each_call(self, *, quick: int = 1 << 16, enough: int | None = None) -> None:
        whole = self._run()
        assert whole.code == 0, whole
        for name, turn in self._scope.some(list(_points(whole)), f"kills {self._write.name} {self._way}", quick=quick):
            ended = self._run("-e", f"inject={name}:signal=KILL:when={turn}")
            if ended.code != -signal.SIGKILL or _STARTED not in ended.said:
                continue
            self.fired += 1
            wrong = broken(self._root, self._write, acknowledged=_ACKNOWLEDGED in ended.said)
            if not wrong:
                # Whoever comes next is not in the way of what was left behind.
                self._write.run(self._way.handler(self._root, self._kind))
                wrong = broken(self._root, self._write, acknowledged=True)
            self.found += [f"{self._write.name} ({self._way}), killed at {name} {turn}: {each}" for each in wrong]
            if enough is not None and len(self.found) >= enough:
                break

    def _run(self, *options: str) -> Ended:
        shutil.rmtree(self._root.parents[1], ignore_errors=True)
        self._root.parents[1].mkdir()
        self._write.prepare(self._root)
        return traced(self._work, *options)

    def _work(self, report: Report) -> None:
        handler = self._way.handler(self._root, self._kind)
        report(_STARTED)
        self._write.run(handler)
        report(_ACKNOWLEDGED)


def _points(whole: Ended) -> Iterator[tuple[str, int]]:
    """Each call from the start on, as strace counts it: its name, and how many of that name began before it."""
    counts: Counter[str] = Counter()
    started = False
    for name, is_report in whole.begun:
        counts[name] += 1
        if started:
            yield name, counts[name]
        started = started or is_report
