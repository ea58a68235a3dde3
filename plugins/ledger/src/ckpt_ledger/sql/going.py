"""Which runs go, and how that is said in SQL.

A run that goes is *marked* first: one transaction that looks at all runs once more. From then on it is listed nowhere,
nobody can go on from it, and what its writer still has to say is refused. Its objects are deleted after that, its rows
last: they say what is still to be deleted, so whoever cleans next finishes what was interrupted.

The row of the run itself stays, marked, as long as anything is under its places: values that a kept run has taken from
it, or that may be reused, and what a writer that was stopped, and never said that it ended, may write when it wakes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, text, update

from ckpt.handlers import JSON
from ckpt.task_records import Place
from ckpt_ledger.sql import statements
from ckpt_ledger.sql.database import Database
from ckpt_ledger.sql.records import moment
from ckpt_ledger.sql.references import Leaving, among
from ckpt_ledger.sql.run_rows import GOING
from ckpt_ledger.sql.schema import logs, runs, tasks

__all__ = ["Chosen", "Going", "OwnRun", "Policy"]

_COLUMNS: Final = (
    runs.c.number, runs.c.id, runs.c.flow, runs.c.name, runs.c.started, runs.c.heartbeat, runs.c.ended, runs.c.state,
    runs.c.resumed, runs.c.ledger, runs.c.places,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """Which runs go: those that both limits let go."""

    older_than: timedelta
    """Since the last sign of life."""
    keep_last: int
    """How many of the newest runs of each flow stay whatever their age."""
    flow: str | None = None
    """Only runs of this flow."""
    grace: timedelta = timedelta(days=1)
    """For how long an object that no row refers to is left, since a writer may be about to record it."""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A run of this ledger, as cleaning and verifying see it."""

    number: int
    id: str
    flow: str
    started: datetime
    places: Sequence[Place]
    """Where it keeps what is its own; empty for a run that another ledger has recorded."""
    has_ended: bool
    """Has its writer said that it is over?"""
    is_alive: bool
    is_marked: bool
    """Was it to go before?"""
    marked: int = 0
    """When, where it has not ended."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What becomes of the runs of a ledger."""

    going: Sequence[OwnRun]
    kept: Sequence[OwnRun]
    named: int
    """How many stay only since a person has named them."""
    resumed_from: Collection[str]
    """Ids of the runs that a run which has not ended goes on from."""
    now: int
    leaving: Leaving
    """What the references of kept runs are told from."""


class Going:
    """Chooses and marks; every method is one transaction."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease = int(lease_seconds * 1_000_000)

    def chosen(self, policy: Policy | None) -> Chosen:
        """What would become of the runs; without a policy, what has become of them."""
        with self._database.reading() as connection:
            return self._chosen(connection, policy)

    def mark(self, policy: Policy, wanted: Collection[str]) -> Chosen:
        """Let those of the wanted runs go that still may; with them go those that were marked before."""

        def work(connection: Connection) -> Chosen:
            if self._database.is_server:
                # A run that begins to go on from another has told so before this, or is told after it.
                connection.execute(text("LOCK TABLE ckpt_runs IN SHARE ROW EXCLUSIVE MODE"))
            found = self._chosen(connection, policy, wanted)
            fresh = [run.number for run in found.going if not run.is_marked]
            for at in range(0, len(fresh), 1000):
                connection.execute(
                    update(runs)
                    .where(among(self._database.kind, runs.c.number, fresh[at : at + 1000]))
                    .values(state=GOING, ended=func.coalesce(runs.c.ended, found.now))
                )
            return found

        return self._database.write(work)

    def _chosen(self, connection: Connection, policy: Policy | None, wanted: Collection[str] | None = None) -> Chosen:
        now = self._database.now(connection)
        newest = connection.execute(select(*_COLUMNS).order_by(runs.c.started.desc(), runs.c.number.desc())).all()
        limit = 0 if policy is None else now - policy.older_than // timedelta(microseconds=1)
        seen: Counter[str] = Counter()
        going: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        marked: list[Any] = []
        named = 0
        for row in newest:
            if row.state == GOING:
                marked.append(row)
                continue
            seen[row.flow] += 1
            goes = (
                policy is not None
                and policy.flow in (None, row.flow)
                and (wanted is None or row.id in wanted)
                and seen[row.flow] > policy.keep_last
                and row.heartbeat <= limit
                and not self._is_alive(row, now)
            )
            named += goes and row.name is not None
            (going if goes and row.name is None else kept)[row.id] = row
        needed = {row.resumed for row in kept.values() if row.ended is None}
        while back := needed & going.keys():
            for each in back:
                kept[each] = going.pop(each)
            needed |= {kept[each].resumed for each in back if kept[each].ended is None}
        horizon = min([now, *(row.started for row in kept.values() if row.ended is None)]) - self._lease
        return Chosen(
            [self._own(row, now) for row in (*going.values(), *marked)],
            [self._own(row, now) for row in kept.values()],
            named,
            needed,
            now,
            Leaving(frozenset(row.number for row in (*going.values(), *marked)), horizon),
        )

    def _is_alive(self, row: Any, now: int) -> bool:
        return row.ended is None and bool(row.heartbeat > now - self._lease)

    def _own(self, row: Any, now: int) -> OwnRun:
        is_marked = row.state == GOING
        lost = row.ended is None or (is_marked and row.ended > row.heartbeat)
        places = _places(row.places) if row.ledger == self._database.ledger else ()
        return OwnRun(
            row.number, row.id, row.flow, moment(row.started), places, not lost, self._is_alive(row, now), is_marked,
            row.ended if is_marked and lost else now,
        )  # fmt: skip

    def finish(self, run: OwnRun, chosen: Chosen, policy: Policy, *, is_empty: bool) -> bool:
        """Delete the rows of a run whose objects are gone, the run's own only if nothing can come any more; is it?"""
        grace = policy.grace // timedelta(microseconds=1)

        def work(connection: Connection) -> bool:
            if self._database.is_server:
                connection.execute(text("SET LOCAL statement_timeout = '600s'"))
            # A writer that has begun to record before the mark has ended when this is answered.
            connection.execute(select(runs.c.number).where(runs.c.number == run.number).with_for_update())
            connection.execute(delete(tasks).where(tasks.c.run == run.number, ~chosen.leaving.reusable))
            connection.execute(delete(logs).where(logs.c.run == run.number))
            left = connection.execute(select(func.count()).select_from(tasks).where(tasks.c.run == run.number)).scalar()
            if left or not is_empty or not (run.has_ended or run.marked <= chosen.now - grace):
                return False
            connection.execute(delete(runs).where(runs.c.number == run.number))
            return True

        return self._database.write(work)

    def forget_arguments(self) -> None:
        """Delete the arguments that no task run names any more."""

        def work(connection: Connection) -> None:
            if self._database.is_server:
                connection.execute(text("SET LOCAL statement_timeout = '600s'"))
                connection.execute(text("LOCK TABLE ckpt_arguments IN SHARE ROW EXCLUSIVE MODE"))
            connection.execute(statements.forget_arguments())

        self._database.write(work)


def _places(texts: str) -> list[Place]:
    found: list[list[Any]] = json.loads(texts)
    made: list[Place] = []
    for handler, prefix in found:
        spec: dict[str, JSON] = handler
        made.append(Place(spec, prefix))
    return made
