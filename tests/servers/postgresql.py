"""PostgreSQL as Debian packages it, with a data folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.running import HOST, free_ports, running

__all__ = ["PASSWORD", "USER", "PostgreSQL", "postgresql_server"]

USER = "ckpt_tests"
PASSWORD = "ckpt-tests:p@ss/word"
_OTHER = "postgres"
"""The server refuses to run as root; this user comes with the package."""


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A running server."""

    port: int
    pid_file: Path

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:ckpt-tests%3Ap%40ss%2Fword@{HOST}:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement through the driver alone."""
        import psycopg

        with psycopg.connect(
            host=HOST, port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True, connect_timeout=5
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server on a free port, with a folder of its own: pytest's are closed to the user that the server runs as.

    Raises: `RuntimeError` with the line that installs it.
    """
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="ckpt-postgresql-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, _OTHER)
        with _server(programs, folder) as server:
            yield server


@contextmanager
def _server(programs: Path, folder: Path) -> Iterator[PostgreSQL]:
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    if os.geteuid() == 0:
        shutil.chown(secret, _OTHER)
    initdb = [
        programs / "initdb", "--pgdata", data, "--username", USER, "--pwfile", secret, "--auth", "scram-sha-256",
        "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
    ]  # fmt: skip
    made = subprocess.run(_as_other(initdb), check=False, capture_output=True, text=True, cwd=folder)
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr}")
    [port] = free_ports(1)
    options = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 60,
        "shared_buffers": "32MB",
        "logging_collector": "off",
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    server = PostgreSQL(port, data / "postmaster.pid")
    command = _as_other([programs / "postgres", "-D", data, *settings])
    with running(command, lambda: server.run("SELECT 1"), folder / "postgresql.log"):
        yield server


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed, and these tests need it: make services")
    return found[-1].parent


def _as_other(command: Sequence[object]) -> list[str]:
    """The command as a user that the server accepts; one process in the place of the other, so that it can be ended."""
    text = [str(part) for part in command]
    if os.geteuid() != 0:
        return text
    return ["setpriv", f"--reuid={_OTHER}", f"--regid={_OTHER}", "--init-groups", "--", *text]
