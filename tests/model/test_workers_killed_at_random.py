"""Workers of `processes` killed at random moments: a clear state for every task, every other value right, no hang."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from model_runs import workers
from model_strategies import DEEP

from ckpt import Flow, State
from ckpt.errors import WorkerLost
from ckpt.tasks import FunctionTask
from ckpt_local import LocalResultHandler

CHILDREN = 10
LEVELS = 3
KILLS = 4
"""How many workers are killed in a run at most."""
RUNS = max(2, min(DEEP // 20, 100)) if DEEP else 1


def step(x: int) -> int:
    time.sleep(0.01)
    return x + 1


def total(values: list[int]) -> int:
    return sum(values)


@contextmanager
def killer(chance: random.Random) -> Iterator[list[int]]:
    """Kill one worker after another while the block runs; answers the list of those that were."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < KILLS and not over.wait(chance.uniform(0.02, 0.4)):
            there = workers()
            if there:
                victim = chance.choice(there)
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def run(folder: Path, retries: int, chance: random.Random) -> tuple[State, list[int]]:
    handler = LocalResultHandler(folder, durability="os")
    with Flow("killed", result_handler=handler) as flow:
        values: Any = list(range(CHILDREN))
        for level in range(LEVELS):
            values = FunctionTask(step, f"level{level}", max_retries=retries).map(values)
        FunctionTask(total, "total", max_retries=retries)(values)
    with killer(chance) as killed:
        state = flow.run(executor="processes", checkpointing=True)
    assert workers() == []
    return state, killed


def chances(name: str) -> Iterator[random.Random]:
    seed = int(os.environ.get("CKPT_SEED", random.randrange(10**6) if DEEP else 1))
    print(f"CKPT_SEED={seed}")  # noqa: T201  shown when the test fails
    return (random.Random(f"{seed} {name} {number}") for number in range(RUNS))


@pytest.fixture(autouse=True)
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT__FLOWS__WORKERS", "2")


@pytest.mark.timeout(0)
def test_a_killed_worker_fails_what_it_ran_and_nothing_else(tmp_path: Path) -> None:
    fired = 0
    for number, chance in enumerate(chances("once")):
        folder = tmp_path / str(number)
        state, killed = run(folder, 0, chance)
        fired += len(killed)
        lost = 0
        before = [True] * CHILDREN
        for level in range(LEVELS):
            for index, row in enumerate(state.result[f"level{level}"].map_states):
                if not before[index]:
                    assert row.name == "TriggerFailed", row
                elif row.name == "Failed":
                    assert isinstance(row.result, WorkerLost), row
                    assert f"level{level}-1[{index}]" in row.message
                    lost += 1
                    before[index] = False
                else:
                    assert row.name == "Success", row
                    assert row.result == row.safe_value.read() == index + level + 1
        last = state.result["total"]
        if not all(before):
            assert last.name == "TriggerFailed"
        elif last.name == "Success":
            assert last.result == sum(index + LEVELS for index in range(CHILDREN))
        else:
            assert isinstance(last.result, WorkerLost)
            lost += 1
        assert lost <= len(killed)
        assert state.is_successful() == (not lost)
    print(f"{fired} workers were killed")  # noqa: T201  shown when the test fails
    assert fired >= RUNS


@pytest.mark.timeout(0)
def test_with_retries_a_flow_whose_workers_are_killed_succeeds(tmp_path: Path) -> None:
    fired = 0
    for number, chance in enumerate(chances("again")):
        state, killed = run(tmp_path / str(number), KILLS, chance)  # a kill costs one attempt at most
        fired += len(killed)
        assert state.is_successful(), state
        for level in range(LEVELS):
            rows = state.result[f"level{level}"].map_states
            assert [row.safe_value.read() for row in rows] == [index + level + 1 for index in range(CHILDREN)]
        assert state.result["total"].result == sum(index + LEVELS for index in range(CHILDREN))
    print(f"{fired} workers were killed")  # noqa: T201  shown when the test fails
    assert fired >= RUNS
