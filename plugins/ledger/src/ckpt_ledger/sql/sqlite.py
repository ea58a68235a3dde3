"""A ledger in a file: private to its owner, and durable when a transaction has ended."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from ckpt.errors import AccessDenied, ConfigError, NotFound, StoreUnavailable

__all__ = ["BEGIN", "engine", "prepare"]

BEGIN: Final = "ckpt_begin"
"""The execution option that holds the statement which begins a transaction."""

_WAIT_SECONDS = 30.0
"""How long one process waits for another's transaction."""

_PRAGMAS = (
    "trusted_schema = OFF",  # functions and tables with side effects are not for what stands in the file
    "cell_size_check = ON",
    "mmap_size = 0",  # a damaged disk is an error then, and not a signal
    "synchronous = FULL",
    "temp_store = MEMORY",
)


def prepare(file: Path, *, create: bool) -> None:
    """Make the file where it is missing, for its owner alone from the first moment on.

    Raises: `NotFound` where it is missing and is not to be made; `ConfigError`; `AccessDenied`; `StoreUnavailable`.
    """
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if not create:
            raise NotFound(
                f"no run has been recorded yet: there is no ledger {file}; run a flow where ckpt-ledger is installed"
            ) from None
        _make(file)
    except OSError as error:
        raise _refused(file, error) from None
    else:
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise ConfigError(f"the ledger {file} is {what}: name a file in ledger.url")


def engine(file: Path) -> Engine:
    """An engine whose connections neither make the file nor run what stands in it."""

    def connect() -> sqlite3.Connection:
        return _connect(file)

    made = create_engine(
        "sqlite+pysqlite://", creator=connect, poolclass=QueuePool, pool_size=2, max_overflow=-1, hide_parameters=True
    )

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))

    return made


def _make(file: Path) -> None:
    try:
        for folder in reversed(file.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder_fd = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)
    except OSError as error:
        raise _refused(file, error) from None


def _refused(file: Path, error: OSError) -> Exception:
    if isinstance(error, PermissionError):
        return AccessDenied(f"the ledger {file} cannot be used ({error.strerror}): correct the rights of its folder")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return ConfigError(f"the ledger {file} cannot be made ({error.strerror}): correct ledger.url")
    return StoreUnavailable(f"the ledger {file} cannot be made ({error.strerror}): is the disk full, or read-only?")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(file))}?mode=rw",
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # the pool gives a connection to one thread at a time
    )
    try:
        _harden(connection)
        _write_ahead(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _harden(connection: Any) -> None:
    if hasattr(connection, "setconfig"):  # Python 3.12
        connection.setconfig(vars(sqlite3)["SQLITE_DBCONFIG_DEFENSIVE"], True)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers and a writer do not wait for each other; the file stays in this mode."""
    end = time.monotonic() + _WAIT_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname in ("SQLITE_READONLY", "SQLITE_CANTOPEN"):
                return  # it can still be looked at
            # Several processes that change a fresh file at once are told so without a wait.
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return  # what cannot have a log beside it (a file in memory) stays as it is
