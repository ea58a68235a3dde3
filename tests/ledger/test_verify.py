"""Verifying: what is missing, cut short, changed or swapped is found and named, and what is whole is not."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ckpt import Flow, State, task
from ckpt_ledger import SQLLedger
from ckpt_ledger.care.verification import Finding, Verification
from ckpt_local import LocalResultHandler

CKPT = str(Path(sys.executable).with_name("ckpt"))


@pytest.fixture
def results(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CKPT__LEDGER__URL", url)
    return tmp_path / "results"


def run(results: Path) -> State:
    with Flow("etl", storage=results.as_uri()) as flow:
        rows = task(name="rows", version="1")(lambda: ["a" * 50, "b" * 50])()
        task(name="upper", version="1")(str.upper).map(rows)
        task(name="count", version="1")(lambda rows, text: len(rows) + len(text))(rows, "x" * 20_000)
    return flow.run()


def file(results: Path, name: str) -> Path:
    [found] = results.rglob(name)
    return found


def found(ledger: SQLLedger, data: float = 0.0) -> list[Finding]:
    return list(Verification(ledger, data=data).findings())


def test_what_is_whole_is_clean(results: Path, ledger: SQLLedger) -> None:
    run(results)
    verification = Verification(ledger, data=1)
    assert list(verification.findings()) == []
    assert (verification.objects, verification.read) == (5, 5), "three calls, one of them with two children; constants"
    assert found(ledger) == []


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def _swapped(path: Path) -> None:
    other = path.with_name("0001.ckpt")
    one, two = path.read_bytes(), other.read_bytes()
    assert len(one) == len(two)
    path.write_bytes(two)
    other.write_bytes(one)


@pytest.mark.parametrize(
    ("harm", "head", "data"),
    [
        (_missing, ["missing"], ["missing"]),
        (_truncated, ["wrong size"], ["damaged"]),
        (_flipped, [], ["damaged"]),
        (_swapped, [], ["damaged", "damaged"]),
    ],
)
def test_a_damaged_object_is_found_and_named(
    results: Path, ledger: SQLLedger, harm: Callable[[Path], None], head: list[str], data: list[str]
) -> None:
    run(results)
    harm(file(results, "0000.ckpt"))
    assert [each.kind for each in found(ledger)] == head
    whole = found(ledger, data=1)
    assert [each.kind for each in whole] == data
    assert whole[0].call == "upper-1[0]"
    assert "upper-1/0000.ckpt" in whole[0].message


def test_constants_that_are_kept_as_objects_are_looked_at(results: Path, ledger: SQLLedger) -> None:
    run(results)
    [constants] = results.rglob("constants/*.ckpt")
    constants.unlink()
    [missing] = found(ledger)
    assert (missing.kind, missing.call) == ("missing", None)
    assert "constants" in str(missing.location)


def test_a_sample_is_as_large_as_was_asked_for(results: Path, ledger: SQLLedger) -> None:
    with Flow("many", storage=results.as_uri()) as flow:
        task(name="same", version="1")(lambda x: x).map(list(range(1500)))
    flow.run()
    verification = Verification(ledger, data=0.2)
    assert list(verification.findings()) == []
    assert verification.objects == 1500, "more than a page of rows"
    assert 150 < verification.read < 450


def test_a_storage_that_cannot_be_asked_is_not_called_damaged(
    tmp_path: Path, file_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT__LEDGER__URL", file_url)
    run(tmp_path / "results")
    spec = json.dumps({"type": "elsewhere", "dir": "x"})
    connection = sqlite3.connect(file_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE ckpt_facts SET data = json_set(data, '$[5]', json(?))", (spec,))
    connection.close()
    done = command(tmp_path, "verify", "--all", "--json")
    assert done.returncode == 2
    items = json.loads(done.stdout)
    assert {each["finding"] for each in items} == {"not looked at"}
    assert "elsewhere" in items[0]["message"]


def test_what_no_row_refers_to_is_listed_and_not_wrong(results: Path, ledger: SQLLedger, tmp_path: Path) -> None:
    run(results)
    folder = file(results, "rows-1.ckpt").parent
    handler = LocalResultHandler(dir=str(results))
    key = f"{folder.relative_to(results)}/stray.ckpt"
    handler.write(1, key=key)
    handler.write(1, key=f"{folder.parent.relative_to(results)}/of-others/x.ckpt")
    orphan, foreign = found(ledger)
    assert (orphan.kind, orphan.location, foreign.kind) == ("orphan", key, "foreign")
    done = command(tmp_path, "verify", "--all", "--json")
    assert done.returncode == 0, done.stderr
    assert [each["finding"] for each in json.loads(done.stdout)] == ["orphan", "foreign"]


def command(folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CKPT, *args], cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def test_the_exit_code_says_clean_wrong_or_could_not_look(results: Path, tmp_path: Path) -> None:
    run(results)
    assert command(tmp_path, "verify", "--all").returncode == 0
    clean = command(tmp_path, "verify", "last", "--read-data=100%", "--json")
    assert (clean.returncode, json.loads(clean.stdout)) == (0, [])
    path = file(results, "rows-1.ckpt")
    path.unlink()
    wrong = command(tmp_path, "verify", "last", "--json")
    assert wrong.returncode == 1
    [item] = json.loads(wrong.stdout)
    assert (item["finding"], item["call"]) == ("missing", "rows-1")
    assert item["id"].endswith("/rows-1")
    assert "rows-1.ckpt" in command(tmp_path, "verify", "--all").stdout
    for refused in (("verify",), ("verify", "nope"), ("verify", "last", "--read-data=5"), ("verify", "last", "--all")):
        assert command(tmp_path, *refused).returncode == 2, refused
    gone = command(tmp_path, "verify", "--all", CKPT__LEDGER__URL=f"sqlite:///{tmp_path}/nothing/here.db")
    assert gone.returncode == 2
