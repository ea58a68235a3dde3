"""The statements that run once for every task run, as text of one kind of database, made once.

The values are bound by the driver, with nothing of SQLAlchemy in between. A statement writes many rows at once: a
driver that is given them one by one lets go of the interpreter after each, and while the flow computes has to wait for
it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain, compress
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Delete,
    Insert,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement, ColumnElement
from sqlalchemy.types import TypeEngine

from ckpt_ledger.sql import schema
from ckpt_ledger.sql.rows import ARGUMENTS, LOGS, PRIOR, RUNS, TASKS, Row

__all__ = [
    "columns",
    "end_run",
    "facts_of",
    "filled",
    "forget",
    "forget_arguments",
    "hear_of",
    "insert",
    "keep_arguments",
    "keep_facts",
    "keep_logs",
    "keep_runs",
    "keep_tasks",
    "listed",
    "number_of",
    "portions",
    "reusable",
]

_SIZES: Final = (32, 8, 2, 1)
"""Of the portions: 23 values a row stay far below what SQLite (32,766) and PostgreSQL (65,535) take in a statement."""


def columns(table: Table, names: Sequence[str]) -> list[ColumnElement[Any]]:
    """The columns of these names, in that order."""
    return [table.c[name] for name in names]


def portions(columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Row]]:
    """Rows in pieces of few different sizes, so that there are few statements to prepare: size, and what is bound."""
    start, count = 0, len(columns[0]) if columns else 0
    for size in _SIZES:
        while count - start >= size:
            rows = zip(*[column[start : start + size] for column in columns], strict=True)
            yield size, tuple(chain.from_iterable(rows))
            start += size


def filled(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    """The columns that hold anything, and their names.

    Python's driver for SQLite takes fourteen times as long to bind None as to bind a number, since it looks for an
    adapter first.
    """
    nothing = (None,) * len(columns[0])
    held = [column != nothing for column in columns]
    return tuple(compress(names, held)), list(compress(columns, held))


@lru_cache(maxsize=256)
def keep_tasks(kind: str, count: int, names: tuple[str, ...]) -> str:
    """Write rows of `run` and of these columns of `TASKS`, the others being null.

    They take the place of earlier ones of the same task runs. No two are of one.
    """
    key = ("run", "slug", "map_index")
    return insert(
        kind, schema.tasks, ("run", *names), count, key=key, replace=[name for name in TASKS if name not in key]
    )


@cache
def number_of(kind: str) -> str:
    """The number of the run with this id, unless it goes; while it is used nobody may delete the run."""
    runs = schema.runs
    wanted = select(runs.c.number).where(runs.c.id == bindparam("id", type_=Text), schema.stays())
    return _text(kind, wanted.with_for_update(read=True, key_share=True), ("id",))


@cache
def hear_of(kind: str) -> str:
    """Say when the run with an id was heard of, unless it goes."""
    runs = schema.runs
    heard = update(runs).where(runs.c.id == bindparam("which", type_=Text), schema.stays())
    return _text(kind, heard.values({runs.c.heartbeat: bindparam("heard", type_=BigInteger)}), ("heard", "which"))


@cache
def keep_runs(kind: str) -> str:
    """Write a row of `RUNS` and `heartbeat` where that run is not there yet."""
    return insert(kind, schema.runs, (*RUNS, "heartbeat"), key=("id",))


@cache
def end_run(kind: str) -> str:
    """Say when and how the run with an id ended, unless it goes: heartbeat, end, state, message; count its tasks."""
    runs, tasks = schema.runs, schema.tasks
    mine = select(func.count()).where(tasks.c.run == runs.c.number).correlate(runs)
    values = {
        runs.c.heartbeat: bindparam("heard", type_=BigInteger),
        runs.c.ended: bindparam("at", type_=BigInteger),
        runs.c.state: bindparam("how", type_=Text),
        runs.c.message: bindparam("why", type_=Text),
        runs.c.tasks: mine.scalar_subquery(),
        runs.c.failed: mine.where(schema.has_failed(tasks)).scalar_subquery(),
    }
    ending = update(runs).where(runs.c.id == bindparam("which", type_=Text), schema.stays()).values(values)
    return _text(kind, ending, ("heard", "at", "how", "why", "which"))


@cache
def keep_facts(kind: str, count: int) -> str:
    """Write facts where they are not there yet."""
    return insert(kind, schema.facts, ("number", "data"), count, key=("number",))


@cache
def keep_arguments(kind: str, count: int) -> str:
    """Write arguments where they are not there yet."""
    return insert(kind, schema.arguments, ARGUMENTS, count, key=("digest",))


@cache
def keep_logs(kind: str, count: int) -> str:
    """Write rows of `run` and `LOGS`."""
    return insert(kind, schema.logs, ("run", *LOGS), count)


@cache
def facts_of(kind: str) -> str:
    """Number and data of facts, by a list of numbers as `listed` makes it."""
    facts = schema.facts
    return _text(
        kind, select(facts.c.number, facts.c.data).where(facts.c.number.in_(_each(kind, BigInteger()))), ("wanted",)
    )


@cache
def reusable(kind: str) -> str:
    """The newest rows that may be reused: run's id and `PRIOR`, bound to a moment and identities."""
    wanted = _each(kind, Text()).subquery("wanted")
    other = schema.tasks.alias("other")
    newest = (
        select(other.c.number)
        .where(
            other.c.identity == wanted.c.value,
            other.c.reusable_until > bindparam("now", type_=BigInteger),
            schema.is_offered(other),
        )
        .order_by(other.c.number.desc())
        .suffix_with("LIMIT 1")
        .scalar_subquery()
    )
    tasks, runs = schema.tasks, schema.runs
    rows = select(runs.c.id, *columns(tasks, PRIOR)).where(
        tasks.c.number.in_(select(newest).select_from(wanted)), runs.c.number == tasks.c.run
    )
    return _text(kind, rows, ("now", "wanted"))


def listed(kind: str, values: Sequence[int] | Sequence[str]) -> object:
    """Many values as one bound value: no limit on their count, and one text of the statement."""
    return json.dumps(list(values)) if kind == "sqlite" else list(values)


@cache
def forget(kind: str) -> Sequence[str]:
    """Delete the rows of a list of runs, the runs' own at last."""
    runs = schema.runs
    wanted = _each(kind, Text())
    numbers = select(runs.c.number).where(runs.c.id.in_(wanted))
    rows = [delete(table).where(table.c.run.in_(numbers)) for table in (schema.tasks, schema.logs)]
    return [_text(kind, each, ("wanted",)) for each in (*rows, delete(runs).where(runs.c.id.in_(wanted)))]


def forget_arguments() -> Delete:
    """Delete the arguments that no task run names."""
    named = select(schema.tasks.c.arguments).where(schema.tasks.c.arguments.is_not(None))
    return delete(schema.arguments).where(schema.arguments.c.digest.not_in(named))


def insert(
    kind: str,
    table: Table,
    names: Sequence[str],
    count: int = 1,
    *,
    key: Sequence[str] = (),
    replace: Sequence[str] = (),
) -> str:
    """Write `count` rows of these columns, bound by place; where the key is taken, replace these, or keep it all."""
    made: Any = _dialect(kind).insert(table)
    if replace:
        made = made.on_conflict_do_update(
            index_elements=list(key), set_={name: made.excluded[name] for name in replace}
        )
    elif key:
        made = made.on_conflict_do_nothing(index_elements=list(key))
    head, values, rest = re.split(r"(?<= VALUES )(\([^()]*\))", _text(kind, made, names), maxsplit=1)
    return f"{head}{', '.join([values] * count)}{rest}"


def _each(kind: str, of: TypeEngine[Any]) -> Select[Any]:
    """The values of a list that is bound as `wanted`."""
    if kind == "sqlite":
        values = func.json_each(bindparam("wanted", type_=Text)).table_valued(Column("value", of))
    else:
        bound = bindparam("wanted", type_=_dialect(kind).ARRAY(of))
        values = func.unnest(bound).table_valued(Column("value", of)).render_derived()
    return select(values.c.value)


def _text(kind: str, statement: ClauseElement, names: Sequence[str]) -> str:
    """The text of one dialect, with the values bound by place in the order of the names."""
    if kind == "sqlite":
        made = _dialect(kind).dialect(paramstyle="qmark")
    else:
        from sqlalchemy.dialects.postgresql import psycopg

        made = vars(psycopg)["dialect"](paramstyle="format")  # SQLAlchemy leaves it untyped
    options: dict[str, Any] = {"column_keys": list(names)} if isinstance(statement, Insert) else {}
    compiled: Any = statement.compile(dialect=made, **options)
    assert tuple(compiled.positiontup) == tuple(names), (str(compiled), compiled.positiontup)
    return str(compiled)


def _dialect(kind: str) -> Any:
    """What SQLAlchemy has for one kind of database; to import that for PostgreSQL takes its time."""
    if kind == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite
    from sqlalchemy.dialects import postgresql

    return postgresql
