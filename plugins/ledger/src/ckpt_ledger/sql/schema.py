"""The tables of a ledger, for statements; `migrations` makes them.

Moments are microseconds since 1970 in UTC. JSON is text. What all task runs of one task share (handler, code
version, …) stands once in `facts`, under a number that is a digest of it, so that nobody has to ask for the number.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
    or_,
)

from ckpt_ledger.sql.run_rows import GOING

__all__ = ["arguments", "facts", "has_failed", "is_offered", "logs", "meta", "metadata", "runs", "stays", "tasks"]

metadata = MetaData()

meta = Table(
    "ckpt_meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "ckpt_runs",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("name", Text),
    Column("target", Text),
    Column("parameters", Text, nullable=False),
    Column("code", Text),
    Column("environment", Text, nullable=False),
    Column("executor", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("places", Text, nullable=False),
    Column("resumed", Text),
    Column("ledger", Text),
    Column("heartbeat", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("state", Text),
    Column("message", Text),
    Column("tasks", BigInteger),  # these two are counted when the run ends
    Column("failed", BigInteger),
)

facts = Table(
    "ckpt_facts",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("data", Text, nullable=False),
)

tasks = Table(
    "ckpt_tasks",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("run", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("map_index", BigInteger, nullable=False),  # -1 for a task run that is no child
    Column("position", BigInteger, nullable=False),
    Column("facts", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("location", Text),  # JSON; null where no value is kept
    Column("digest", Text),
    Column("size", BigInteger),
    Column("outcome", Text, nullable=False),
    Column("identity", Text),
    Column("arguments", Text),
    Column("children", BigInteger),
    Column("origin", Text),
    Column("reusable_until", BigInteger),
    Column("inputs", Text),
    Column("summary", Text),
    Column("error", Text),
)

arguments = Table(
    "ckpt_arguments",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("data", LargeBinary),
    Column("safe", Text),
)

logs = Table(
    "ckpt_logs",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("run", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("map_index", BigInteger, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
)


def is_offered(table: FromClause) -> ColumnElement[bool]:
    """Is a row of `tasks`, or of an alias of it, one that other runs may take, until its time is over?

    Here and below word for word as the index has it: else it is not used.
    """
    name = table.name  # type: ignore[attr-defined]  # a table or an alias of one
    terms = ("reusable_until IS NOT NULL", "digest IS NOT NULL", "state = 'Success'")
    return and_(*(literal_column(f"{name}.{term}") for term in terms))


def has_failed(table: FromClause) -> ColumnElement[bool]:
    """Did this task run fail, in whatever way?"""
    name = table.name  # type: ignore[attr-defined]  # as above
    states = ("Failed", "TimedOut", "TriggerFailed", "Cancelled")
    return or_(*(literal_column(f"{name}.state = '{state}'") for state in states))


def stays() -> ColumnElement[bool]:
    """Has `ckpt gc` not given this run up? What the writers of others still have to say is not kept."""
    return or_(runs.c.state.is_(None), runs.c.state != literal_column(f"'{GOING}'"))
