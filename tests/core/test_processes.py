"""The `processes` executor: values travel as bytes, and a worker that dies takes down one attempt only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ckpt import Flow, Secret, context, task
from ckpt.errors import NotSerializable, WorkerLost
from ckpt.states import Failed, TimedOut, TriggerFailed
from ckpt_local import LocalResultHandler


@task
def inc(x: int) -> int:
    return x + 1


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def numbers(count: int) -> dict[str, list[int]]:
    return {"all": list(range(count))}


@task
def where() -> int:
    return os.getpid()


class Traced:
    """Says in which processes it was unpickled."""

    unpickled_in: list[int] = []  # noqa: RUF012  one list for the test

    def __reduce__(self) -> tuple[Any, ...]:
        return _trace, ()


def _trace() -> Traced:
    Traced.unpickled_in.append(os.getpid())
    return Traced()


def test_tasks_run_in_other_processes() -> None:
    with Flow("where") as flow:
        place = where()
    assert flow.run(executor="processes").result[place].result != os.getpid()


def test_maps_over_maps_and_parts_of_values_and_reduce() -> None:
    with Flow("maps") as flow:
        everything = numbers(5)
        once = inc.map(everything["all"])
        twice = inc.map(once)
        end = total(twice)
        literal = inc.map([everything["all"][2], end, 7])
    results = flow.run(executor="processes").result
    assert results[twice].result == [2, 3, 4, 5, 6]
    assert results[end].result == 20
    assert results[literal].result == [3, 21, 8]


def test_the_value_is_not_unpickled_in_the_process_of_the_flow_before_somebody_asks() -> None:
    @task
    def make() -> Traced:
        return Traced()

    @task
    def use(value: Traced) -> bool:
        return isinstance(value, object)

    with Flow("bytes") as flow:
        made = make()
        used = use(made)
    Traced.unpickled_in.clear()
    results = flow.run(executor="processes").result
    assert results[used].result is True
    assert Traced.unpickled_in == []
    assert results[made].result is not None
    assert Traced.unpickled_in == [os.getpid()]


def test_a_killed_worker_fails_its_attempt_and_nothing_else() -> None:
    @task
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with Flow("kill") as flow:
        dead = die()
        after = inc(dead)
        others = inc.map(list(range(20)))
    results = flow.run(executor="processes").result
    assert isinstance(results[dead], Failed)
    assert isinstance(results[dead].result, WorkerLost)
    assert "SIGKILL" in results[dead].message
    assert isinstance(results[after], TriggerFailed)
    assert results[others].result == list(range(1, 21))


def test_a_lost_worker_is_retried_like_any_failure() -> None:
    @task(max_retries=2)
    def die_twice() -> int:
        if context.attempt < 3:
            os._exit(7)
        return context.attempt

    with Flow("retry") as flow:
        value = die_twice()
    assert flow.run(executor="processes").result[value].result == 3


def test_an_exception_that_does_not_travel_is_told_in_words() -> None:
    class Odd(Exception):
        def __init__(self, left: int, right: int) -> None:
            super().__init__(f"{left} is not {right}")

    @task
    def fail() -> None:
        raise Odd(1, 2)

    with Flow("odd") as flow:
        failed = fail()
    state = flow.run(executor="processes").result[failed]
    assert "Odd: 1 is not 2" in state.message
    assert "raise Odd(1, 2)" in "".join(state.result.__notes__)


def test_a_value_that_cannot_travel_fails_its_task_and_says_why() -> None:
    @task
    def lock() -> Any:
        return threading.Lock()

    with Flow("lock") as flow:
        locked = lock()
    state = flow.run(executor="processes").result[locked]
    assert isinstance(state.result, NotSerializable)
    assert "lock-1" in state.message


def test_a_task_that_cannot_travel_is_refused_before_any_task_runs(tmp_path: Path) -> None:
    held = threading.Lock()

    @task
    def first() -> None:
        (tmp_path / "ran").touch()

    @task
    def stuck() -> bool:
        return held.locked()

    with Flow("stuck") as flow:
        first()
        stuck()
    with pytest.raises(NotSerializable, match="stuck-1"):
        flow.run(executor="processes")
    assert not (tmp_path / "ran").exists()


def test_the_worker_writes_before_it_reports(tmp_path: Path) -> None:
    with Flow("kept", result_handler=LocalResultHandler(dir=tmp_path)) as flow:
        values = inc.map([1, 2, 3])
        end = total(values)
    state = flow.run(executor="processes", checkpointing=True)
    assert state.is_successful()
    safe = [child.safe_value for child in state.result[values].map_states]
    assert [one.read() for one in safe] == [2, 3, 4]
    assert state.result[end].safe_value.read() == 9
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4


def test_a_value_that_nobody_takes_stays_in_storage_and_is_read_when_asked_for(tmp_path: Path) -> None:
    with Flow("end", result_handler=LocalResultHandler(dir=tmp_path)) as flow:
        end = inc(1)
    kept = flow.run(executor="processes", checkpointing=True).result[end].kept
    assert not kept.is_loaded
    assert kept.value == 2


def test_secrets_are_fetched_in_the_worker_and_timeouts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_TEST_SECRET", "hush")

    @task
    def length(secret: str) -> int:
        return len(secret)

    @task(timeout=0.2)
    def slow() -> None:
        time.sleep(30)

    with Flow("secret") as flow:
        measured = length.map([Secret("env:CKPT_TEST_SECRET")])
        late = slow()
        plain = length(Secret("env:CKPT_TEST_SECRET"))
    results = flow.run(executor="processes").result
    assert results[plain].result == 4
    assert results[measured].result == [4]
    assert isinstance(results[late], TimedOut)


def run_script(tmp_path: Path, body: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(body))
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )


def processes_of(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


SLOW_SCRIPT = """
    import time
    from ckpt import Flow, task
    from ckpt.errors import FlowInterrupted
    from ckpt_local import LocalResultHandler

    @task
    def quick(x):
        return x * 10

    @task
    def slow(x):
        print("slow started", flush=True)
        time.sleep({sleep})
        return x

    with Flow("interrupted", result_handler=LocalResultHandler(dir="kept")) as flow:
        first = quick(4)
        second = slow(first)
        third = quick(second)

    try:
        flow.run(executor="processes", checkpointing=True)
    except FlowInterrupted as stop:
        for call, state in stop.state.result.items():
            print(call.slug, state.name, state.kept.safe_value)
"""


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = run_script(tmp_path, SLOW_SCRIPT.format(sleep=0))
    out, err = script.communicate(timeout=60)
    assert script.returncode == 0, err
    assert out.count("slow started") == 1


def test_what_tasks_print_is_seen_although_stdout_is_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    script = run_script(tmp_path, SLOW_SCRIPT.format(sleep=0).replace(", flush=True", ""))
    assert script.communicate(timeout=60)[0] == "slow started\n"


def test_ctrl_c_interrupts_the_functions_that_run_and_leaves_no_process_behind(tmp_path: Path) -> None:
    script = run_script(tmp_path, SLOW_SCRIPT.format(sleep=60))
    assert script.stdout is not None
    assert script.stdout.readline() == "slow started\n"
    os.killpg(script.pid, signal.SIGINT)
    out, err = script.communicate(timeout=20)
    assert script.returncode == 0, err
    lines = dict(line.split(" ", 1) for line in out.splitlines())
    assert lines["quick-1"].startswith("Success <SafeResult")
    assert lines["slow-1"] == "Cancelled <NoResult>"
    assert lines["quick-2"] == "Cancelled <NoResult>"
    assert processes_of(script.pid) == []


def test_workers_of_a_killed_flow_end_by_themselves(tmp_path: Path) -> None:
    with run_script(tmp_path, SLOW_SCRIPT.format(sleep=60)) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "slow started\n"
        assert len(processes_of(script.pid)) > 1
        os.kill(script.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while processes_of(script.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(script.pid) == []
