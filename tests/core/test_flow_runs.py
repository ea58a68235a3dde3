"""Running a flow: values, order, failures, async tasks, context and logging, on every executor."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
from typing import Any

import pytest

import ckpt
from ckpt import Flow, Task, flow, task
from ckpt.errors import ConfigError
from ckpt.states import Failed, Success, TriggerFailed

pytestmark = pytest.mark.usefixtures("plain")


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def give(x: Any) -> Any:
    return x


@task
def fail(message: str = "no") -> None:
    raise ValueError(message)


def test_values_go_from_task_to_task(executor: str) -> None:
    with Flow("f") as f:
        a = add(1, y=2)
        b = add(x=a, y=100)
        c = give({"both": [a, b]})
    state = f.run(executor=executor)
    assert isinstance(state, Success)
    assert [state.result[call].result for call in (a, b, c)] == [3, 103, {"both": [3, 103]}]
    assert [type(state.result[call]) for call in f.calls] == [Success] * 3


def test_every_input_is_finished_before_its_reader_starts(executor: str, notes: Any) -> None:
    @task
    def step(name: str, *needed: object) -> str:
        notes.add(name)
        return name

    with Flow("f") as f:
        a, b = step("a"), step("b")
        c = step("c", a, b)
        d = step("d", c)
        step("e", d, a)
    f.run(executor=executor)
    done = notes.all()
    assert set(done[:2]) == {"a", "b"}
    assert done[2:] == ["c", "d", "e"]


def test_none_is_a_value_and_runs_what_comes_after(executor: str) -> None:
    with Flow("f") as f:
        nothing = give(None)
        after = give([nothing])
    state = f.run(executor=executor)
    assert state.result[nothing].result is None
    assert state.result[nothing].is_successful()
    assert state.result[after].result == [None]


def test_a_failure_stays_with_its_task_and_what_needs_it(executor: str) -> None:
    with Flow("f") as f:
        bad = fail("the reason")
        after = give(bad)
        beside = give(1)
    state = f.run(executor=executor)
    assert isinstance(state, Failed)
    assert "give-1" in state.message
    assert "fail-1" in state.message
    assert type(state.result[bad]) is Failed
    assert isinstance(state.result[bad].result, ValueError)
    assert state.result[bad].message == "ValueError: the reason"
    assert type(state.result[after]) is TriggerFailed
    assert "fail-1" in state.result[after].message
    assert state.result[beside].result == 1


class Awkward(Exception):
    """Cannot be pickled back: its arguments are not those of `__init__`."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")
        self.lock = threading.Lock()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "words"),
    [(lambda: Awkward("this", "that"), "Awkward: this and that"), (Mute, "Mute"), (lambda: Exception(), "Exception")],
)
def test_any_exception_fails_its_task_only(executor: str, error: Any, words: str) -> None:
    @task
    def bad() -> None:
        raise error()

    with Flow("f") as f:
        call, other = bad(), give(1)
    state = f.run(executor=executor)
    assert type(state.result[call]) is Failed
    assert words in state.result[call].message
    assert state.result[other].result == 1


@pytest.mark.parametrize("leave", [lambda: sys.exit(3), lambda: exec("raise SystemExit"), lambda: next(iter(()))])
def test_a_task_that_wants_to_leave_the_process_fails(executor: str, leave: Any) -> None:
    @task
    def bad() -> None:
        leave()

    with Flow("f") as f:
        call, other = bad(), give(1)
    state = f.run(executor=executor)
    assert type(state.result[call]) is Failed
    assert state.result[other].result == 1


@pytest.mark.parametrize("error", [GeneratorExit, asyncio.CancelledError, type("Odd", (BaseException,), {})])
def test_an_exception_that_is_no_exception_class_fails_its_task_only(executor: str, error: type[BaseException]) -> None:
    @task
    def bad() -> None:
        raise error

    @task
    async def bad_too() -> None:
        raise error

    with Flow("f") as f:
        calls = bad(), bad_too()
        other = give(1)
    state = f.run(executor=executor)
    assert [type(state.result[call]) for call in calls] == [Failed, Failed]
    assert state.result[other].result == 1


def test_the_traceback_of_a_failure_begins_in_the_persons_own_code() -> None:
    with Flow("f") as f:
        bad = fail()
    error = f.run().result[bad].result
    assert error.__traceback__.tb_frame.f_code.co_name == "fail"


# -- async


def test_async_tasks_run_like_others(executor: str) -> None:
    @task
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    class Later(Task):
        async def run(self, x: int) -> int:
            await asyncio.sleep(0)
            return x + 2

    with Flow("f") as f:
        a = later(1)
        b = Later()(a)
        c = later.map([a, b])
    state = f.run(executor=executor)
    assert [state.result[call].result for call in (a, b, c)] == [2, 4, [3, 5]]


def test_async_tasks_run_also_where_a_loop_runs_already(executor: str) -> None:
    @task
    async def later(x: int) -> str:
        await asyncio.sleep(0)
        return f"{ckpt.context.call} {x}"

    with Flow("f") as f:
        a = later(1)

    async def notebook() -> Any:
        return f.run(executor=executor)

    assert asyncio.run(notebook()).result[a].result == "later-1 1"


def test_a_function_that_answers_a_coroutine_is_awaited_with_and_without_a_timeout() -> None:
    async def body(x: int) -> int:
        return x + 1

    def wrapped(x: int) -> Any:
        return body(x)

    with Flow("f") as f:
        calls = [
            ckpt.tasks.FunctionTask(make, "t", timeout=timeout)(1)
            for make in (wrapped, functools.partial(body))
            for timeout in (None, 10)
        ]
    state = f.run()
    assert [state.result[call].result for call in calls] == [2] * 4


# -- what decides, and what is asked


def test_a_flow_fails_with_its_last_tasks_only(executor: str) -> None:
    with Flow("f") as f:
        bad = fail()
        ckpt.tasks.FunctionTask(lambda: 1, "rescue", trigger=ckpt.triggers.any_failed)(upstream_tasks=[bad])
    state = f.run(executor=executor)
    assert isinstance(state, Success)
    assert "fail-1" in state.message


def test_reference_tasks_decide_instead_of_the_last(executor: str) -> None:
    with Flow("f") as f:
        good = give(1)
        bad = fail()
    assert not f.run(executor=executor).is_successful()
    f.set_reference_tasks([good])
    assert f.reference_tasks() == [good]
    assert f.run(executor=executor).is_successful()
    f.set_reference_tasks([bad])
    assert f.run(executor=executor).is_failed()


def test_the_last_tasks_of_a_flow_are_those_that_nothing_waits_for() -> None:
    with Flow("f") as f:
        a, b = give(1), give(2)
        c = give.map([a])
        d = give(3, upstream_tasks=[b])
    assert f.reference_tasks() == [c, d]


def test_results_are_found_by_call_slug_path_and_unique_task_name() -> None:
    with Flow("f") as f:
        a, b = give(1), give(2)
        m = add.map([a, b])
    results = f.run().result
    assert results[a].result == results["give-1"].result == 1
    assert results["add"].result == results[m].result == [2, 3]
    assert results["add-1[1]"].result == results[ckpt.CallPath("add-1", 1)].result == 3
    assert list(results) == f.calls
    assert len(results) == 3
    for wrong, word in (("give", "more than once"), ("gave-1", "no call"), ("add-1[2]", "2 mapped"), ("add-1[x]", "2")):
        with pytest.raises(KeyError, match=word):
            results[wrong]
    assert "gave-1" not in results
    with Flow("other"):
        theirs = give(1)
    with pytest.raises(KeyError, match="not a call of this flow"):
        results[theirs]


def test_the_results_of_a_run_stay_when_the_flow_grows() -> None:
    with Flow("f") as f:
        m = add.map([1, 2])
    results = f.run().result
    with f:
        new = give(5)
    assert list(results) == [m]
    with pytest.raises(KeyError):
        results[new]


def test_a_flow_runs_as_often_as_one_likes_and_each_run_has_its_own_results(executor: str) -> None:
    with Flow("f") as f:
        number = add(ckpt.Parameter("x"), 1)
    first, second = f.run(x=1, executor=executor), f.run(x=2, executor=executor)
    assert (first.result[number].result, second.result[number].result) == (2, 3)


def test_a_flow_runs_inside_a_task_of_another(here: str) -> None:
    with Flow("inner") as inner:
        call = add(1, 2)

    @task
    def outer() -> Any:
        before = str(ckpt.context.call)
        state = inner.run()
        return before, state.result["add-1"].result, str(ckpt.context.call)

    with Flow("outer") as f:
        runs = outer()
    assert f.run(executor=here).result[runs].result == ("outer-1", 3, "outer-1")
    assert inner.run().result[call].result == 3


def test_the_executor_is_the_runs_else_the_flows_else_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    @task
    def where() -> str:
        return threading.current_thread().name

    with Flow("f") as f:
        call = where()
    here = threading.current_thread().name
    assert f.run().result[call].result == here
    monkeypatch.setenv("CKPT__FLOWS__EXECUTOR", "threads")
    assert f.run().result[call].result == "ckpt-worker"
    f.executor = "local"
    assert f.run().result[call].result == here
    assert f.run(executor="threads").result[call].result == "ckpt-worker"


def test_threads_run_tasks_at_the_same_time_and_no_more_than_were_asked_for() -> None:
    from ckpt.engine.threads import ThreadsExecutor

    both = threading.Barrier(2, timeout=10)
    lock = threading.Lock()
    now = most = 0

    @task
    def meet(x: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        both.wait()
        with lock:
            now -= 1

    with Flow("f", executor=ThreadsExecutor(2)) as f:
        meet.map(range(10))
    assert f.run().is_successful()
    assert most == 2


def test_no_thread_is_left_behind(memory: Any) -> None:
    with Flow("f", result_handler=memory) as f:
        add.map(range(20))
    before = set(threading.enumerate())
    f.run(executor="threads", checkpointing=True)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


# -- context and logging


def test_a_task_can_ask_which_run_it_is_in(executor: str) -> None:
    @task(name="asking")
    def ask(x: int) -> Any:
        c = ckpt.context
        return bool(c), c.flow, c.task, str(c.call), c.map_index, c.attempt, c.run_id, c.parameters["p"], c.started

    with Flow("f") as f:
        ckpt.Parameter("p", 5)
        one, many = ask(1), ask.map([1, 2])
    state = f.run(executor=executor)
    first = state.result[one].result
    assert first[:6] == (True, "f", "asking", "asking-1", None, 1)
    assert first[7] == 5
    assert first[8].utcoffset().total_seconds() == 0
    children = state.result[many].result
    assert [child[3:5] for child in children] == [("asking-2[0]", 0), ("asking-2[1]", 1)]
    assert {child[6] for child in children} == {first[6]}


def test_outside_a_task_the_context_says_that_nothing_runs() -> None:
    assert not ckpt.context
    with pytest.raises(ConfigError, match=r"if ckpt\.context"):
        _ = ckpt.context.run_id
    with Flow("f") as f:
        give(1)
    f.run()
    assert not ckpt.context


def test_run_ids_are_ordered_by_time() -> None:
    @task
    def ask() -> str:
        return ckpt.context.run_id

    with Flow("f") as f:
        call = ask()
    ids = [f.run().result[call].result for _ in range(3)]
    assert len(set(ids)) == 3
    assert ids[0][:19] <= ids[1][:19] <= ids[2][:19]


def test_the_logger_of_a_task_says_which_call_speaks(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def speak(x: int) -> None:
        ckpt.get_logger().info("x is %d", x, extra={"mine": 1})

    with Flow("f") as f:
        speak.map([7, 8])
    with caplog.at_level(logging.INFO, "ckpt"):
        f.run(executor="threads")
        ckpt.get_logger().info("outside")
    spoken = [record for record in caplog.records if record.name == "ckpt.task"]
    assert sorted(record.getMessage() for record in spoken) == ["outside", "speak-1[0]: x is 7", "speak-1[1]: x is 8"]
    inside = [record for record in spoken if record.getMessage() != "outside"]
    assert {record.call for record in inside} == {"speak-1[0]", "speak-1[1]"}
    assert all(record.attempt == 1 and record.mine == 1 and record.run for record in inside)


def test_context_variables_of_the_flow_reach_its_tasks() -> None:
    from contextvars import ContextVar

    who = ContextVar("who", default="nobody")

    @task
    def ask() -> str:
        return who.get()

    with Flow("f") as f:
        call = ask()
    who.set("me")
    for executor in ("local", "threads"):
        assert f.run(executor=executor).result[call].result == "me"


def test_a_flow_made_by_a_function_runs_with_parameters(executor: str) -> None:
    @flow
    def sums(a: int, b: int = 10) -> Any:
        return add(a, b)

    assert sums.run(a=1, executor=executor).result["add"].result == 11
    assert sums.run({"a": 1, "b": 2}, executor=executor).result["add"].result == 3


def test_tags_stay_with_the_task() -> None:
    tagged = ckpt.tasks.FunctionTask(lambda: 1, "t", tags=["b", "a"])
    assert tagged.tags == {"a", "b"}
