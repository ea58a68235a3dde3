"""Computed and kept: two moments. A store that sleeps, fails and blocks proves each sentence about them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import ckpt
from ckpt import SKIP, Flow, NoResult, ResultHandler, task
from ckpt.engine import writers
from ckpt.errors import AccessDenied, ConfigError, NotSerializable, StoreUnavailable
from ckpt.handlers import Staged
from ckpt.states import Failed, Mapped, Success, TimedOut, TriggerFailed
from ckpt.tasks import FunctionTask
from ckpt.triggers import all_finished
from ckpt_local import LocalResultHandler

pytestmark = pytest.mark.usefixtures("plain")


@task
def give(x: Any) -> Any:
    return x


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


# -- computed, then kept


def test_downstream_starts_while_the_write_is_still_under_way(here: str, memory: Any) -> None:
    gate = threading.Event()
    waited: list[bool] = []
    memory.memory.before = lambda key: waited.append(gate.wait(10))

    @task
    def open_the_gate(x: int) -> int:
        gate.set()
        return x

    with Flow("f", result_handler=memory) as f:
        call = open_the_gate(add(give(1)))
    assert f.run(executor=here, checkpointing=True).result[call].result == 2
    assert waited == [True] * 3


def test_children_of_a_map_start_while_the_list_they_come_from_is_still_written(here: str, memory: Any) -> None:
    gate = threading.Event()
    waited: list[bool] = []
    memory.memory.before = lambda key: waited.append(gate.wait(10))

    @task
    def open_the_gate(x: int) -> int:
        gate.set()
        return x

    with Flow("f", result_handler=memory) as f:
        open_the_gate.map(add.map(give([1, 2])))
    assert f.run(executor=here, checkpointing=True).is_successful()
    assert waited == [True] * 5


def test_the_run_returns_when_everything_is_kept(here: str, memory: Any) -> None:
    memory.memory.before = lambda key: time.sleep(0.02)
    with Flow("f", result_handler=memory) as f:
        give(add.map(range(20)))
    state = f.run(executor=here, checkpointing=True)
    assert memory.memory.calls() == sorted([*(f"add-1/{n:04d}" for n in range(20)), "give-1"])
    assert all(type(child.safe_value.read()) is int for child in state.result["add"].map_states)


def test_what_is_done_to_a_value_later_does_not_reach_what_is_kept(here: str, memory: Any) -> None:
    memory.memory.before = lambda key: time.sleep(0.02)

    @task
    def spoil(values: list[int]) -> int:
        values.append(666)
        return len(values)

    with Flow("f", result_handler=memory) as f:
        first = give([1, 2])
        array = give(np.zeros(200_000))
        spoil(first)
        FunctionTask(lambda a: a.fill(1), "fill")(array)
    state = f.run(executor=here, checkpointing=True)
    assert state.result[first].safe_value.read() == [1, 2]
    assert not state.result[array].safe_value.read().any()
    assert state.result[first].result == [1, 2, 666]


def test_success_is_told_only_when_the_value_would_survive(here: str, memory: Any, told: list[Any]) -> None:
    store = memory.memory
    store.before = lambda key: time.sleep(0.02)
    early: list[str] = []

    def handler(subject: Any, old: Any, new: Any) -> None:
        if new.is_successful() and not any(subject.name in key for key in store.objects):
            early.append(f"{subject.name}: {new.name}")

    class Listener:
        @ckpt.hookimpl
        def ckpt_task_changed(self, run: Any, record: Any) -> None:
            if record.state == "Success" and record.safe.value not in store.objects:
                early.append(str(record.call))

    listener = Listener()
    ckpt.plugins.register(listener)
    try:
        with Flow("f", result_handler=memory) as f:
            one = FunctionTask(lambda: 1, "one", state_handlers=[handler])()
            many = add.map([one, 2])
            add(many, [])
        assert f.run(executor=here, checkpointing=True).is_successful()
    finally:
        ckpt.plugins.unregister(listener)
    assert early == []
    assert sum(record.state == "Success" for record in told) == 4


def test_a_task_with_a_state_handler_lets_nothing_start_before_it_is_kept(memory: Any) -> None:
    order: list[str] = []
    memory.memory.before = lambda key: (time.sleep(0.02), order.append(key.rpartition("/")[2]))

    @task
    def after(x: int) -> None:
        order.append("after starts")

    with Flow("f", result_handler=memory) as f:
        after(FunctionTask(lambda: 1, "watched", state_handlers=[lambda task, old, new: None])())
    f.run(checkpointing=True)
    assert order[:2] == ["watched-1.ckpt", "after starts"]


def test_a_plain_handler_of_two_methods_has_written_before_downstream_starts(here: str, two_methods: Any) -> None:
    @task
    def look(x: Any) -> list[str]:
        return sorted(key.rpartition("/")[2] for key in two_methods.values)

    with Flow("f", result_handler=two_methods) as f:
        first = give([1])
        call = look(first)
    state = f.run(executor=here, checkpointing=True)
    assert state.result[call].result == ["give-1"]
    safe = state.result[first].safe_value
    assert (safe.digest, safe.size, safe.serializer) == (None, None, None)
    assert safe.read() == [1]


def test_a_large_value_is_written_before_downstream_starts(here: str, memory: Any) -> None:
    @task
    def look(x: Any) -> list[str]:
        return memory.memory.calls()  # type: ignore[no-any-return]

    with Flow("f", result_handler=memory) as f:
        large = give(np.arange(300_000))
        call = look(large)
    state = f.run(executor=here, checkpointing=True)
    assert state.result[call].result == ["give-1"]
    assert (state.result[large].safe_value.read() == np.arange(300_000)).all()


# -- how much is in flight


def test_at_most_16_writers_and_64_mib_are_promised() -> None:
    assert (writers.MOST_WRITERS, writers.IN_FLIGHT_BYTES) == (16, 64 * 1024 * 1024)


def test_sixteen_puts_run_at_once_and_no_more(here: str, memory: Any) -> None:
    store = memory.memory
    full = threading.Event()

    def before(key: str) -> None:
        if store.active >= 16:
            full.set()
        full.wait(10)

    store.before = before
    with Flow("f", result_handler=memory) as f:
        give.map(range(60))
    assert f.run(executor=here, checkpointing=True).is_successful()
    assert full.is_set()
    assert store.most_active == 16


def test_sixteen_writers_serve_all_handlers_together(memory: Any) -> None:
    handlers = [type(memory)(f"store {n}") for n in range(5)]
    lock = threading.Lock()
    active = most = 0

    def before(key: str) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        time.sleep(0.02)
        with lock:
            active -= 1

    with Flow("f") as f:
        for number, handler in enumerate(handlers):
            handler.memory.before = before
            FunctionTask(lambda x: x, f"t{number}", result_handler=handler).map(range(20))
    assert f.run(checkpointing=True).is_successful()
    assert 5 <= most <= 16 + 4  # each handler has one at least


def test_the_bytes_in_flight_are_bounded(here: str, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, size = 200_000, 20_000
    monkeypatch.setattr(writers, "IN_FLIGHT_BYTES", limit)
    lock = threading.Lock()
    now = most = 0

    class Counting(type(memory)):  # type: ignore[misc]
        def stage(self, value: object, **more: Any) -> Staged:
            nonlocal now, most
            staged = super().stage(value, **more)
            with lock:
                now += len(staged.data or b"")
                most = max(most, now)
            return staged

        def send(self, staged: Sequence[Staged]) -> Any:
            nonlocal now
            time.sleep(0.1)  # long enough for all tasks to run, if nothing held them back
            answers = super().send(staged)
            with lock:
                now -= sum(len(each.data or b"") for each in staged)
            return answers

    with Flow("f", result_handler=Counting(), executor=here) as f:
        FunctionTask(lambda x: bytes(size), "t").map(range(60))
    monkeypatch.setenv("CKPT__FLOWS__WORKERS", "2")
    assert f.run(checkpointing=True).is_successful()
    assert now == 0
    # Besides what is in flight, each thread may hold what it has just made, and the loop what it is about to send.
    assert most <= limit + 6 * (size + 1000)
    assert most > limit / 2


# -- writes that fail


def test_a_failed_write_is_tried_again_alone(here: str, memory: Any, failing: Any, notes: Any) -> None:
    memory.memory.before = failing(3)

    @task
    def once(x: int) -> int:
        notes.add(x)
        return x

    with Flow("f", result_handler=memory) as f:
        mapped = once.map([1, 2])
    state = f.run(executor=here, checkpointing=True)
    assert state.is_successful()
    assert sorted(notes.all()) == ["1", "2"]
    assert list(memory.memory.tries.values()) == [4, 4]
    assert [child.safe_value.read() for child in state.result[mapped].map_states] == [1, 2]


@pytest.mark.parametrize("retries", [0, 2])
def test_write_retries_say_how_often(memory: Any, failing: Any, retries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT__FLOWS__WRITE_RETRIES", str(retries))
    memory.memory.before = failing(float("inf"), StoreUnavailable)
    with Flow("f", result_handler=memory) as f:
        call = give(1)
    assert type(f.run(checkpointing=True).result[call]) is Failed
    assert list(memory.memory.tries.values()) == [retries + 1]


def test_a_plain_handler_is_tried_again_too(two_methods: Any, failing: Any) -> None:
    two_methods.before = failing(2)
    with Flow("f", result_handler=two_methods) as f:
        call = give(1)
    assert f.run(checkpointing=True).result[call].safe_value.read() == 1
    assert list(two_methods.tries.values()) == [3]


def test_a_write_that_was_refused_is_not_tried_again(memory: Any, failing: Any) -> None:
    memory.memory.before = failing(float("inf"), AccessDenied)
    with Flow("f", result_handler=memory) as f:
        call = give(1)
    state = f.run(checkpointing=True)
    assert "AccessDenied: the test says no" in state.result[call].message
    assert list(memory.memory.tries.values()) == [1]


def failed_write(memory: Any, here: str, failing: Any) -> Any:
    """A flow whose `source` cannot be written while `started` runs downstream of it; `rest` comes after that."""
    begun, told = threading.Event(), threading.Event()
    refuse = failing(float("inf"), AccessDenied, "source")

    def before(key: str) -> None:
        if "source" in key:
            begun.wait(10)
        refuse(key)

    memory.memory.before = before

    class Listener:
        @ckpt.hookimpl
        def ckpt_task_changed(self, run: Any, record: Any) -> None:
            if str(record.call) == "source-1" and record.outcome:
                told.set()

    def started(x: int) -> int:
        begun.set()
        if here == "threads":
            assert told.wait(10)
        else:
            time.sleep(0.05)  # there is one thread, so the news can only wait in the queue
        return x + 1

    with Flow("f", result_handler=memory) as f:
        source = FunctionTask(lambda: 41, "source")()
        first = FunctionTask(started, "started")(source)
        FunctionTask(lambda x, y: x + y, "rest")(source, first)
        FunctionTask(lambda x: x, "anyway", trigger=all_finished)([source, first])
        FunctionTask(lambda x: x, "beside")(first)
    listener = Listener()
    ckpt.plugins.register(listener)
    try:
        return f.run(executor=here, checkpointing=True)
    finally:
        ckpt.plugins.unregister(listener)


def test_a_value_that_cannot_be_kept_fails_its_task_and_what_has_not_started(
    here: str, memory: Any, failing: Any, told: list[Any]
) -> None:
    state = failed_write(memory, here, failing)
    source = state.result["source"]
    assert type(source) is Failed
    assert source.message == "computed, not kept: AccessDenied: the test says no"
    assert source.result == 41
    assert source.safe_value is NoResult
    assert (state.result["started"].name, state.result["started"].result) == ("Success", 42)
    assert type(state.result["rest"]) is TriggerFailed
    assert "source-1" in state.result["rest"].message
    assert state.result["anyway"].result == [41, 42]
    assert state.result["beside"].result == 42
    assert state.is_failed()
    final = {str(record.call): record.outcome for record in told if record.ended}
    assert final["source-1"] == "failed: the test says no"
    assert final["started-1"] == "stored"
    assert final["rest-1"] == ""


def test_with_warn_the_value_is_used_and_the_outcome_recorded(
    here: str,
    memory: Any,
    failing: Any,
    told: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CKPT__FLOWS__ON_WRITE_ERROR", "warn")
    state = failed_write(memory, here, failing)
    source = state.result["source"]
    assert type(source) is Success
    assert source.message == "computed, not kept: AccessDenied: the test says no"
    assert (source.result, source.safe_value) == (41, NoResult)
    assert state.result["rest"].result == 83
    assert state.is_successful()
    assert "source-1" in state.message
    final = {str(record.call): record.outcome for record in told if record.ended}
    assert final["source-1"] == "failed: the test says no"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "source-1" in warnings[0]


def test_a_flow_fails_though_the_task_that_is_not_kept_decides_nothing(memory: Any, failing: Any) -> None:
    memory.memory.before = failing(float("inf"), AccessDenied, "source")
    with Flow("f", result_handler=memory) as f:
        source = FunctionTask(lambda: 41, "source")()
        last = FunctionTask(lambda x: x, "last", trigger=all_finished)(source)
    state = f.run(checkpointing=True)
    assert state.result[last].result == 41
    assert state.is_failed()
    assert "source-1" in state.message
    f.set_reference_tasks([last])
    assert f.run(checkpointing=True).is_failed()


def test_children_that_have_not_started_see_that_their_list_is_not_kept(memory: Any) -> None:
    began, told = threading.Event(), threading.Event()

    def before(key: str) -> None:
        if "source" in key:
            began.wait(10)
            raise AccessDenied("no")

    memory.memory.before = before

    class Listener:
        @ckpt.hookimpl
        def ckpt_task_changed(self, record: Any) -> None:
            if str(record.call) == "source-1" and record.outcome:
                told.set()

    def child(x: int) -> int:
        began.set()
        time.sleep(0.05)
        return x

    with Flow("f", result_handler=memory) as f:
        mapped = FunctionTask(child, "child").map(FunctionTask(lambda: [1, 2, 3], "source")())
    listener = Listener()
    ckpt.plugins.register(listener)
    try:
        states = f.run(checkpointing=True).result[mapped].map_states
    finally:
        ckpt.plugins.unregister(listener)
    assert [state.name for state in states] == ["Success", "TriggerFailed", "TriggerFailed"]
    assert told.is_set()


def test_a_value_that_cannot_be_serialized_fails_before_downstream_starts(here: str, memory: Any, notes: Any) -> None:
    memory.memory.before = lambda key: time.sleep(0.02)

    @task
    def after(x: Any) -> None:
        notes.add("after ran")

    with Flow("f", result_handler=memory) as f:
        mapped = FunctionTask(lambda x: {"rows": [x, threading.Lock() if x else x]}, "bad").map([0, 1])
        after.map(mapped)
        after(mapped)
    state = f.run(executor=here, checkpointing=True)
    good, bad = state.result[mapped].map_states
    assert type(good) is Success
    assert type(bad) is Failed
    assert bad.message.startswith("computed, not kept: NotSerializable: task bad-1[1]: ")
    assert "['rows'][1]" in bad.message
    assert "lock" in bad.message
    assert bad.result["rows"][0] == 1
    assert [type(s) for s in state.result["after-1"].map_states] == [Success, TriggerFailed]
    assert type(state.result["after-2"]) is TriggerFailed
    assert notes.all() == ["after ran"]
    assert not any("bad-1/0001" in key for key in memory.memory.tries)


def test_a_value_that_cannot_be_serialized_names_the_task_also_with_a_json_handler() -> None:
    from ckpt_json import JSONResultHandler

    with Flow("f", result_handler=JSONResultHandler()) as f:
        call = give({"a": [1, object()]})
    state = f.run(checkpointing=True)
    error = state.result[call].message
    assert "task give-1" in error
    assert "['a'][1]" in error


def test_a_checkpoint_that_is_opted_out_may_be_anything(memory: Any) -> None:
    with Flow("f", result_handler=memory) as f:
        call = FunctionTask(lambda: threading.Lock(), "lock", checkpoint=False)()
        after = FunctionTask(lambda x: type(x).__name__, "after")(call)
    state = f.run(checkpointing=True)
    assert state.result[after].result == "lock"
    assert state.result[call].safe_value is NoResult
    assert state.result[call].kept.result_handler is None
    assert memory.memory.calls() == ["after-1"]


class Odd(ResultHandler):
    """A handler that breaks its contract in one way."""

    storage_type = "odd"
    writers = 2

    def __init__(self, send: Callable[[Sequence[Staged]], Any]) -> None:
        self._send = send

    def write(self, value: object, *, key: str | None = None) -> Any:
        return key

    def read(self, location: Any) -> object:
        return None

    def stage(self, value: object, *, key: str, meta: Any) -> Staged:
        return Staged(ckpt.Stored(key), b"data")

    def send(self, staged: Sequence[Staged]) -> Any:
        return self._send(staged)


def raising(error: BaseException) -> Any:
    def raise_it(staged: Any) -> Any:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("send", "word"),
    [
        (lambda staged: [], "answered 0"),
        (lambda staged: None, "TypeError"),
        (lambda staged: [None, None], "answered 2"),
        (raising(RuntimeError("odd")), "RuntimeError: odd"),
        (raising(SystemExit(3)), "SystemExit"),
    ],
)
def test_a_handler_that_breaks_its_contract_fails_its_tasks_and_never_hangs_the_run(
    here: str, send: Any, word: str
) -> None:
    with Flow("f", result_handler=Odd(send)) as f:
        call, other = give(1), FunctionTask(lambda: 2, "other", checkpoint=False)()
    state = f.run(executor=here, checkpointing=True)
    assert type(state.result[call]) is Failed
    assert word in state.result[call].message
    assert state.result[other].result == 2


def test_a_handler_that_leaves_while_it_stages_fails_its_task_and_never_hangs_the_run(
    here: str, two_methods: Any
) -> None:
    def leave(key: str) -> None:
        raise SystemExit(3)

    two_methods.before = leave
    with Flow("f", result_handler=two_methods) as f:
        call = give(1)
    state = f.run(executor=here, checkpointing=True)
    assert type(state.result[call]) is Failed
    assert "not kept" in state.result[call].message


# -- what is written, and where


def test_what_failed_was_skipped_or_timed_out_writes_nothing(here: str, memory: Any) -> None:
    def skip() -> None:
        raise SKIP

    def fail() -> None:
        raise ValueError

    with Flow("f", result_handler=memory) as f:
        calls = [
            FunctionTask(fail, "fail")(),
            FunctionTask(skip, "skip")(),
            FunctionTask(lambda: time.sleep(0.5), "late", timeout=0.02)(),
        ]
        calls += [give(calls[0]), give(calls[1])]
        good = give(None)
    state = f.run(executor=here, checkpointing=True)
    assert [state.result[call].name for call in calls] == ["Failed", "Skipped", "TimedOut", "TriggerFailed", "Skipped"]
    assert type(state.result[calls[2]]) is TimedOut
    assert all(state.result[call].safe_value is NoResult for call in calls)
    assert memory.memory.calls() == [good.slug]
    assert state.result[good].safe_value.read() is None


def test_a_mapped_child_writes_its_own_value_and_the_parent_none(here: str, memory: Any) -> None:
    with Flow("f", result_handler=memory) as f:
        mapped = add.map([1, 2])
    state = f.run(executor=here, checkpointing=True)
    assert memory.memory.calls() == ["add-1/0000", "add-1/0001"]
    assert type(state.result[mapped]) is Mapped
    assert state.result[mapped].safe_value is NoResult
    assert state.result[mapped].kept.result_handler is None
    assert [child.safe_value.value.rpartition("/")[2] for child in state.result[mapped].map_states] == [
        "0000.ckpt",
        "0001.ckpt",
    ]


def test_only_what_a_persons_own_task_returned_is_written(memory: Any) -> None:
    with Flow("f", result_handler=memory) as f:
        data = give({"a": [1, 2]})
        give([data["a"], (data, {"k": data["a"][0]})])
    f.run(checkpointing=True)
    assert memory.memory.calls() == ["give-1", "give-2"]


def test_a_retried_task_writes_the_value_of_its_last_try_only(here: str, memory: Any, notes: Any) -> None:
    @task(max_retries=2)
    def flaky() -> int:
        tried = notes.add("tried")
        if tried < 3:
            raise ValueError
        return tried

    with Flow("f", result_handler=memory) as f:
        call = flaky()
    state = f.run(executor=here, checkpointing=True)
    assert memory.memory.calls() == ["flaky-1"]
    assert state.result[call].safe_value.read() == 3


def test_every_field_of_a_template_is_filled_the_same_way_on_every_executor(here: str, memory: Any) -> None:
    template = "{date:%Y}/{flow}/{run_id}/{order:02d}-{call}/{tags}/{parameters[who]}/{attempt}{map}{suffix}"
    handler = type(memory)(template=template, prefix="pre")
    with Flow("My Flow", result_handler=handler) as f:
        who = ckpt.Parameter("who", result_handler=handler)
        FunctionTask(lambda x: (x, ckpt.context.run_id), "t", tags=["b", "a"]).map([who, 5])
    state = f.run(who="me", executor=here, checkpointing=True)
    (value, run_id), year = state.result["t"].result[0], f"{state.result['t'].map_states[0].safe_value.value[4:8]}"
    assert value == "me"
    assert year.isdigit()
    assert sorted(handler.memory.objects) == [
        f"pre/{year}/my-flow/{run_id}/00-who/untagged/me/1.ckpt",
        f"pre/{year}/my-flow/{run_id}/01-t-1/a+b/me/1/0000.ckpt",
        f"pre/{year}/my-flow/{run_id}/01-t-1/a+b/me/1/0001.ckpt",
    ]


@pytest.mark.parametrize(
    ("template", "word"),
    [("{call}{map}/{parameters[missing]}", "missing"), ("{run_id}/{call}{suffix}", "map")],
)
def test_a_template_that_does_not_fit_the_flow_is_refused_before_any_task_runs(
    memory: Any, template: str, word: str
) -> None:
    ran: list[int] = []
    handler = type(memory)(template=template)
    with Flow("f", result_handler=handler) as f:
        FunctionTask(ran.append, "t").map([1])
    with pytest.raises(ConfigError, match=word):
        f.run(checkpointing=True)
    assert ran == []


def test_a_place_that_cannot_be_written_to_is_found_before_any_task_runs(plain: Any) -> None:
    ran: list[int] = []
    (plain / "file").write_text("in the way")
    with Flow("f", result_handler=LocalResultHandler(dir=plain / "file" / "kept")) as f:
        FunctionTask(ran.append, "t")(1)
    with pytest.raises(ckpt.errors.CkptError, match="file"):
        f.run(checkpointing=True)
    assert ran == []


def test_each_handler_is_made_ready_once_for_a_run(memory: Any) -> None:
    made: list[int] = []

    class Counting(type(memory)):  # type: ignore[misc]
        def for_run(self) -> Any:
            made.append(1)
            return self

    handler = Counting()
    with Flow("f", result_handler=handler) as f:
        give(give(1))
        FunctionTask(lambda: 1, "own", result_handler=handler)()
    f.run(checkpointing=True)
    assert made == [1]


def test_not_serializable_is_the_error_itself_of_ckpt() -> None:
    assert issubclass(NotSerializable, TypeError)
