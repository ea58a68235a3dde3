"""The system refuses, at each call of a write and of a read: one clear error, nothing harmed, nothing left behind."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from unittest import mock

from children import Call, Ended, Report, traced
from rows import Row, Scope
from writes import WAYS, WRITES, NaiveHandler, Way, Write, broken, large, left_over, small

from ckpt.errors import AccessDenied, CkptError, StoreUnavailable
from ckpt_local import LocalResultHandler, drafts
from ckpt_local.drafts import Draft

__all__ = ["rows"]

_MEANS: dict[str, type[CkptError]] = {
    "EIO": StoreUnavailable,
    "ENOSPC": StoreUnavailable,
    "EDQUOT": StoreUnavailable,
    "EMFILE": StoreUnavailable,
    "EACCES": AccessDenied,
    "EROFS": AccessDenied,
}
_NEXT_STEPS = ("choose another folder", "raise the limit (ulimit -n)")
_NOT_ASKED = re.compile(
    "brk|clone3?|exit|exit_group|futex|getpid|getrandom|gettid|madvise|mmap|mprotect|munmap|rseq|rt_sigaction|"
    "rt_sigprocmask|sched_getaffinity|sched_yield|set_robust_list|sigaltstack"
)
"""Memory, threads and signals: no call on a file."""
_REMOVES = frozenset({"unlink", "unlinkat"})
_STARTED, _ENDED = b"(", b")"

Act = Callable[[LocalResultHandler], object]


def rows(scope: Scope) -> Iterator[Row]:
    writes = scope.some(WRITES, "refusals", quick=2)
    for code in scope.some(list(_MEANS), "refusals", quick=3):
        fired, found = 0, []
        ways = WAYS if code == "EIO" else WAYS[:2]  # the others make no call that these do not make
        for write in writes:
            for way in scope.some(ways, f"refusals {code} {write.name}", quick=1):
                tried = _Refusals(scope, write, way, LocalResultHandler)
                tried.at_each_call(code, quick=6)
                fired += tried.fired
                found += tried.found
        for plan in _READS:
            tried = _Refusals(scope, plan, WAYS[0], LocalResultHandler)
            tried.at_each_call(code, quick=4)
            fired += tried.fired
            found += tried.found
        plants = scope.some(_PLANTS, f"planted {code}", quick=1)
        yield Row(
            injected=f"{code} at each call of every write and read",
            fired=fired,
            least=scope.at_least(500),
            found=tuple(found),
            control="errors not mapped, drafts left behind, syncs tried again",
            planted=len(plants),
            caught=sum(_is_caught(scope, code, plant, kind) for plant, kind in plants),
        )


def _read(handler: LocalResultHandler, values: object) -> None:
    for key, value in _KEPT.items():
        assert handler.read(key) == value, f"{key} was read wrong"


def _ask(handler: LocalResultHandler, values: object) -> None:
    assert all(handler.exists(key) for key in _KEPT), "what is kept is denied"
    assert {info.key for info in handler.objects.list()} == set(_KEPT), "what is kept is not listed"
    assert not handler.exists("run/missing")


_KEPT = {"run/small": small(1), "run/large": large(1)}
_READS = [Write("reading", _read, _KEPT, {}), Write("asking what is there", _ask, _KEPT, {})]


def _leave_drafts() -> None:
    mock.patch.object(Draft, "discard").start()
    mock.patch.object(drafts.NamedDraft, "discard").start()


def _sync_again() -> None:
    def twice(real: Callable[[int], None]) -> Callable[[int], None]:
        def stubborn(fd: int) -> None:
            try:
                real(fd)
            except OSError:
                real(fd)

        return stubborn

    mock.patch.object(os, "fsync", twice(os.fsync)).start()
    mock.patch.object(drafts, "_to_disk", twice(drafts._to_disk)).start()


def _nothing() -> None:
    pass


_PLANTS: list[tuple[Callable[[], None], type[LocalResultHandler]]] = [
    (_nothing, NaiveHandler),
    (_leave_drafts, LocalResultHandler),
    (_sync_again, LocalResultHandler),
]


def _is_caught(scope: Scope, code: str, plant: Callable[[], None], kind: type[LocalResultHandler]) -> bool:
    for way in WAYS[:2]:
        tried = _Refusals(scope, WRITES[2], way, kind, plant)
        tried.at_each_call(code, enough=1)
        if tried.found:
            return True
    return False


class _Refusals:
    """One write or read, again and again, refused at another call each time."""

    def __init__(
        self, scope: Scope, write: Write, way: Way, kind: type[LocalResultHandler], plant: Callable[[], None] = _nothing
    ) -> None:
        self._scope, self._write, self._way, self._kind, self._plant = scope, write, way, kind, plant
        self._base = scope.memory / "refusals"
        self._root = self._base / "top" / "root"
        self.fired = 0
        self.found: list[str] = []

    def at_each_call(self, code: str, *, quick: int = 1 << 16, enough: int | None = None) -> None:
        whole = self._run()
        assert whole.code == 0, whole.code
        points = self._scope.some(list(_points(whole)), f"refusals {self._write.name} {self._way} {code}", quick=quick)
        for name, turn in points:
            ended = self._run("-e", f"inject={name}:error={code}:when={turn}")
            refused = _refused(ended.calls)
            if not refused:
                continue
            self.fired += 1
            wrong = _sync_retried(refused) + self._judged(ended, code, name)
            self.found += [f"{self._write.name} ({self._way}), {code} at {name} {turn}: {each}" for each in wrong]
            if enough is not None and len(self.found) >= enough:
                break

    def _judged(self, ended: Ended, code: str, name: str) -> list[str]:
        if ended.code:
            return [f"the process ended with {ended.code}"]
        wrong: list[str]
        kind, message, leaked, *wrong = json.loads(ended.said.removeprefix(_STARTED + _ENDED))
        if kind not in ("", _MEANS[code].__name__):
            wrong.append(f"it is {kind}, not {_MEANS[code].__name__}: {message}")
        elif kind and not any(step in message for step in _NEXT_STEPS):
            wrong.append(f"the message names no next step: {message}")
        # A close that is injected does not happen, where the kernel's own closes whatever it says.
        if leaked and name != "close":
            wrong.append(f"{leaked} descriptors leaked")
        if name in _REMOVES:  # what cannot be removed stays
            wrong = [each for each in wrong if not each.endswith("is left over")]
        return wrong

    def _run(self, *options: str) -> Ended:
        shutil.rmtree(self._base, ignore_errors=True)
        self._base.mkdir()
        self._write.prepare(self._root)
        return traced(self._work, *options)

    def _work(self, report: Report) -> None:
        self._plant()
        sys.unraisablehook = lambda _: None  # a folder that is dropped cannot report that its close was refused
        held = _open_files()
        handler = self._way.handler(self._root, self._kind)
        kind = message = ""
        report(_STARTED)
        try:
            self._write.run(handler)
        except CkptError as error:
            kind, message = type(error).__name__, str(error)
        except BaseException as error:
            kind, message = f"a raw {type(error).__name__}", str(error)
        report(_ENDED)
        wrong = self._broken(acknowledged=not kind)
        try:
            self._write.run(handler)
        except BaseException as error:
            wrong.append(f"the next one fails: {type(error).__name__}: {error}")
        else:
            wrong += self._broken(acknowledged=True)
        del handler
        gc.collect()
        report(json.dumps([kind, message, _open_files() - held, *wrong]).encode())

    def _broken(self, *, acknowledged: bool) -> list[str]:
        return broken(self._root, self._write, acknowledged=acknowledged) + left_over(self._root)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  one call less that could be refused


def _points(whole: Ended) -> Iterator[tuple[str, int]]:
    """Each call on a file between the first two reports, as strace counts it."""
    counts: Counter[str] = Counter()
    reports = 0
    for name, is_report in whole.begun:
        counts[name] += 1
        reports += is_report
        if reports == 1 and not is_report and not _NOT_ASKED.fullmatch(name):
            yield name, counts[name]


def _refused(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The calls from the refused one on; none where it was not refused between the first two reports."""
    reports = 0
    for place, call in enumerate(calls):
        reports += call.is_report
        if call.is_injected:
            return calls[place:] if reports == 1 else ()
    return ()


def _sync_retried(calls: tuple[Call, ...]) -> list[str]:
    """A sync that failed must not be tried again on the same open file: the second would claim what is lost."""
    failed, *later = calls
    if failed.name not in ("fsync", "fdatasync"):
        return []
    for call in later:
        if call.name == "close" and call.fd == failed.fd:
            break
        if call.name in ("fsync", "fdatasync") and call.fd == failed.fd:
            return ["a failed sync is tried again on the same file"]
    return []
