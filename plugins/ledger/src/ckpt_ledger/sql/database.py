"""One ledger's database: transactions, from any thread and after a fork, with errors as ckpt's."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ckpt_ledger.sql import migrations, sqlite
from ckpt_ledger.sql.sqlerrors import is_passing, mapped
from ckpt_ledger.sql.urls import Address

__all__ = ["Database"]

T = TypeVar("T")

_ATTEMPTS = 8
_PAUSE = 0.02
"""Seconds before the second attempt; doubles each time."""

_inherited: Final[list[Engine]] = []
"""Engines whose connections are the parent's: closing one here would say goodbye in the parent's name."""


class Database:
    """A place for transactions; connections are made when they are needed."""

    def __init__(self, address: Address, *, create: bool) -> None:
        self.shown = address.shown
        self.is_server = address.file is None
        self.kind = "postgresql" if self.is_server else "sqlite"
        self._address = address
        if address.file is not None:
            sqlite.prepare(address.file, create=create)
        self._engine = self._made()
        self._pid = os.getpid()
        try:
            self.ledger = migrations.bring_up(self, create=create)
            """The ledger's id."""
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.is_server else {}
        with mapped(self.shown, self._address.redaction), self._ready().connect() as opened:
            connection = opened.execution_options(**options)
            with connection.begin():
                yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction, which is durable when this returns; again where another was in its way."""
        with mapped(self.shown, self._address.redaction):
            for attempt in range(_ATTEMPTS):
                try:
                    with self._ready().connect() as opened:
                        connection = opened.execution_options(**{sqlite.BEGIN: "BEGIN IMMEDIATE"})
                        with connection.begin():
                            return work(connection)
                except DBAPIError as error:
                    if attempt == _ATTEMPTS - 1 or not is_passing(error):
                        raise
                    time.sleep(_PAUSE * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  no secret
        raise AssertionError("not reached")

    def now(self, connection: Connection) -> int:
        """Microseconds since 1970 by the clock that all who share the ledger see."""
        if self.is_server:
            clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
            return int(connection.exec_driver_sql(clock).scalar_one())
        return time.time_ns() // 1000

    def close(self) -> None:
        """Let connections go; the next transaction makes new ones."""
        self._ready().dispose()

    def _made(self) -> Engine:
        if self._address.file is not None:
            made = sqlite.engine(self._address.file)
        else:
            from ckpt_ledger.sql import postgresql

            made = postgresql.engine(self._address)
        weakref.finalize(self, _let_go, made, os.getpid())
        return made

    def _ready(self) -> Engine:
        if self._pid != os.getpid():
            _inherited.append(self._engine)
            self._engine = self._made()
            self._pid = os.getpid()
        return self._engine

    def __repr__(self) -> str:
        return f"Database({self.shown!r})"


def _let_go(engine: Engine, pid: int) -> None:
    """Close the connections of this process; those of a parent are its own business."""
    if os.getpid() == pid:
        engine.dispose()
