"""A ledger in a file: private, durable, and an error of ckpt's for every way in which a file can be bad."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ckpt.errors import CkptError, ConfigError, CorruptRecord, NotFound, StoreUnavailable
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import a_run, a_task

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "ledger.db"


def filled(file: Path, tasks: int = 1) -> None:
    ledger = SQLLedger(f"sqlite:///{file}")
    ledger.begin(a_run())
    ledger.record([a_task(f"t-{number}") for number in range(tasks)])
    ledger.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_file_and_those_beside_it_are_for_their_owner_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        ledger = SQLLedger(f"sqlite:///{file}")
        ledger.begin(a_run())
        beside = {path.name: mode(path) for path in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert beside == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert mode(file.parent) == 0o700
    ledger.close()


def test_the_file_is_never_there_with_other_rights(file: Path) -> None:
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: apt-get install strace"
    program = f"from ckpt_ledger import SQLLedger; SQLLedger('sqlite:///{file}')"
    calls = subprocess.run(
        [strace, "-f", "-e", "trace=open,openat,creat,chmod,fchmod,fchmodat", sys.executable, "-c", program],
        check=True, capture_output=True, text=True, cwd=_ROOT,
    ).stderr  # fmt: skip
    made = [line for line in calls.splitlines() if "ledger.db" in line and "O_CREAT" in line]
    assert made
    assert all("0600" in line for line in made), made
    assert [line for line in calls.splitlines() if "chmod" in line and "ledger.db" in line] == []


def test_what_was_recorded_is_synced_before_record_returns(file: Path) -> None:
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: apt-get install strace"
    program = f"""
import os
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import a_run, a_task
ledger = SQLLedger('sqlite:///{file}')
ledger.begin(a_run())
os.write(1, b'<<')
ledger.record([a_task()])
os.write(1, b'>>')
"""
    calls = subprocess.run(
        [strace, "-f", "-y", "-e", "trace=write,fsync,fdatasync", sys.executable, "-c", program],
        check=True, capture_output=True, text=True, cwd=_ROOT,
    ).stderr  # fmt: skip
    between = calls.split('"<<"')[1].split('">>"')[0]
    assert [line for line in between.splitlines() if "sync(" in line and "ledger.db-wal" in line]


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        SQLLedger(f"sqlite:///{tmp_path}")
    (tmp_path / "file").write_text("")
    with pytest.raises(CkptError, match="file/ledger.db cannot be"):
        SQLLedger(f"sqlite:///{tmp_path}/file/ledger.db")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        SQLLedger(f"sqlite:///{tmp_path}/pipe")


def test_an_empty_file_becomes_a_ledger(file: Path) -> None:
    file.parent.mkdir()
    file.touch(0o600)
    with pytest.raises(NotFound, match="no run has been recorded yet"):
        SQLLedger(f"sqlite:///{file}", create=False)
    filled(file)


def test_a_file_that_is_no_database_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(CorruptRecord, match="ledger.db is damaged"):
        SQLLedger(f"sqlite:///{file}")
    assert file.read_bytes() == b"Dear diary, " * 1000


def test_a_database_of_something_else_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE diary (text)")
    with pytest.raises(ConfigError, match="is a database of something else"):
        SQLLedger(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("diary",)]


def looked_at(file: Path) -> None:
    ledger = SQLLedger(f"sqlite:///{file}", create=False)
    try:
        ledger.runs()
        assert len(ledger.prior("last", flow="weather").tasks) <= 300
        ledger.tasks(a_run().id)
    finally:
        ledger.close()


def test_a_damaged_file_is_an_error_of_ours_or_gives_what_was_written(file: Path) -> None:
    filled(file, tasks=300)
    whole = file.read_bytes()
    pages = len(whole) // 4096
    found = {"damaged": 0, "whole": 0}
    for page in range(pages):
        data = bytearray(whole)
        data[page * 4096 : page * 4096 + 64] = os.urandom(64)
        file.write_bytes(data)
        try:
            looked_at(file)
        except CkptError:
            found["damaged"] += 1
        else:
            found["whole"] += 1
    assert found["damaged"] > pages / 3, found
    for part in (100, 4096, len(whole) // 2):
        file.write_bytes(whole[:part])
        with pytest.raises(CorruptRecord):
            looked_at(file)


def test_rows_that_ckpt_did_not_write_are_an_error_that_names_the_run(file: Path) -> None:
    for column, value in (
        ("location", "{"), ("location", "[" * 100_000), ("started", "soon"), ("started", 2**62), ("map_index", "x"),
        ("inputs", "[1]"), ("summary", '"text"'), ("facts", 1), ("inputs", '{"x": [["a"]]}'),
    ):  # fmt: skip
        filled(file)
        with closing(sqlite3.connect(file)) as other, other:
            other.execute(f"UPDATE ckpt_tasks SET {column} = ?", (value,))
        ledger = SQLLedger(f"sqlite:///{file}")
        with pytest.raises(CorruptRecord, match=f"run '{a_run().id}' is damaged"):
            ledger.tasks(a_run().id)
        ledger.delete_runs([a_run().id])
        ledger.close()


_HOSTILE = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON ckpt_tasks BEGIN DELETE FROM ckpt_runs; END",
    "a trigger elsewhere": "CREATE TABLE x (y); CREATE TRIGGER t AFTER INSERT ON x BEGIN DELETE FROM ckpt_runs; END",
    "a view": "CREATE VIEW v AS SELECT load_extension('evil.so')",
    "a view in place of a table": "DROP TABLE ckpt_logs; CREATE VIEW ckpt_logs AS SELECT load_extension('evil.so')",
    "a view in place of the first table": "DROP TABLE ckpt_meta; CREATE VIEW ckpt_meta AS SELECT 'id' key, 1 value",
    "a trigger on a view": "DROP TABLE ckpt_logs; CREATE VIEW ckpt_logs AS SELECT 1 number; "
    "CREATE TRIGGER t INSTEAD OF INSERT ON ckpt_logs BEGIN SELECT load_extension('evil.so'); END",
    "a computed column": "ALTER TABLE ckpt_runs ADD COLUMN c AS (hex(zeroblob(number)))",
    "a default": "ALTER TABLE ckpt_logs ADD COLUMN c DEFAULT 'x'",
    "an index on an expression": "CREATE INDEX i ON ckpt_runs (hex(zeroblob(number)))",
    "a virtual table": "CREATE VIRTUAL TABLE f USING fts5(x)",
    "a table less": "DROP TABLE ckpt_logs",
    "an index less": "DROP INDEX ckpt_runs_flow",
    "other rules": "DROP TABLE ckpt_logs; CREATE TABLE ckpt_logs (number INTEGER PRIMARY KEY, run CHECK (run > 1))",
}


@pytest.mark.parametrize("hostile", _HOSTILE.values(), ids=_HOSTILE)
@pytest.mark.parametrize("create", [True, False])
def test_a_file_with_anything_that_could_run_is_refused(file: Path, hostile: str, create: bool) -> None:
    filled(file)
    with closing(sqlite3.connect(file)) as other:
        other.executescript(hostile)
    with pytest.raises(CorruptRecord, match="which ckpt did not make|as ckpt makes it"):
        SQLLedger(f"sqlite:///{file}", create=create)


def test_a_table_of_somebody_else_beside_ours_does_no_harm(file: Path) -> None:
    filled(file)
    with closing(sqlite3.connect(file)) as other:
        other.executescript("CREATE TABLE notes (text); CREATE INDEX n ON notes (text); ANALYZE")
    filled(file)


def test_functions_with_side_effects_do_not_run_from_the_file(file: Path) -> None:
    ledger = SQLLedger(f"sqlite:///{file}")
    with ledger._database.reading() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("trusted_schema", "cell_size_check", "synchronous", "journal_mode")
        }
        with pytest.raises(Exception, match="not authorized|no such function"):
            connection.exec_driver_sql("SELECT load_extension('evil.so')")
    assert settings == {"trusted_schema": 0, "cell_size_check": 1, "synchronous": 2, "journal_mode": "wal"}
    ledger.close()


def as_nobody(step: Callable[[], object]) -> str:
    """The class of what `step` raises for a user that no file belongs to."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            step()
        except BaseException as error:  # noqa: BLE001  its class is the answer
            said = type(error).__name__
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach; pytest's are closed to all others."""
    folder = Path(tempfile.mkdtemp(prefix="ckpt-ledger-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def test_a_file_that_is_read_only_can_be_looked_at_and_not_written(open_folder: Path) -> None:
    file = open_folder / "ledger.db"
    filled(file)
    file.chmod(0o444)
    open_folder.chmod(0o777)

    def look() -> None:
        ledger = SQLLedger(f"sqlite:///{file}", create=False)
        assert len(ledger.prior("last", flow="weather").tasks) == 1

    def write() -> None:
        SQLLedger(f"sqlite:///{file}").heartbeat(a_run().id)

    assert as_nobody(look) == "nothing"
    assert as_nobody(write) == "AccessDenied"


def test_a_file_and_a_folder_without_rights_are_refused(open_folder: Path) -> None:
    file = open_folder / "ledger.db"
    filled(file)
    open_folder.chmod(0o555)
    file.chmod(0o000)
    assert as_nobody(lambda: SQLLedger(f"sqlite:///{file}")) == "AccessDenied"
    assert as_nobody(lambda: SQLLedger(f"sqlite:///{open_folder}/new.db")) == "AccessDenied"
    assert as_nobody(lambda: SQLLedger(f"sqlite:///{open_folder}/new/new.db")) == "AccessDenied"
    open_folder.chmod(0o000)
    assert as_nobody(lambda: SQLLedger(f"sqlite:///{file}", create=False)) == "AccessDenied"


def test_a_full_disk_loses_no_row_that_was_acknowledged(file: Path) -> None:
    filled(file, tasks=10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ledger = SQLLedger(f"sqlite:///{file}")
    kept = 10
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        with pytest.raises(StoreUnavailable, match="is the disk full"):  # noqa: PT012  which one fails is for the disk to say
            for batch in range(1000):
                ledger.record([a_task(f"b-{batch * 100 + number}") for number in range(100)])
                kept += 100
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 10 < kept < 50_000
    assert len(ledger.tasks(a_run().id)) == kept
    ledger.record([a_task("after-1")])
    ledger.close()
    assert len(SQLLedger(f"sqlite:///{file}").prior("last", flow="weather").tasks) == kept + 1


def test_a_file_that_somebody_holds_for_long_is_said_to_be_busy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(file)
    monkeypatch.setattr("ckpt_ledger.sql.sqlite._WAIT_SECONDS", 0.05)
    monkeypatch.setattr("ckpt_ledger.sql.database._ATTEMPTS", 2)
    ledger = SQLLedger(f"sqlite:///{file}")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert len(ledger.runs()) == 1
        with pytest.raises(StoreUnavailable, match="is busy"):
            ledger.heartbeat(a_run().id)
        other.execute("ROLLBACK")
    ledger.heartbeat(a_run().id)
    ledger.close()


def test_a_file_that_is_gone_is_not_made_again_behind_ones_back(file: Path) -> None:
    filled(file)
    ledger = SQLLedger(f"sqlite:///{file}")
    ledger.close()
    shutil.rmtree(file.parent)
    with pytest.raises(CkptError, match="ledger.db"):
        ledger.runs()
    assert not file.parent.exists()
