"""What gives people an overview: counts of children, summaries of reused values, names of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select

from ckpt.task_records import TaskRecord
from ckpt_ledger.sql.database import Database
from ckpt_ledger.sql.records import moment, summary_of
from ckpt_ledger.sql.schema import runs, tasks

__all__ = ["Children", "Known", "Overviews"]

_ASKED_FOR = 1000
"""Digests in one statement; more are picked from all of the run."""


@dataclass(frozen=True, slots=True)
class Children:
    """The children of one mapped call that came to their end in one state."""

    slug: str
    position: int
    """Number of the call in the flow, from 0."""
    state: str
    count: int
    started: datetime | None
    """When the first of them started, UTC."""
    ended: datetime | None
    """When the last of them ended, UTC."""
    kept: int
    """How many of their values are kept."""
    size: int
    """Bytes of these."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a run can be called by."""

    id: str
    name: str | None
    flow: str
    state: str | None
    """None while it has no final state."""
    started: datetime
    """UTC."""


class Overviews:
    """Reads one ledger; every method is one transaction, and sees one state of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def children(self, run: str) -> list[Children]:
        """The mapped children of a run by call and state, in run order."""
        t = tasks.c
        wanted = (
            select(
                t.slug, func.min(t.position), t.state, func.count(), func.min(t.started), func.max(t.ended),
                func.count(t.location), func.coalesce(func.sum(t.size), 0),
            )
            .join(runs, runs.c.number == t.run)
            .where(runs.c.id == run, t.map_index >= 0)
            .group_by(t.slug, t.state)
            .order_by(func.min(t.position), t.state)
        )  # fmt: skip
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return [
            Children(slug, position, state, count, _moment(started), _moment(ended), kept, int(size))
            for slug, position, state, count, started, ended, kept, size in rows
        ]

    def with_summaries(self, records: Sequence[TaskRecord]) -> list[TaskRecord]:
        """The records; those of values that were made in another run with the summaries from there."""
        wanted: dict[str, set[str]] = {}
        for record in records:
            if record.summary is None and record.origin is not None and record.safe is not None:
                wanted.setdefault(record.origin, set()).add(record.safe.digest or "")
        if not wanted:
            return list(records)
        found = {}
        with self._database.reading() as connection:
            for origin, digests in wanted.items():
                rows = select(tasks.c.digest, tasks.c.summary).join(runs, runs.c.number == tasks.c.run)
                rows = rows.where(runs.c.id == origin, tasks.c.summary.is_not(None))
                if len(digests) <= _ASKED_FOR:
                    rows = rows.where(tasks.c.digest.in_(digests))
                for digest, summary in connection.execute(rows):
                    if digest in digests:
                        found[origin, digest] = summary_of(origin, summary)
        return [
            record
            if record.summary is not None or record.safe is None
            else record._replace(summary=found.get((record.origin or "", record.safe.digest)))
            for record in records
        ]

    def known(self, prefix: str = "", limit: int = 50) -> list[Known]:
        """The newest runs whose id or name begins like this."""
        starts = [func.substr(column, 1, len(prefix)) == prefix for column in (runs.c.id, runs.c.name)]
        wanted = (
            select(runs.c.id, runs.c.name, runs.c.flow, runs.c.state, runs.c.started)
            .where(or_(*starts))
            .order_by(runs.c.started.desc(), runs.c.number.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return [Known(run, name, flow, state, moment(started)) for run, name, flow, state, started in rows]


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else moment(micros)
