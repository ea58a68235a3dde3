"""What the rows of a ledger refer to, and so what keeps an object from being deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    exists,
    func,
    literal,
    or_,
    select,
)

from ckpt.results import SafeResult
from ckpt.task_records import CallArguments
from ckpt_ledger.sql.database import Database
from ckpt_ledger.sql.records import call_arguments
from ckpt_ledger.sql.rows import ARGUMENTS
from ckpt_ledger.sql.schema import arguments, is_offered, tasks
from ckpt_ledger.sql.statements import columns

__all__ = ["Leaving", "References", "among"]


@dataclass(frozen=True, slots=True)
class Leaving:
    """The runs whose rows count no more, except for those that other runs may still reuse."""

    numbers: frozenset[int] = frozenset()
    """Numbers of their rows."""
    horizon: int = 0
    """What may be reused after this moment (microseconds since 1970) still counts."""
    reusable: ColumnElement[bool] = field(init=False, compare=False)
    """Is a row of `tasks` one that the reuse index may answer with?"""

    def __post_init__(self) -> None:
        newer = tasks.alias("newer")
        # A row is never found again once a newer one lasts as long, and every run that goes on has begun after that.
        superseded = exists().where(
            newer.c.identity == tasks.c.identity,
            newer.c.number > tasks.c.number,
            newer.c.reusable_until >= tasks.c.reusable_until,
            newer.c.ended < self.horizon,
            is_offered(newer),
        )
        alive = and_(
            is_offered(tasks),  # its time is not null then, so that the whole never is
            tasks.c.reusable_until > self.horizon,
            tasks.c.identity.is_not(None),
            ~superseded,
        )
        object.__setattr__(self, "reusable", alive)

    def stays(self, kind: str) -> ColumnElement[bool]:
        """Does a row of `tasks` keep the object that it refers to?"""
        return or_(~among(kind, tasks.c.run, sorted(self.numbers)), self.reusable) if self.numbers else literal(True)


class References:
    """Asks one ledger; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded(self, number: int) -> set[str]:
        """The locations that the rows of one run refer to, as far as they are keys."""
        wanted = select(tasks.c.location).where(tasks.c.run == number, tasks.c.location.is_not(None))
        with self._database.reading() as connection:
            texts = [json.loads(text) for text in connection.execute(wanted).scalars()]
            found = {text for text in texts if isinstance(text, str)}
            return found | {str(safe.value) for _, safe in _objects(connection.execute(_constants(number)))}

    def constants(self, number: int) -> list[SafeResult]:
        """Constants that the rows of one run name, and that are kept as objects."""
        with self._database.reading() as connection:
            return [safe for _, safe in _objects(connection.execute(_constants(number)))]

    def held(self, locations: Sequence[str], leaving: Leaving) -> set[str]:
        """Which of these locations a row that stays refers to, whichever handler keeps what is there."""
        kind = self._database.kind
        texts = [json.dumps(each) for each in locations]
        stays = leaving.stays(kind)
        with self._database.reading() as connection:
            rows = connection.execute(select(tasks.c.location).where(among(kind, tasks.c.location, texts), stays))
            found = {str(json.loads(text)) for text in rows.scalars()}
            wanted = set(locations)
            objects = select(*columns(arguments, ARGUMENTS)).where(arguments.c.safe.is_not(None))
            given = {
                each.digest: str(safe.value)
                for each, safe in _objects(connection.execute(objects))
                if safe.value in wanted
            }
            if given:
                named = select(tasks.c.arguments).distinct().where(among(kind, tasks.c.arguments, list(given)), stays)
                found |= {given[digest] for digest in connection.execute(named).scalars()}
        return found


def _constants(number: int) -> Select[Any]:
    named = select(tasks.c.arguments).where(tasks.c.run == number)
    return select(*columns(arguments, ARGUMENTS)).where(arguments.c.safe.is_not(None), arguments.c.digest.in_(named))


def _objects(rows: Any) -> Iterator[tuple[CallArguments, SafeResult]]:
    for given in map(call_arguments, rows):
        if given.safe is not None:
            yield given, given.safe


def among(kind: str, column: ColumnElement[Any], values: Sequence[int] | Sequence[str]) -> ColumnElement[bool]:
    """Is the column one of these values? As one bound value, so that there may be any number of them."""
    of = BigInteger() if isinstance(column.type, BigInteger) else Text()
    if kind == "sqlite":
        each = func.json_each(literal(json.dumps(list(values)), Text)).table_valued(Column("value", of))
        return column.in_(select(each.c.value))
    return column == any_(literal(list(values), ARRAY(of)))
