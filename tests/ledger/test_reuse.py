"""Reuse across runs, `cache=`: what was computed once is taken by any run, if it is the same and can be trusted."""

from __future__ import annotations

import inspect
import logging
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ckpt_ledger
from ckpt import (
    JSON,
    SKIP,
    CallPath,
    Flow,
    Identity,
    Parameter,
    ResultHandler,
    State,
    Task,
    TaskRecord,
    context,
    task,
    unmapped,
)
from ckpt.errors import StoreUnavailable
from ckpt.results import SafeResult
from ckpt.serializers import unpickle
from ckpt_ledger import SQLLedger
from ckpt_local import LocalResultHandler


class Notes(list[str]):
    """What ran."""

    def take(self) -> list[str]:
        found = sorted(self)
        self.clear()
        return found


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(params=["local", "threads"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return (tmp_path / "results").as_uri()


def noted(notes: Notes, name: str, function: Callable[..., Any], **settings: Any) -> Task:
    def run(*args: Any, **more: Any) -> Any:
        notes.append(str(context.call))
        return function(*args, **more)

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # for `cache_exclude`
    return task(name=name, **{"version": "1", "cache": True, **settings})(run)


def squares(notes: Notes, storage: str, xs: Sequence[int] = (1, 2, 3), name: str = "f", **settings: Any) -> Flow:
    with Flow(name, storage=storage) as flow:
        mapped = noted(notes, "square", lambda x: x * x, **settings).map(list(xs))
        noted(notes, "total", lambda values: sum(values), **settings)(mapped)
    return flow


def test_a_hit_is_cached_and_says_which_run_it_came_from(notes: Notes, storage: str, executor: str) -> None:
    squares(notes, storage).run(executor=executor, run_name="first")
    assert len(notes.take()) == 4
    state = squares(notes, storage, name="another flow").run(executor=executor)
    assert notes.take() == []
    total = state.result["total"]
    assert total.is_cached()
    assert total.result == 14
    ledger = ckpt_ledger.open_ledger()
    first = ledger.find("first").id
    assert total.message == f"kept in run {first}"
    records = {str(each.call): each for each in ledger.tasks(ledger.find("last").id)}
    assert {name: each.origin for name, each in records.items() if name != "square-1"} == dict.fromkeys(
        ["square-1[0]", "square-1[1]", "square-1[2]", "total-1"], first
    )
    squares(notes, storage).run(executor=executor)
    records = {str(each.call): each for each in ledger.tasks(ledger.find("last").id)}
    assert records["total-1"].origin == first, "not the run that took it from there"


def test_an_int_that_python_does_not_write_in_digits(notes: Notes, storage: str) -> None:
    huge = 10**5000  # more than `sys.get_int_max_str_digits()`
    with Flow("f", storage=storage) as flow:
        sign = noted(notes, "sign", lambda n: n > 0)
        sign(huge)
        sign(Parameter("n", default=1))
    flow.run(parameters={"n": -huge})
    assert notes.take() == ["sign-1", "sign-2"]
    assert ckpt_ledger.runs()[0].parameters == {"n": "int of 16,610 bits"}
    flow.run(parameters={"n": 1 - huge})
    assert notes.take() == ["sign-2"]


def test_only_what_is_new_is_run(notes: Notes, storage: str, executor: str) -> None:
    squares(notes, storage, [1, 2]).run(executor=executor)
    notes.take()
    state = squares(notes, storage, [5, 2, 1]).run(executor=executor)
    assert notes.take() == ["square-1[0]", "total-1"]
    assert state.result["total"].result == 30


def test_other_code_and_other_tasks_are_no_hits(notes: Notes, storage: str) -> None:
    def flow(*tasks: Task) -> Flow:
        with Flow("f", storage=storage) as made:
            for each in tasks:
                each(3)
        return made

    double, square = noted(notes, "double", lambda x: 2 * x), noted(notes, "square", lambda x: x * x)
    flow(double).run()
    assert flow(square).run().result["square"].result == 9
    assert flow(noted(notes, "double", lambda x: 2 * x, version="2")).run().result["double"].is_cached() is False
    assert notes.take() == ["double-1", "double-1", "square-1"]


def test_task_objects_of_one_version_and_other_configuration_are_no_hits(storage: str) -> None:
    class Scaled(Task):
        def __init__(self, by: int) -> None:
            super().__init__(version="1", cache=True)
            self.by = by

        def run(self, x: int) -> int:
            return x * self.by

    def scaled(by: int) -> State:
        with Flow("f", storage=storage) as flow:
            Scaled(by)(10)
        return flow.run()

    assert [scaled(by).result["scaled"].result for by in (2, 3, 2)] == [20, 30, 20]
    assert scaled(3).result["scaled"].is_cached()


PROGRAM = """
import sys
from ckpt import Flow, task

@task(cache=True)
def slow(x):
    print("computed", x)
    return {"x": x, "tags": ["a"]}

@task(cache=True)
def after(value, names={"one", "two", "three"}):
    print("after", value["x"])
    return len(names)

with Flow(sys.argv[1], storage=sys.argv[2]) as flow:
    after(slow(3))

if __name__ == "__main__":
    flow.run()
"""


def test_hits_survive_the_process(tmp_path: Path, storage: str) -> None:
    (tmp_path / "flow.py").write_text(PROGRAM)

    def run(name: str) -> str:
        command = [sys.executable, str(tmp_path / "flow.py"), name, storage]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    assert run("first") == "computed 3\nafter 3\n"
    assert run("second") == ""
    assert run("first") == ""


def test_two_machines_share_one_ledger(tmp_path: Path, storage: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flow.py").write_text(PROGRAM)
    monkeypatch.setenv("CKPT__LEDGER__URL", url)
    answers = []
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / machine))
        command = [sys.executable, str(tmp_path / "flow.py"), machine, storage]
        answers.append(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert answers == ["computed 3\nafter 3\n", ""]


def expire() -> None:
    """Let the time pass after which what is kept for a while is kept no longer."""
    with sqlite3.connect(Path.home() / ".ckpt/ledger.db") as rows:
        limit = "UPDATE ckpt_tasks SET reusable_until = 1 WHERE reusable_until < 9e15"
        rows.execute(limit)


def test_a_value_expires(notes: Notes, storage: str) -> None:
    def run(**settings: Any) -> list[str]:
        squares(notes, storage, [1], **settings).run()
        return notes.take()

    assert run(cache=timedelta(hours=1)) == ["square-1[0]", "total-1"]
    assert run(cache=timedelta(hours=1)) == []
    expire()
    assert run(cache=3600) == ["square-1[0]", "total-1"]
    assert run(cache=3600) == []


def test_a_hit_does_not_make_a_value_younger(notes: Notes, storage: str) -> None:
    squares(notes, storage, [1], cache=3600).run()
    squares(notes, storage, [1], cache=3600).run()
    ledger = ckpt_ledger.open_ledger()
    first, second = (
        {each.call: each.reusable_until for each in ledger.tasks(run.id) if each.safe} for run in ledger.runs()[::-1]
    )
    assert first == second


def test_refresh_runs_what_would_be_taken(notes: Notes, storage: str) -> None:
    squares(notes, storage, [1]).run()
    notes.take()
    squares(notes, storage, [1]).run(refresh=["total"])
    assert notes.take() == ["total-1"]
    squares(notes, storage, [1]).run(refresh=True)
    assert notes.take() == ["square-1[0]", "total-1"]
    squares(notes, storage, [1]).run(resume="last", refresh="square-1")
    assert notes.take() == ["square-1[0]"]
    squares(notes, storage, [1]).run()
    assert notes.take() == []


def test_an_excluded_argument_does_not_count(notes: Notes, storage: str) -> None:
    def run(x: int, verbose: bool) -> list[str]:
        with Flow("f", storage=storage) as flow:
            noted(notes, "t", lambda x, verbose: x, cache_exclude=["verbose"])(x, verbose=verbose)
        flow.run()
        return notes.take()

    assert [run(1, True), run(1, False), run(2, False)] == [["t-1"], [], ["t-1"]]


class PlainHandler(ResultHandler):
    """Two methods, and no digests."""

    storage_type = "plain"
    values: dict[str, object] = {}  # noqa: RUF012  of the class: what stands for a storage

    def write(self, value: object, *, key: str | None = None) -> JSON:
        self.values[str(key)] = value
        return key

    def read(self, location: JSON) -> object:
        return self.values[str(location)]


def test_a_value_without_a_digest_is_no_ground_for_reuse(notes: Notes, storage: str) -> None:
    def run() -> list[str]:
        with Flow("f", storage=storage) as flow:
            first = noted(notes, "first", lambda: 1, result_handler=PlainHandler())()
            noted(notes, "second", lambda x: x)(first)
        assert flow.run().is_successful()
        return notes.take()

    assert run() == ["first-1", "second-1"]
    assert "first-1" in run()


def test_what_failed_or_is_opted_out_or_skipped_is_no_hit(notes: Notes, storage: str) -> None:
    def fails() -> None:
        raise ValueError("no")

    def skips() -> None:
        raise SKIP("no")

    with Flow("f", storage=storage) as flow:
        noted(notes, "fails", fails)()
        noted(notes, "skips", skips)()
        noted(notes, "out", lambda: 1, checkpoint=False)()
    for _ in range(2):
        flow.run()
        assert notes.take() == ["fails-1", "out-1", "skips-1"]


def kept(state: State, name: str) -> Path:
    safe = state.result[name].safe_value
    assert isinstance(safe, SafeResult)
    handler = safe.result_handler
    assert isinstance(handler, LocalResultHandler)
    return Path(handler.dir) / str(safe.value)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1])])
@pytest.mark.parametrize("keep_values", ["all", "none"])
def test_a_damaged_hit_is_computed_again_with_a_warning(
    damage: Callable[[Path], Any],
    keep_values: Any,
    notes: Notes,
    storage: str,
    executor: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def flow(version: str) -> Flow:
        with Flow("f", storage=storage) as made:
            out = noted(notes, "out", lambda: 3, cache=False, checkpoint=False)()
            first = noted(notes, "first", lambda x: [x, 2])(out)
            soon = noted(notes, "soon", lambda x: x, version=version)(out)
            last = noted(notes, "last", lambda xs: sum(xs), version=version)
            last(first, upstream_tasks=[soon])
            noted(notes, "each", lambda x, y: x + y[0], version=version).map(
                first, unmapped(first), upstream_tasks=[soon]
            )
        return made

    state = flow("1").run(executor=executor)
    notes.take()
    damage(kept(state, "first"))
    state = flow("2").run(executor=executor, keep_values=keep_values)
    assert state.is_successful(), state.message
    assert set(notes.take()) == {"each-1[0]", "each-1[1]", "first-1", "last-1", "out-1", "soon-1"}
    assert (state.result["last"].result, state.result["each"].result) == (5, [6, 5])
    assert sum("first-1 is run again" in said for said in caplog.messages) == 1
    assert flow("2").run(executor=executor).result["first"].is_cached(), "the new one is found from now on"


def test_what_took_a_value_is_recorded_with_that_value_though_it_is_computed_again(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SQLLedger.record

    def slowly(*given: Any) -> None:
        time.sleep(1)  # so that what ran in the meantime waits to be recorded when the value cannot be read
        record(*given)

    def flow(version: str, spoiled: Path | None = None) -> Flow:
        def early(x: str) -> str:
            if spoiled is not None:
                spoiled.unlink()
            return x

        with Flow("f", storage=storage) as made:
            first = task(name="first", version="1", cache=True)(lambda: uuid.uuid4().hex)()
            before = task(name="before", version=version)(early)(first)
            task(name="after", version=version)(lambda x: x)(first, upstream_tasks=[before])
        return made

    old = flow("1").run(executor="processes")
    monkeypatch.setattr(SQLLedger, "record", slowly)
    new = flow("2", kept(old, "first")).run(executor="processes")
    assert new.is_successful(), new.message
    run, earlier = ckpt_ledger.runs()
    assert new.result["before"].result == old.result["first"].result != new.result["first"].result
    assert new.result["after"].result == new.result["first"].result
    took = {name: run[name].record.inputs["x"][0].digest for name in ("before", "after")}
    assert took == {"before": earlier["first"].record.safe.digest, "after": run["first"].record.safe.digest}


@pytest.mark.parametrize("fault", [RuntimeError, SystemExit])
def test_a_record_that_cannot_be_made_fails_no_flow(
    fault: type[BaseException],
    notes: Notes,
    storage: str,
    executor: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*given: object) -> TaskRecord:
        raise fault("a fault")

    monkeypatch.setattr("ckpt.engine.facts.TaskFacts.current", fails)
    state = squares(notes, storage, range(5000)).run(executor=executor)
    assert state.is_successful(), state.message
    assert [said for said in caplog.messages if "not recorded any further" in said and "a fault" in said]


class Gone(LocalResultHandler):
    """Cannot write, and says so once it is asked to."""

    asked, told = threading.Event(), threading.Event()

    def send(self, values: Sequence[Any]) -> list[Exception | None]:
        self.asked.wait(30)
        threading.Timer(0.02, self.told.set).start()
        return [OSError("the disk is gone") for _ in values]


def waits() -> None:
    Gone.asked.set()
    Gone.told.wait(30)


def test_what_took_a_value_is_recorded_with_it_though_it_could_not_be_kept(
    notes: Notes, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT__FLOWS__WRITE_RETRIES", "0")
    with Flow("f", storage=storage) as flow:
        first = noted(notes, "first", lambda: 1, result_handler=Gone(tmp_path / "gone"))()
        second = noted(notes, "second", lambda x: x)(first)
        third = noted(notes, "third", lambda: time.sleep(0.05))(upstream_tasks=[second])  # and the second is kept
        noted(notes, "fourth", waits)(upstream_tasks=[third])
    state = flow.run()
    assert (state.result["first"].is_failed(), state.result["second"].is_successful()) == (True, True)
    (source,) = ckpt_ledger.runs()[0]["second"].record.inputs["x"]
    assert source.call == CallPath("first-1")
    assert source.digest is not None


def test_what_is_left_out_of_an_identity_is_recorded_as_it_was_given(notes: Notes, storage: str) -> None:
    with Flow("f", storage=storage) as flow:
        first = noted(notes, "first", lambda: 1)()
        takes = noted(notes, "takes", lambda kept, left: left, cache_exclude=["left"])
        takes([1], 1)
        takes([1], 2)
        takes([1], first)
    assert flow.run().is_successful()
    run = ckpt_ledger.run()
    ledger = ckpt_ledger.open_ledger()
    given = [ledger.arguments(str(run[f"takes-{number}"].record.arguments)).data for number in (1, 2)]
    assert [unpickle(data)[0] for data in given if data] == [([1], 1), ([1], 2)]
    assert [source.call for source in run["takes-3"].record.inputs["left"]] == [CallPath("first-1")]


class CountingLedger(SQLLedger):
    """Counts what it is asked; may be down."""

    asked: list[int] = []  # noqa: RUF012  the runs of a test share it
    down = False

    def lookup(self, identities: Sequence[Identity]) -> Mapping[Identity, TaskRecord]:
        if CountingLedger.down:
            raise StoreUnavailable("the ledger is down: wait")
        self.asked.append(len(identities))
        return super().lookup(identities)

    def record(self, tasks: Sequence[TaskRecord], arguments: Any = ()) -> None:
        if CountingLedger.down:
            raise StoreUnavailable("the ledger is down: wait")
        super().record(tasks, arguments)

    def end(self, *given: Any) -> None:
        if CountingLedger.down:
            raise StoreUnavailable("the ledger is down: wait")
        super().end(*given)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    monkeypatch.setattr("ckpt.plugins.ledger_classes", lambda: [CountingLedger])
    CountingLedger.asked.clear()
    CountingLedger.down = False
    yield CountingLedger.asked
    CountingLedger.down = False


def test_many_are_asked_for_at_once(notes: Notes, storage: str, counting: list[int]) -> None:
    squares(notes, storage, range(200)).run()
    assert sum(counting) == 201
    assert len(counting) == 2, "all children in one, and what takes them"
    counting.clear()
    squares(notes, storage, range(200)).run()
    assert counting == [], "the last run of the flow says it all"
    counting.clear()
    squares(notes, storage, range(100, 300), name="another").run()
    assert counting == [200, 1]


def test_a_ledger_that_goes_down_fails_no_flow(
    notes: Notes, storage: str, executor: str, counting: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(x: int) -> int:
        CountingLedger.down = True
        return x

    def flow() -> Flow:
        with Flow("f", storage=storage) as made:
            first = noted(notes, "first", lambda: 1)()
            broken = noted(notes, "breaks", breaks)(first)
            noted(notes, "last", lambda x: x + 1)(broken)
        return made

    state = flow().run(executor=executor)
    assert state.is_successful(), state.message
    assert notes.take() == ["breaks-1", "first-1", "last-1"]
    assert sum("not recorded any further" in said for said in caplog.messages) == 1
    assert not [each for each in caplog.records if each.levelno > logging.WARNING]
    assert all(kept(state, name).exists() for name in ("first", "breaks", "last")), "values are kept all the same"


def test_a_required_ledger_that_goes_down_fails_what_it_cannot_record(
    notes: Notes, storage: str, executor: str, counting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT__LEDGER__REQUIRED", "true")

    def breaks(x: int) -> int:
        CountingLedger.down = True
        return x

    with Flow("f", storage=storage) as flow:
        first = noted(notes, "first", lambda: 1, cache=False)()
        broken = noted(notes, "breaks", breaks, cache=False)(first)
        noted(notes, "last", lambda x: x + 1, cache=False)(broken)
    state = flow.run(executor=executor)
    assert state.is_failed()
    assert state.result["breaks"].is_failed()
    assert "computed, not kept: StoreUnavailable: the ledger is down" in state.result["breaks"].message
