"""Cleaning: what is old goes, and nothing that anybody still refers to, whenever whoever cleans is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import ckpt_ledger
from ckpt import Flow, Parameter, task
from ckpt.errors import NotFound
from ckpt.handlers import Meta
from ckpt.task_records import RunRecord
from ckpt_ledger import SQLLedger
from ckpt_ledger.care.cleaning import Cleaned, Cleaning, Policy
from ckpt_ledger.care.verification import Finding, Verification
from ckpt_local import LocalResultHandler

CKPT = str(Path(sys.executable).with_name("ckpt"))
NOW = timedelta(0)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def kept(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLLedger]:
    """The ledger of the flows that a test runs."""
    monkeypatch.setenv("CKPT__LEDGER__URL", url)
    ledger = SQLLedger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def filed(file_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLLedger]:
    monkeypatch.setenv("CKPT__LEDGER__URL", file_url)
    ledger = SQLLedger(file_url)
    yield ledger
    ledger.close()


def chain(results: Path, name: str = "chain", *, cache: Any = False) -> Flow:
    with Flow(name, storage=results.as_uri()) as flow:
        n = Parameter("n", 3)
        numbers = task(name="numbers", version="1", cache=cache)(lambda n: list(range(n)))(n)
        squares = task(name="square", version="1")(lambda x: x * x).map(numbers)
        task(name="total", version="1")(lambda xs, text: sum(xs) + len(text))(squares, "x" * 20_000)
    return flow


def clean(ledger: SQLLedger, older_than: timedelta = NOW, keep_last: int = 0, **more: Any) -> Cleaned:
    cleaning = Cleaning(ledger, Policy(older_than, keep_last, **{"grace": NOW, **more}))
    return cleaning.clean(cleaning.plan())


def wrong(ledger: SQLLedger) -> list[Finding]:
    return [each for each in Verification(ledger, data=1).findings() if each.kind not in ("orphan", "foreign")]


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def newest(ledger: SQLLedger) -> str:
    return ledger.find("last").id


def test_old_runs_go_with_their_values_and_the_newest_stay(kept: SQLLedger, results: Path) -> None:
    for n in (1, 2, 3):
        chain(results).run({"n": n})
    ids = [run.id for run in kept.runs()]
    plan = Cleaning(kept, Policy(NOW, 1, grace=NOW)).plan()
    done = clean(kept, keep_last=1)
    assert (plan.total, {run.id for run in plan.runs}) == (done.total, {run.id for run in done.runs})
    assert [run.id for run in kept.runs()] == ids[:1]
    assert all(ids[0] in file or "constants" in file for file in files(results))
    assert wrong(kept) == []
    assert clean(kept, keep_last=1).total.objects == 0
    assert clean(kept, timedelta(hours=1)).total.objects == 0, "it is too young"
    clean(kept)
    assert files(results) == set(), "the constants were held by the run that named them too"
    assert kept.going.chosen(None).going == []


def test_a_value_that_a_later_run_has_taken_stays_as_long_as_that_run(kept: SQLLedger, results: Path) -> None:
    flow = chain(results)
    flow.run()
    first = newest(kept)
    flow.run(resume="last", from_task="total")
    assert len(clean(kept, keep_last=1).runs) == 1
    assert wrong(kept) == []
    assert [run.id for run in kept.runs()] != [first]
    values = ckpt_ledger.run("last", url=kept._database._address.url and os.environ["CKPT__LEDGER__URL"])
    assert values["numbers"].value == [0, 1, 2], "it is read where the first run has kept it"
    assert any(first in file for file in files(results))
    clean(kept)
    assert files(results) == set()
    assert kept.going.chosen(None).going == []


def test_a_value_that_may_be_reused_stays_until_it_may_not(kept: SQLLedger, results: Path) -> None:
    chain(results, cache=True).run()
    clean(kept)
    assert kept.runs() == []
    assert wrong(kept) == []
    state = chain(results, "another", cache=True).run()
    [numbers] = [each for call, each in state.result.items() if call.name == "numbers"]
    assert numbers.is_cached()
    assert numbers.result == [0, 1, 2]


def test_an_expired_value_goes(filed: SQLLedger, file_url: str, results: Path) -> None:
    chain(results, cache=0.01).run()
    time.sleep(0.02)
    hasty = SQLLedger(file_url, lease_seconds=0)
    clean(hasty)
    hasty.close()
    assert files(results) == set()


def test_a_named_run_stays(kept: SQLLedger, results: Path) -> None:
    chain(results).run(run_name="good")
    before = files(results)
    assert clean(kept).named == 1
    assert files(results) == before
    kept.rename(newest(kept), None)
    clean(kept)
    assert files(results) == set()


def started(ledger: SQLLedger, run: str, resumed: str | None = None) -> RunRecord:
    return RunRecord(run, "chain", ledger.runs(limit=1)[0].started, resumed=resumed, ledger=ledger.id)


def test_a_run_in_progress_stays_and_what_it_goes_on_from(kept: SQLLedger, results: Path) -> None:
    chain(results).run()
    first, before = newest(kept), files(results)
    kept.begin(started(kept, "99990101-000000-000-000000", first))
    assert clean(kept).total.objects == 0
    assert files(results) == before
    kept.end("99990101-000000-000-000000", "Success", "")
    clean(kept)
    assert files(results) == set()


def test_nobody_goes_on_from_a_run_that_is_being_deleted(kept: SQLLedger, results: Path) -> None:
    flow = chain(results)
    flow.run()
    first = newest(kept)
    kept.going.mark(Policy(NOW, 0), {first})
    with pytest.raises(NotFound, match="being deleted by `ckpt gc`"):
        flow.run(resume=first)
    with pytest.raises(NotFound, match="go on from another"):
        kept.begin(started_from(first, kept))
    with pytest.raises(NotFound):
        kept.heartbeat(first)
    clean(kept)
    with pytest.raises(NotFound, match="go on from another"):
        kept.begin(started_from(first, kept))
    assert files(results) == set()


def started_from(run: str, ledger: SQLLedger) -> RunRecord:
    from datetime import UTC, datetime

    return RunRecord("99990101-000000-000-000000", "chain", datetime.now(UTC), resumed=run, ledger=ledger.id)


def test_a_run_whose_first_run_is_marked_while_it_plans_does_not_start(
    filed: SQLLedger, results: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    flow = chain(results)
    flow.run()
    first = newest(filed)
    prior = SQLLedger.prior

    def between(self: SQLLedger, run_ref: str, *, flow: str) -> Any:
        found = prior(self, run_ref, flow=flow)
        filed.going.mark(Policy(NOW, 0), {first})
        return found

    with Flow("chain", storage=results.as_uri()) as changed:
        task(name="touch")(ran.touch)()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLLedger, "prior", between)
        with pytest.raises(NotFound, match="deleted by `ckpt gc` in the meantime"):
            changed.run(resume=first)
    assert not ran.exists()


def orphan(results: Path, run: str, ledger: str | None, name: str = "stray") -> Path:
    handler = LocalResultHandler(dir=str(results))
    [place] = {str(file.parent.relative_to(results)) for file in results.rglob("numbers-1.ckpt") if run in str(file)}
    handler.store(b"stray", key=f"{place}/{name}.ckpt", meta=Meta(run, name, ledger))
    return results / place / f"{name}.ckpt"


def test_what_no_row_refers_to_goes_after_the_grace_period_if_it_is_ours(kept: SQLLedger, results: Path) -> None:
    chain(results).run()
    run = newest(kept)
    ours, theirs = orphan(results, run, kept.id), orphan(results, run, "another", "theirs")
    torn = ours.with_name("torn.ckpt")
    torn.write_bytes(ours.read_bytes()[:-5])
    assert clean(kept, keep_last=1, grace=timedelta(hours=1)).young.objects == 3
    assert ours.exists()
    for file in (ours, theirs, torn):
        os.utime(file, (time.time() - 7200,) * 2)
    done = clean(kept, keep_last=1, grace=timedelta(hours=1))
    assert not ours.exists()
    assert theirs.exists(), "its header says that another ledger wrote it"
    assert torn.exists(), "nobody can tell whose it is"
    assert (done.total.objects, done.foreign.objects, len(done.problems)) == (1, 1, 1)
    assert wrong(kept) == []


def test_two_ledgers_in_one_folder_leave_each_others_values_alone(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledgers = []
    for name in ("one", "two"):
        url = f"sqlite:///{tmp_path}/{name}.db"
        monkeypatch.setenv("CKPT__LEDGER__URL", url)
        for _ in range(2):
            chain(results).run()
        ledgers.append(SQLLedger(url))
    one, two = ledgers
    theirs = {file for file in files(results) if any(run.id in file for run in two.runs())}
    done = clean(one)
    assert done.foreign.objects == len(theirs) > 0
    assert files(results) == theirs
    assert [each for each in Verification(two, data=1).findings() if each.kind != "orphan"] == []
    assert wrong(one) == []
    clean(two, keep_last=1)
    assert wrong(two) == []
    for ledger in ledgers:
        ledger.close()


KILLED = """
    import os, signal, sys
    from datetime import timedelta
    from ckpt_ledger import SQLLedger
    from ckpt_ledger.care.cleaning import Cleaning, Policy

    url, last = sys.argv[1], int(sys.argv[2])
    cleaning = Cleaning(SQLLedger(url), Policy(timedelta(0), 1, grace=timedelta(0)))
    plan = cleaning.plan()
    seen = 0

    def hook(event, args):
        global seen
        if event in ("os.remove", "os.rmdir", "os.scandir", "sqlite3.connect"):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)

    SQLLedger.close(cleaning._ledger)
    sys.addaudithook(hook)
    cleaning.clean(plan)
"""


def test_killed_at_any_step_nothing_dangles_and_the_next_gc_finishes(
    filed: SQLLedger, file_url: str, results: Path, tmp_path: Path
) -> None:
    flow = chain(results)
    flow.run({"n": 2})
    flow.run()
    flow.run(resume="last", from_task="total")
    filed.close()
    saved, home = tmp_path / "saved", tmp_path / "ledger"
    shutil.copytree(results, saved / "results")
    shutil.copytree(home, saved / "ledger")
    program = tmp_path / "killed.py"
    program.write_text(dedent(KILLED))
    kills, ends = 0, set()
    for step in range(1, 60):
        for name, place in (("results", results), ("ledger", home)):
            shutil.rmtree(place)
            shutil.copytree(saved / name, place)
        done = subprocess.run(
            [sys.executable, str(program), file_url, str(step)], capture_output=True, text=True, check=False
        )
        ledger = SQLLedger(file_url)
        assert wrong(ledger) == [], f"killed at step {step}"
        clean(ledger, keep_last=1)
        assert wrong(ledger) == []
        ends.add((frozenset(files(results)), len(ledger.runs()), len(ledger.going.chosen(None).going)))
        ledger.close()
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        kills += 1
    else:
        pytest.fail("it was killed again and again")
    assert kills >= 10
    assert len(ends) == 1, "in the end it is as if nobody had been killed"


WRITER = """
    import os, signal, time
    from pathlib import Path
    from ckpt import Flow, task
    from ckpt_ledger import SQLLedger

    def stopping(method):
        def stopped(*given):
            if not Path("stopped").exists():
                Path("stopped").touch()
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(0.2)  # the signal may meet another thread first, and this one must not begin
            method(*given)
        return stopped

    SQLLedger.record, SQLLedger.end = stopping(SQLLedger.record), stopping(SQLLedger.end)

    with Flow("slow", storage=Path("results").absolute().as_uri()) as flow:
        one = task(name="one", version="1")(lambda: 1)()
        two = task(name="two", version="1")(lambda x: x + 1)(one)
    state = flow.run()
    print(state.result[two].result)
"""


class Writer:
    """A flow in a process of its own, stopped when its values are durable and their rows are not."""

    def __init__(self, folder: Path, url: str) -> None:
        (folder / "writer.py").write_text(dedent(WRITER))
        self.process = subprocess.Popen(
            [sys.executable, "writer.py"], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "CKPT__LEDGER__URL": url, "CKPT__LEDGER__LEASE_SECONDS": "1"},
        )  # fmt: skip
        while not self._is_stopped():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def wake(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGCONT)
        out, said = self.process.communicate(timeout=60)
        return out, said


@pytest.fixture
def stopped(tmp_path: Path, file_url: str) -> Iterator[Writer]:
    writer = Writer(tmp_path, file_url)
    yield writer
    if writer.process.poll() is None:
        writer.process.kill()
        writer.process.communicate()


def test_a_writer_that_was_stopped_for_longer_than_the_grace_period_loses_nothing(
    stopped: Writer, file_url: str, results: Path
) -> None:
    ledger = SQLLedger(file_url, lease_seconds=1)
    assert len(files(results)) > 0
    time.sleep(1.2)
    assert ledger.find("last").state == "Lost"
    before = files(results)
    clean(ledger, keep_last=1)
    assert files(results) == before, "its run stays, so it may still record what it has written"
    out, said = stopped.wake()
    assert out == "2\n", said
    assert "not recorded any further" not in said
    assert ledger.find("last").state == "Success"
    assert [each.safe is not None for each in ledger.tasks(newest(ledger))] == [True, True]
    assert list(Verification(ledger, data=1).findings()) == []
    ledger.close()


def test_a_writer_whose_run_has_gone_meanwhile_is_refused_and_the_next_gc_takes_what_it_wrote(
    stopped: Writer, file_url: str, results: Path
) -> None:
    ledger = SQLLedger(file_url, lease_seconds=1)
    time.sleep(1.2)
    policy = Policy(NOW, 0, grace=timedelta(seconds=1))
    cleaning = Cleaning(ledger, policy)
    assert len(cleaning.clean(cleaning.plan()).runs) == 1
    assert ledger.runs() == []
    out, said = stopped.wake()
    assert out == "2\n", said
    assert "not recorded any further" in said
    assert ledger.runs() == []
    assert wrong(ledger) == []
    (results / "kept").mkdir(parents=True, exist_ok=True)
    time.sleep(1.2)
    cleaning.clean(cleaning.plan())
    assert files(results) == set()
    assert ledger.going.chosen(None).going == []
    ledger.close()


def command(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CKPT, *args], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_the_command_says_what_goes_and_deletes_only_when_told_to(
    filed: SQLLedger, results: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        chain(results).run()
    before = files(results)
    limits = ("--older-than", "0s", "--keep-last", "1", "--grace", "0s")
    refused = command(tmp_path, "gc", *limits)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    told = command(tmp_path, "gc", *limits, "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "would go: 1 run, " in told.stdout
    assert files(results) == before
    done = command(tmp_path, "gc", *limits, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)
    assert items[0]["what"] == "went"
    assert sum(each["objects"] for each in items) == len(before) - len(files(results)) > 0
    assert command(tmp_path, "verify", "--all").returncode == 0
    assert command(tmp_path, "gc", "--older-than", "soon").returncode == 2
    wrong_flow = command(tmp_path, "gc", "--flow", "chian", "--dry-run")
    assert wrong_flow.returncode == 2
    assert "did you mean 'chain'" in wrong_flow.stderr
    assert command(tmp_path, "gc", "--flow", "chain", "--dry-run").returncode == 0
