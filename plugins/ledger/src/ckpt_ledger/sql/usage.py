"""How much is kept, by what the rows say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from ckpt_ledger.sql.database import Database
from ckpt_ledger.sql.records import call_arguments
from ckpt_ledger.sql.rows import ARGUMENTS
from ckpt_ledger.sql.schema import arguments, facts, runs, tasks
from ckpt_ledger.sql.statements import columns

__all__ = ["Usage", "UsageReader"]

_INLINE: Final = "json"
"""A value of this type of handler stands in the row itself."""


@dataclass(slots=True)
class Usage:
    """What is kept for a flow, a run or a call."""

    name: str
    """Name of the flow, id of the run, slug of the call."""
    runs: int = 1
    objects: int = 0
    size: int = 0
    """Bytes."""


class UsageReader:
    """Reads one ledger; every method is one transaction, and sees one state of it.

    An object counts where it was made: a value that was taken from another run counts there, as long as the ledger
    knows that run; constants that are kept as an object count at the first task run that names them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_flows(self) -> list[Usage]:
        """Per flow, by name."""
        names = select(runs.c.flow, func.count()).group_by(runs.c.flow).order_by(runs.c.flow)
        return self._counted(names, runs.c.flow)

    def of_runs(self, flow: str) -> list[Usage]:
        """Per run of a flow, newest first."""
        names = select(runs.c.id, 1).where(runs.c.flow == flow).order_by(runs.c.started.desc(), runs.c.number.desc())
        return self._counted(names, runs.c.id, runs.c.flow == flow)

    def of_calls(self, run: str) -> list[Usage]:
        """Per call of a run, in run order; mapped children count for their call."""
        names = select(tasks.c.slug, 1).join(runs, runs.c.number == tasks.c.run).where(runs.c.id == run)
        names = names.group_by(tasks.c.slug).order_by(func.min(tasks.c.position))
        return self._counted(names, tasks.c.slug, runs.c.id == run)

    def _counted(self, names: Select[Any], grain: Any, *only: Any) -> list[Usage]:
        with self._database.reading() as connection:
            found = {name: Usage(name, count) for name, count in connection.execute(names)}
            inline = _inline(connection)
            wanted = select(grain, tasks.c.facts, func.count(), func.coalesce(func.sum(tasks.c.size), 0))
            wanted = wanted.join(runs, runs.c.number == tasks.c.run).where(_made_here(), *only)
            for name, number, count, size in connection.execute(wanted.group_by(grain, tasks.c.facts)):
                if number not in inline:
                    found[name].objects += count
                    found[name].size += int(size)
            for name, size in _constants(connection, grain, only):
                found[name].objects += 1
                found[name].size += size
        return list(found.values())


def _made_here() -> Any:
    """Rows with a value that was made for them, or was made in a run that is forgotten."""
    other = tasks.alias("other")
    first = (
        select(func.min(other.c.number))
        .where(other.c.location.is_not(None), other.c.origin.not_in(select(runs.c.id)))
        .group_by(other.c.origin, other.c.location)
    )
    return tasks.c.location.is_not(None) & (tasks.c.origin.is_(None) | tasks.c.number.in_(first))


def _inline(connection: Connection) -> set[int]:
    """The numbers of the facts of values that are no objects."""
    rows = connection.execute(select(facts.c.number, facts.c.data).where(facts.c.data.contains(f'"{_INLINE}"')))
    return {number for number, data in rows if (json.loads(data)[-1] or {}).get("type") == _INLINE}


def _constants(connection: Connection, grain: Any, only: Iterable[Any]) -> list[tuple[str, int]]:
    """For each object of constants whose maker is asked for: the name, and the bytes."""
    kept = select(*columns(arguments, ARGUMENTS)).where(arguments.c.safe.is_not(None))
    safes = {given.digest: given.safe for given in map(call_arguments, connection.execute(kept))}
    if not safes:
        return []
    other = tasks.alias("other")
    first = select(func.min(other.c.number)).where(
        other.c.arguments.in_(select(arguments.c.digest).where(arguments.c.safe.is_not(None)))
    )
    rows = select(grain, tasks.c.arguments).join(runs, runs.c.number == tasks.c.run)
    rows = rows.where(tasks.c.number.in_(first.group_by(other.c.arguments)), *only)
    return [(name, safe.size or 0) for name, digest in connection.execute(rows) if (safe := safes[digest]) is not None]
