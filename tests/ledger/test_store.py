"""The contract of a ledger: what was recorded comes back, whole, from both kinds of database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ckpt import CallPath, Identity, SafeResult
from ckpt.errors import ConfigError, NotFound
from ckpt.task_records import FOREVER, RunRecord, TaskRecord
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import DIGEST, SPEC, a_line, a_run, a_task, paths, reusable, some_arguments


def test_a_run_comes_back_as_it_was_begun(ledger: SQLLedger) -> None:
    run = a_run(name="good")
    ledger.begin(run)
    assert ledger.find(run.id).record == run


def test_a_run_of_which_little_is_known_comes_back_too(ledger: SQLLedger) -> None:
    run = RunRecord("1", "f", datetime(2026, 1, 1, tzinfo=UTC))
    ledger.begin(run)
    assert ledger.find("1").record == run


@pytest.mark.parametrize(
    "task",
    [
        a_task(),
        a_task("clean-2", 0),
        a_task(safe=None, summary=None, inputs={}, started=None, ended=None, children=None, origin=None),
        a_task(state="Failed", error="Traceback\n  boom", safe=None, message="boom"),
        a_task(safe=SafeResult({"inline": [1, None, "ü"]}, {"type": "json"})),
        a_task(safe=SafeResult(None, {"type": "json"}, digest=DIGEST)),
        a_task(reusable_until=FOREVER, identity=Identity("f" * 64)),
        a_task(reusable_until=datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        a_task(handler=None, level=None, code=None, arguments=None, task="", order=0),
    ],
    ids=lambda task: str(task.call),
)
def test_a_task_run_comes_back_as_it_was_recorded(ledger: SQLLedger, task: object) -> None:
    ledger.begin(a_run())
    ledger.record([task])  # type: ignore[list-item]
    assert ledger.tasks(a_run().id) == [task]


@pytest.mark.parametrize("count", [2, 7, 9, 31, 33, 127, 129, 171, 300])
def test_a_batch_of_any_size_comes_back(ledger: SQLLedger, count: int) -> None:
    ledger.begin(a_run())
    recorded = [a_task(f"clean-{number}", order=number) for number in range(count)]
    ledger.record(recorded, [some_arguments(f"{number:064x}") for number in range(count)])
    assert ledger.tasks(a_run().id) == recorded
    assert ledger.arguments(f"{count - 1:064x}") == some_arguments(f"{count - 1:064x}")
    assert ledger.prior("last", flow="weather").tasks.keys() == {task.call for task in recorded}


def test_a_later_record_takes_the_place_of_an_earlier_one(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.record([a_task(state="Failed", error="boom"), a_task("clean-2")])
    ledger.record([a_task(message="second")])
    ledger.record([a_task("clean-3", message="one"), a_task("clean-3", message="two")])
    kept = ledger.tasks(a_run().id)
    assert paths(kept) == ["clean-1", "clean-2", "clean-3"]
    assert [(task.message, task.error) for task in kept] == [
        ("second", None), (a_task().message, None), ("two", None),
    ]  # fmt: skip


def test_what_a_later_record_does_not_have_is_not_left_over_from_an_earlier_one(ledger: SQLLedger) -> None:
    bare = TaskRecord(a_run().id, CallPath("clean-1"), "Success")
    ledger.begin(a_run())
    ledger.record([a_task(error="boom", children=3, reusable_until=FOREVER), a_task("clean-2", error="boom")])
    ledger.record([bare, a_task("clean-2")])
    assert ledger.tasks(a_run().id) == [bare, a_task("clean-2")]


def test_a_batch_may_hold_what_one_of_its_records_has_alone(ledger: SQLLedger) -> None:
    bare = [TaskRecord(a_run().id, CallPath(f"bare-{number}"), "Success", order=number) for number in range(40)]
    full = a_task("full-1", error="boom", children=3, reusable_until=FOREVER, order=40)
    ledger.begin(a_run())
    ledger.record([full, *bare])
    assert ledger.tasks(a_run().id) == [*bare, full]


def test_task_runs_are_in_run_order(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.record([a_task("b-10"), a_task("c-2", 10), a_task("c-2", 9), a_task("a-1"), a_task("c-2")])
    assert paths(ledger.tasks(a_run().id)) == ["a-1", "c-2", "c-2[9]", "c-2[10]", "b-10"]


def test_a_record_of_a_run_that_never_began_is_refused_and_leaves_nothing(ledger: SQLLedger) -> None:
    ledger.begin(a_run("known"))
    with pytest.raises(NotFound, match="'unknown' is not in the ledger"):
        ledger.record([a_task(run="known"), a_task(run="unknown")], [some_arguments()])
    assert ledger.tasks("known") == []
    with pytest.raises(NotFound):
        ledger.arguments("a" * 64)
    for step in (lambda: ledger.heartbeat("unknown"), lambda: ledger.end("unknown", "Success", "")):
        with pytest.raises(NotFound, match="unknown"):
            step()


def test_the_last_records_are_kept_with_the_end_of_their_run_or_not_at_all(ledger: SQLLedger) -> None:
    ledger.begin(a_run("known"))
    with pytest.raises(NotFound, match="'unknown' is not in the ledger"):
        ledger.end("known", "Success", "", [a_task(run="known"), a_task(run="unknown")], [some_arguments()])
    assert (ledger.tasks("known"), ledger.find("known").state) == ([], "Running")
    with pytest.raises(NotFound):
        ledger.arguments("a" * 64)
    ledger.end("known", "Failed", "", [a_task(run="known"), a_task("b-2", run="known", state="Failed")])
    assert paths(ledger.tasks("known")) == ["clean-1", "b-2"]
    over = ledger.find("known")
    assert (over.state, over.tasks, over.failed) == ("Failed", 2, 1)


def test_a_run_that_begins_twice_began_once(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.begin(a_run())
    assert len(ledger.runs()) == 1


def test_arguments_are_kept_once_and_stay_as_they_were(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.record([a_task()], [some_arguments(), some_arguments("b" * 64, None)])
    ledger.record([], [some_arguments(data=b"other")])
    assert ledger.arguments("a" * 64) == some_arguments()
    assert ledger.arguments("b" * 64) == some_arguments("b" * 64, None)
    with pytest.raises(NotFound, match="cccc"):
        ledger.arguments("c" * 64)


def test_messages_come_back_in_the_order_of_time(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.begin(a_run("other"))
    lines = [a_line("second", seconds=1), a_line("first"), a_line("third", "load-1", seconds=2)]
    ledger.log([*lines, a_line("elsewhere", run="other")])
    assert [line.message for line in ledger.logs(a_run().id)] == ["first", "second", "third"]
    assert ledger.logs(a_run().id, CallPath("load-1")) == [lines[2]]
    assert ledger.logs(a_run().id, CallPath("load-1", 0)) == []


def test_what_a_run_has_become_is_told(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.record([a_task(), a_task("b-2", state="TimedOut"), a_task("c-3", state="Skipped")])
    running = ledger.find("last")
    assert (running.state, running.ended, running.tasks, running.failed, running.is_alive) == (
        "Running", None, 3, 1, True,
    )  # fmt: skip
    ledger.end(a_run().id, "Failed", "one task failed")
    over = ledger.find("last")
    assert (over.state, over.message, over.tasks, over.failed, over.is_alive) == (
        "Failed", "one task failed", 3, 1, False,
    )  # fmt: skip
    assert over.ended is not None
    assert running.heartbeat <= over.ended <= datetime.now(UTC) + timedelta(seconds=1)


def test_a_run_is_alive_as_long_as_its_last_heartbeat_is_younger_than_the_lease(url: str) -> None:
    writer, short, long = SQLLedger(url), SQLLedger(url, lease_seconds=1e-6), SQLLedger(url, lease_seconds=1000)
    writer.begin(a_run())
    assert (short.find("last").state, short.prior("last", flow="weather").is_alive) == ("Lost", False)
    assert (long.find("last").state, long.prior("last", flow="weather").is_alive) == ("Running", True)
    before = long.find("last").heartbeat
    for sign_of_life in (
        lambda: writer.heartbeat(a_run().id),
        lambda: writer.record([a_task()]),
        lambda: writer.log([a_line("hello")]),
    ):
        sign_of_life()
        assert long.find("last").heartbeat > before
        before = long.find("last").heartbeat
    writer.end(a_run().id, "Success", "")
    assert not long.prior("last", flow="weather").is_alive
    for each in (writer, short, long):
        each.close()


def test_an_earlier_run_comes_with_all_of_its_task_runs(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    recorded = [
        a_task(),
        a_task("map-2", children=2),
        a_task("map-2", 0),
        a_task("map-2", 1, state="Failed", error="x"),
    ]
    ledger.record(recorded)
    prior = ledger.prior("last", flow="weather")
    assert prior.run == a_run()
    assert prior.is_alive
    assert list(prior.tasks) == [task.call for task in recorded]
    for task in recorded:
        found = prior.tasks[task.call]
        for name in (
            "run", "call", "state", "message", "attempt", "safe", "outcome", "handler", "level", "identity", "task",
            "order", "code", "arguments", "children", "origin", "reusable_until",
        ):  # fmt: skip
            assert getattr(found, name) == getattr(task, name), name


def test_the_values_of_an_earlier_run_share_their_handler(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.record([a_task(f"t-{number}", safe=SafeResult("x", dict(SPEC))) for number in range(5)])
    found = [task.safe for task in ledger.prior("last", flow="weather").tasks.values()]
    assert len({id(safe.kept_by) for safe in found if safe is not None}) == 1
    assert [safe.spec for safe in found if safe is not None] == [SPEC] * 5


def test_a_run_is_found_by_id_name_prefix_and_last(ledger: SQLLedger) -> None:
    for number, (run, flow, name) in enumerate(
        [("2026a", "weather", "good"), ("2026b", "weather", "good"), ("2025c", "other", None), ("20", "weather", None)]
    ):
        ledger.begin(a_run(run, minutes=number, flow=flow, name=name))

    def meant(ref: str) -> str:
        return ledger.prior(ref, flow="weather").run.id

    assert [meant(ref) for ref in ("2026a", "2025", "good", "20", "last")] == ["2026a", "2025c", "2026b", "20", "20"]
    assert ledger.prior("last", flow="other").run.id == "2025c"
    assert (ledger.find("last").id, ledger.find("last", flow="other").id) == ("20", "2025c")
    with pytest.raises(ConfigError, match=r"'2026' begins the ids of several runs \(2026b, 2026a"):
        meant("2026")


def test_a_run_that_is_not_there_names_what_is(ledger: SQLLedger) -> None:
    with pytest.raises(NotFound, match="no run has been recorded yet"):
        ledger.prior("last", flow="weather")
    ledger.begin(a_run("2026a", name="good"))
    with pytest.raises(NotFound, match=r"did you mean 'good'\? .* 2026a \(good\).*ckpt runs"):
        ledger.prior("goood", flow="weather")
    with pytest.raises(NotFound, match="of flow 'wether'.*did you mean 'weather'"):
        ledger.prior("last", flow="wether")
    for ref in ("", "%", "2026_", "2026A"):
        with pytest.raises(NotFound):
            ledger.prior(ref, flow="weather")


def test_the_newest_value_that_may_be_reused_is_found(ledger: SQLLedger) -> None:
    for number in range(3):
        ledger.begin(a_run(f"run-{number}", minutes=number))
    ledger.record([reusable("i1", run="run-0"), reusable("i2", "b-2", run="run-0")])
    ledger.record([reusable("i1", run="run-1"), reusable("i3", "c-3", run="run-1")])
    ledger.record([reusable("i1", run="run-2", state="Cached", origin="run-1")])  # it took the value, and offers none
    found = ledger.lookup([Identity(each) for each in ("i1", "i2", "missing", "i1")])
    assert {identity: record.run for identity, record in found.items()} == {"i1": "run-1", "i2": "run-0"}
    assert found[Identity("i2")].safe == a_task("b-2", run="run-0").safe
    assert ledger.lookup([]) == {}


def test_what_may_not_be_reused_is_not_found(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    now = datetime.now(UTC)
    ledger.record(
        [
            reusable("expired", "a-1", reusable_until=now - timedelta(seconds=1)),
            reusable("failed", "b-2", state="Failed"),
            reusable("mapped", "c-3", state="Mapped"),
            reusable("taken", "h-8", state="Cached", origin="run-0"),
            reusable("no digest", "d-4", safe=SafeResult("x", SPEC)),
            reusable("no value", "e-5", safe=None),
            reusable("never", "f-6", reusable_until=None),
            reusable("still", "g-7", reusable_until=now + timedelta(hours=1)),
        ]
    )
    names = ["expired", "failed", "mapped", "taken", "no digest", "no value", "never", "still"]
    assert list(ledger.lookup([Identity(name) for name in names])) == ["still"]


def test_an_expired_value_does_not_hide_an_older_one(ledger: SQLLedger) -> None:
    ledger.begin(a_run("old"))
    ledger.begin(a_run("new", minutes=1))
    ledger.record([reusable("i", run="old")])
    ledger.record([reusable("i", run="new", reusable_until=datetime.now(UTC) - timedelta(seconds=1))])
    assert ledger.lookup([Identity("i")])[Identity("i")].run == "old"


def test_any_number_of_identities_is_looked_up_at_once(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.record([reusable(f"i{number}", f"t-{number}") for number in range(3000)])
    found = ledger.lookup([Identity(f"i{number}") for number in range(40_000)])
    assert len(found) == 3000


def test_a_ledger_keeps_its_id(url: str, ledger: SQLLedger) -> None:
    again = SQLLedger(url)
    assert again.id == ledger.id
    assert len(ledger.id) >= 32
    again.close()


def test_a_closed_ledger_opens_again_when_it_is_asked(ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    ledger.close()
    assert ledger.find("last").id == a_run().id


def test_text_of_every_kind_comes_back_or_as_its_escape(ledger: SQLLedger) -> None:
    ledger.begin(a_run(parameters={"p": "\0\ud800é"}))
    odd = "\0 \ud800 é 🐘 \x7f \r\n"
    task = a_task(message=odd, error=odd, summary={"k\0": odd}, inputs={})
    ledger.record([task])
    ledger.log([a_line(odd)])
    ledger.end(a_run().id, "Success", odd)
    [kept] = ledger.tasks(a_run().id)
    shown = odd.replace("\0", "\\u0000").replace("\ud800", "\\ud800")
    assert (kept.message, kept.error) == (shown, shown)
    assert kept.summary == {"k\0": odd}
    assert ledger.find("last").record.parameters == {"p": "\0\ud800é"}
    assert ledger.find("last").message == ledger.logs(a_run().id)[0].message == shown
