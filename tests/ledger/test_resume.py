"""Going on from an earlier run: what finished there is not run again, what changed is, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckpt
import ckpt_ledger
from ckpt import SKIP, Flow, Parameter, State, Task, context, plugins, task, unmapped
from ckpt.errors import ConfigError, NotFound, PluginNotFound
from ckpt.results import SafeResult
from ckpt_local import LocalResultHandler


class Notes:
    """What tasks did, one line each, across processes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, text: object) -> None:
        with self.file.open("a") as out:
            out.write(f"{text}\n")

    def take(self) -> list[str]:
        """The lines since the last time, sorted."""
        lines = sorted(self.file.read_text().split()) if self.file.exists() else []
        self.file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


@pytest.fixture(params=["local", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return (tmp_path / "results").as_uri()


def noted(notes: Notes, name: str, function: Callable[..., Any], **settings: Any) -> Task:
    """A task that writes its name down whenever its function runs."""

    def run(*args: Any) -> Any:
        notes.add(str(context.call))
        return function(*args)

    return task(name=name, **{"version": "1", **settings})(run)


def test_what_finished_is_not_run_again(notes: Notes, storage: str, executor: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()

    def inverse(x: int) -> float:
        if x == 3 and broken.exists():
            raise ValueError("broken")
        return 1 / x

    with Flow("f", storage=storage) as flow:
        numbers = noted(notes, "numbers", lambda: [1, 2, 3, 4])()
        inverses = noted(notes, "inverse", inverse).map(numbers)
        total = noted(notes, "total", sum)(inverses)
    assert flow.run(executor=executor).is_failed()
    assert notes.take() == ["inverse-1[0]", "inverse-1[1]", "inverse-1[2]", "inverse-1[3]", "numbers-1"]
    broken.unlink()
    state = flow.run(resume="last", executor=executor)
    assert state.is_successful(), state.message
    assert notes.take() == ["inverse-1[2]", "total-1"]
    assert state.result[total].result == 1 + 1 / 2 + 1 / 3 + 1 / 4
    assert [each.name for each in state.result[inverses].map_states] == ["Cached", "Cached", "Success", "Cached"]
    assert state.result[numbers].result == [1, 2, 3, 4], "a value of the earlier run is read when it is asked for"
    again = flow.run(resume=True, executor=executor)
    assert notes.take() == []
    assert again.result[total].is_cached()
    assert again.result[inverses].result == state.result[inverses].result


def test_changed_code_is_run_again_and_what_follows_only_if_the_value_changed(notes: Notes, storage: str) -> None:
    def flow(version: str, gives: int) -> Flow:
        with Flow("f", storage=storage) as made:
            first = noted(notes, "first", lambda: gives, version=version)()
            second = noted(notes, "second", lambda x: x + 1)(first)
            noted(notes, "third", lambda x: x + 1)(second)
        return made

    flow("1", 1).run()
    notes.take()
    flow("2", 1).run(resume="last")
    assert notes.take() == ["first-1"], "it gave what it gave before"
    state = flow("3", 5).run(resume="last")
    assert notes.take() == ["first-1", "second-1", "third-1"]
    assert state.result["third"].result == 7


def test_a_changed_constant_runs_what_takes_it(notes: Notes, storage: str) -> None:
    def flow(by: object) -> Flow:
        with Flow("f", storage=storage) as made:
            base = noted(notes, "base", lambda: 10)()
            noted(notes, "scaled", lambda x, by: x * by["k"])(base, by)
        return made

    flow({"k": 2}).run()
    notes.take()
    flow({"k": 2}).run(resume="last")
    assert notes.take() == []
    assert flow({"k": 3}).run(resume="last").result["scaled"].result == 30
    assert notes.take() == ["scaled-1"]


def test_parameters_are_those_of_the_earlier_run_where_none_are_given(notes: Notes, storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        n = Parameter("n", 1)
        m = Parameter("m")
        noted(notes, "sum", lambda n, m: n + m)(n, m)
    flow.run(n=5, m=7)
    notes.take()
    assert flow.run(resume="last").result["sum"].result == 12
    assert notes.take() == []
    assert flow.run(resume="last", m=1).result["sum"].result == 6
    assert notes.take() == ["sum-1"]


def test_a_task_that_is_not_kept_is_computed_again_only_for_one_that_runs(
    notes: Notes, storage: str, executor: str
) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            a = noted(notes, "a", lambda: 1)()
            opted_out = noted(notes, "out", lambda x: x + 1, checkpoint=False)(a)
            further = noted(notes, "further", lambda x: x + 1, checkpoint=False)(opted_out)
            noted(notes, "kept", lambda x: x + 1)(further)
            noted(notes, "other", lambda x: -x, version=version)(opted_out)
        return made

    flow("1").run(executor=executor)
    notes.take()
    state = flow("1").run(resume="last", executor=executor)
    assert notes.take() == []
    assert state.result["further"].is_cached()
    state = flow("2").run(resume="last", executor=executor)
    assert notes.take() == ["other-1", "out-1"]
    assert (state.result["kept"].result, state.result["other"].result) == (4, -2)


def test_children_that_are_not_kept_are_computed_again_as_far_as_they_are_needed(
    notes: Notes, storage: str, executor: str
) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            xs = noted(notes, "xs", lambda: [1, 2, 3])()
            out = noted(notes, "out", lambda x: x * 10, checkpoint=False).map(xs)
            noted(notes, "one", lambda x, y: x + y, version=version).map(out, unmapped(1))
        return made

    flow("1").run(executor=executor)
    notes.take()
    flow("1").run(resume="last", executor=executor)
    assert notes.take() == []
    state = flow("2").run(resume="last", executor=executor)
    assert notes.take() == [*(f"one-1[{i}]" for i in range(3)), *(f"out-1[{i}]" for i in range(3))]
    assert state.result["one"].result == [11, 21, 31]


def test_only_the_children_of_changed_elements_are_run(notes: Notes, storage: str, executor: str) -> None:
    def flow(elements: list[int], version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            xs = noted(notes, "xs", lambda: elements, version=version)()
            noted(notes, "sq", lambda x: x * x).map(xs)
        return made

    flow([1, 2, 3], "1").run(executor=executor)
    notes.take()
    state = flow([1, 9, 3, 4], "2").run(resume="last", executor=executor)
    assert notes.take() == ["sq-1[1]", "sq-1[3]", "xs-1"]
    assert state.result["sq"].result == [1, 81, 9, 16]


def test_children_are_taken_without_reading_what_they_were_made_from(
    notes: Notes, storage: str, executor: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Flow("f", storage=storage) as flow:
        xs = noted(notes, "xs", lambda: [1, 2, 3])()
        noted(notes, "total", lambda squares: sum(squares))(noted(notes, "sq", lambda x: x * x).map(xs))
    state = flow.run(executor=executor)
    notes.take()
    kept(state, "xs").unlink()
    for _ in range(2):
        state = flow.run(resume="last", executor=executor)
        assert notes.take() == []
        assert state.result["total"].result == 14
    assert "is run again" not in caplog.text


def test_from_a_task_on_everything_is_run_again(notes: Notes, storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        a = noted(notes, "a", lambda: 1)()
        b = noted(notes, "b", lambda x: x + 1)(a)
        noted(notes, "c", lambda x: x + 1)(b)
        noted(notes, "d", lambda x: x + 1)(a)
    flow.run()
    notes.take()
    flow.run(resume="last", from_task="b")
    assert notes.take() == ["b-1", "c-1"]
    with pytest.raises(ConfigError, match="did you mean 'b-1'"):
        flow.run(resume="last", from_task="b-2")
    with pytest.raises(ConfigError, match="resume"):
        flow.run(from_task="b")


def kept(state: State, task: str) -> Path:
    safe = state.result[task].safe_value
    handler = safe.result_handler
    assert isinstance(safe, SafeResult)
    assert isinstance(handler, LocalResultHandler)
    return Path(handler.dir) / str(safe.value)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, flipped, lambda path: path.write_bytes(path.read_bytes()[:-9])],
    ids=["missing", "flipped", "truncated"],
)
def test_a_damaged_value_is_computed_again_with_a_warning_before_anything_runs(
    damage: Callable[[Path], None], notes: Notes, storage: str, executor: str, caplog: pytest.LogCaptureFixture
) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            a = noted(notes, "a", lambda: 1)()
            b = noted(notes, "b", lambda x: x + 1)(a)
            c = noted(notes, "c", lambda x: x + 1)(b)
            noted(notes, "d", lambda x: x + 1, version=version)(c)
        return made

    state = flow("1").run(executor=executor)
    notes.take()
    damage(kept(state, "c"))
    damage(kept(state, "b"))
    assert [each.action for each in flow("2").plan(resume="last").calls] == ["reuse", "run", "depends", "depends"]
    state = flow("2").run(resume="last", executor=executor)
    assert notes.take() == ["b-1", "c-1", "d-1"]
    assert state.result["d"].result == 4
    assert sum("is run again: what was kept of it cannot be read" in said for said in caplog.messages) >= 2
    assert not [each for each in caplog.records if each.levelno > logging.WARNING]


def test_a_swapped_value_is_not_taken_for_another(notes: Notes, storage: str) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            a, b = noted(notes, "a", lambda: 1)(), noted(notes, "b", lambda: 2)()
            noted(notes, "c", lambda x, y: (x, y), version=version)(a, b)
        return made

    state = flow("1").run()
    notes.take()
    kept(state, "a").write_bytes(kept(state, "b").read_bytes())
    assert flow("2").run(resume="last").result["c"].result == (1, 2)
    assert notes.take() == ["a-1", "c-1"]


def test_a_value_without_a_row_counts_as_kept(notes: Notes, storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        xs = noted(notes, "xs", lambda: [1, 2])()
        noted(notes, "total", sum)(noted(notes, "sq", lambda x: x * x).map(xs))
    flow.run()
    notes.take()
    # As a process leaves it that is killed when the bytes are durable and the row is not.
    import sqlite3

    with sqlite3.connect(Path.home() / ".ckpt/ledger.db") as rows:
        gone = rows.execute("DELETE FROM ckpt_tasks WHERE slug IN ('xs-1', 'sq-1', 'total-1')").rowcount
    assert gone == 5
    state = flow.run(resume="last")
    assert notes.take() == []
    assert state.result["total"].result == 5


def test_a_skipped_task_stays_skipped(notes: Notes, storage: str) -> None:
    def skips() -> None:
        raise SKIP("nothing to do")

    with Flow("f", storage=storage) as flow:
        noted(notes, "after", lambda x: x)(noted(notes, "skips", skips)())
    flow.run()
    notes.take()
    state = flow.run(resume="last")
    assert notes.take() == []
    assert [state.result[each].name for each in ("skips", "after")] == ["Skipped", "Skipped"]


def test_a_value_that_cannot_be_compared_is_run_again(notes: Notes, storage: str) -> None:
    import threading

    with Flow("f", storage=storage) as flow:
        noted(notes, "a", lambda x: 1)(threading.Lock())
    flow.run()
    notes.take()
    flow.run(resume="last")
    assert notes.take() == ["a-1"]
    assert "cannot be pickled" in flow.plan(resume="last").calls[0].why


def test_dropped_values_are_read_back_where_something_runs(notes: Notes, storage: str, executor: str) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            a = noted(notes, "a", lambda: 1)()
            out = noted(notes, "out", lambda x: x + 1, checkpoint=False)(a)
            noted(notes, "last", lambda x: x + 1, version=version)(out)
        return made

    flow("1").run(executor=executor, keep_values="none")
    notes.take()
    state = flow("2").run(resume="last", executor=executor, keep_values="none")
    assert notes.take() == ["last-1", "out-1"]
    assert state.result["last"].result == 3


def test_a_run_that_nobody_knows_is_named(storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        task(lambda: 1)()
    with pytest.raises(NotFound):
        flow.run(resume="last")
    flow.run(run_name="good")
    assert flow.run(resume="good").is_successful()
    with pytest.raises(NotFound, match="better"):
        flow.run(resume="better")


def test_without_a_ledger_resume_says_what_to_install(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT__LEDGER__ENABLED", "false")
    with Flow("f", storage=storage) as flow:
        task(lambda: 1)()
    assert flow.run().is_successful()
    with pytest.raises(PluginNotFound, match="pip install ckpt-ledger"):
        flow.run(resume="last")


def test_a_run_in_progress_is_not_gone_on_from(storage: str) -> None:
    inner: list[str] = []

    def resumes() -> int:
        try:
            flow.run(resume="last")
        except ConfigError as error:
            inner.append(str(error))
        return 1

    with Flow("f", storage=storage) as flow:
        task(name="resumes")(resumes)()
    flow.run()
    assert "still in progress" in inner[0]


def test_messages_of_tasks_are_kept(storage: str) -> None:
    def speaks(x: int) -> int:
        ckpt.get_logger().warning("got %s", x)
        return x

    with Flow("f", storage=storage) as flow:
        task(name="speaks")(speaks).map([4, 5])
    state = flow.run()
    assert state.is_successful()
    ledger = ckpt_ledger.open_ledger()
    lines = ledger.logs(ledger.find("last").id)
    assert [(str(line.call), line.level, line.message) for line in lines] == [
        ("speaks-1[0]", "WARNING", "got 4"),
        ("speaks-1[1]", "WARNING", "got 5"),
    ]
    assert plugins.ledger_classes() == [ckpt_ledger.SQLLedger]


def test_the_plan_of_a_mapped_call_that_failed_in_part_says_how_much_of_it_is_kept(storage: str) -> None:
    def clean(x: int) -> int:
        if x == 3:
            raise ValueError(x)
        return 2 * x

    with Flow("f", storage=storage) as flow:
        task(name="clean")(clean).map(task(lambda: list(range(5)), name="load")())
    assert flow.plan().calls[0].why == "this run goes on from no other"
    assert not flow.run().is_successful()
    load, mapped = flow.plan(resume="last").calls
    assert (load.action, mapped.action) == ("reuse", "depends")
    assert mapped.why == "on what its elements are: 4 of the earlier run's are kept"
    assert flow.plan(resume="last", from_task=["clean"]).calls[1].action == "run"
