"""Building a flow: what a call is, what may be in its arguments, and which mistakes are found at once."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

import ckpt
from ckpt import Flow, Parameter, ResultHandler, Task, flow, task, unmapped
from ckpt.errors import ConfigError
from ckpt.tasks import FunctionTask

pytestmark = pytest.mark.usefixtures("plain")


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def give(x: Any) -> Any:
    return x


@dataclass
class Point:
    x: Any
    y: Any = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    x: Any


class Pair(NamedTuple):
    left: Any
    right: Any


# -- flows and calls


def test_a_task_outside_a_flow_simply_runs() -> None:
    assert add(1, y=2) == 3
    assert add.map([1, 2], unmapped(10)) == [11, 12]


def test_calling_a_task_in_a_flow_adds_one_call_and_runs_nothing() -> None:
    ran = []
    note = task(ran.append)
    with Flow("f") as f:
        note(1)
    assert len(f.calls) == 1
    assert ran == []


def test_slugs_number_equal_names_in_lower_case() -> None:
    class MakeReport(Task):
        def run(self) -> None: ...

    with Flow("f") as f:
        add(1)
        add(2)
        MakeReport()()
        Task("Über Größe!").map([1])
    assert [call.slug for call in f.calls] == ["add-1", "add-2", "make-report-1", "uber-grosse-1"]


def test_long_names_that_differ_at_their_end_get_different_slugs_of_at_most_80_characters() -> None:
    with Flow("f") as f:
        for letter in "abcdefghij":
            FunctionTask(lambda: None, "n" * 79 + letter)()
            FunctionTask(lambda: None, "n" * 79 + letter)()
    slugs = [call.slug for call in f.calls]
    assert len(set(slugs)) == len(slugs)
    assert max(map(len, slugs)) <= 80


def test_flows_nest_and_each_gets_its_own_calls() -> None:
    with Flow("outer") as outer:
        add(1)
        with Flow("inner") as inner:
            add(2)
        add(3)
    assert (len(outer.calls), len(inner.calls)) == (2, 1)
    assert add(1) == 2


def test_a_flow_that_failed_to_build_is_left_behind() -> None:
    with pytest.raises(ZeroDivisionError), Flow("f"):
        raise ZeroDivisionError
    assert add(1) == 2


def test_a_flow_can_be_built_in_parts() -> None:
    f = Flow("f")
    with f:
        first = add(1)
    with f:
        second = add(first)
    assert f.run().result[second].result == 3


def test_a_decorated_function_is_a_flow_with_parameters_and_reference_tasks() -> None:
    @flow
    def my_sums(a: int, b: int = 10) -> Any:
        """Sums."""
        chosen = add(a, b)
        add(a, chosen)
        return chosen

    assert isinstance(my_sums, Flow)
    assert (my_sums.name, my_sums.__doc__) == ("my-sums", "Sums.")
    assert list(my_sums.parameters()) == ["a", "b"]
    assert my_sums.parameters()["a"].required
    assert [call.slug for call in my_sums.reference_tasks()] == ["add-1"]
    assert my_sums.run(a=1).result["add-2"].result == 12


def test_a_decorator_with_settings_is_a_flow_with_those() -> None:
    @flow(name="other", executor="threads")
    def my_sums() -> None:
        add(1)

    assert (my_sums.name, my_sums.executor) == ("other", "threads")
    assert len(my_sums.reference_tasks()) == 1


def test_flows_built_in_two_threads_at_once_do_not_mix() -> None:
    import threading

    both = threading.Barrier(2)
    sizes = {}

    def build(name: str, count: int) -> None:
        with Flow(name) as f:
            both.wait(10)
            for _ in range(count):
                add(1)
            both.wait(10)
        sizes[name] = len(f.calls)

    threads = [threading.Thread(target=build, args=each) for each in (("a", 3), ("b", 5))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == {"a": 3, "b": 5}


def test_what_a_task_calls_while_it_runs_is_not_added_even_where_the_flow_is_run_inside_its_block() -> None:
    @task
    def outer(x: int) -> int:
        return add(x, 1)  # type: ignore[no-any-return]

    for executor in ("local", "threads"):
        with Flow("f") as f:
            call = outer(1)
            state = f.run(executor=executor)
            assert len(f.calls) == 1
            assert add(1) is f.calls[-1]
        assert state.result[call].result == 2


def test_a_task_class_may_bring_its_settings_and_an_instance_may_change_them() -> None:
    class Fetch(Task):
        name = "fetching"
        max_retries = 2
        tags = frozenset({"net"})

        def __init__(self, url: str, **settings: Any) -> None:
            super().__init__(**settings)
            self.url = url

        def run(self, page: int = 0) -> str:
            return f"{self.url}/{page}"

    plain, changed = Fetch("a"), Fetch("b", max_retries=5, name="other")
    assert (plain.name, plain.max_retries, plain.tags) == ("fetching", 2, {"net"})
    assert (changed.name, changed.max_retries) == ("other", 5)
    with Flow("f") as f:
        first, second = plain(), changed(page=3)
    state = f.run()
    assert [state.result[call].result for call in (first, second)] == ["a/0", "b/3"]


# -- what may be in an argument


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda c: [c, 5], [3, 5]),
        (lambda c: (c, 5), (3, 5)),
        (lambda c: {"k": c, "l": 5}, {"k": 3, "l": 5}),
        (lambda c: {"k": [(c, {"deep": c})]}, {"k": [(3, {"deep": 3})]}),
        (lambda c: Point(c, [c]), Point(3, [3])),
        (lambda c: Frozen(Point(c)), Frozen(Point(3))),
        (lambda c: Pair(c, 5), Pair(3, 5)),
        (lambda c: [c, c], [3, 3]),
        (lambda c: [], []),
        (lambda c: (), ()),
    ],
)
def test_calls_inside_containers_become_their_values_without_extra_tasks(wrap: Any, expected: Any) -> None:
    with Flow("f") as f:
        first = add(1, 2)
        second = give(wrap(first))
    state = f.run()
    value = state.result[second].result
    assert value == expected
    assert type(value) is type(expected)
    assert len(f.calls) == 2


def test_what_holds_no_call_is_given_to_the_task_as_the_very_object() -> None:
    given = {"a": [1, (2, Point(3))], "b": object()}
    with Flow("f") as f:
        call = give(given)
    assert f.run().result[call].result is given


def test_an_argument_that_contains_itself_is_passed_on() -> None:
    ring: list[Any] = [1]
    ring.append(ring)

    @dataclass
    class Node:
        parent: Any = None
        children: list[Any] = field(default_factory=list)

    root = Node()
    root.children.append(Node(root))
    with Flow("f") as f:
        calls = give(ring), give(root)
    state = f.run()
    assert state.result[calls[0]].result is ring
    assert state.result[calls[1]].result is root


@pytest.mark.parametrize("wrap", [lambda c: {c}, lambda c: frozenset([c]), lambda c: OrderedDict(a=c)])
def test_a_call_where_it_would_not_be_filled_in_is_refused(wrap: Any) -> None:
    with Flow("f"):
        first = add(1)
        with pytest.raises(TypeError, match="call"):
            give([wrap(first)])


def test_a_call_as_a_key_of_a_dict_is_refused() -> None:
    with Flow("f"):
        first = add(1)
        with pytest.raises(TypeError, match="key of a dict"):
            give({first: 1})


def test_a_part_of_a_call_is_looked_up_without_an_extra_task() -> None:
    with Flow("f") as f:
        data = give({"rows": [[1, 2], [3, 4]]})
        index = give(1)
        part = give(data["rows"][index][0])
        both = give([data["rows"][0], data["rows"][-1]])
    state = f.run()
    assert state.result[part].result == 3
    assert state.result[both].result == [[1, 2], [3, 4]]
    assert len(f.calls) == 4


def test_a_part_that_is_not_there_fails_the_task_that_asked() -> None:
    with Flow("f") as f:
        data = give({"rows": 1})
        part = give(data["row"])
    state = f.run()
    assert state.result[data].is_successful()
    assert isinstance(state.result[part].result, KeyError)


# -- mistakes


def test_unpacking_a_call_says_how_to_take_parts() -> None:
    with Flow("f"):
        call = add(1)
        with pytest.raises(TypeError, match=r"call\[0\].*map"):
            _, _ = call
        with pytest.raises(TypeError, match="looped over"):
            list(call["rows"])


def test_an_if_on_a_call_says_what_to_do_instead() -> None:
    with Flow("f"):
        call = add(1)
        with pytest.raises(TypeError, match="SKIP"):
            bool(call)
        with pytest.raises(TypeError, match="decide inside a task"):
            _ = 1 if call["ok"] else 2


@pytest.mark.parametrize(
    ("args", "kwargs", "word"),
    [((), {}, "x"), ((1, 2, 3), {}, "too many"), ((1,), {"z": 2}, "z"), ((1,), {"x": 2}, "multiple values")],
)
def test_wrong_arguments_are_refused_when_the_call_is_made_and_name_the_task(
    args: tuple[Any, ...], kwargs: dict[str, Any], word: str
) -> None:
    with Flow("f") as f:
        with pytest.raises(TypeError, match=word) as caught:
            add(*args, **kwargs)
        with pytest.raises(TypeError, match=word):
            add.map(*([each] for each in args), **{name: [each] for name, each in kwargs.items()})
    assert "task add:" in str(caught.value)
    assert f.calls == []


def test_a_refused_call_is_no_part_of_the_flow() -> None:
    with Flow("f") as f:
        first = add(1)
        for wrong in ([3], first, [first["x"]]):
            with pytest.raises(TypeError):
                add(1, upstream_tasks=wrong)
        with pytest.raises(TypeError):
            add.map(1)
    assert f.calls == [first]


def test_a_call_of_another_flow_is_refused_naming_both() -> None:
    with Flow("one"):
        theirs = add(1)
    with Flow("two") as two:
        mine = give(1)
        for use in (
            lambda: add(theirs),
            lambda: add([{"a": theirs}]),
            lambda: add(theirs["x"]),
            lambda: add.map(theirs),
            lambda: add(1, upstream_tasks=[theirs]),
            lambda: mine.set_upstream(theirs),
        ):
            with pytest.raises(ConfigError, match="'one'.*'two'"):
                use()
        assert two.calls == [mine]
        with pytest.raises(ConfigError, match="not a call of flow 'two'"):
            two.set_reference_tasks([theirs])


def test_upstream_tasks_are_waited_for_without_their_values() -> None:
    order: list[str] = []

    @task
    def note(name: str) -> None:
        order.append(name)

    with Flow("f") as f:
        last = note("last")
        first = note("first")
        middle = note("middle", upstream_tasks=[first])
        last.set_upstream(middle)
    f.run()
    assert order == ["first", "middle", "last"]
    order.clear()
    with Flow("f") as f:
        second = note("second")
        note("first").set_downstream(second)
    f.run()
    assert order == ["first", "second"]


def test_a_cycle_is_refused_before_anything_runs_and_named_in_order() -> None:
    ran: list[int] = []

    @task
    def a(x: Any = None) -> None:
        ran.append(1)

    with Flow("f") as f:
        a()
        first = give(1)
        second = add(first)
        third = a(second)
        give(third)
        first.set_upstream(third)
    with pytest.raises(ConfigError) as caught:
        f.run()
    text = str(caught.value).partition("cycle: ")[2].partition(";")[0]
    assert text in (
        "give-1 → add-1 → a-2 → give-1",
        "add-1 → a-2 → give-1 → add-1",
        "a-2 → give-1 → add-1 → a-2",
    )
    assert ran == []


def test_a_call_that_waits_for_itself_is_a_cycle() -> None:
    with Flow("f") as f:
        call = give(1)
        call.set_upstream(call)
    with pytest.raises(ConfigError, match="give-1 → give-1"):
        f.run()


class Handler(ResultHandler):
    storage_type = "h"

    def write(self, value: object, *, key: str | None = None) -> str:
        return ""

    def read(self, location: Any) -> object:
        return None


@pytest.mark.parametrize(
    "give_it",
    [
        lambda: task(result_handler=Handler)(lambda: 1),  # type: ignore[arg-type]
        lambda: Task("t", result_handler=Handler),  # type: ignore[arg-type]
        lambda: type("Sub", (Task,), {"result_handler": Handler}),
        lambda: Flow("f", result_handler=Handler),  # type: ignore[arg-type]
        lambda: Parameter("p", result_handler=Handler),  # type: ignore[arg-type]
    ],
)
def test_a_handler_class_is_refused_where_it_is_given(give_it: Any) -> None:
    with pytest.raises(ConfigError, match=r"class; give an object: Handler\(…\)"):
        give_it()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Flow(""), "name"),
        (lambda: Flow("f", result_handler="json"), "result_handler"),
        (lambda: Flow("f", executor=ckpt.Executor), "executor is a class"),
        (lambda: Flow("f", state_handlers=print), "state_handlers"),
        (lambda: Flow("f", storage=3), "storage"),
        (lambda: task(max_retries=-1)(print), "max_retries"),
        (lambda: task(max_retries=True)(print), "max_retries"),
        (lambda: task(retry_delay="1")(print), "retry_delay"),
        (lambda: task(retry_delay=-1)(print), "retry_delay"),
        (lambda: task(timeout=0)(print), "timeout"),
        (lambda: task(checkpoint="no")(print), "checkpoint"),
        (lambda: task(tags="net")(print), "tags"),
        (lambda: task(result_handler="json")(print), "result_handler"),
        (lambda: task(state_handlers=print)(print), "state_handlers"),
        (lambda: task(trigger="all_failed")(print), "trigger"),
        (lambda: type("Sub", (Task,), {"tags": "net"}), "tags"),
        (lambda: task(3), "@task"),
        (lambda: Parameter("not a name"), "Python name"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_where_it_is_given(make: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make()


def test_a_task_cannot_take_an_argument_that_is_ckpts_own() -> None:
    with pytest.raises(ConfigError, match="upstream_tasks"):

        @task
        def wrong(upstream_tasks: Any) -> None: ...


def test_a_task_as_a_method_is_refused_with_the_way_out() -> None:
    class Thing:
        @task
        def step(self) -> None: ...

    with pytest.raises(ConfigError, match="Task subclass"):
        Thing().step()


def test_a_task_without_a_body_says_so_when_it_runs() -> None:
    class Empty(Task):
        pass

    with pytest.raises(ConfigError, match="def run"):
        Empty()()


def test_a_missing_and_an_unknown_parameter_are_refused_before_anything_runs() -> None:
    ran: list[Any] = []
    with Flow("f") as f:
        task(ran.append)(Parameter("where"))
        Parameter("count", 3)
    with pytest.raises(ConfigError, match=r"needs a value for where: flow.run\(where=…\)"):
        f.run()
    with pytest.raises(ConfigError, match="no parameter 'were': did you mean 'where'"):
        f.run(were=1)
    with pytest.raises(ConfigError, match="it has where, count"):
        f.run({"where": 1, "zzz": 2})
    assert ran == []


def test_two_parameters_of_one_name_are_refused() -> None:
    with Flow("f"):
        Parameter("x")
        with pytest.raises(ConfigError, match="parameter 'x' already"):
            Parameter("x")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"keep_values": "some"}, "keep_values"),
        ({"checkpointing": "yes"}, "checkpointing"),
        ({"executor": "thread"}, "thread"),
    ],
)
def test_arguments_of_a_run_that_cannot_be_right_are_refused(arguments: dict[str, Any], word: str) -> None:
    with Flow("f") as f:
        give(1)
    with pytest.raises((ConfigError, LookupError), match=word):
        f.run(**arguments)


def test_an_empty_flow_succeeds() -> None:
    assert Flow("f").run().is_successful()


def test_a_flow_with_many_calls_in_a_row_runs_without_recursion() -> None:
    with Flow("f") as f:
        call = give(0)
        for _ in range(3000):
            call = add(call, 1)
    assert f.run().result[call].result == 3000


def test_a_call_does_not_travel_inside_a_value() -> None:
    import pickle

    with Flow("f"):
        call = add(1)
    with pytest.raises(TypeError, match="belongs to a flow"):
        pickle.dumps(call)


def test_importing_and_building_print_nothing() -> None:
    code = """
from ckpt import Flow, task
with Flow("f") as f:
    task(lambda: 1)()
assert f.run().result["<lambda>"].result == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
