"""After a run was killed nobody waits for its heartbeat to be old: its process is gone, and that can be seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

import ckpt_ledger
from ckpt import JSON
from ckpt.engine.liveness import is_gone, this_process

CKPT = str(Path(sys.executable).with_name("ckpt"))

FLOW = """
    import pathlib, time
    from ckpt import Flow, task

    def note(text):
        with open("ran", "a") as file:
            file.write(text + "\\n")

    @task
    def first():
        note("first")
        return 1

    @task
    def second(number):
        note("second")
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        return number + 1

    with Flow("f") as flow:
        second(first())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CKPT__FLOWS__STORAGE", (tmp_path / "kept").as_uri())
    (tmp_path / "flow.py").write_text(dedent(FLOW))
    return tmp_path


def resumed() -> subprocess.CompletedProcess[str]:
    command = [CKPT, "run", "flow.py", "--resume", "last"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_killed_run_is_gone_on_from_at_once_and_one_that_is_alive_is_not(folder: Path) -> None:
    ran = folder / "ran"
    with subprocess.Popen([CKPT, "run", "flow.py"], stderr=subprocess.DEVNULL) as running:
        end = time.monotonic() + 30
        while not (ran.exists() and "second" in ran.read_text()):
            assert time.monotonic() < end, "it has not come so far"
            time.sleep(0.01)
        refused = resumed()
        assert (refused.returncode, "still in progress" in refused.stderr) == (2, True), refused.stderr
        running.send_signal(signal.SIGKILL)
    (folder / "go").touch()
    went_on = resumed()
    assert went_on.returncode == 0, went_on.stderr
    assert ran.read_text().split() == ["first", "second", "second"]


def test_a_run_whose_stderr_nobody_reads_any_more_is_recorded_whole(folder: Path) -> None:
    (folder / "many.py").write_text(
        dedent("""
            import time
            from ckpt import Flow, task

            @task
            def nap(n):
                time.sleep(0.005)
                return n

            with Flow("many") as flow:
                for n in range(50):
                    nap(n)
        """)
    )
    with subprocess.Popen([CKPT, "run", "many.py"], stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        lines = [running.stderr.readline() for _ in range(3)]
        assert all(lines)
        running.stderr.close()
    assert running.returncode == 0

    def looked(*arguments: str) -> list[dict[str, JSON]]:
        done = subprocess.run([CKPT, *arguments, "--json"], capture_output=True, text=True, check=True)
        found: list[dict[str, JSON]] = json.loads(done.stdout)
        return found

    [run] = looked("runs")
    assert run["state"] == "Success"
    states = [each.state for each in ckpt_ledger.run("last").tasks]
    assert states == ["Success"] * 50
    assert looked("verify", "last") == []


def test_this_process_is_there_and_one_that_ended_is_not() -> None:
    assert not is_gone(dict(this_process()))
    told = "import ckpt.engine.liveness as l, json; print(json.dumps(dict(l.this_process())))"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert is_gone(json.loads(ended.stdout))


def test_a_number_that_another_process_has_now_is_told_by_when_that_started() -> None:
    assert is_gone({**this_process(), "started": "1"})


def test_one_that_has_ended_and_is_not_yet_waited_for_is_gone() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        started = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[19]
        assert is_gone({**this_process(), "pid": child, "started": started})
    finally:
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    "changed",
    [{"boot": "another"}, {"space": "pid:[1]"}, {"pid": "1"}, {"pid": None}, {"boot": None}, {"more": 1}],
    ids=str,
)
def test_what_cannot_be_seen_from_here_is_not_gone(changed: dict[str, JSON]) -> None:
    nobody: dict[str, JSON] = {**this_process(), "pid": 2**22 + 1}
    assert is_gone(nobody)
    assert not is_gone({**nobody, **changed})


@pytest.mark.parametrize("process", [None, "7", {}, [], {"pid": 1, "started": "1"}], ids=str)
def test_what_says_too_little_is_not_gone(process: JSON) -> None:
    assert not is_gone(process)
