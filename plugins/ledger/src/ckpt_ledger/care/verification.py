"""Is everything that the rows refer to there, and whole? And what is there that no row refers to?"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeVar

from ckpt.calls import CallPath
from ckpt.errors import CkptError, CorruptRecord, NotFound
from ckpt.handlers import JSON
from ckpt.objects import ObjectResultHandler
from ckpt.results import SafeResult
from ckpt.task_records import TaskRecord
from ckpt_ledger.care.places import objects_at, unreferenced
from ckpt_ledger.ledger import SQLLedger
from ckpt_ledger.sql.going import OwnRun

__all__ = ["Finding", "Kind", "Verification"]

Kind = Literal["missing", "wrong size", "damaged", "not looked at", "orphan", "foreign"]

_THREADS: Final = 16
_AHEAD: Final = 4 * _THREADS
"""How many objects are asked for before the first answer is looked at."""

T = TypeVar("T")


class _Reference(NamedTuple):
    run: str
    call: str | None
    safe: SafeResult
    reads: bool
    """Is its data to be read?"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One object that is not as the rows have it, or that they do not know."""

    kind: Kind
    run: str | None
    """None for what is no run's of this ledger."""
    call: str | None
    """The task run; None for constants, and for what no row refers to."""
    location: JSON
    message: str
    size: int | None = None

    @property
    def id(self) -> str:
        """Run and call, or what else names it."""
        return "/".join(part for part in (self.run, self.call) if part) if self.call else str(self.location)

    @property
    def is_wrong(self) -> bool:
        """Does a row refer to something that it does not describe?"""
        return self.kind in ("missing", "wrong size", "damaged")


class Verification:
    """Looks at what one run, or every run, refers to: heads only, and the data of a random part of it."""

    def __init__(
        self, ledger: SQLLedger, run: str | None = None, *, data: float = 0.0, seen: Callable[[], None] = lambda: None
    ) -> None:
        self._ledger, self._run, self._data, self._seen = ledger, run, data, seen
        self.objects = self.read = 0
        """How many references were looked at, and of how many the data was."""

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong, then what no row refers to.

        Raises: what the ledger raises. What a storage raises becomes a finding.
        """
        chosen = self._ledger.going.chosen(None)
        kept = [run for run in chosen.kept if self._run in (None, run.id)]
        marked = [run for run in chosen.going if self._run is None]
        again = {run.id for run in marked}
        references = self._references([*kept, *marked])
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="ckpt-verify") as threads:
            for found in _through(threads, self._look, references):
                self._seen()
                if found is not None and (found.kind != "missing" or found.run in again or self._is_kept(found.run)):
                    yield found
        failed: list[Finding] = []

        def problem(where: str, error: CkptError) -> None:
            failed.append(Finding("not looked at", None, None, where, str(error)))

        known = {run.id for run in (*chosen.kept, *chosen.going)}
        # What a run in progress has written and not yet recorded is no orphan.
        quiet = [run for run in kept if not run.is_alive]
        for each in unreferenced(objects_at(quiet, known, problem), self._ledger.held, chosen.leaving):
            if each.run is not None:
                said = "no row refers to it" if each.run.has_ended else "its run never ended: --resume finds it"
                yield Finding("orphan", each.run.id, None, each.info.key, said, each.info.size)
            elif self._run is None:
                said = "no run of this ledger: what another one has written is left alone"
                yield Finding("foreign", None, None, each.info.key, said, each.info.size)
        yield from failed

    def _references(self, runs: Iterable[OwnRun]) -> Iterator[_Reference]:
        """What the rows refer to, page by page; of runs that go only what other runs may still reuse."""
        for run in runs:
            after: CallPath | None = None
            while page := self._page(run, after):
                after = page[-1].call
                for record in page:
                    until = record.reusable_until
                    counts = not run.is_marked or (until is not None and until > datetime.now(UTC))
                    if record.safe is not None and counts:
                        yield self._reference(run.id, str(record.call), record.safe)
            if not run.is_marked:
                for safe in self._ledger.held.constants(run.number):
                    yield self._reference(run.id, None, safe)

    def _page(self, run: OwnRun, after: CallPath | None) -> list[TaskRecord]:
        try:
            return self._ledger.kept_page(run.id, after)
        except NotFound:
            return []  # somebody deletes runs at the same time

    def _is_kept(self, run: str | None) -> bool:
        """Is the run still there, now that something of it is not? Else somebody deletes it at this moment."""
        return any(each.id == run for each in self._ledger.going.chosen(None).kept)

    def _reference(self, run: str, call: str | None, safe: SafeResult) -> _Reference:
        reads = random.random() < self._data  # noqa: S311  a sample, no secret
        self.objects += 1
        self.read += reads
        return _Reference(run, call, safe, reads)

    def _look(self, reference: _Reference) -> Finding | None:
        run, call, safe, reads = reference
        try:
            handler = safe.result_handler
            if reads or not isinstance(handler, ObjectResultHandler):
                handler.verify(safe)
                return None
            size = handler.objects.head(str(safe.value)).size
        except NotFound as error:
            return Finding("missing", run, call, safe.value, str(error), safe.size)
        except CorruptRecord as error:
            return Finding("damaged", run, call, safe.value, str(error), safe.size)
        except CkptError as error:
            return Finding("not looked at", run, call, safe.value, f"{type(error).__name__}: {error}", safe.size)
        if safe.size is not None and size != safe.size:
            return Finding("wrong size", run, call, safe.value, f"it has {size} bytes, not {safe.size}", size)
        return None


def _through(
    threads: ThreadPoolExecutor, look: Callable[[_Reference], T], references: Iterable[_Reference]
) -> Iterator[T]:
    """The answers in order, with only so many questions on their way."""
    waiting: deque[Future[T]] = deque()
    for reference in references:
        waiting.append(threads.submit(look, reference))
        if len(waiting) >= _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
