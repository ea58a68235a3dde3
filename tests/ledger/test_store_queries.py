"""What people and commands ask of a ledger."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import ckpt
import ckpt_ledger
from ckpt import NoResult, SafeResult
from ckpt.errors import ConfigError, NotFound
from ckpt.handlers import Meta
from ckpt_ledger import SQLLedger
from ckpt_ledger.sql import statements
from ckpt_local import LocalResultHandler
from tests.ledger.ledger_records import SPEC, START, a_line, a_run, a_task, reusable, some_arguments


@pytest.fixture
def four(ledger: SQLLedger) -> SQLLedger:
    for number, (run, flow, name) in enumerate(
        [("1", "weather", None), ("2", "other", "good"), ("3", "weather", "good"), ("4", "weather", None)]
    ):
        ledger.begin(a_run(run, minutes=number, flow=flow, name=name))
    ledger.end("1", "Failed", "")
    ledger.end("3", "Success", "")
    return ledger


def ids(ledger: SQLLedger, **filters: object) -> str:
    return "".join(row.id for row in ledger.runs(**filters))  # type: ignore[arg-type]


def test_runs_are_listed_newest_first_and_by_what_is_asked(four: SQLLedger) -> None:
    assert ids(four) == "4321"
    assert ids(four, flow="weather") == "431"
    assert ids(four, name="good") == "32"
    assert ids(four, state="Failed") == "1"
    assert ids(four, state="Running") == "42"
    assert ids(four, state="Lost") == ""
    assert ids(four, since=START + timedelta(minutes=1), until=START + timedelta(minutes=3)) == "32"
    assert ids(four, flow="weather", state="Success", name="good") == "3"
    assert ids(four, flow="none") == ""


def test_a_moment_without_a_zone_is_local(four: SQLLedger) -> None:
    local = (START + timedelta(minutes=2)).astimezone().replace(tzinfo=None)
    assert ids(four, since=local) == "43"


def test_a_long_list_comes_in_pages(four: SQLLedger) -> None:
    assert ids(four, limit=2) == "43"
    assert ids(four, limit=2, before="3") == "21"
    assert ids(four, limit=None) == "4321"
    with pytest.raises(NotFound):
        four.runs(before="nobody")


def test_a_state_that_no_run_can_have_is_refused(four: SQLLedger) -> None:
    with pytest.raises(ConfigError, match="did you mean 'Failed'"):
        four.runs(state="failed")


def test_the_run_before_a_run_is_the_one_of_its_flow(four: SQLLedger) -> None:
    previous = four.previous("4")
    assert previous is not None
    assert previous.id == "3"
    assert four.previous("1") is None


def test_a_run_is_named_and_the_newest_that_bears_a_name_is_meant(four: SQLLedger) -> None:
    assert four.find("good").id == "3"
    four.rename("4", "good")
    assert four.find("good").id == "4"
    four.rename("4", None)
    assert (four.find("good").id, four.find("4").name) == ("3", None)
    for name in ("", " ", "last", "\0"):
        with pytest.raises(ConfigError, match="another name"):
            four.rename("4", name)
    with pytest.raises(NotFound):
        four.rename("5", "x")


def test_a_task_run_is_found_by_slug_name_and_index(four: SQLLedger) -> None:
    four.record(
        [
            a_task("load-1", run="4", task="Load it"),
            *(a_task("clean-2", index, run="4", task="clean") for index in (None, 0, 1)),
            *(a_task(f"add-{number}", run="4", task="add") for number in (3, 4)),
            a_task("clean-2", run="3", message="another run's"),
        ]
    )

    def meant(text: str) -> str:
        return str(four.task("4", text).call)

    assert meant("load-1") == meant("Load it") == "load-1"
    assert meant("clean-2") == meant("clean") == "clean-2"
    assert [meant("clean-2[1]"), meant("add-4")] == ["clean-2[1]", "add-4"]
    assert meant("clean[1]") == "clean-2[1]"
    assert four.task("4", "clean").error is None
    assert four.task("4", "clean").inputs == a_task().inputs
    with pytest.raises(ConfigError, match=r"2 calls of task 'add': .* \(add-3, add-4"):
        meant("add")
    with pytest.raises(NotFound, match="did you mean 'load-1'"):
        meant("laod-1")
    for text in ("clean-2[2]", "", "clean[2]", "clean-2[99999999999999999]"):
        with pytest.raises(NotFound):
            meant(text)


def test_children_are_found_before_their_call_has_come_to_its_end(four: SQLLedger) -> None:
    children = [a_task("clean-2", index, run="4", task="clean", children=None) for index in (1, 4)]
    four.record([a_task("load-1", run="4", children=None), *children])
    assert str(four.task("4", "clean[4]").call) == str(four.task("4", "clean-2[4]").call) == "clean-2[4]"
    for text in ("clean", "clean-2", "clean[0]", "clean-2[99]"):
        with pytest.raises(NotFound, match=r"clean-2 has not come to its end .*Running.* 2 of its .* 'clean-2\[1\]'"):
            four.task("4", text)
    four.record([a_task("clean-3", 1, run="4", task="clean", children=None)])
    for text in ("clean[1]", "clean"):
        with pytest.raises(ConfigError, match=r"2 calls of task 'clean': .* \(clean-2, clean-3"):
            four.task("4", text)
    with pytest.raises(NotFound, match=r"has no task run 'load\[0\]'"):
        four.task("4", "load[0]")


def test_an_index_beyond_the_children_says_how_many_there_are(four: SQLLedger) -> None:
    for slug, count in (("none-1", 0), ("one-2", 1), ("three-3", 3)):
        four.record([a_task(slug, run="3", children=count)])
        four.record([a_task(slug, index, run="3", children=None) for index in range(count)])
    for text, said in (
        ("none[0]", "none-1 has no children"),
        ("one-2[1]", r"one-2 has 1 child, one-2\[0\]"),
        ("three[3]", r"three-3 has 3 children, three-3\[0\] to three-3\[2\]"),
    ):
        with pytest.raises(NotFound, match=f"{said}$"):
            four.task("3", text)


def test_of_a_run_that_has_not_ended_it_is_said_that_there_may_be_more(four: SQLLedger) -> None:
    four.record([a_task("load-1", run=run) for run in ("3", "4")])
    with pytest.raises(NotFound, match=r"it has not ended \(Running\), and what has not begun.*; did you mean 'load"):
        four.task("4", "laod")
    with pytest.raises(NotFound, match="no task run 'laod': did you mean 'load"):
        four.task("3", "laod")


def test_without_summaries_a_run_is_told_in_short(four: SQLLedger) -> None:
    task = a_task(run="4", error="boom")
    four.record([task])
    [short] = four.tasks("4", summaries=False)
    assert (short.summary, short.inputs, short.error, short.safe) == (None, {}, None, task.safe)
    with pytest.raises(NotFound):
        four.tasks("5")


def test_every_object_that_a_run_refers_to_is_named(four: SQLLedger) -> None:
    four.record(
        [a_task(run="4"), a_task("b-2", run="4", safe=None), a_task("c-3", run="3")], [some_arguments(data=None)]
    )
    four.record([reusable("i", "d-4", run="4", safe=SafeResult({"k": 1}, {"type": "json"}), origin="3")])
    found = {(each.call, str(each.location), each.handler["type"]) for each in four.references(["4"])}
    assert found == {("clean-1", "4/clean-1.ckpt", "local"), ("d-4", "{'k': 1}", "json"), (None, "place", "local")}
    by_call = {each.call: each for each in four.references(["4"])}
    assert (by_call["clean-1"].size, by_call["clean-1"].handler) == (2**40, SPEC)
    assert (by_call["d-4"].origin, by_call["d-4"].run) == ("3", "4")
    assert by_call["d-4"].reusable_until is not None
    assert len(four.references(["3", "4"])) == 5


def test_deleted_runs_leave_nothing_behind(four: SQLLedger) -> None:
    given = [some_arguments(digest * 64) for digest in "abc"]
    four.record([a_task(run="1", arguments="a" * 64), a_task(run="2", arguments="b" * 64)], given[:2])
    four.record(
        [a_task("x-1", run="4", arguments="c" * 64), reusable("i", "y-2", run="4", arguments="b" * 64)], given[2:]
    )
    four.log([a_line("gone", run="4"), a_line("stays", run="1")])
    four.delete_runs(["4", "3", "nobody"])
    assert ids(four) == "21"
    assert four.lookup([reusable("i").identity]) == {}  # type: ignore[list-item]
    assert four.arguments("a" * 64) == given[0]
    assert four.arguments("b" * 64) == given[1]
    with pytest.raises(NotFound):
        four.arguments("c" * 64)
    assert [line.message for line in four.logs("1")] == ["stays"]
    four.begin(a_run("5", minutes=9))
    assert (four.tasks("5"), four.logs("5")) == ([], [])


def test_looking_makes_no_ledger(tmp_path: Path, server_url: str) -> None:
    for url in (None, f"sqlite:///{tmp_path}/new/ledger.db", server_url):
        with pytest.raises(NotFound, match="no run has been recorded yet"):
            ckpt_ledger.runs(url=url)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "home" / ".ckpt").exists()


def test_a_person_reads_values_of_a_run_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = LocalResultHandler(dir=str(tmp_path / "values"))
    stored = handler.store({"rows": 3}, key="clean-1", meta=Meta())
    monkeypatch.setenv("CKPT__LEDGER__URL", f"sqlite:///{tmp_path}/mine.db")
    writer = SQLLedger(f"sqlite:///{tmp_path}/mine.db")
    writer.begin(a_run("1", name="good"))
    writer.record(
        [a_task(run="1", safe=SafeResult.of(stored, handler)), a_task("load-2", run="1", safe=None, children=None)]
    )
    writer.log([a_line("hello", run="1")])
    writer.end("1", "Success", "")
    [run] = ckpt_ledger.runs()
    assert repr(run) == "<KeptRun 1 'good' of 'weather': Success, 2 task runs>"
    assert [repr(task) for task in run.tasks] == ["<KeptTask clean-1 Success stored>", "<KeptTask load-2 Success>"]
    clean = run["clean"]
    assert (clean.state, clean.name, clean.safe_value) == ("Success", "clean", SafeResult.of(stored, handler))
    assert clean.value == {"rows": 3}
    assert run["load-2"].value is run["load-2"].safe_value is NoResult
    assert [line.message for line in run.logs] == ["hello"]
    assert clean.children == []
    assert (run.id, run.flow, run.name, run.state) == ("1", "weather", "good", "Success")
    assert run.parameters == a_run().parameters
    handler.delete("clean-1")
    assert ckpt_ledger.run("good") == run
    with pytest.raises(NotFound):
        _ = ckpt_ledger.run("good")["clean"].value
    assert ckpt.read is not None


def test_the_settings_say_where_and_how_runs_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckpt import config

    def ledger() -> SQLLedger | None:
        return SQLLedger.from_settings(config.load())

    first = ledger()
    assert first is not None
    assert (first.required, first.lease_seconds, first.shown) == (False, 60.0, f"{tmp_path}/home/.ckpt/ledger.db")
    monkeypatch.setenv("CKPT__LEDGER__REQUIRED", "yes")
    monkeypatch.setenv("CKPT__LEDGER__LEASE_SECONDS", "5")
    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path}/by-reference.db")
    monkeypatch.setenv("CKPT__LEDGER__URL", "env:LEDGER_URL")
    second = ledger()
    assert second is not None
    assert (second.required, second.lease_seconds, second.shown) == (True, 5.0, f"{tmp_path}/by-reference.db")
    assert second.id != first.id
    monkeypatch.setenv("CKPT__LEDGER__LEASE_SECONDS", "0")
    with pytest.raises(ConfigError, match="lease_seconds must be at least 1.*CKPT__LEDGER__LEASE_SECONDS"):
        ledger()
    monkeypatch.setenv("CKPT__LEDGER__LEASE_SECONDS", "5")
    monkeypatch.setenv("CKPT__LEDGER__ENABLED", "off")
    monkeypatch.setenv("CKPT__LEDGER__URL", "file:/nowhere")
    assert ledger() is None
    monkeypatch.setenv("CKPT__LEDGER__ENABLED", "on")
    with pytest.raises(ConfigError, match="file:/nowhere, which cannot be read"):
        ledger()
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/third.db\n")
    monkeypatch.setenv("CKPT__LEDGER__URL", f"file:{tmp_path}/url")
    third = ledger()
    assert third is not None
    assert third.shown == f"{tmp_path}/third.db"
    for each in (first, second, third):
        each.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "mysql://host/db", "ledger.db", "",
        "postgresql://host:port/db", "postgresql://[::1/db",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"ledger\.url.*(write sqlite:///|leave out what follows)"):
        SQLLedger(url)


def test_a_relative_file_and_one_at_home_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, file in (("sqlite:///a b%23.db", "a b#.db"), ("sqlite:///~/mine.db", "home/mine.db")):
        ledger = SQLLedger(url)
        ledger.close()
        assert (tmp_path / file).is_file()
        assert ledger.shown == str(tmp_path / file)


def test_times_are_kept_to_the_microsecond(ledger: SQLLedger) -> None:
    moments = [datetime(1960, 1, 1, 0, 0, 0, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)]
    ledger.begin(a_run(started=moments[0]))
    ledger.record([a_task(started=moments[0], ended=moments[1])])
    [task] = ledger.tasks(a_run().id)
    assert (task.started, task.ended, ledger.find("last").started) == (moments[0], moments[1], moments[0])


def test_failed_task_runs_are_found_without_reading_the_others(file_url: str) -> None:
    SQLLedger(file_url).close()
    with sqlite3.connect(file_url.removeprefix("sqlite:///")) as file:
        plan = file.execute(f"EXPLAIN QUERY PLAN {statements.end_run('sqlite')}", (0, 0, "", "", "")).fetchall()
    file.close()
    assert "SEARCH ckpt_tasks USING INDEX ckpt_tasks_failed (run=?)" in {row[3] for row in plan}
