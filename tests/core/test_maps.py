"""Mapped calls: one child for each element, each with its own state, on every executor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ckpt
from ckpt import SKIP, Flow, task, unmapped
from ckpt.states import Failed, Mapped, Skipped, Success, TriggerFailed
from ckpt.tasks import FunctionTask
from ckpt.triggers import all_finished, any_failed, any_successful

pytestmark = pytest.mark.usefixtures("plain")


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def give(x: Any) -> Any:
    return x


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def total(xs: Any) -> Any:
    return sum(xs)


@task
def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


def test_a_mapped_call_runs_once_for_each_element_in_order(executor: str) -> None:
    with Flow("f") as f:
        given = add.map([1, 2, 3], y=unmapped(10))
        computed = add.map(numbers(3), y=[1, 2, 3])
        reduced = total(computed)
    state = f.run(executor=executor)
    mapped = state.result[given]
    assert type(mapped) is Mapped
    assert mapped.is_successful()
    assert mapped.result == [11, 12, 13]
    assert [type(child) for child in mapped.map_states] == [Success] * 3
    assert [child.result for child in mapped.map_states] == [11, 12, 13]
    assert state.result[computed].result == [1, 3, 5]
    assert state.result[reduced].result == 9


@pytest.mark.parametrize("values", [range(3), (0, 1, 2), np.arange(3), {0: 0, 1: 1, 2: 2}.keys(), iter([0, 1, 2])])
def test_anything_with_elements_can_be_mapped_over(values: Any) -> None:
    with Flow("f") as f:
        call = add.map(values)
    assert f.run().result[call].result == [1, 2, 3]


def test_a_mapped_call_reads_whole_what_is_unmapped_and_looked_up(executor: str) -> None:
    with Flow("f") as f:
        base = give({"rows": [1, 2, 3], "by": 100})
        shared = add.map(base["rows"], unmapped(base["by"]))
        lists = add.map([[1], [2]], unmapped([base["by"]]))
    state = f.run(executor=executor)
    assert state.result[shared].result == [101, 102, 103]
    assert state.result[lists].result == [[1, 100], [2, 100]]


def test_a_part_of_a_part_can_be_mapped_over(executor: str) -> None:
    with Flow("f") as f:
        data = give({"a": [{"rows": [1, 2]}], "b": [5]})
        call = add.map(data["a"][0]["rows"])
        other = add.map(data["b"])
    state = f.run(executor=executor)
    assert state.result[call].result == [2, 3]
    assert state.result[other].result == [6]


def test_calls_in_a_list_that_is_mapped_over_are_filled_in(executor: str) -> None:
    with Flow("f") as f:
        a, b = give(1), give(2)
        call = add.map([a, b, 3], y=[a, {"k": b}["k"], unmapped(0).value])
        nested = give.map([[a, b], {"k": a}, (b, 1)])
    state = f.run(executor=executor)
    assert state.result[call].result == [2, 4, 3]
    assert state.result[nested].result == [[1, 2], {"k": 1}, (2, 1)]


def test_maps_over_maps(executor: str) -> None:
    with Flow("f") as f:
        first = add.map(numbers(4))
        second = add.map(first, unmapped(10))
        third = add.map(second, first)
        fourth = add.map(third, [1, 2, 3, 4])
        same = add.map(first, first)
        whole = give.map(
            [1, 2],
        )
        crossed = add.map([[0], [1]], unmapped(first))
        reduced = total([total(third), total(fourth)])
    state = f.run(executor=executor)
    assert state.result[first].result == [1, 2, 3, 4]
    assert state.result[second].result == [11, 12, 13, 14]
    assert state.result[third].result == [12, 14, 16, 18]
    assert state.result[fourth].result == [13, 16, 19, 22]
    assert state.result[same].result == [2, 4, 6, 8]
    assert state.result[whole].result == [1, 2]
    assert state.result[crossed].result == [[0, 1, 2, 3, 4], [1, 1, 2, 3, 4]]
    assert state.result[reduced].result == 130


def test_a_part_of_a_mapped_call_is_a_part_of_its_list(executor: str) -> None:
    with Flow("f") as f:
        rows = give.map([[1, 2], [3, 4]])
        one = give(rows[1])
        over = add.map(rows[0])
    state = f.run(executor=executor)
    assert state.result[one].result == [3, 4]
    assert state.result[over].result == [2, 3]


def test_a_child_starts_as_soon_as_its_own_upstream_child_is_done(notes: Any) -> None:
    @task
    def first(x: int) -> int:
        if x == 1:
            notes.wait_for("second of 0")
        return x

    @task
    def second(x: int) -> int:
        notes.add(f"second of {x}")
        return x

    with Flow("f") as f:
        call = second.map(first.map([0, 1]))
    assert f.run(executor="threads").result[call].result == [0, 1]


def test_a_map_waits_for_its_upstream_tasks_and_reads_nothing_of_them(executor: str, notes: Any) -> None:
    @task
    def note(x: Any) -> Any:
        notes.add(x)
        return x

    with Flow("f") as f:
        before = note("before")
        mapped = note.map([1, 2], upstream_tasks=[before])
        follow = note.map(mapped, upstream_tasks=[note.map(["between"])])
    state = f.run(executor=executor)
    assert state.result[follow].result == [1, 2]
    done = notes.all()
    assert done.index("before") < done.index("1")
    assert all(done.index("between") < at for at, line in enumerate(done) if line in "12" and done[:at].count(line))


def test_an_empty_map_succeeds_and_so_does_what_follows(executor: str) -> None:
    with Flow("f") as f:
        none = add.map([])
        computed = add.map(numbers(0))
        over = add.map(computed)
        reduced = total([total(none), total(over)])
    state = f.run(executor=executor)
    for call in (none, computed, over):
        assert type(state.result[call]) is Mapped
        assert state.result[call].result == []
        assert state.result[call].is_successful()
    assert state.result[reduced].result == 0
    assert state.is_successful()


def test_lists_of_different_lengths_are_refused_when_the_flow_is_built() -> None:
    with Flow("f") as f:
        with pytest.raises(TypeError, match=r"different lengths: 2, 3"):
            add.map([1, 2], [1, 2, 3])
        with pytest.raises(TypeError, match="1.*0|0.*1"):
            add.map([1], [])
    assert f.calls == []
    with pytest.raises(TypeError, match="different lengths"):
        add.map([1, 2], [1, 2, 3])


def test_values_of_different_lengths_fail_the_map_naming_them(executor: str) -> None:
    with Flow("f") as f:
        call = add.map(numbers(2), numbers(3))
        over = add.map(add.map(numbers(2)), [1])
        after = total(call)
    state = f.run(executor=executor)
    assert type(state.result[call]) is Failed
    assert "2, 3" in state.result[call].message
    assert "add-1" in state.result[call].message
    assert "2, 1" in state.result[over].message
    assert type(state.result[after]) is TriggerFailed
    assert "add-1" in state.result[after].message


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("text", "unmapped"),
        (b"bytes", "unmapped"),
        ({"a": 1}, r"list\(d\.items\(\)\)"),
        (3, "unmapped"),
        (None, "unmapped"),
    ],
)
def test_what_has_no_elements_to_map_over_is_refused_when_the_flow_is_built(value: Any, hint: str) -> None:
    with Flow("f") as f:
        with pytest.raises(TypeError, match=f"cannot map over {type(value).__name__}.*{hint}"):
            add.map(value)
        assert f.calls == []


@pytest.mark.parametrize("value", ["text", {"a": 1}, 3, None, np.array(1)])
def test_a_value_that_has_no_elements_fails_the_map(executor: str, value: Any) -> None:
    with Flow("f") as f:
        call = add.map(give(value))
        after = total(add.map(call))
    state = f.run(executor=executor)
    assert type(state.result[call]) is Failed
    assert type(state.result[after]) is TriggerFailed
    if not isinstance(value, np.ndarray):
        assert f"cannot map over a {type(value).__name__}" in state.result[call].message


def test_nothing_to_map_over_is_refused() -> None:
    with Flow("f"):
        with pytest.raises(TypeError, match="every argument is unmapped"):
            add.map(unmapped(1), y=unmapped(2))
        with pytest.raises(TypeError, match="unmapped"):
            add(unmapped(1))
        with pytest.raises(TypeError, match="not inside a container"):
            add.map([unmapped(1)])
        data = give({"a": [1]})
        with pytest.raises(TypeError, match="its key is a call"):
            add.map(data[give("a")])


def test_one_child_fails_alone_and_the_reduce_does_not_start(executor: str) -> None:
    with Flow("f") as f:
        mapped = odd_fails.map([0, 1, 2, 3])
        over = add.map(mapped)
        reduced = total(mapped)
        anyway = FunctionTask(lambda xs: len(xs), "anyway", trigger=all_finished)(mapped)
    state = f.run(executor=executor)
    children = state.result[mapped].map_states
    assert [type(child) for child in children] == [Success, Failed, Success, Failed]
    assert type(state.result[mapped]) is Mapped
    assert state.result[mapped].is_failed()
    assert not state.result[mapped].is_successful()
    assert [type(child) for child in state.result[over].map_states] == [Success, TriggerFailed, Success, TriggerFailed]
    assert [child.result for child in state.result[over].map_states][::2] == [1, 3]
    assert "odd-fails-1[1]" in state.result[over].map_states[1].message
    assert type(state.result[reduced]) is TriggerFailed
    assert state.result[anyway].result == 4
    assert state.is_failed()


def test_a_map_whose_source_failed_does_not_start(executor: str) -> None:
    with Flow("f") as f:
        bad = odd_fails(1)
        mapped = add.map(bad)
        over = add.map(mapped)
        beside = add.map([1, 2], unmapped(bad))
        reduced = total(over)
    state = f.run(executor=executor)
    for call in (mapped, over, beside, reduced):
        assert type(state.result[call]) is TriggerFailed, call
    assert "odd-fails-1" in state.result[mapped].message


def test_a_child_that_skips_skips_what_follows_it(executor: str) -> None:
    @task
    def skip_one(x: int) -> int:
        if x == 1:
            raise SKIP("not this one")
        return x

    with Flow("f") as f:
        mapped = skip_one.map([0, 1, 2])
        over = add.map(mapped)
        reduced = total(over)
        kept = FunctionTask(lambda xs: [x for x in xs if x is not ckpt.NoResult], "kept", skip_on_upstream_skip=False)(
            over
        )
    state = f.run(executor=executor)
    assert [type(child) for child in state.result[mapped].map_states] == [Success, Skipped, Success]
    assert state.result[mapped].map_states[1].message == "not this one"
    assert [type(child) for child in state.result[over].map_states] == [Success, Skipped, Success]
    assert type(state.result[reduced]) is Skipped
    assert state.result[kept].result == [1, 3]
    assert state.is_successful()


def test_the_trigger_of_a_mapped_call_is_asked_for_each_child(executor: str) -> None:
    rescue = FunctionTask(lambda x, y: "rescued", "rescue", trigger=any_failed)
    with Flow("f") as f:
        mapped = odd_fails.map([0, 1])
        fine = give(1)
        over = rescue.map(mapped, unmapped(fine))
    state = f.run(executor=executor)
    assert [type(child) for child in state.result[over].map_states] == [TriggerFailed, Success]
    assert state.result[over].map_states[1].result == "rescued"


def test_a_reduce_may_run_when_any_child_succeeded(executor: str) -> None:
    count = FunctionTask(lambda xs: sum(isinstance(x, int) for x in xs), "count", trigger=any_successful)
    with Flow("f") as f:
        some = count(odd_fails.map([0, 1, 2]))
        none = count(odd_fails.map([1, 3]))
    state = f.run(executor=executor)
    assert state.result[some].result == 2
    assert type(state.result[none]) is TriggerFailed


def test_each_child_is_retried_alone(executor: str, notes: Any) -> None:
    @task(max_retries=2)
    def flaky(x: int) -> int:
        if notes.add(x) <= x:
            raise ValueError("again")
        return x

    with Flow("f") as f:
        call = add.map(flaky.map([0, 1, 2, 3]))
    state = f.run(executor=executor)
    assert [notes.all().count(str(x)) for x in range(4)] == [1, 2, 3, 3]
    assert [child.result for child in state.result[call].map_states][:3] == [1, 2, 3]
    assert type(state.result[call].map_states[3]) is TriggerFailed


def test_elements_that_raise_while_they_are_listed_fail_the_map() -> None:
    class Bad:
        def __iter__(self) -> Any:
            yield 1
            raise RuntimeError("broken off")

    with Flow("f") as f:
        call = add.map(give(Bad()))
    state = f.run()
    assert type(state.result[call]) is Failed
    assert "broken off" in state.result[call].message


def test_a_big_map_costs_no_recursion(executor: str) -> None:
    with Flow("f") as f:
        call = total(add.map(add.map(range(2000))))
    assert f.run(executor=executor).result[call].result == sum(range(2000)) + 4000


def test_a_map_over_a_list_of_calls_does_not_hand_all_of_them_to_each_child() -> None:
    from ckpt.engine.threads import LocalExecutor

    seen: list[int] = []

    class Counting(LocalExecutor):
        def submit(self, work: Any) -> Any:
            if work.index is not None:
                seen.append(len(work.inputs))
            return super().submit(work)

    with Flow("f") as f:
        add.map([give(x) for x in range(50)])
    assert f.run(executor=Counting()).is_successful()
    assert max(seen) <= 2
