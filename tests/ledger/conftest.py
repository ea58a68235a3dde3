"""A ledger in a file and one on a real PostgreSQL: whatever takes `url` or `ledger` is asked of both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_ledger import SQLLedger
from tests.servers.postgresql import PostgreSQL, postgresql_server

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    with postgresql_server() as server:
        yield server


@pytest.fixture
def server_url(server: PostgreSQL) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"ledger_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue({"sqlite": "file_url", "postgresql": "server_url"}[request.param])
    return found


@pytest.fixture
def ledger(url: str) -> Iterator[SQLLedger]:
    ledger = SQLLedger(url)
    yield ledger
    ledger.close()
