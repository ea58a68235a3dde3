"""Triggers and SKIP: when a task runs although, or because, something upstream did not succeed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import ckpt
from ckpt import SKIP, Flow, State, Task, task, triggers
from ckpt.states import Failed, Skipped, Success, TriggerFailed
from ckpt.tasks import FunctionTask

pytestmark = pytest.mark.usefixtures("plain")


@task
def good(x: Any = None) -> str:
    return "good"


@task
def bad(x: Any = None) -> None:
    raise ValueError("bad")


@task
def skip(x: Any = None) -> None:
    raise SKIP("no need")


def after(trigger: Any, **settings: Any) -> FunctionTask:
    return FunctionTask(lambda *values: len(values), "after", trigger=trigger, **settings)


G, B = "good", "bad"


@pytest.mark.parametrize(
    ("trigger", "runs"),
    [
        (triggers.all_successful, {(G, G)}),
        (triggers.all_failed, {(B, B)}),
        (triggers.any_successful, {(G, G), (G, B)}),
        (triggers.any_failed, {(G, B), (B, B)}),
        (triggers.all_finished, {(G, G), (G, B), (B, B)}),
    ],
)
@pytest.mark.parametrize("outcomes", [(G, G), (G, B), (B, B)])
def test_each_trigger_runs_its_task_in_its_cases_only(
    executor: str, trigger: triggers.Trigger, runs: set[tuple[str, str]], outcomes: tuple[str, str]
) -> None:
    with Flow("f") as f:
        upstream = [{G: good, B: bad}[name]() for name in outcomes]
        by_value = after(trigger)(*upstream)
        by_waiting = after(trigger)(upstream_tasks=upstream)
    state = f.run(executor=executor)
    expected = Success if outcomes in runs else TriggerFailed
    assert type(state.result[by_value]) is expected
    assert type(state.result[by_waiting]) is expected
    if expected is TriggerFailed:
        message = state.result[by_value].message
        assert f"trigger {trigger.__name__} was not met" in message
        assert ("bad-1" in message) == (B in outcomes)


@pytest.mark.parametrize(
    "trigger", [triggers.all_failed, triggers.any_failed, triggers.any_successful, lambda states: False]
)
def test_a_task_with_nothing_upstream_runs_whatever_its_trigger(executor: str, trigger: Any) -> None:
    with Flow("f") as f:
        call = after(trigger)()
        mapped = after(trigger).map([1, 2])
    state = f.run(executor=executor)
    assert state.result[call].result == 0
    assert state.result[mapped].result == [1, 1]


def test_a_trigger_failure_counts_as_a_failure_downstream(executor: str) -> None:
    with Flow("f") as f:
        first = good(bad())
        second = good(first)
        rescue = after(triggers.all_failed)(second)
    state = f.run(executor=executor)
    assert [type(state.result[c]) for c in (first, second, rescue)] == [TriggerFailed, TriggerFailed, Success]


def test_a_rescuing_task_is_given_the_exception_in_the_place_of_the_value(executor: str) -> None:
    @task(trigger=triggers.any_failed)
    def rescue(error: Any, value: Any) -> Any:
        return type(error).__name__, str(error), value

    with Flow("f") as f:
        call = rescue(bad(), good())
    assert f.run(executor=executor).result[call].result == ("ValueError", "bad", "good")


def test_a_trigger_of_ones_own_sees_every_state_upstream_and_decides(executor: str) -> None:
    seen: list[list[str]] = []

    def most(upstream: Sequence[State]) -> bool:
        seen.append(sorted(state.name for state in upstream))
        return sum(state.is_successful() for state in upstream) * 2 > len(upstream)

    with Flow("f") as f:
        g, b, children = good(), bad(), good.map([1, 2])
        runs = after(most)(g, b, children)
        not_run = after(most)(b, upstream_tasks=[bad(), g])
    state = f.run(executor=executor)
    assert state.result[runs].result == 3
    assert type(state.result[not_run]) is TriggerFailed
    assert sorted(seen) == [["Failed", "Failed", "Success"], ["Failed", "Success", "Success", "Success"]]


def test_a_trigger_that_raises_fails_its_task_and_says_what_it_raised(executor: str) -> None:
    def broken(upstream: Sequence[State]) -> bool:
        raise RuntimeError("no idea")

    with Flow("f") as f:
        call = after(broken)(good())
        beside = good()
    state = f.run(executor=executor)
    assert type(state.result[call]) is TriggerFailed
    assert "broken raised RuntimeError: no idea" in state.result[call].message
    assert state.result[beside].result == "good"


def test_a_trigger_may_be_set_on_a_class() -> None:
    class Rescue(Task):
        trigger = triggers.any_failed

        def run(self, x: Any) -> str:
            return "rescued"

    class Never(Task):
        def trigger(states: Any) -> bool:  # type: ignore[override]  # noqa: N805  a function, not a method
            return False

        def run(self, x: Any) -> None: ...

    with Flow("f") as f:
        call, not_run, never = Rescue()(bad()), Rescue()(good()), Never()(good())
    state = f.run()
    assert state.result[call].result == "rescued"
    assert type(state.result[not_run]) is TriggerFailed
    assert type(state.result[never]) is TriggerFailed


# -- SKIP


def test_skip_skips_the_task_and_everything_downstream(executor: str) -> None:
    with Flow("f") as f:
        first = skip()
        second = good(first)
        third = good(second)
        waits = good(upstream_tasks=[third])
        beside = good()
    state = f.run(executor=executor)
    assert [type(state.result[c]) for c in (first, second, third, waits)] == [Skipped] * 4
    assert state.result[first].message == "no need"
    assert "upstream was skipped" in state.result[second].message
    assert state.result[first].result is ckpt.NoResult
    assert state.result[beside].result == "good"
    assert state.is_successful()
    assert state.result[first].is_successful()
    assert state.result[first].is_skipped()


def test_a_skip_without_a_reason_says_that_the_task_skipped_itself(executor: str) -> None:
    @task
    def bare() -> None:
        raise SKIP

    with Flow("f") as f:
        call = bare()
    message = f.run(executor=executor).result[call].message
    assert "SKIP" in message
    assert "interrupt" not in message


def test_a_task_may_run_although_something_upstream_was_skipped(executor: str) -> None:
    with Flow("f") as f:
        call = after(triggers.all_successful, skip_on_upstream_skip=False)(skip(), good())
        last = good(call)
        not_run = after(triggers.all_successful, skip_on_upstream_skip=False)(skip(), bad())
    state = f.run(executor=executor)
    assert state.result[call].result == 2
    assert state.result[last].result == "good"
    assert type(state.result[not_run]) is TriggerFailed


def test_a_skip_goes_before_a_failure(executor: str) -> None:
    with Flow("f") as f:
        call = good([skip(), bad()])
    assert type(f.run(executor=executor).result[call]) is Skipped


def test_skip_is_not_retried(executor: str, notes: Any) -> None:
    @task(max_retries=3)
    def once() -> None:
        notes.add("tried")
        raise SKIP

    with Flow("f") as f:
        call = once()
    assert type(f.run(executor=executor).result[call]) is Skipped
    assert notes.all() == ["tried"]


def test_skip_in_an_async_task_and_in_one_with_a_timeout(executor: str) -> None:
    @task
    async def later() -> None:
        raise SKIP("later")

    @task(timeout=10)
    def bounded() -> None:
        raise SKIP("bounded")

    with Flow("f") as f:
        calls = later(), bounded()
    state = f.run(executor=executor)
    assert [(type(state.result[c]), state.result[c].message) for c in calls] == [
        (Skipped, "later"),
        (Skipped, "bounded"),
    ]


def test_failed_is_failed_after_skipped_siblings() -> None:
    with Flow("f") as f:
        skip()
        call = bad()
    state = f.run()
    assert isinstance(state, Failed)
    assert type(state.result[call]) is Failed
