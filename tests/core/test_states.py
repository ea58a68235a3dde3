"""States: what handlers and listeners are told, what they may change, and how states compare and travel."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

import ckpt
from ckpt import SKIP, Flow, NoResult, Result, State, plugins, states, task
from ckpt.states import (
    Cached,
    Cancelled,
    Failed,
    Mapped,
    Pending,
    Retrying,
    Running,
    Skipped,
    Success,
    TimedOut,
    TriggerFailed,
)
from ckpt.tasks import FunctionTask
from ckpt_local import LocalResultHandler

pytestmark = pytest.mark.usefixtures("plain")


class Diary:
    """A state handler that writes down what it is told, and answers what it was given to answer."""

    def __init__(self, answers: dict[type[State], Any] | None = None) -> None:
        self.lines: list[tuple[str, str]] = []
        self.subjects: set[str] = set()
        self.answers = answers or {}

    def __call__(self, subject: Any, old: State, new: State) -> State | None:
        self.lines.append((old.name, new.name))
        self.subjects.add(subject.name)
        answer = self.answers.get(type(new))
        if isinstance(answer, Exception):
            raise answer
        return answer


def run_one(function: Any, diary: Any, here: str = "local", **settings: Any) -> tuple[State, State]:
    """The states of a task with a diary, and of what reads its value."""
    with Flow("f") as f:
        call = FunctionTask(function, "t", state_handlers=[diary], **settings)()
        after = FunctionTask(lambda x: ("read", x), "after")(call)
    state = f.run(executor=here)
    return state.result[call], state.result[after]


def raise_(error: Any) -> Any:
    raise error


# -- state handlers


def test_a_state_handler_is_told_every_change_in_order(here: str) -> None:
    diary = Diary()
    run_one(lambda: 1, diary, here)
    assert diary.lines == [("Pending", "Running"), ("Running", "Success")]
    assert diary.subjects == {"t"}


@pytest.mark.parametrize(
    ("function", "settings", "lines"),
    [
        (lambda: raise_(ValueError), {}, [("Pending", "Running"), ("Running", "Failed")]),
        (lambda: raise_(SKIP), {}, [("Pending", "Running"), ("Running", "Skipped")]),
        (
            lambda: raise_(ValueError),
            {"max_retries": 1},
            [
                ("Pending", "Running"),
                ("Running", "Retrying"),
                ("Retrying", "Running"),
                ("Running", "Failed"),
            ],
        ),
    ],
)
def test_a_state_handler_is_told_of_failures_skips_and_retries(
    here: str, function: Any, settings: Any, lines: Any
) -> None:
    diary = Diary()
    run_one(function, diary, here, **settings)
    assert diary.lines == lines


def test_a_state_handler_of_a_mapped_task_is_told_of_each_child_and_then_of_the_parent() -> None:
    diary = Diary()
    with Flow("f") as f:
        FunctionTask(lambda x: x, "t", state_handlers=[diary]).map([1, 2])
    f.run()
    assert diary.lines == [("Pending", "Running"), ("Running", "Success")] * 2 + [("Pending", "Mapped")]


def test_a_task_that_never_ran_goes_from_pending_to_its_end() -> None:
    diary = Diary()
    with Flow("f") as f:
        bad = FunctionTask(lambda: raise_(ValueError), "bad")()
        FunctionTask(lambda x: x, "t", state_handlers=[diary])(bad)
    f.run()
    assert diary.lines == [("Pending", "TriggerFailed")]


def test_several_state_handlers_are_asked_in_order_each_with_the_answer_of_the_last() -> None:
    seen: list[str] = []

    def first(subject: Any, old: State, new: State) -> State | None:
        seen.append(f"first {new.name}")
        return Failed("first says no") if new.is_successful() else None

    def second(subject: Any, old: State, new: State) -> None:
        seen.append(f"second {new.name}")

    with Flow("f") as f:
        call = FunctionTask(lambda: 1, "t", state_handlers=[first, second])()
    assert f.run().result[call].message == "first says no"
    assert seen == ["first Running", "second Running", "first Success", "second Failed"]


def test_a_state_handler_may_fail_a_task_that_succeeded(here: str) -> None:
    state, after = run_one(lambda: 1, Diary({Success: Failed("too small")}), here)
    assert (type(state), state.message) == (Failed, "too small")
    assert type(after) is TriggerFailed


def test_a_state_handler_may_rescue_a_task_that_failed_with_a_value(here: str) -> None:
    state, after = run_one(lambda: raise_(ValueError), Diary({Failed: Success("a stand-in", 7)}), here)
    assert (type(state), state.message, state.result) == (Success, "a stand-in", 7)
    assert after.result == ("read", 7)


def test_a_state_handler_may_keep_a_task_from_running(here: str) -> None:
    ran: list[int] = []
    for answer in (Skipped("not today"), Failed("not today"), Success("not today", 5)):
        state, after = run_one(lambda: ran.append(1), Diary({Running: answer}), here)
        assert (type(state), state.message) == (type(answer), "not today")
        assert after.name == {"Skipped": "Skipped", "Failed": "TriggerFailed", "Success": "Success"}[state.name]
    assert after.result == ("read", 5)
    assert ran == []


def test_a_state_handler_may_keep_children_of_a_map_from_running() -> None:
    with Flow("f") as f:
        call = FunctionTask(lambda x: x, "t", state_handlers=[Diary({Running: Success("stand-in", 5)})]).map([1, 2])
        after = FunctionTask(sum, "sum")(call)
    state = f.run()
    assert type(state.result[call]) is Mapped
    assert state.result[after].result == 10


def test_a_state_handler_may_end_the_retries(here: str, notes: Any) -> None:
    def bad() -> None:
        notes.add("tried")
        raise ValueError

    state, _ = run_one(bad, Diary({Retrying: Failed("enough")}), here, max_retries=5)
    assert (type(state), state.message) == (Failed, "enough")
    assert notes.all() == ["tried"]


@pytest.mark.parametrize("at", [Running, Success])
def test_a_state_handler_that_raises_fails_its_task_and_names_itself(
    here: str, at: type[State], caplog: pytest.LogCaptureFixture
) -> None:
    state, after = run_one(lambda: 1, Diary({at: RuntimeError("broken handler")}), here)
    assert type(state) is Failed
    assert "RuntimeError: broken handler" in state.message
    assert type(after) is TriggerFailed
    assert any("state handler" in record.getMessage() for record in caplog.records)


def test_a_state_handler_that_answers_something_else_fails_its_task() -> None:
    state, _ = run_one(lambda: 1, Diary({Success: 5}))
    assert type(state) is Failed
    assert "returned 5" in state.message


@pytest.mark.parametrize("answer", [Pending("p"), Retrying("again"), Running("r")])
def test_a_state_handler_cannot_make_a_finished_task_unfinished(answer: State) -> None:
    state, after = run_one(lambda: 1, Diary({Success: answer}))
    assert type(state) is Failed
    assert answer.name in state.message
    assert "finished" in state.message
    assert type(after) is TriggerFailed


def test_a_mapped_call_that_a_state_handler_failed_fails_the_flow() -> None:
    with Flow("f") as f:
        call = FunctionTask(lambda x: x, "t", state_handlers=[Diary({Mapped: Failed("too many")})]).map([1, 2])
    state = f.run()
    assert type(state.result[call]) is Failed
    assert state.is_failed()


def test_a_flow_has_state_handlers_too() -> None:
    diary = Diary()
    with Flow("f", state_handlers=[diary]) as f:
        FunctionTask(lambda: 1, "t")()
    f.run()
    assert diary.lines == [("Pending", "Running"), ("Running", "Success")]
    assert diary.subjects == {"f"}


@pytest.mark.parametrize("answer", [Failed("no"), RuntimeError("broken handler")])
def test_a_flow_that_its_state_handler_failed_still_has_its_results(answer: Any) -> None:
    with Flow("f", state_handlers=[Diary({Success: answer})]) as f:
        call = FunctionTask(lambda: 1, "t")()
    state = f.run()
    assert state.is_failed()
    assert state.result[call].result == 1


# -- listeners


def test_listeners_are_told_of_the_run_and_of_every_change(memory: Any) -> None:
    seen: list[Any] = []

    class Listener:
        @ckpt.hookimpl
        def ckpt_run_started(self, run: Any) -> None:
            seen.append(("started", run.flow))

        @ckpt.hookimpl
        def ckpt_task_changed(self, record: Any) -> None:
            seen.append((str(record.call), record.state))

        @ckpt.hookimpl
        def ckpt_run_ended(self, state: Any, run: Any) -> None:
            seen.append(("ended", run.flow, state.name))

    listener = Listener()
    plugins.register(listener)
    try:
        with Flow("f") as f:
            FunctionTask(lambda x: x, "t").map([1])
        f.run()
    finally:
        plugins.unregister(listener)
    assert seen == [
        ("started", "f"),
        ("t-1[0]", "Running"),
        ("t-1[0]", "Success"),
        ("t-1", "Mapped"),
        ("ended", "f", "Success"),
    ]


def test_a_record_says_when_where_by_which_handler_and_why(memory: Any, told: list[Any]) -> None:
    @task(max_retries=1)
    def flaky(x: int) -> int:
        if ckpt.context.attempt == 1:
            raise ValueError("the reason")
        return x

    with Flow("f", result_handler=memory) as f:
        FunctionTask(lambda x: raise_(KeyError("k")), "bad")(flaky(1))
    f.run(checkpointing=True)
    final = {str(record.call): record for record in told if record.ended is not None}
    good, bad = final["flaky-1"], final["bad-1"]
    assert (good.state, good.attempt, good.outcome, good.level, good.handler) == (
        "Success",
        2,
        "stored",
        "flow",
        repr(memory),
    )
    assert ckpt.read(good.safe) == 1
    assert good.started <= good.ended
    assert good.ended.utcoffset().total_seconds() == 0
    assert good.error is None
    assert (bad.state, bad.outcome, bad.safe) == ("Failed", "", None)
    assert "KeyError: 'k'" in bad.error
    assert [record.state for record in told if str(record.call) == "flaky-1"] == [
        "Running",
        "Retrying",
        "Running",
        "Success",
    ]
    assert pickle.loads(pickle.dumps(good)) == good
    assert {source.digest for sources in bad.inputs.values() for source in sources} == {good.safe.digest}


def test_a_listener_that_raises_changes_nothing_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        @ckpt.hookimpl
        def ckpt_task_changed(self, run: Any, record: Any) -> None:
            raise RuntimeError("broken listener")

    listener = Broken()
    plugins.register(listener)
    try:
        with Flow("f") as f:
            call = FunctionTask(lambda x: x, "t").map([1, 2, 3])
        with caplog.at_level(logging.WARNING):
            state = f.run()
    finally:
        plugins.unregister(listener)
    assert state.result[call].result == [1, 2, 3]
    assert sum("broken listener" in record.getMessage() for record in caplog.records) == 1


def test_a_listener_that_is_registered_again_is_told_again() -> None:
    class Listener:
        told = 0
        broken = True

        @ckpt.hookimpl
        def ckpt_task_changed(self, run: Any, record: Any) -> None:
            self.told += 1
            if self.broken:
                raise RuntimeError("broken listener")

    with Flow("f") as f:
        FunctionTask(lambda: 1, "t")()
    listener = Listener()
    for broken, told in ((True, 1), (False, 1 + 2)):
        listener.broken = broken
        plugins.register(listener)
        try:
            f.run()
        finally:
            plugins.unregister(listener)
        assert listener.told == told


# -- the states themselves

ALL = [Pending, Retrying, Running, Success, Cached, Skipped, Mapped, Failed, TimedOut, TriggerFailed, Cancelled]


@pytest.mark.parametrize("kind", ALL)
def test_a_state_answers_what_it_is(kind: type[State]) -> None:
    state = kind("m", map_states=[Success()]) if kind is Mapped else kind("m")
    assert state.name == kind.__name__
    assert state.is_successful() == (kind in (Success, Cached, Skipped, Mapped))
    assert state.is_failed() == (kind in (Failed, TimedOut, TriggerFailed, Cancelled))
    assert state.is_finished() == (kind not in (Pending, Retrying, Running))
    assert state.is_pending() == (kind in (Pending, Retrying))
    assert state.is_running() == (kind is Running)
    assert state.is_retrying() == (kind is Retrying)
    assert state.is_skipped() == (kind is Skipped)
    assert state.is_mapped() == (kind is Mapped)
    assert state.is_cached() == (kind is Cached)
    assert state.is_cancelled() == (kind is Cancelled)
    assert isinstance(state.color, str)


def test_a_mapped_state_is_as_good_as_its_children() -> None:
    assert Mapped(map_states=[Success(), Skipped()]).is_successful()
    assert not Mapped(map_states=[Success(), Running()]).is_successful()
    assert not Mapped(map_states=[Success(), Running()]).is_failed()
    assert Mapped(map_states=[Success(), TimedOut()]).is_failed()
    assert Mapped(map_states=[Success("", 1), Success("", [2])]).result == [1, [2]]


def test_a_state_without_a_value_has_no_result_which_is_not_none() -> None:
    assert Pending().result is NoResult
    assert Success("", None).result is None
    assert Success().safe_value is NoResult
    assert Success("", 5)._result.value == Success("", 5).kept.value == 5


@pytest.mark.parametrize("kind", ALL)
def test_states_compare_copy_and_pickle(kind: type[State]) -> None:
    state = kind("m", [1, 2], map_states=[Success("", 1)] if kind is Mapped else None)
    for again in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert again == state
        assert type(again) is kind
        assert (again.message, again.result) == (state.message, state.result)
    assert state != kind("other", [1, 2])
    assert state != "m"
    assert kind.__name__ in repr(state)
    assert hash(state) == hash(copy.copy(state))


def test_states_with_values_that_compare_oddly_can_be_compared() -> None:
    import numpy as np

    array = np.arange(3)
    assert Success("", array) == Success("", array)
    assert Success("", array) == Success("", array.copy())
    assert Success("", array) != Success("", array + 1)
    assert Success("", array) != Success("", np.arange(4))


def test_the_state_of_a_flow_travels_with_slugs_in_the_place_of_calls() -> None:
    with Flow("f") as f:
        one = FunctionTask(lambda: 1, "one")()
        FunctionTask(lambda x: x, "many").map([one, 2])
        FunctionTask(lambda: raise_(ValueError("bad")), "bad")()
    state = pickle.loads(pickle.dumps(f.run()))
    assert type(state) is Failed
    assert list(state.result) == ["one-1", "many-1", "bad-1"]
    assert state.result["one-1"].result == 1
    assert [child.result for child in state.result["many-1"].map_states] == [1, 2]
    assert str(state.result["bad-1"].result) == "bad"


class Unpicklable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def test_the_state_of_a_flow_travels_also_with_an_exception_that_does_not() -> None:
    with Flow("f") as f:
        FunctionTask(lambda: raise_(Unpicklable("one", "two")), "bad")()
        FunctionTask(lambda: 1, "good")()
    state = pickle.loads(pickle.dumps(f.run()))
    assert state.result["good-1"].result == 1
    assert state.result["bad-1"].message == "Unpicklable: one"


def test_every_state_is_exported() -> None:
    assert {kind.__name__ for kind in ALL} <= set(states.__all__)
    assert Result(1).value == 1


def test_a_value_that_a_state_handler_gave_has_no_safe_value_of_another(tmp_path: Path) -> None:
    def replace(subject: Any, old: State, new: State) -> State | None:
        return Success("better", 42) if new.is_successful() else None

    @task(state_handlers=[replace], result_handler=LocalResultHandler(dir=tmp_path))
    def one() -> int:
        return 1

    with Flow("replaced") as flow:
        call = one()
    state = flow.run(checkpointing=True).result[call]
    assert state.result == 42
    assert state.safe_value is NoResult
    assert pickle.loads(pickle.dumps(state)).result == 42
