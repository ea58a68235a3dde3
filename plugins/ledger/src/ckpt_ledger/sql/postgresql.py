"""A ledger on a PostgreSQL server, through psycopg; a server that is gone is an error soon, never a flow that hangs."""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from ckpt.errors import ConfigError, PluginNotFound
from ckpt_ledger.sql.urls import Address

__all__ = ["engine"]

_CONNECT_SECONDS: Final = 5
_STATEMENT_SECONDS: Final = 15
_ANSWER_SECONDS: Final = 20.0
"""A server that is stopped, or cut off, does not keep its own limits; this one is kept here."""

_LIMITS: Final = {
    "statement_timeout": f"{_STATEMENT_SECONDS}s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "synchronous_commit": "on",
}
_SOCKET: Final = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "ckpt",
}


def engine(address: Address) -> Engine:
    """An engine for that server; connects when it is first used.

    Raises: `PluginNotFound` where psycopg is missing; `ConfigError` for a URL that cannot be right.
    """
    try:
        import psycopg
    except ImportError as error:
        raise PluginNotFound(
            f"the ledger {address.shown} needs psycopg ({error}): pip install 'ckpt-ledger[postgresql]'"
        ) from None

    class Connection(psycopg.Connection[Any]):
        """Waits for an answer only so long."""

        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            return super().wait(_limited(gen, self), *args, **kwargs)

    def _limited(gen: Generator[Any, Any, Any], connection: psycopg.Connection[Any]) -> Generator[Any, Any, Any]:
        end = monotonic() + _ANSWER_SECONDS
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > end:
                    connection.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {_ANSWER_SECONDS:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    assert address.url is not None
    try:
        url = make_url(address.url)
        made = create_engine(
            url, paramstyle="format", pool_pre_ping=True, pool_size=2, max_overflow=-1, hide_parameters=True
        )
    except (ArgumentError, ValueError, TypeError):
        # The text of the error may have the password.
        raise ConfigError(
            f"ledger.url {address.shown} cannot be read: write postgresql://user@host:port/database, "
            "with special characters of the password as %XX"
        ) from None

    @event.listens_for(made, "do_connect")
    def _connect(dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        given = str(options.get("options", ""))
        limits = " ".join(f"-c {name}={value}" for name, value in _LIMITS.items())
        return Connection.connect(*args, **{**_SOCKET, **options, "options": f"{limits} {given}".strip()})

    return made
