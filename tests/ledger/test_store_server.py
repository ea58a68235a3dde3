"""A ledger on a server: one that is gone, stopped or refuses is an error soon, and the password is nowhere."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
import time
import traceback

import psycopg
import pytest
from sqlalchemy import Connection

from ckpt.errors import AccessDenied, CkptError, ConfigError, CorruptRecord, PluginNotFound, StoreUnavailable
from ckpt_ledger import SQLLedger
from ckpt_ledger.sql import postgresql
from tests.ledger.ledger_records import a_run, a_task
from tests.servers.postgresql import HOST, PASSWORD, PostgreSQL
from tests.servers.running import free_ports

_FORMS = (PASSWORD, "ckpt-tests%3Ap%40ss%2Fword", "p@ss", "p%40ss")


def assert_hidden(*texts: object) -> None:
    for text in texts:
        for form in _FORMS:
            assert form not in str(text)


def refused(url: str, error: type[CkptError], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        SQLLedger(url)
    assert_hidden(*traceback.format_exception(caught.value), repr(caught.value), caught.value.__dict__)
    assert caught.value.__cause__ is None
    pickle.loads(pickle.dumps(caught.value))


def test_a_server_that_is_not_there_is_said_to_be_unreachable(server: PostgreSQL) -> None:
    [port] = free_ports(1)
    refused(server.url().replace(str(server.port), str(port)), StoreUnavailable, "cannot be reached")
    refused(server.url().replace(HOST, "nowhere.invalid"), StoreUnavailable, "cannot be reached")


def test_a_wrong_password_user_or_database_is_named_without_the_password(server: PostgreSQL) -> None:
    url = server.url()
    refused(url.replace("ckpt_tests:", "nobody:"), AccessDenied, "refused")
    refused(url.replace("word@", "word%40ss@"), AccessDenied, "refused")
    refused(server.url("nothing"), ConfigError, "does not exist")
    refused(f"{url}?no_such_option=1", ConfigError, "option that PostgreSQL does not know")
    refused(url.replace("postgresql:", "mysql:"), ConfigError, "names no database that ckpt-ledger knows")
    refused(url.replace(f":{server.port}", ":port"), ConfigError, "is no URL")
    refused(url.replace("word@", "word/@["), CkptError, "ledger")


def test_the_password_is_in_no_repr_log_and_error(
    server_url: str, server: PostgreSQL, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)
    ledger = SQLLedger(server_url)
    try:
        ledger.begin(a_run(parameters={"a parameter": "of the user"}))
        ledger.record([a_task()])
        assert_hidden(repr(ledger), ledger.shown, repr(ledger._database), repr(ledger._database._address))
        name = server_url.rpartition("/")[2]
        server.run(f"DROP TABLE {'ckpt_tasks'}", name)
        with pytest.raises(CorruptRecord) as caught:
            ledger.record([a_task(message="of the user too")])
        assert_hidden(*traceback.format_exception(caught.value))
        assert "of the user" not in str(caught.value)
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
        ledger.close()
    assert_hidden(caplog.text, *capfd.readouterr())
    assert "of the user" not in caplog.text


def test_a_user_without_rights_is_refused(server: PostgreSQL, server_url: str) -> None:
    name = server_url.rpartition("/")[2]
    server.run("DROP ROLE IF EXISTS weak")
    server.run("CREATE ROLE weak LOGIN PASSWORD 'weak-password'")
    url = f"postgresql://weak:weak-password@{HOST}:{server.port}/{name}"
    refused(url, AccessDenied, "permission denied")
    ledger = SQLLedger(server_url)
    ledger.begin(a_run())
    server.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak", name)
    reader = SQLLedger(url, create=False)
    assert len(reader.runs()) == 1
    with pytest.raises(AccessDenied, match="permission denied"):
        reader.heartbeat(a_run().id)
    reader.close()
    ledger.close()


def test_a_server_that_restarts_is_used_again(server: PostgreSQL, server_url: str) -> None:
    ledger = SQLLedger(server_url)
    ledger.begin(a_run())
    name = server_url.rpartition("/")[2]
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    ledger.record([a_task()])
    assert len(ledger.tasks(a_run().id)) == 1
    ledger.close()


def test_a_server_that_stops_in_the_middle_is_given_up(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 0.5)
    ledger = SQLLedger(server_url)
    ledger.begin(a_run())

    def stopped(connection: Connection) -> None:
        backend = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        # Its connection stays open and its kernel goes on to answer: no limit of TCP or of the server ends this.
        os.kill(backend, signal.SIGSTOP)
        try:
            connection.exec_driver_sql("SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)

    with pytest.raises(StoreUnavailable, match="no answer within 0.5 seconds"):
        ledger._database.write(stopped)
    ledger.heartbeat(a_run().id)
    ledger.close()


def test_a_server_that_is_stopped_is_given_up(
    server: PostgreSQL, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setitem(postgresql._SOCKET, "connect_timeout", 2)  # libpq waits so long at least
    ledger = SQLLedger(server_url)
    ledger.begin(a_run())
    with ledger._database.reading() as connection:
        backend = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    stopped = (server.pid, backend)
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            ledger.heartbeat(a_run().id)
    finally:
        for each in stopped:
            os.kill(each, signal.SIGCONT)
    ledger.heartbeat(a_run().id)
    ledger.close()


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # libpq waits two seconds at least.
    monkeypatch.setitem(
        vars(__import__("ckpt_ledger.sql.postgresql", fromlist=["_SOCKET"]))["_SOCKET"], "connect_timeout", 2
    )
    with socket.create_server((HOST, 0)) as silent:
        before = time.monotonic()
        refused(
            f"postgresql://u:{PASSWORD[:4]}x@{HOST}:{silent.getsockname()[1]}/db", StoreUnavailable, "cannot be reached"
        )
        assert time.monotonic() - before < 30


def test_a_row_that_somebody_holds_is_not_waited_for_without_end(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql._LIMITS, "lock_timeout", "200ms")
    ledger = SQLLedger(server_url)
    ledger.begin(a_run())
    with psycopg.connect(server_url) as other:
        other.execute("SELECT * FROM ckpt_runs FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            ledger.heartbeat(a_run().id)
    ledger.heartbeat(a_run().id)
    ledger.close()


def test_what_is_acknowledged_is_durable_even_where_the_database_says_otherwise(
    server: PostgreSQL, server_url: str
) -> None:
    name = server_url.rpartition("/")[2]
    server.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    ledger = SQLLedger(server_url)
    with ledger._database.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    ledger.close()


def test_without_the_driver_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(PluginNotFound, match=r"pip install 'ckpt-ledger\[postgresql\]'"):
        SQLLedger(f"postgresql://{HOST}/ledger")
