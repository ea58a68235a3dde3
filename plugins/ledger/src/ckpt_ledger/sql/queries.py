"""What is asked of a ledger: runs, their task runs, messages and arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, func, literal, or_, select, tuple_

from ckpt.calls import CallPath
from ckpt.collector import Uncollected
from ckpt.errors import ConfigError, NotFound
from ckpt.handlers import JSON
from ckpt.results import SafeResult
from ckpt.suggestions import did_you_mean, nearest
from ckpt.task_records import CallArguments, Identity, LogLine, TaskRecord
from ckpt_ledger.sql import statements
from ckpt_ledger.sql.database import Database
from ckpt_ledger.sql.naming import absence, calls_named, path_of
from ckpt_ledger.sql.records import TaskReader, call_arguments, log_line, moment, run_record
from ckpt_ledger.sql.rows import ARGUMENTS, LOGS, PRIOR, RUNS, WHOLE, micros
from ckpt_ledger.sql.run_rows import GOING, STATES, Reference, RunRow
from ckpt_ledger.sql.schema import arguments, has_failed, is_offered, logs, runs, stays, tasks
from ckpt_ledger.sql.statements import columns

__all__ = ["LAST", "Queries", "counts"]

LAST: Final = "last"

_SHOWN = 5
_OFFERED = 100
_PARTITION = 100
"""Rows that are read at once: so few that they are still in the processor's caches when records are made of them."""
_MORE: Final = ("ended", "state", "message", "heartbeat", "tasks", "failed", "number")

_NEWEST: Final = (
    select(*columns(runs, (*RUNS, *_MORE))).where(stays()).order_by(runs.c.started.desc(), runs.c.number.desc())
)
_PRIOR_OF: Final = select(*columns(tasks, PRIOR)).where(
    tasks.c.run == select(runs.c.number).where(runs.c.id == bindparam("run")).scalar_subquery()
)


class Queries:
    """Reads one ledger; every method is one transaction, and sees one state of it."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease = int(lease_seconds * 1_000_000)

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
        """Runs, newest first."""
        with self._database.reading() as connection:
            now = self._database.now(connection)
            wanted = _NEWEST
            for column, value in ((runs.c.flow, flow), (runs.c.name, name)):
                if value is not None:
                    wanted = wanted.where(column == value)
            if state is not None:
                wanted = wanted.where(self._in_state(state, now))
            if since is not None:
                wanted = wanted.where(runs.c.started >= micros(since.astimezone(UTC)))
            if until is not None:
                wanted = wanted.where(runs.c.started < micros(until.astimezone(UTC)))
            if before is not None:
                started, number = self._start(connection, before)
                wanted = wanted.where(
                    or_(runs.c.started < started, and_(runs.c.started == started, runs.c.number < number))
                )
            return self._rows(connection, wanted.limit(limit), now)

    def find(self, ref: str, *, flow: str | None = None) -> RunRow:
        """The run that an id, a name, `last` or a unique prefix of an id means."""
        with self._database.reading() as connection:
            return self._find(connection, ref, flow)

    def previous(self, run: str) -> RunRow | None:
        """The run of the same flow before that one; None for the first."""
        with self._database.reading() as connection:
            here = self._find(connection, run, None)
            started, number = self._start(connection, here.id)
            earlier = _NEWEST.where(
                runs.c.flow == here.flow,
                or_(runs.c.started < started, and_(runs.c.started == started, runs.c.number < number)),
            )
            found = self._rows(connection, earlier.limit(1), self._database.now(connection))
            return found[0] if found else None

    def tasks(self, run: str, *, summaries: bool = True, children: bool = True) -> list[TaskRecord]:
        """The task runs of a run, in run order; without summaries only what `PRIOR` has, and faster."""
        with self._database.reading() as connection:
            return self._tasks(connection, run, WHOLE if summaries else PRIOR, children=children)

    def task(self, run: str, text: str) -> TaskRecord:
        """The one task run that a call slug or the name of a task with one call means, with `[i]` a child of it."""
        with self._database.reading() as connection:
            number = self._number(connection, run)
            found = self._one(connection, run, number, path_of(text))
            return found or self._named(connection, run, number, text)

    def children(self, run: str, slug: str) -> list[TaskRecord]:
        """The task runs of a mapped call, in order."""
        with self._database.reading() as connection:
            wanted = self._of(self._number(connection, run)).where(tasks.c.slug == slug, tasks.c.map_index >= 0)
            return self._read(connection, run, wanted.order_by(tasks.c.map_index))

    def logs(self, run: str, call: CallPath | None = None) -> list[LogLine]:
        """The messages of a run, or of one of its task runs, in the order of time."""
        with self._database.reading() as connection:
            number = self._number(connection, run)
            wanted = select(*columns(logs, LOGS)).where(logs.c.run == number).order_by(logs.c.at, logs.c.number)
            if call is not None:
                index = -1 if call.map_index is None else call.map_index
                wanted = wanted.where(logs.c.slug == call.slug, logs.c.map_index == index)
            return [log_line(run, row) for row in connection.execute(wanted)]

    def arguments(self, digest: str) -> CallArguments:
        """What a flow gave to a call."""
        with self._database.reading() as connection:
            wanted = select(*columns(arguments, ARGUMENTS)).where(arguments.c.digest == digest)
            row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFound(f"the ledger {self._database.shown} has no arguments {digest}: run that flow again")
        return call_arguments(row)

    def prior(self, ref: str, flow: str) -> tuple[RunRow, list[TaskRecord]]:
        """A run with its task runs, from one moment, in any order."""
        with self._database.reading() as connection:
            run = self._find(connection, ref, flow if ref == LAST else None)
            return run, self._read(connection, run.id, _PRIOR_OF, {"run": run.id})

    def lookup(self, identities: Sequence[Identity]) -> dict[Identity, TaskRecord]:
        """For each identity the newest record that may be reused now."""
        kind = self._database.kind
        found: dict[Identity, TaskRecord] = {}
        with self._database.reading() as connection:
            now = self._database.now(connection)
            wanted = statements.listed(kind, list(dict.fromkeys(identities)))
            rows = connection.exec_driver_sql(statements.reusable(kind), (now, wanted)).all()
            by_run: dict[str, list[Sequence[Any]]] = {}
            for run, *row in rows:
                by_run.setdefault(run, []).append(row)
            reader = self._reader(connection)
            for run, its_rows in by_run.items():
                for record in reader.tasks(run, its_rows):
                    if record.identity is not None:
                        found[record.identity] = record
        return found

    def offered(self, identity: Identity, until: datetime) -> list[TaskRecord]:
        """Task runs of this identity that had ended by then and were offered to other runs, the newest first."""
        with self._database.reading() as connection:
            wanted = select(runs.c.id, *columns(tasks, PRIOR)).where(
                runs.c.number == tasks.c.run, tasks.c.identity == identity, tasks.c.ended <= micros(until)
            )
            wanted = wanted.where(is_offered(tasks), stays()).order_by(tasks.c.number.desc()).limit(_OFFERED)
            reader = self._reader(connection)
            return [record for run, *row in connection.execute(wanted) for record in reader.tasks(run, [row])]

    def kept_page(self, run: str, after: CallPath | None, limit: int) -> list[TaskRecord]:
        """Task runs of a run whose values are kept, by call: those that follow `after`, at most `limit`."""
        with self._database.reading() as connection:
            wanted = self._of(self._number(connection, run), PRIOR).where(tasks.c.location.is_not(None))
            if after is not None:
                index = -1 if after.map_index is None else after.map_index
                here = tuple_(literal(after.slug), literal(index))
                wanted = wanted.where(tuple_(tasks.c.slug, tasks.c.map_index) > here)
            return self._read(connection, run, wanted.order_by(tasks.c.slug, tasks.c.map_index).limit(limit))

    def references(self, ids: Sequence[str]) -> list[Reference]:
        """What the rows of these runs refer to."""
        with self._database.reading() as connection:
            return [found for run in ids for found in self._references(connection, run)]

    def _references(self, connection: Connection, run: str) -> Iterator[Reference]:
        number = self._number(connection, run)
        for record in self._read(connection, run, self._of(number, PRIOR).where(tasks.c.location.is_not(None))):
            if (safe := record.safe) is not None:
                yield Reference(
                    run, _spec(safe), safe.value, str(record.call), safe.size, safe.digest, record.origin,
                    record.reusable_until,
                )  # fmt: skip
        named = select(tasks.c.arguments).where(tasks.c.run == number)
        wanted = select(*columns(arguments, ARGUMENTS)).where(
            arguments.c.digest.in_(named), arguments.c.safe.is_not(None)
        )
        for given in map(call_arguments, connection.execute(wanted)):
            if (safe := given.safe) is not None:
                yield Reference(run, _spec(safe), safe.value, None, safe.size, safe.digest, None, None)

    def _in_state(self, state: str, now: int) -> Any:
        if state not in STATES:
            raise ConfigError(f"no run is ever {state!r}: {did_you_mean(state, STATES)}")
        if state == "Running":
            return and_(runs.c.ended.is_(None), runs.c.heartbeat > now - self._lease)
        if state == "Lost":
            return and_(runs.c.ended.is_(None), runs.c.heartbeat <= now - self._lease)
        return runs.c.state == state

    def _start(self, connection: Connection, run: str) -> tuple[int, int]:
        row = connection.execute(select(runs.c.started, runs.c.number).where(runs.c.id == run)).one_or_none()
        if row is None:
            raise self._nothing(connection, run, None)
        return row.started, row.number

    def _number(self, connection: Connection, run: str) -> int:
        return self._start(connection, run)[1]

    def _rows(self, connection: Connection, wanted: Select[Any], now: int) -> list[RunRow]:
        rows = connection.execute(wanted).all()
        open_runs = [row.number for row in rows if row.tasks is None]
        counted = counts(connection, open_runs) if open_runs else {}
        return [self._row(tuple(row), counted, now) for row in rows]

    def _row(self, row: Sequence[Any], counted: dict[int, tuple[int, int]], now: int) -> RunRow:
        ended, state, message, heartbeat, done, failed, number = row[len(RUNS) :]
        is_alive = ended is None and heartbeat > now - self._lease
        if done is None:
            done, failed = counted.get(number, (0, 0))
        return RunRow(
            run_record(row[: len(RUNS)]),
            state if ended is not None else "Running" if is_alive else "Lost",
            message or "",
            None if ended is None else moment(ended),
            moment(heartbeat),
            done,
            failed or 0,
            is_alive,
        )

    def _find(self, connection: Connection, ref: str, flow: str | None) -> RunRow:
        base = _NEWEST.limit(2)
        if flow is not None:
            base = base.where(runs.c.flow == flow)
        prefix = func.substr(runs.c.id, 1, len(ref)) == ref
        meanings = [base] if ref == LAST else [base.where(runs.c.id == ref), base.where(runs.c.name == ref)]
        for wanted in meanings:
            found = self._rows(connection, wanted.limit(1), self._database.now(connection))
            if found:
                return found[0]
        if ref and ref != LAST:
            found = self._rows(connection, base.where(prefix).limit(_SHOWN), self._database.now(connection))
            if len(found) == 1:
                return found[0]
            if found:
                some = ", ".join(run.id for run in found)
                raise ConfigError(f"{ref!r} begins the ids of several runs ({some}, …): write more of it")
        raise self._nothing(connection, ref, flow)

    def _nothing(self, connection: Connection, ref: str, flow: str | None) -> NotFound:
        of_flow = f" of flow {flow!r}" if flow is not None else ""
        if connection.execute(select(runs.c.number).where(runs.c.id == ref, runs.c.state == GOING)).one_or_none():
            return NotFound(f"run {ref} is being deleted by `ckpt gc`: choose another; `ckpt runs` lists them")
        some_columns = _NEWEST.with_only_columns(runs.c.id, runs.c.name, runs.c.flow)
        newest = connection.execute(some_columns.limit(100)).all()
        if not newest:
            return NotFound(f"no run has been recorded yet in {self._database.shown}: run a flow first")
        if ref == LAST:
            known = did_you_mean(flow or "", sorted({row.flow for row in newest}))
            return NotFound(f"no run{of_flow} has been recorded in {self._database.shown}: {known}")
        guess = nearest(ref, [*(row.name for row in newest if row.name), *(row.id for row in newest)])
        some = ", ".join(row.id if row.name is None else f"{row.id} ({row.name})" for row in newest[:_SHOWN])
        meant = f"did you mean {guess!r}? " if guess else ""
        return NotFound(
            f"no run{of_flow} has the id or name {ref!r}: {meant}The newest: {some}; `ckpt runs` lists them"
        )

    def _of(self, number: int, names: Sequence[str] = WHOLE) -> Select[Any]:
        return select(*columns(tasks, names)).where(tasks.c.run == number)

    def _tasks(
        self, connection: Connection, run: str, names: Sequence[str], *, children: bool = True
    ) -> list[TaskRecord]:
        wanted = self._of(self._number(connection, run), names).order_by(tasks.c.position, tasks.c.map_index)
        if not children:
            wanted = wanted.where(tasks.c.map_index < 0)
        return self._read(connection, run, wanted)

    def _read(
        self, connection: Connection, run: str, wanted: Select[Any], bound: Mapping[str, object] = {}
    ) -> list[TaskRecord]:
        reader = self._reader(connection)
        found: list[TaskRecord] = []
        with Uncollected():
            for rows in connection.execute(wanted, bound).partitions(_PARTITION):
                found += reader.tasks(run, rows)
        return found

    def _reader(self, connection: Connection) -> TaskReader:
        kind = self._database.kind

        def facts(numbers: Sequence[int]) -> Mapping[int, str]:
            wanted = statements.listed(kind, numbers)
            return {row.number: row.data for row in connection.exec_driver_sql(statements.facts_of(kind), (wanted,))}

        return TaskReader(facts)

    def _one(self, connection: Connection, run: str, number: int, path: CallPath) -> TaskRecord | None:
        index = -1 if path.map_index is None else path.map_index
        wanted = self._of(number).where(tasks.c.slug == path.slug, tasks.c.map_index == index)
        found = self._read(connection, run, wanted)
        return found[0] if found else None

    def _named(self, connection: Connection, run: str, number: int, text: str) -> TaskRecord:
        """By the name of a task, which stands in the place of the call; else say what there is."""
        path = path_of(text)
        there = self._read(connection, run, self._of(number, PRIOR).order_by(tasks.c.position, tasks.c.map_index))
        slugs = calls_named(there, path)
        if len(slugs) > 1:
            some = ", ".join(slugs[:_SHOWN])
            raise ConfigError(f"run {run} has {len(slugs)} calls of task {path.slug!r}: say which one ({some}, …)")
        slug = slugs[0] if slugs else None
        found = self._one(connection, run, number, path._replace(slug=slug)) if slug is not None else None
        if found is None:
            raise absence(self._find(connection, run, None), there, text, slug)
        return found


def _spec(safe: SafeResult) -> Mapping[str, JSON]:
    """The handler's spec, shared by all that one reader made."""
    return safe.kept_by if isinstance(safe.kept_by, Mapping) else safe.spec


def counts(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Of each run how many task runs have ended, and how many of these failed."""
    wanted = select(tasks.c.run, func.count()).where(tasks.c.run.in_(numbers)).group_by(tasks.c.run)
    failed = {run: int(bad) for run, bad in connection.execute(wanted.where(has_failed(tasks)))}
    return {run: (count, failed.get(run, 0)) for run, count in connection.execute(wanted)}
