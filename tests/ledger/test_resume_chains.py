"""Going on from a run that was itself going on from one, and what of a run's parameters it takes with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckpt_ledger
from ckpt import Flow, Parameter, State, Task, context, task, unmapped
from ckpt.errors import ConfigError, FlowInterrupted


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return (tmp_path / "results").as_uri()


@pytest.fixture
def ran() -> list[str]:
    return []


def noted(ran: list[str], name: str, function: Callable[..., Any], **settings: Any) -> Task:
    def run(*args: Any) -> Any:
        ran.append(str(context.call))
        return function(*args)

    return task(name=name, **{"version": "1", **settings})(run)


def forget(statement: str, *given: object) -> None:
    """Leave the ledger as a process leaves it that is killed."""
    with sqlite3.connect(Path.home() / ".ckpt/ledger.db") as rows:
        rows.execute(statement, given)


def killed_at_once(run: str) -> None:
    """Leave a run as one that was killed before it recorded a task."""
    forget("DELETE FROM ckpt_tasks WHERE run = (SELECT number FROM ckpt_runs WHERE id = ?)", run)
    forget("UPDATE ckpt_runs SET ended = NULL, state = NULL, heartbeat = 0 WHERE id = ?", run)


def last() -> str:
    return str(ckpt_ledger.open_ledger().find("last").id)


def test_what_the_run_before_the_last_kept_is_not_lost(ran: list[str], storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        xs = noted(ran, "xs", lambda: [1, 2])()
        noted(ran, "total", sum)(noted(ran, "square", lambda x: x * x).map(xs))
    flow.run()
    for _ in range(2):
        flow.run(resume="last")
        killed_at_once(last())
    ran.clear()
    assert flow.run(resume="last").result["total"].result == 5
    assert ran == []


def test_what_was_cancelled_is_taken_from_the_run_before(ran: list[str], storage: str) -> None:
    stops = [False]

    def first() -> int:
        if stops[0]:
            raise KeyboardInterrupt
        return 1

    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            a = noted(ran, "first", first, version=version)()
            noted(ran, "second", lambda x: x, version="1")(a)
        return made

    flow("1").run()
    stops[0] = True
    with pytest.raises(FlowInterrupted):
        flow("2").run(resume="last")
    stops[0] = False
    ran.clear()
    flow("2").run(resume="last")
    assert ran == ["first-1"]


def test_children_of_two_runs_are_not_taken_for_those_of_one(ran: list[str], storage: str) -> None:
    def flow(xs: list[int], version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            given = noted(ran, "xs", lambda: xs, version=version)()
            noted(ran, "square", lambda x: x * x).map(given)
        return made

    flow([1, 2, 3], "1").run()
    flow([7, 8, 9], "2").run(resume="last")
    forget("DELETE FROM ckpt_tasks WHERE slug = 'square-1' AND map_index IN (-1, 2) AND run = 2")
    forget("UPDATE ckpt_runs SET ended = NULL, state = NULL, heartbeat = 0 WHERE number = 2")
    for file in Path(storage.removeprefix("file://")).rglob("square-1/2.ckpt"):
        if last() in str(file):
            file.unlink()
    assert flow([1, 2, 3], "1").run(resume="last").result["square"].result == [1, 4, 9]


def test_parameters_of_a_run_that_was_killed_at_once_are_known(ran: list[str], storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        noted(ran, "double", lambda n: 2 * n)(Parameter("n", 1))
    flow.run(n=5)
    flow.run(resume="last")
    killed_at_once(last())
    assert flow.run(resume="last").result["double"].result == 10


def test_a_parameter_that_nobody_kept_is_asked_for_and_no_default_is_taken(ran: list[str], storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        noted(ran, "double", lambda n: 2 * n)(Parameter("n", 1))
    flow.run(n=5)
    killed_at_once(last())
    for file in Path(storage.removeprefix("file://")).rglob("n.json"):
        file.unlink()
    with pytest.raises(ConfigError, match="parameter 'n'"):
        flow.run(resume="last")
    with pytest.raises(ConfigError, match="parameter 'n'"):
        flow.plan(resume="last")
    assert flow.run(resume="last", n=5).result["double"].result == 10
    flow.run(n=1)
    killed_at_once(last())
    assert flow.run(resume="last").result["double"].result == 2, "the default, as it was then"


def test_a_parameter_that_is_opted_out_leaves_nothing(ran: list[str], storage: str, tmp_path: Path) -> None:
    with Flow("f", storage=storage) as flow:
        noted(ran, "length", len, checkpoint=False)(Parameter("word", "open sesame", checkpoint=False))
    flow.run(word="hush hush")
    records = {str(each.call): each for each in ckpt_ledger.open_ledger().tasks(last())}
    assert records["word"].identity is None, "a digest of the value"
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"hush" not in kept
    with pytest.raises(ConfigError, match="parameter 'word'"):
        flow.run(resume="last")


def test_elements_of_a_value_that_is_not_kept_leave_no_digest(ran: list[str], storage: str) -> None:
    def flow(secrets: list[str]) -> Flow:
        with Flow("f", storage=storage) as made:
            noted(ran, "length", len).map(noted(ran, "secrets", lambda: secrets, checkpoint=False)())
        return made

    identities = []
    for secrets in (["a", "b"], ["x", "y"]):
        flow(secrets).run()
        identities.append([each.identity for each in ckpt_ledger.open_ledger().tasks(last())])
    assert identities[0] == identities[1], "found by what made them"
    assert len(set(identities[0])) == len(identities[0])


def test_children_whose_trigger_is_asked_are_taken(ran: list[str], storage: str) -> None:
    from ckpt.triggers import all_finished

    with Flow("f", storage=storage) as flow:
        noted(ran, "each", lambda x: x, trigger=all_finished).map([1, 2])
    flow.run()
    ran.clear()
    assert flow.run(resume="last").result["each"].result == [1, 2]
    assert ran == []


def test_an_input_that_children_get_whole_and_one_by_one_is_computed_before_them(ran: list[str], storage: str) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            out = noted(ran, "out", lambda: 5, checkpoint=False)()
            noted(ran, "sum", lambda x, y: x + y, version=version).map([0, out], unmapped(out))
        return made

    flow("1").run()
    ran.clear()
    assert flow("2").run(resume="last").result["sum"].result == [5, 10]
    assert sorted(ran) == ["out-1", "sum-1[0]", "sum-1[1]"]


def test_what_will_be_skipped_is_not_planned_to_run(ran: list[str], storage: str) -> None:
    from ckpt import SKIP

    def skips(x: int) -> int:
        raise SKIP("no")

    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            skipped = noted(ran, "skips", skips).map([1, 2])
            noted(ran, "follows", lambda x: x, version=version).map(skipped)
            noted(ran, "takes", lambda x: x, version=version)(skipped)
        return made

    flow("1").run()
    plan = flow("2").plan(resume="last")
    assert [each.action for each in plan.calls] == ["reuse", "reuse", "leave"]
    state: State = flow("2").run(resume="last")
    assert state.result["takes"].is_skipped()


def test_a_run_that_ran_again_what_could_not_be_read_is_itself_gone_on_from(ran: list[str], storage: str) -> None:
    def flow(number: int, version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            first = noted(ran, "first", lambda: number, cache=True)()
            noted(ran, "second", lambda x: x, version=version)(first)
        return made

    flow(1, "1").run()
    for file in Path(storage.removeprefix("file://")).rglob("first-1.ckpt"):
        file.unlink()
    assert flow(2, "2").run().result["second"].result == 2
    ran.clear()
    assert flow(2, "2").run(resume="last").result["second"].result == 2
    assert ran == [], "its identity is that of the value which it had"
