"""The record of runs in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ckpt.ledgers import Ledger, Prior
from ckpt_ledger.settings import LedgerSettings
from ckpt_ledger.sql.urls import address

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.settings import Settings
    from ckpt.task_records import CallArguments, Identity, LogLine, RunRecord, TaskRecord
    from ckpt_ledger.sql.going import Going
    from ckpt_ledger.sql.overviews import Overviews
    from ckpt_ledger.sql.references import References
    from ckpt_ledger.sql.run_rows import Reference, RunRow
    from ckpt_ledger.sql.usage import UsageReader

__all__ = ["SQLLedger"]

_open: dict[tuple[LedgerSettings, Path], SQLLedger] = {}
"""The ledger that this process used last: opening it for each run would take longer than a short run."""


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SQLLedger(Ledger):
    """Remembers runs in a file (SQLite) or on a server (PostgreSQL); may be used by several threads, and after a fork.

    What fits no run raises `NotFound`; a database that does not answer raises `StoreUnavailable`, one that refuses
    `AccessDenied`, one that is damaged `CorruptRecord`. With `create=False` one that nobody has made is `NotFound`.
    """

    def __init__(
        self, url: str | None = None, *, required: bool = False, lease_seconds: float = 60.0, create: bool = True
    ) -> None:
        # SQLAlchemy takes longer to import than everything else here, and a ledger that is switched off needs none.
        from ckpt_ledger.sql.database import Database
        from ckpt_ledger.sql.queries import Queries
        from ckpt_ledger.sql.writing import Writing

        self.kept_open: tuple[int, int] | None = None
        """Device and number of a file that stays open from run to run of this process; None: `close` closes it."""
        self.required = required
        self.lease_seconds = lease_seconds
        self._database = Database(address(url), create=create)
        self._reads = Queries(self._database, lease_seconds)
        self._writes = Writing(self._database)
        self.id = self._database.ledger

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        mine = LedgerSettings.of(settings)
        if not mine.enabled:
            return None
        place = address(mine.url)
        if place.file is None:
            return cls(mine.url, required=mine.required, lease_seconds=mine.lease_seconds)
        known = _open.get((mine, place.file))
        if not isinstance(known, cls) or known.kept_open != _identity(place.file):
            _open.clear()
            known = _open[mine, place.file] = cls(mine.url, required=mine.required, lease_seconds=mine.lease_seconds)
            known.kept_open = _identity(place.file)
        return known

    @property
    def shown(self) -> str:
        """Where it is, without credentials."""
        return self._database.shown

    def begin(self, run: RunRecord) -> None:
        self._writes.begin(run)

    def record(self, tasks: Sequence[TaskRecord], arguments: Sequence[CallArguments] = ()) -> None:
        self._writes.record(tasks, arguments)

    def log(self, lines: Sequence[LogLine]) -> None:
        self._writes.log(lines)

    def heartbeat(self, run: str) -> None:
        self._writes.heartbeat(run)

    def end(
        self,
        run: str,
        state: str,
        message: str,
        tasks: Sequence[TaskRecord] = (),
        arguments: Sequence[CallArguments] = (),
    ) -> None:
        self._writes.end(run, state, message, tasks, arguments)

    def prior(self, run_ref: str, *, flow: str) -> Prior:
        run, tasks = self._reads.prior(run_ref, flow)
        return Prior(run.record, {task.call: task for task in tasks}, run.is_alive)

    def lookup(self, identities: Sequence[Identity]) -> Mapping[Identity, TaskRecord]:
        return self._reads.lookup(identities)

    def close(self) -> None:
        if self.kept_open is None:
            self._database.close()

    def runs(
        self,
        *,
        flow: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        name: str | None = None,
        before: str | None = None,
        limit: int | None = 50,
    ) -> list[RunRow]:
        """Runs, newest first; `since` and `until` without a time zone are local, `before` is the id of a run.

        Raises: `ConfigError` for a state that no run can have.
        """
        return self._reads.runs(flow=flow, state=state, since=since, until=until, name=name, before=before, limit=limit)

    def find(self, ref: str, *, flow: str | None = None) -> RunRow:
        """The run that an id, a name, `last` or a unique prefix of an id means; the newest where a name fits several.

        Raises: `NotFound` saying what there is; `ConfigError` for a prefix of several ids.
        """
        return self._reads.find(ref, flow=flow)

    def previous(self, run: str) -> RunRow | None:
        """The run of the same flow before the run with this id; None for the first."""
        return self._reads.previous(run)

    def tasks(self, run: str, *, summaries: bool = True, children: bool = True) -> list[TaskRecord]:
        """The task runs of the run with this id, in run order; without `children` without those of mapped calls.

        Without `summaries` also without inputs and errors, and in less time and memory.
        """
        return self._reads.tasks(run, summaries=summaries, children=children)

    def task(self, run: str, text: str) -> TaskRecord:
        """The task run that a call slug or the name of a task with one call means, with `[i]` a child of it.

        Raises: `NotFound` naming the nearest; `ConfigError` for a task with several calls.
        """
        return self._reads.task(run, text)

    def children(self, run: str, slug: str) -> list[TaskRecord]:
        """The task runs of a mapped call, in order; none where there is no such call."""
        return self._reads.children(run, slug)

    def offered(self, identity: Identity, until: datetime) -> list[TaskRecord]:
        """Task runs of this identity that had ended by then and whose values other runs might take, the newest first.

        Also those whose time is over, and whatever has become of what they kept.
        """
        return self._reads.offered(identity, until)

    def logs(self, run: str, call: CallPath | None = None) -> list[LogLine]:
        """What the tasks of a run logged, or one of its task runs, in the order of time."""
        return self._reads.logs(run, call)

    def arguments(self, digest: str) -> CallArguments:
        """What a flow gave to a call, by `TaskRecord.arguments`.

        Raises: `NotFound`.
        """
        return self._reads.arguments(digest)

    @property
    def overviews(self) -> Overviews:
        """Counts of children, summaries of reused values, names of runs."""
        from ckpt_ledger.sql.overviews import Overviews  # as above

        return Overviews(self._database)

    @property
    def usage(self) -> UsageReader:
        """How much is kept: per flow, run and call."""
        from ckpt_ledger.sql.usage import UsageReader  # as above

        return UsageReader(self._database)

    def rename(self, run: str, name: str | None) -> None:
        """Name the run with this id; None takes its name away.

        Raises: `ConfigError` for a name that means something else.
        """
        self._writes.rename(run, name)

    def references(self, runs: Sequence[str]) -> list[Reference]:
        """Every object that the rows of the runs with these ids refer to."""
        return self._reads.references(runs)

    def kept_page(self, run: str, after: CallPath | None = None, limit: int = 1000) -> list[TaskRecord]:
        """Task runs of the run with this id whose values are kept, by call, from the one that follows `after` on."""
        return self._reads.kept_page(run, after, limit)

    @cached_property
    def going(self) -> Going:
        """Which runs go."""
        from ckpt_ledger.sql.going import Going

        return Going(self._database, self.lease_seconds)

    @cached_property
    def held(self) -> References:
        """What the rows refer to."""
        from ckpt_ledger.sql.references import References

        return References(self._database)

    def delete_runs(self, runs: Sequence[str]) -> None:
        """Forget the runs with these ids: their rows, messages, and arguments that no other run names; no values."""
        self._writes.delete(runs)

    def __repr__(self) -> str:
        return f"<SQLLedger {self.shown}>"
