"""What the model and the signals have found: each as the smallest flow that shows it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_programs import CallSpec, Const, Program, Ref, TaskSpec, Write
from model_runs import Built, workers

from ckpt import Flow, task
from ckpt.errors import WorkerLost
from ckpt.states import Failed, Mapped, Success

EXECUTORS = ["local", "threads", "processes"]


@task
def give(x: Any) -> Any:
    return x


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_element_of_a_list_that_cannot_be_looked_up_fails_its_own_child_alone(executor: str) -> None:
    with Flow("f") as f:
        data = give({"a": 1})
        call = give.map([data["a"], data["missing"], 3])
    state = f.run(executor=executor).result[call]
    assert type(state) is Mapped
    assert [type(child) for child in state.map_states] == [Success, Failed, Success]
    assert "KeyError" in state.map_states[1].message
    assert (state.map_states[0].result, state.map_states[2].result) == (1, 3)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_part_that_cannot_be_looked_up_fails_the_map_with_the_same_error_everywhere(executor: str) -> None:
    with Flow("f") as f:
        call = give.map(give([1, 2])["a"])
    state = f.run(executor=executor).result[call]
    assert type(state) is Failed
    assert type(state.result) is TypeError
    assert state.message.startswith("TypeError: ")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_value_that_is_not_kept_can_still_be_mapped_over(executor: str, tmp_path: Path) -> None:
    program = Program(
        tasks=(
            TaskSpec(writes=(Write(refused=True),), returns="list", handler="inline"),
            TaskSpec(trigger="all_finished"),
        ),
        calls=(CallSpec(0, (Const(1),)), CallSpec(1, (Ref(0),), mapped=True)),
    )
    seen = Built(program, tmp_path if executor == "processes" else None).run(executor)
    assert (seen.rows[0, None].state, seen.rows[1, None].state) == ("Failed", "Mapped")
    assert [seen.rows[1, n].state for n in (0, 1)] == ["Success", "Success"]


def first_workers(act: Callable[[int], object], count: int = 1) -> threading.Thread:
    """A thread that does something to each of the first workers as soon as there is one."""

    def watch() -> None:
        done: set[int] = set()
        end = time.monotonic() + 20
        while len(done) < count and time.monotonic() < end:
            for worker in set(workers()) - done:
                done.add(worker)
                act(worker)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_ctrl_c_while_a_worker_starts_does_not_end_it(capfd: pytest.CaptureFixture[str]) -> None:
    with Flow("f") as f:
        call = give(1)
    thread = first_workers(lambda worker: os.kill(worker, signal.SIGINT))
    assert f.run(executor="processes").result[call].result == 1
    thread.join()
    assert "Traceback" not in capfd.readouterr().err


def test_a_worker_that_is_killed_while_it_starts_is_told_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CKPT__FLOWS__WORKERS", "1")
    large = os.urandom(3_000_000)  # more than fits into a pipe that nobody reads
    with Flow("f") as f:
        call = give(large)
    thread = first_workers(lambda worker: os.kill(worker, signal.SIGKILL))
    state = f.run(executor="processes").result[call]
    thread.join()
    assert isinstance(state.result, WorkerLost)
    assert "SIGKILL" in state.message
    assert workers() == []
