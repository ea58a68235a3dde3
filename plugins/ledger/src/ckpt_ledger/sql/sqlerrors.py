"""What databases raise, as errors of ckpt, in this one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import exc

from ckpt.errors import AccessDenied, CkptError, ConfigError, CorruptRecord, StoreUnavailable
from ckpt.redaction import Redaction

__all__ = ["is_passing", "mapped"]

_REFUSED = {"SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CANTOPEN"}
_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH"}
_PASSING = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}

_PASSING_STATES = {"40001", "40P01"}
"""PostgreSQL: serialization failure, deadlock."""


@contextmanager
def mapped(where: str, redaction: Redaction) -> Iterator[None]:
    """Errors of SQLAlchemy and of the drivers as errors of ckpt that say `where`, without credentials."""
    try:
        yield
    except CkptError:
        raise
    except exc.SQLAlchemyError as error:
        cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
        raise _as_ours(where, cause, redaction) from None
    except sqlite3.Error as error:
        raise _as_ours(where, error, redaction) from None


def is_passing(error: BaseException) -> bool:
    """Would the same transaction go through at once, had nobody else been there?"""
    cause: Any = getattr(error, "orig", None) or error
    return _name(cause) in _PASSING or getattr(cause, "sqlstate", None) in _PASSING_STATES


def _name(error: BaseException) -> str:
    """`SQLITE_BUSY` of `SQLITE_BUSY_SNAPSHOT`; empty for what SQLite did not raise."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])


def _as_ours(where: str, error: BaseException, redaction: Redaction) -> CkptError:
    said = redaction(" ".join(str(error).split())) or type(error).__name__
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(where, error, said)
    return _of_postgresql(where, error, said)


def _of_sqlite(where: str, error: sqlite3.Error, said: str) -> CkptError:
    name = _name(error)
    if name in _DAMAGED:
        return CorruptRecord(f"the ledger {where} is damaged ({said}): restore it from a copy, or move it away")
    if name in _REFUSED:
        return AccessDenied(
            f"the ledger {where} cannot be used ({said}): correct the rights of the file and its folder"
        )
    if name in _PASSING:
        return StoreUnavailable(f"the ledger {where} is busy ({said}): another process holds it; try again")
    if name in {"SQLITE_FULL", "SQLITE_IOERR"}:
        return StoreUnavailable(f"the ledger {where} cannot be written or read ({said}): is the disk full?")
    if isinstance(error, sqlite3.OperationalError | sqlite3.InternalError) or not name:
        return StoreUnavailable(f"the ledger {where} did not answer ({said}): try again")
    return CorruptRecord(f"the ledger {where} is not as ckpt made it ({said}): restore it from a copy, or move it away")


def _of_postgresql(where: str, error: BaseException, said: str) -> CkptError:
    state = getattr(error, "sqlstate", None) or ""
    if state in {"28000", "28P01", "42501", "25006"}:
        return AccessDenied(f"the ledger {where} refused ({said}): correct the user, the password or the rights")
    if state == "3D000":
        return ConfigError(f"the ledger {where} does not exist ({said}): create the database, or correct ledger.url")
    if state[:2] in {"42", "22", "23"}:
        return CorruptRecord(f"the ledger {where} is not as ckpt made it ({said}): restore it from a copy")
    if "password authentication failed" in said or "no password supplied" in said or "no pg_hba.conf entry" in said:
        return AccessDenied(f"the ledger {where} refused ({said}): correct the user and the password")
    if 'database "' in said and "does not exist" in said:
        return ConfigError(f"the ledger {where} does not exist ({said}): create the database, or correct ledger.url")
    if "invalid connection option" in said or "invalid URI" in said or "invalid connection string" in said:
        return ConfigError(f"ledger.url has an option that PostgreSQL does not know ({said}): correct it")
    return StoreUnavailable(f"the ledger {where} cannot be reached ({said}): is the server there?")
