"""Retries and timeouts: how often a function is called, and what becomes of a late value. Counted, never timed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

import ckpt
from ckpt import Flow, task
from ckpt.engine import loop as loop_module
from ckpt.states import Failed, Success, TimedOut, TriggerFailed
from ckpt.tasks import FunctionTask

pytestmark = pytest.mark.usefixtures("plain")


def test_a_task_is_tried_until_it_succeeds(executor: str, notes: Any) -> None:
    @task(max_retries=5)
    def flaky() -> int:
        tried = notes.add("tried")
        assert tried == ckpt.context.attempt
        if tried < 3:
            raise ValueError("not yet")
        return tried

    with Flow("f") as f:
        call = flaky()
    state = f.run(executor=executor)
    assert type(state.result[call]) is Success
    assert (state.result[call].result, state.result[call].message) == (3, "")
    assert len(notes.all()) == 3


def test_a_task_is_tried_once_more_than_max_retries_and_fails_with_its_last_error(executor: str, notes: Any) -> None:
    @task(max_retries=2)
    def hopeless() -> None:
        raise ValueError(f"try {notes.add('tried')}")

    with Flow("f") as f:
        call = hopeless()
        after = FunctionTask(lambda x: x, "after")(call)
    state = f.run(executor=executor)
    assert len(notes.all()) == 3
    assert state.result[call].message == "ValueError: try 3"
    assert str(state.result[call].result) == "try 3"
    assert type(state.result[after]) is TriggerFailed


def test_without_retries_a_task_is_called_once(executor: str, notes: Any) -> None:
    @task
    def hopeless() -> None:
        notes.add("tried")
        raise ValueError

    with Flow("f") as f:
        hopeless()
    f.run(executor=executor)
    assert notes.all() == ["tried"]


def delays_of(monkeypatch: pytest.MonkeyPatch, chance: float = 0.0, **settings: Any) -> list[float]:
    """The pauses that a run announces, without waiting for them."""
    monkeypatch.setattr(loop_module.random, "uniform", lambda low, high: low + (high - low) * (chance + 1) / 2)
    messages: list[str] = []

    def note(subject: Any, old: Any, new: Any) -> None:
        if new.is_retrying():
            messages.append(new.message)

    def bad() -> None:
        raise ValueError

    with Flow("f") as f:
        FunctionTask(bad, "bad", state_handlers=[note], **settings)()
    skipped = 0.0
    clock = time.monotonic

    def monotonic() -> float:
        return clock() + skipped

    def wait(self: Any, timeout: float | None) -> list[Any]:
        nonlocal skipped
        skipped += timeout or 0.0
        return []

    monkeypatch.setattr(loop_module, "monotonic", monotonic)
    monkeypatch.setattr("ckpt.engine.threads.LocalExecutor.wait", wait)
    f.run()
    return [float(message.rpartition(" in ")[2].removesuffix(" s")) for message in messages]


def test_the_pause_is_the_same_before_each_try_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert delays_of(monkeypatch, max_retries=3, retry_delay=2.5) == [2.5, 2.5, 2.5]
    assert delays_of(monkeypatch, max_retries=1, retry_delay=timedelta(minutes=1)) == [60]
    assert delays_of(monkeypatch, max_retries=2) == [0, 0]


def test_backoff_multiplies_the_pause_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert delays_of(monkeypatch, max_retries=4, retry_delay=1, retry_backoff=3) == [1, 3, 9, 27]


def test_jitter_varies_the_pause_by_its_fraction_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"max_retries": 2, "retry_delay": 10, "retry_backoff": 2, "retry_jitter": 0.5}
    assert delays_of(monkeypatch, -1.0, **settings) == [5, 10]
    assert delays_of(monkeypatch, 1.0, **settings) == [15, 30]


def test_other_tasks_go_on_while_one_waits_for_its_next_try(executor: str, notes: Any) -> None:
    @task(max_retries=1, retry_delay=1)
    def flaky() -> None:
        if notes.add("tried") == 1:
            raise ValueError

    @task
    def other(x: Any = None) -> None:
        notes.add("other")

    with Flow("f") as f:
        flaky()
        other(other(other()))
    assert f.run(executor=executor).is_successful()
    assert notes.all()[-1] == "tried"
    assert len(notes.all()) == 5


def test_a_task_that_was_started_is_tried_again_though_an_input_turned_out_not_to_be_kept(
    memory: Any,
) -> None:
    gate = threading.Event()
    tries: list[int] = []

    def before(key: str) -> None:
        if "source" in key:
            gate.wait(10)
            raise ckpt.errors.AccessDenied("no")

    memory.memory.before = before

    def told(subject: Any, old: Any, new: Any) -> None:
        if new.is_retrying():
            gate.set()

    @task
    def source() -> int:
        return 1

    @task(max_retries=1, retry_delay=0.2, state_handlers=[told])
    def flaky(x: int) -> int:
        tries.append(x)
        if len(tries) == 1:
            raise ValueError
        return x

    with Flow("f", result_handler=memory) as f:
        first = source()
        call = flaky(first)
    state = f.run(checkpointing=True)
    assert type(state.result[first]) is Failed
    assert state.result[call].result == 1
    assert len(tries) == 2


# -- timeouts


def test_a_function_that_takes_too_long_is_timed_out(executor: str) -> None:
    @task(timeout=0.05)
    def slow() -> None:
        time.sleep(1)

    @task(timeout=timedelta(milliseconds=50))
    async def slow_too() -> None:
        await asyncio.sleep(60)

    with Flow("f") as f:
        calls = slow(), slow_too()
        after = FunctionTask(lambda x: x, "after")(calls[0])
    state = f.run(executor=executor)
    for call in calls:
        assert type(state.result[call]) is TimedOut
        assert isinstance(state.result[call].result, TimeoutError)
        assert "0.05 s" in state.result[call].message
    assert type(state.result[after]) is TriggerFailed


def test_a_function_that_is_quick_enough_is_not(executor: str) -> None:
    @task(timeout=60)
    def quick(x: int) -> Any:
        return x, str(ckpt.context.call)

    @task(timeout=60)
    async def quick_too(x: int) -> int:
        await asyncio.sleep(0)
        return x

    with Flow("f") as f:
        a, b = quick(1), quick_too(2)
    state = f.run(executor=executor)
    assert state.result[a].result == (1, "quick-1")
    assert state.result[b].result == 2


def test_what_a_late_function_returns_is_dropped(memory: Any) -> None:
    gate, returned = threading.Event(), threading.Event()

    @task(timeout=0.05)
    def slow() -> str:
        gate.wait(10)
        returned.set()
        return "late"

    with Flow("f", result_handler=memory) as f:
        call = slow()
    state = f.run(checkpointing=True)
    gate.set()
    assert returned.wait(10)
    assert type(state.result[call]) is TimedOut
    assert state.result[call].result != "late"
    assert memory.memory.objects == {}


@pytest.mark.parametrize("how", ["blocks", "swallows"])
def test_an_async_function_that_returns_late_all_the_same_is_dropped(executor: str, how: str) -> None:
    @task(timeout=0.02)
    async def stubborn() -> str:
        if how == "blocks":
            time.sleep(0.1)  # noqa: ASYNC251  the mistake that is tried here
        else:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return "late"

    with Flow("f") as f:
        call = stubborn()
    state = f.run(executor=executor)
    assert type(state.result[call]) is TimedOut
    assert "0.02 s" in state.result[call].message


def test_a_timeout_error_of_the_functions_own_is_a_failure(executor: str) -> None:
    @task(timeout=60)
    def own() -> None:
        raise TimeoutError("mine")

    @task(timeout=60)
    async def own_too() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    @task
    def unbounded() -> None:
        raise TimeoutError("mine")

    with Flow("f") as f:
        calls = own(), own_too(), unbounded()
    state = f.run(executor=executor)
    assert [type(state.result[call]) for call in calls] == [Failed] * 3


def test_a_timeout_is_for_one_try_and_a_late_task_is_tried_again(executor: str, notes: Any) -> None:
    @task(timeout=0.05, max_retries=1)
    def slow_first() -> int:
        if notes.add("tried") == 1:
            time.sleep(1)
        return len(notes.all())

    with Flow("f") as f:
        call = slow_first()
    assert f.run(executor=executor).result[call].result == 2


def test_an_error_of_a_function_with_a_timeout_is_its_own(executor: str) -> None:
    @task(timeout=60)
    def bad() -> None:
        raise KeyError("mine")

    with Flow("f") as f:
        call = bad()
    assert isinstance(f.run(executor=executor).result[call].result, KeyError)


def test_neither_retries_nor_the_timeout_cover_the_write(memory: Any, failing: Any, notes: Any) -> None:
    memory.memory.before = lambda key: time.sleep(0.3)
    fails = failing(2)

    @task(timeout=0.1, max_retries=3)
    def quick() -> int:
        return notes.add("tried")

    with Flow("f", result_handler=memory) as f:
        call = quick()
    assert f.run(checkpointing=True).result[call].result == 1
    memory.memory.before = fails
    assert f.run(checkpointing=True).result[call].result == 2
    assert notes.all() == ["tried"] * 2
