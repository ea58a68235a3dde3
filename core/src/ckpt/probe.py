"""A storage put to the test: one small value written, looked up, read, listed and deleted there, each step timed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from ckpt import plugins
from ckpt.errors import (
    AccessDenied,
    CkptError,
    ConfigError,
    CorruptRecord,
    NotFound,
    PluginBroken,
    PluginNotFound,
    StoreUnavailable,
    Unsupported,
)
from ckpt.handlers import Meta, ResultHandler
from ckpt.objects import ObjectResultHandler
from ckpt.results import SafeResult
from ckpt.settings import Settings
from ckpt.storage import Storage

__all__ = ["STEPS", "Outcome", "Step", "probed"]

STEPS: Final = ("open", "write", "head", "read", "list", "delete")

Outcome = Literal[
    "ok",
    "not offered",  # this kind of handler cannot do that, and need not
    "not tried",  # after an earlier step it could only fail
    "no package",
    "refused",
    "wrong settings",  # also a bucket that is not there, or in another region
    "unreachable",
    "failed",
]

_KINDS: Final[tuple[tuple[type[CkptError], Outcome], ...]] = (
    (Unsupported, "not offered"),
    (PluginNotFound, "no package"),
    (PluginBroken, "no package"),
    (AccessDenied, "refused"),
    (ConfigError, "wrong settings"),
    (StoreUnavailable, "unreachable"),
)
_HOPELESS: Final = frozenset({"no package", "wrong settings", "unreachable", "failed"})
"""Once opening or writing ended so, every other step would."""
_VALUE: Final = "written by `ckpt check`, which deletes it again; delete it if it is still here"
_SKEW: Final = 60.0
"""Seconds between this clock and the storage's that are worth a word; signatures are refused after some minutes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one of `STEPS`."""

    name: str
    outcome: Outcome
    seconds: float = 0.0
    """Wall time, with the tries that the handler itself repeats."""
    said: str = ""
    """The problem and what to do, as the handler says it; for a step that went well, a warning or nothing."""

    @property
    def is_problem(self) -> bool:
        """Would something be missing for a run because of this?"""
        return self.outcome not in ("ok", "not offered")


def probed(storage: Storage, settings: Settings) -> Generator[Step, None, None]:
    """Try every step on the handler that a run with this storage would have; what was written is always removed.

    Each step is tried even if another was refused: a policy may allow some of them only. End it with `close` if it is
    not exhausted.

    Raises: `ConfigError` for a storage that cannot be right as it is written.
    """
    start = time.perf_counter()
    try:
        handler = plugins.match(storage, settings)
    except (PluginNotFound, PluginBroken) as error:
        yield from _all_in_vain(_step("open", start, error))
        return
    if handler is None:
        raise ConfigError(f"{storage.type} storage holds no values: check one that does, such as file:///data/results")
    try:
        handler = handler.for_run()
        if isinstance(handler, ObjectResultHandler):
            _ = handler.objects
    except Exception as error:  # noqa: BLE001  a stranger's handler may raise anything
        opened = _step("open", start, error)
    else:
        opened = _step("open", start)
    if opened.outcome in _HOPELESS:
        yield from _all_in_vain(opened)
        return
    yield opened
    yield from _Probe(handler).steps()


def _all_in_vain(opened: Step) -> Iterator[Step]:
    yield opened
    for name in STEPS[1:]:
        yield Step(name, "not tried")


class _Probe:
    """The steps on one handler, with what each leaves for the next."""

    def __init__(self, handler: ResultHandler) -> None:
        self._handler = handler
        name = f"ckpt-check-{uuid.uuid4().hex}{handler.suffix}"
        self._key = f"{handler.prefix}/{name}" if handler.prefix else name
        self._safe = SafeResult(self._key, handler)
        self._began = datetime.now(UTC)
        self._is_there = False
        self._warning = ""

    def steps(self) -> Iterator[Step]:
        deleted = False
        try:
            written = self._try("write", self._write)
            yield written
            hopeless = written.outcome in _HOPELESS
            for name, work in (("head", self._head), ("read", self._read), ("list", self._list)):
                yield Step(name, "not tried") if hopeless else self._try(name, work)
            gone = self._try("delete", self._delete)
            deleted = True
            yield gone
        finally:
            if not deleted:
                with suppress(CkptError):
                    self._delete()

    def _try(self, name: str, work: Callable[[], None]) -> Step:
        self._warning = ""
        start = time.perf_counter()
        try:
            work()
        except Exception as error:  # noqa: BLE001  a stranger's handler may raise anything
            return _step(name, start, error)
        return _step(name, start, said=self._warning)

    def _write(self) -> None:
        self._safe = SafeResult.of(self._handler.store(_VALUE, key=self._key, meta=Meta()), self._handler)
        self._is_there = True

    def _head(self) -> None:
        if not isinstance(self._handler, ObjectResultHandler):
            if not self._handler.exists(self._safe.value):
                self._expect_nothing()
            return
        try:
            self._compare_clocks(self._handler.objects.head(self._key).modified)
        except NotFound:
            self._expect_nothing()

    def _read(self) -> None:
        try:
            value = self._handler.fetch(self._safe)
        except NotFound:
            self._expect_nothing()
        else:
            if value != _VALUE:
                raise CorruptRecord(f"{self._key}: another value came back than was written: use another storage")

    def _list(self) -> None:
        if not isinstance(self._handler, ObjectResultHandler):
            raise Unsupported(f"{type(self._handler).__name__} lists nothing")
        for found in self._handler.objects.list(self._key):
            if found.key == self._key:
                self._compare_clocks(found.modified)
                return
        self._expect_nothing()

    def _delete(self) -> None:
        self._handler.delete(self._safe.value)

    def _expect_nothing(self) -> None:
        if self._is_there:
            raise NotFound(f"{self._key} was written and is not there: use a storage that shows what it has taken")

    def _compare_clocks(self, modified: datetime | None) -> None:
        if modified is None:
            return
        ahead = (self._began - modified).total_seconds()
        if abs(ahead) > _SKEW:
            way = "ahead of" if ahead > 0 else "behind"
            self._warning = f"the clock of this machine is {abs(ahead):.0f} s {way} the storage's: set it"


def _step(name: str, start: float, error: Exception | None = None, said: str = "") -> Step:
    took = time.perf_counter() - start
    if error is None:
        return Step(name, "ok", took, said)
    outcome: Outcome = next((outcome for kind, outcome in _KINDS if isinstance(error, kind)), "failed")
    text = str(error) if isinstance(error, CkptError) else f"{type(error).__name__}: {error}"
    return Step(name, outcome, took, text)
