"""What changes in a ledger: every method is one transaction, durable when it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, text, update

from ckpt.calls import CallPath
from ckpt.errors import ConfigError, NotFound
from ckpt.task_records import CallArguments, LogLine, RunRecord, TaskRecord
from ckpt_ledger.sql import statements
from ckpt_ledger.sql.database import Database
from ckpt_ledger.sql.queries import LAST
from ckpt_ledger.sql.rows import TASKS, Row, TaskRows, arguments_row, clean, log_row, run_row
from ckpt_ledger.sql.run_rows import GOING
from ckpt_ledger.sql.schema import runs, stays

__all__ = ["Writing"]

_AT_ONCE = 128

Columns = Sequence[Sequence[Any]]
Statement = Callable[[str, int], str]
"""The text for a kind of database and a number of rows."""


class Writing:
    """Writes to one ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run: RunRecord) -> None:
        """A run starts; said twice, it starts once."""
        row = run_row(run)

        def work(connection: Connection) -> None:
            now = self._database.now(connection)
            connection.exec_driver_sql(statements.keep_runs(self._database.kind), (*row, now))
            # Looked at after the insert: from here on `ckpt gc` sees that somebody goes on from it.
            if run.resumed is not None and not self._is_there(connection, run.resumed, run.ledger):
                raise NotFound(f"run {run.resumed} has been deleted by `ckpt gc` in the meantime: go on from another")

        self._database.write(work)

    def record(self, tasks: Sequence[TaskRecord], arguments: Sequence[CallArguments]) -> None:
        """Keep records with what they refer to."""
        self._database.write(self._keeping(tasks, arguments))

    def _keeping(self, tasks: Sequence[TaskRecord], arguments: Sequence[CallArguments]) -> Callable[[Connection], None]:
        by_run: dict[str, dict[CallPath, TaskRecord]] = {}
        for task in tasks:
            by_run.setdefault(task.run, {})[task.call] = task
        # Arguments, and facts below, in one order in all processes, so that two of them never wait for each other.
        given = _columns(sorted(arguments_row(each) for each in arguments))

        def work(connection: Connection) -> None:
            maker = TaskRows()
            self._keep(connection, statements.keep_arguments, given)
            for run, latest in by_run.items():
                number = self._heard_of(connection, run)
                for some in _parts(list(latest.values())):
                    names, columns = statements.filled(TASKS, _columns(map(maker.row, some)))
                    keep = partial(statements.keep_tasks, names=names)
                    self._keep(connection, keep, [(number,) * len(some), *columns])
            self._keep(connection, statements.keep_facts, _columns(sorted(maker.facts.items())))

        return work

    def log(self, lines: Sequence[LogLine]) -> None:
        """Keep messages."""
        by_run: dict[str, list[Row]] = {}
        for line in lines:
            by_run.setdefault(line.run, []).append(log_row(line))

        def work(connection: Connection) -> None:
            for run, rows in by_run.items():
                number = self._heard_of(connection, run)
                self._keep(connection, statements.keep_logs, [(number,) * len(rows), *_columns(rows)])

        self._database.write(work)

    def heartbeat(self, run: str) -> None:
        """The run is alive."""
        self._database.write(lambda connection: self._hear_of(connection, run))

    def end(
        self,
        run: str,
        state: str,
        message: str,
        tasks: Sequence[TaskRecord],
        arguments: Sequence[CallArguments],
    ) -> None:
        """The run is over; its task runs are counted now, so that nobody has to count them later."""
        keep = self._keeping(tasks, arguments)

        def work(connection: Connection) -> None:
            keep(connection)
            now = self._database.now(connection)
            self._say(connection, statements.end_run, now, now, state, clean(message), run)

        self._database.write(work)

    def rename(self, run: str, name: str | None) -> None:
        """Name a run."""
        if name is not None and (not name.strip() or name == LAST or clean(name) != name):
            raise ConfigError(f"a run cannot be named {name!r}: choose another name")
        self._database.write(lambda connection: self._change(connection, run, name=name))

    def delete(self, ids: Sequence[str]) -> None:
        """Forget runs, and what no other run refers to."""
        kind = self._database.kind
        wanted = statements.listed(kind, list(dict.fromkeys(ids)))

        def work(connection: Connection) -> None:
            if self._database.is_server:
                # A run that names arguments which are there has not told anybody yet: wait for it, and let no other in.
                connection.execute(text("SET LOCAL statement_timeout = '600s'"))
                connection.execute(text("LOCK TABLE ckpt_arguments IN SHARE ROW EXCLUSIVE MODE"))
            for statement in statements.forget(kind):
                connection.exec_driver_sql(statement, (wanted,))
            connection.execute(statements.forget_arguments())

        self._database.write(work)

    def _heard_of(self, connection: Connection, run: str) -> int:
        """The number of a run that something is kept of, which is a sign of its life as well."""
        number = self._number(connection, run)
        self._hear_of(connection, run)
        return number

    def _keep(self, connection: Connection, statement: Statement, columns: Columns) -> None:
        for size, values in statements.portions(columns):
            connection.exec_driver_sql(statement(self._database.kind, size), values)

    def _hear_of(self, connection: Connection, run: str) -> None:
        self._say(connection, statements.hear_of, self._database.now(connection), run)

    def _say(self, connection: Connection, statement: Callable[[str], str], *values: object) -> None:
        """Change what is known of a run, whose id is the last of the values."""
        if connection.exec_driver_sql(statement(self._database.kind), values).rowcount != 1:
            raise self._unknown(str(values[-1]))

    def _number(self, connection: Connection, run: str) -> int:
        number = connection.exec_driver_sql(statements.number_of(self._database.kind), (run,)).scalar()
        if number is None:
            raise self._unknown(run)
        return int(number)

    def _is_there(self, connection: Connection, run: str, ledger: str | None) -> bool:
        """May a run go on from that one? Of a run that another ledger has recorded nothing is known here."""
        row = connection.execute(select(runs.c.state).where(runs.c.id == run)).one_or_none()
        return row.state != GOING if row is not None else ledger != self._database.ledger

    def _change(self, connection: Connection, run: str, **values: object) -> None:
        if connection.execute(update(runs).where(runs.c.id == run, stays()).values(**values)).rowcount != 1:
            raise self._unknown(run)

    def _unknown(self, run: str) -> NotFound:
        return NotFound(f"run {run!r} is not in the ledger {self._database.shown}: `ckpt runs` lists those that are")


def _parts(tasks: Sequence[TaskRecord]) -> Iterator[Sequence[TaskRecord]]:
    """So few that what is made of them is still in the caches of the processor when it is bound."""
    return (tasks[start : start + _AT_ONCE] for start in range(0, len(tasks), _AT_ONCE))


def _columns(rows: Iterable[Row]) -> Columns:
    return list(zip(*rows, strict=True))
