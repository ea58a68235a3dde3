"""Several processes and threads record at once, some die, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ckpt import Identity
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import a_run, a_task, some_arguments

_ROOT = Path(__file__).parents[2]

_RECORDING = """
import sys
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import a_line, a_run, reusable, some_arguments

url, name, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
ledger = SQLLedger(url)
ledger.begin(a_run(name))
for batch in range(batches):
    # Every process names the same facts and arguments, and calls of its own.
    tasks = [reusable(f"{name}-{batch}-{n}", f"t-{batch * 10 + n}", run=name, handler=f"h{n}") for n in range(10)]
    ledger.record(tasks, [some_arguments(f"{n:064d}") for n in reversed(range(5))])
    ledger.log([a_line(f"batch {batch}", run=name)])
    ledger.heartbeat(name)
    print(batch, flush=True)
ledger.end(name, "Success", "")
ledger.close()
"""


def recording(url: str, name: str, batches: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RECORDING, url, name, str(batches)],
        cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def start(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def test_eight_processes_open_a_fresh_ledger_and_record_at_once(url: str) -> None:
    processes = [recording(url, f"run-{number}", 20) for number in range(8)]
    start(*processes)
    said = [process.communicate(timeout=100) for process in processes]
    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, said, strict=True)] == [(0, "")] * 8
    ledger = SQLLedger(url, create=False)
    rows = {row.id: row for row in ledger.runs()}
    assert sorted(rows) == [f"run-{number}" for number in range(8)]
    assert {(row.state, row.tasks, row.failed) for row in rows.values()} == {("Success", 200, 0)}
    for name in rows:
        assert len(ledger.prior(name, flow="weather").tasks) == 200
        assert len(ledger.logs(name)) == 20
    wanted = [Identity(f"run-{number}-{batch}-{n}") for number in range(8) for batch in range(20) for n in range(10)]
    assert len(ledger.lookup(wanted)) == 1600
    ledger.close()


def test_what_was_acknowledged_survives_a_kill_and_the_ledger_goes_on(url: str) -> None:
    killed = 0
    ledger = SQLLedger(url)
    for number, batch in enumerate((0, 1, 3)):
        name = f"run-{number}"
        process = recording(url, name, 10_000)
        start(process)
        assert process.stdout is not None
        acknowledged = -1
        while acknowledged < batch:
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        acknowledged = max([acknowledged, *map(int, rest.split())])
        killed += process.returncode == -signal.SIGKILL
        kept = ledger.prior(name, flow="weather").tasks
        assert len(kept) >= 10 * (acknowledged + 1)
        assert len(kept) % 10 == 0, "a batch is there whole or not at all"
        assert ledger.find(name).state == "Running"
    assert killed == 3
    ledger.begin(a_run("after"))
    ledger.record([a_task(run="after")])
    ledger.close()


def test_threads_share_a_ledger(ledger: SQLLedger) -> None:
    def record(number: int) -> int:
        run = f"run-{number}"
        ledger.begin(a_run(run))
        for batch in range(10):
            ledger.record([a_task(f"t-{batch}", run=run)], [some_arguments()])
            ledger.heartbeat(run)
        ledger.end(run, "Success", "")
        return len(ledger.tasks(run))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(record, range(16))) == [10] * 16


def test_a_ledger_may_be_used_on_both_sides_of_a_fork(ledger: SQLLedger) -> None:
    ledger.begin(a_run("parent"))
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                ledger.begin(a_run(f"child-{number}"))
                ledger.record([a_task(run=f"child-{number}")])
                ledger.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
        ledger.record([a_task(f"t-{number}", run="parent")])
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    ledger.record([a_task("last-9", run="parent")])
    assert len(ledger.tasks("parent")) == 4
    assert len(ledger.runs()) == 4


def test_arguments_that_a_run_is_about_to_name_are_not_deleted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, cleaner = SQLLedger(url), SQLLedger(url)
    for run in ("old", "new"):
        writer.begin(a_run(run))
    writer.record([a_task(run="old")], [some_arguments()])
    written, over = threading.Event(), threading.Event()
    write = writer._database.write

    def held(work: Callable[[Connection], None]) -> None:
        """The same transaction, open for as long as the other needs to come to the same rows."""

        def longer(connection: Connection) -> None:
            work(connection)
            written.set()
            over.wait(1)

        write(longer)

    monkeypatch.setattr(writer._database, "write", held)
    with ThreadPoolExecutor(2) as pool:
        recorded = pool.submit(writer.record, [a_task(run="new")], [some_arguments()])
        assert written.wait(30)
        deleted = pool.submit(cleaner.delete_runs, ["old"])
        deleted.add_done_callback(lambda _: over.set())
        recorded.result()
        deleted.result()
    assert cleaner.arguments("a" * 64) == some_arguments()
    writer.close()
    cleaner.close()
