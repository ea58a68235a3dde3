"""Where a ledger is: the URL of the settings, read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from ckpt.credentials import is_reference, looks_secret, without_credentials
from ckpt.errors import ConfigError
from ckpt.redaction import Redaction

if TYPE_CHECKING:
    pass

__all__ = ["Address", "address"]

_FORMS = "write sqlite:///folder/file.db (four slashes before an absolute path) or postgresql://user@host/database"
_DRIVERS = {"sqlite", "sqlite+pysqlite", "postgresql", "postgres", "postgresql+psycopg"}


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a ledger is: a file, or a server."""

    shown: str
    """For messages: without credentials."""
    redaction: Redaction
    file: Path | None = None
    url: str | None = None
    """With credentials; None for a file."""

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def address(url: str | None) -> Address:
    """Read a URL, a reference to one, or the default.

    Raises: `ConfigError`, which never has the credentials of the URL.
    """
    if url is None:
        return _file(Path.home() / ".ckpt" / "ledger.db")
    if is_reference(url):
        url = _referred(url)
    try:
        parts = urlsplit(url)
        password, port = parts.password, parts.port
    except ValueError as error:
        # What is wrong may be a part of the password, so the text of the error is not told.
        raise ConfigError(f"ledger.url is no URL ({type(error).__name__}): {_FORMS}") from None
    if parts.scheme not in _DRIVERS:
        raise ConfigError(f"ledger.url {_hidden(url)!r} names no database that ckpt-ledger knows: {_FORMS}")
    if parts.scheme.startswith("sqlite"):
        return _sqlite(url)
    options = dict(parse_qsl(parts.query))
    secrets = [value for name, value in options.items() if looks_secret(name)]
    if password:
        secrets += [password, unquote(password)]
    name = parts.path.lstrip("/")
    host = parts.hostname or options.get("host", "")
    shown = f"postgresql://{host}{f':{port}' if port else ''}/{name}"
    rest = url.split("://", 1)[1]
    return Address(shown, Redaction(secrets), url=f"postgresql+psycopg://{rest}")


def _sqlite(url: str) -> Address:
    rest = url.split("://", 1)[1]
    path, question, _ = rest.partition("?")
    if question:
        raise ConfigError(
            f"ledger.url {_hidden(url)!r} has options, and a file takes none: leave out what follows the ?"
        )
    if not path.startswith("/"):
        raise ConfigError(f"ledger.url {_hidden(url)!r} names no file: {_FORMS}")
    name = unquote(path[1:])
    if name in ("", ":memory:") or "\0" in name:
        raise ConfigError(f"ledger.url {_hidden(url)!r} names no file, and runs must outlive the process: {_FORMS}")
    return _file(Path(name).expanduser())


def _file(path: Path) -> Address:
    path = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links, and say another name than was given
    return Address(str(path), Redaction(), file=path)


def _hidden(url: str) -> str:
    return without_credentials(url)


def _referred(reference: str) -> str:
    kind, _, name = reference.partition(":")
    if kind == "env":
        found = os.environ.get(name)
        if found is None:
            raise ConfigError(f"ledger.url is {reference}, and there is no environment variable {name}: set it")
        return found.strip()
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"ledger.url is {reference}, which cannot be read: {said}") from None
