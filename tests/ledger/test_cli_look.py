"""The commands that look at runs: `runs`, `show`, `get`, `log`, `name`, `du`, in real processes."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ckpt import CallPath
from ckpt.task_records import Source
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import START, a_line, a_run, a_task

CKPT = str(Path(sys.executable).with_name("ckpt"))

FLOW = """
    import os
    from ckpt import Flow, Parameter, Secret, get_logger, task, unmapped

    class Spy:
        '''What is unpickled leaves a trace.'''
        def __init__(self, size):
            self.size = size
        def __setstate__(self, state):
            self.__dict__.update(state)
            open(os.environ["TRACE"], "a").write("unpickled\\n")

    @task
    def load(n):
        get_logger().info("loading %s", n)
        return [f"r{i}" for i in range(n)]

    @task(max_retries=1, retry_delay=0)
    def weigh(name, limit):
        get_logger().warning("weighing %s", name)
        if name == "r2" and limit < 5:
            raise ValueError(f"{name} is too heavy\\nfor us")
        return {"name": name, "weight": len(name)}

    @task
    def total(weights):
        return sum(each["weight"] for each in weights)

    @task
    def spy(n):
        return Spy(n)

    @task(checkpoint=False)
    def password():
        return "hunter2"

    @task
    def use(secret, summed):
        return len(secret) + summed

    with Flow("weigh things") as flow:
        n = Parameter("n", 3)
        limit = Parameter("limit", 3)
        weights = weigh.map(load(n), unmapped(limit))
        spy(n)
        use(password(), total(weights))
"""


class Desk:
    """A folder to work in, an empty home, and the real command in processes of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        home = root / "home"
        home.mkdir(parents=True)
        foreign = ("CKPT__", "PYTHON", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_", "TERM")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.trace = root / "trace"
        self.env |= {
            "HOME": str(home), "TERM": "xterm", "PYTHONIOENCODING": "utf-8", "TZ": "UTC", "TRACE": str(self.trace),
            "CKPT__FLOWS__STORAGE": (root / "kept").as_uri(),
        }  # fmt: skip
        (root / "flow.py").write_text(dedent(FLOW))

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, cwd=self.root, env={**self.env, **variables}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip

    def ckpt(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """What the command prints to stdout; it must end with `code`, and never with a traceback."""
        ran = self.run(CKPT, *arguments, **variables)
        said = ran.stderr.decode()
        assert ran.returncode == code, ran.stdout.decode() + said
        assert arguments[:1] == ("run",) or "Traceback" not in said, said
        return ran.stdout.decode()

    def fails(self, *arguments: str, code: int = 1) -> str:
        """What the command says when it cannot do that."""
        ran = self.run(CKPT, *arguments)
        said = ran.stderr.decode()
        assert (ran.returncode, ran.stdout) == (code, b""), ran.stdout.decode() + said
        assert "Traceback" not in said
        return said

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ckpt(*arguments, "--json"))
        return found

    def on_terminal(self, *arguments: str, columns: int) -> list[str]:
        """The lines as they are on a terminal of that width, without colours."""
        text = self.ckpt(*arguments, COLUMNS=str(columns), FORCE_COLOR="1")
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]

    def offered(self, *words: str) -> set[str]:
        """What a shell offers for the last of the words."""
        line = " ".join(["ckpt", *words])
        shown = self.ckpt(_CKPT_COMPLETE="zsh_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
        return {value.replace("\\:", ":") for value in shown.splitlines()[1::3]}

    def kept(self, name: str, run: str = "*") -> Path:
        [path] = (self.root / "kept").glob(f"*/*/*/*/{run}/{name}")
        return path

    @property
    def ledger(self) -> SQLLedger:
        return SQLLedger(f"sqlite:///{self.root}/home/.ckpt/ledger.db")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two runs: one that failed, and one named good that went on from it."""
    desk = Desk(tmp_path_factory.mktemp("looking"))
    desk.ckpt("run", "flow.py", code=1)
    desk.ckpt("run", "flow.py", "-p", "limit=9", "--resume", "last", "--name", "good")
    return desk


@pytest.fixture
def looked(template: Desk) -> Desk:
    """These runs, to look at only; nothing of that may unpickle."""
    template.trace.unlink(missing_ok=True)
    return template


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


@pytest.fixture
def run_once(desk: Desk) -> Desk:
    desk.ckpt("run", "flow.py", "-p", "limit=9")
    return desk


class TestRuns:
    def test_lists_the_newest_first(self, looked: Desk) -> None:
        good, bad = looked.items("runs")
        assert (good["name"], good["state"], bad["state"], bad["failed"]) == ("good", "Success", "Failed", 3)
        assert (good["resumed"], good["parameters"]) == (bad["id"], {"n": 3, "limit": 9})
        assert good["environment"]["ckpt"]
        assert good["places"][0]["prefix"].endswith(f"/{good['id']}/")

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            (["--flow", "weigh things"], 2),
            (["--flow", "other"], 0),
            (["--state", "failed"], 1),
            (["--state", "lost"], 0),
            (["--name", "good"], 1),
            (["--since", "1h"], 2),
            (["--since", "2030-01-01"], 0),
            (["--until", "yesterday"], 0),
            (["--until", "today", "--since", "yesterday"], 2),
            (["--limit", "1"], 1),
            (["--limit", "0"], 2),
        ],
        ids=str,
    )
    def test_can_be_narrowed(self, looked: Desk, filters: list[str], count: int) -> None:
        assert len(looked.items("runs", *filters)) == count

    def test_a_day_as_the_end_counts_whole(self, desk: Desk) -> None:
        with_day = desk.ledger
        with_day.begin(a_run())
        for until, count in (("2026-11-21", 0), ("2026-11-22", 1), ("2026-11-22 17:00", 0), ("2026-11-22 17:17", 1)):
            assert len(desk.items("runs", "--until", until)) == count, until

    @pytest.mark.parametrize(("option", "value"), [("--since", "soon"), ("--until", "99999999d"), ("--state", "fine")])
    def test_what_is_no_moment_or_state_says_what_is_one(self, looked: Desk, option: str, value: str) -> None:
        said = looked.fails("runs", option, value, code=2)
        assert "2026-11-22" in said or "success" in said.lower()

    def test_into_a_pipe_goes_one_whole_line_a_run(self, looked: Desk) -> None:
        title, *lines = looked.ckpt("runs").splitlines()
        assert title.split() == ["run", "name", "flow", "state", "started", "took", "tasks", "failed"]
        assert [len(re.split(r"  +", line)) for line in lines] == [8, 8]
        assert "…" not in "".join(lines)

    def test_before_the_first_run_it_says_how_to_record_one(self, desk: Desk) -> None:
        assert "ckpt run flow.py" in desk.ckpt("runs")
        assert desk.items("runs") == []
        assert "No run" in desk.ckpt("runs")
        desk.ledger.close()
        assert "ckpt run flow.py" in desk.ckpt("runs")
        assert "no run has been recorded yet" in desk.fails("show", "last")

    def test_where_nothing_is_recorded_it_says_that_instead(self, desk: Desk) -> None:
        assert "ledger.enabled" in desk.ckpt("runs", CKPT__LEDGER__ENABLED="false")

    def test_a_filter_that_fits_nothing_names_the_flows(self, looked: Desk) -> None:
        assert "did you mean 'weigh things'" in looked.ckpt("runs", "--flow", "weigh thing")


class TestShow:
    @pytest.mark.parametrize("ref", ["last", "good"])
    def test_a_run_is_meant_by_last_and_by_its_name(self, looked: Desk, ref: str) -> None:
        assert {item["run"] for item in looked.items("show", ref)} == {looked.items("runs")[0]["id"]}

    def test_a_run_is_meant_by_a_unique_prefix_and_what_is_not_names_the_runs(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        assert looked.items("show", bad[:-1])[0]["run"] == bad
        assert "write more of it" in looked.fails("show", bad[:8], code=2)
        assert "did you mean 'good'" in looked.fails("show", "goood")

    def test_has_a_line_for_each_call_in_run_order_and_folds_a_mapped_one(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        page = looked.ckpt("show", bad)
        table = page[page.index("\n\ntask ") :].splitlines()[3:]
        names = [line.split()[0] for line in table]
        assert names == ["n", "limit", "load-1", "weigh-1", "spy-1", "password-1", "total-1", "use-1"]
        assert "1 Failed, 2 Success" in table[3]
        assert "2 values" in table[3]
        assert "list of 3: 'r0', 'r1', 'r2'" in table[2]
        assert "(opted out)" in table[5]

    def test_children_are_unfolded_in_order(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        ids = [item["id"] for item in looked.items("show", bad, "--children")]
        at = ids.index("weigh-1")
        assert ids[at : at + 4] == ["weigh-1", "weigh-1[0]", "weigh-1[1]", "weigh-1[2]"]
        assert "r2 is too heavy" in looked.ckpt("show", bad, "--children")

    def test_a_reused_value_looks_as_it_did_when_it_was_made(self, looked: Desk) -> None:
        [item] = looked.items("show", "good", "load")
        assert (item["state"], item["summary"]["length"]) == ("Cached", 3)

    def test_the_head_has_all_that_is_known_of_the_run(self, looked: Desk) -> None:
        good, bad = looked.items("runs")
        head = looked.ckpt("show", "last").split("\n\n")[0]
        for part in (good["id"], "good", bad["id"], "limit = 9", "flow.py:weigh things", "local", good["code"],
                     "python 3.", good["places"][0]["prefix"]):  # fmt: skip
            assert part in head

    def test_of_a_task_all_facts_are_there(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        page = looked.ckpt("show", bad, "weigh-1[2]")
        [item] = looked.items("show", bad, "weigh-1[2]")
        assert (item["state"], item["attempt"], item["level"]) == ("Failed", 2, "storage")
        assert [source["call"] for source in item["inputs"]["name"]] == ["load-1"]
        parts = [item["identity"], item["code"], item["inputs"]["name"][0]["digest"], "list of 3", "attempts"]
        for part in (*parts, "chosen at level storage", "Traceback (most recent call last)", "r2 is too heavy"):
            assert part in page

    def test_a_constant_is_told_from_what_a_task_made(self, desk: Desk) -> None:
        ledger = desk.ledger
        ledger.begin(a_run())
        inputs = {"rows": (Source(CallPath("load-1"), "d" * 64),), "by": (Source(None, "c" * 64),)}
        ledger.record([a_task(inputs=inputs)])
        page = desk.ckpt("show", "last", "clean-1")
        assert re.search(r"by +a constant .* c{64}", page)
        assert re.search(r"rows +load-1 .* d{64}", page)

    def test_a_map_that_goes_on_is_counted_before_its_parent_is_there(self, desk: Desk) -> None:
        ledger = desk.ledger
        ledger.begin(a_run())
        ledger.record([a_task("clean-2", 0), a_task("clean-2", 1), a_task("clean-2", 2, state="Failed", safe=None)])
        assert re.search(r"^clean-2 +1 Failed, 2 Success", desk.ckpt("show", "last"), re.MULTILINE)
        assert "Running" in desk.ckpt("show", "last") or "Lost" in desk.ckpt("show", "last")

    def test_a_run_of_which_nothing_ended_has_a_head(self, desk: Desk) -> None:
        desk.ledger.begin(a_run())
        assert "Köln" in desk.ckpt("show", "last")

    @pytest.mark.parametrize("columns", [60, 80, 132])
    @pytest.mark.parametrize("what", [("runs",), ("show", "last"), ("show", "last", "--children"), ("du",)], ids=str)
    def test_no_line_of_a_table_is_wrapped(self, desk: Desk, what: tuple[str, ...], columns: int) -> None:
        ledger = desk.ledger
        ledger.begin(a_run(flow="precipitation over all of the stations of the north", name="a-name-that-is-long"))
        slug = "normalise-and-interpolate-all-the-measurements-1"
        ledger.record(
            [
                a_task(slug, children=2, state="Mapped", safe=None),
                *(a_task(slug, index, summary={"type": "str", "value": "x" * 80}) for index in range(2)),
                a_task(
                    "boom-1",
                    state="Failed",
                    message=f"ValueError: {'very ' * 30}bad\nand more",
                    safe=None,
                    summary=None,
                ),
            ]
        )
        lines = desk.on_terminal(*what, columns=columns)
        assert max(map(len, lines)) <= columns
        first = {"runs": "run ", "show": "task ", "du": "flow "}[what[0]]
        at = next(i for i in reversed(range(len(lines))) if lines[i].startswith(first))
        table = [line for line in lines[at + 1 :] if line]
        expected = 4 if "--children" in what else 2 if what[0] == "show" else 1
        assert len(table) == expected
        if "--children" in what:
            assert re.search(r"…\S*-1\[1\] ", "\n".join(table)), "which child it is must not be cut away"

    def test_what_a_terminal_would_obey_is_shown(self, desk: Desk) -> None:
        ledger = desk.ledger
        ledger.begin(a_run(flow="\x1b]0;mine\x07flow", name="\x1b[2J"))
        ledger.record([a_task(message="\x1b[31mred", state="Failed", safe=None, error="\x1b[2Jgone", summary=None)])
        for what in (["runs"], ["show", "last"], ["show", "last", "clean-1"], ["du"]):
            for columns in ("0", "80"):
                shown = desk.ckpt(*what, **({"COLUMNS": columns, "FORCE_COLOR": "1"} if columns != "0" else {}))
                assert not re.search(r"\x1b(?!\[[\d;]*m)|\x07|\x1b\[31mred", shown), what


class TestNothingOfThisUnpickles:
    def test_all_that_looks(self, looked: Desk) -> None:
        for what in ("runs", "show last", "show last --children", "show last spy", "log last", "du", "du last"):
            looked.ckpt(*what.split())
        assert looked.run(CKPT, "get", "last", "spy", "--raw").returncode == 0
        assert not looked.trace.exists()
        looked.ckpt("get", "last", "spy")
        assert looked.trace.exists(), "the trace is what tells"


class TestRun:
    def test_that_cannot_go_on_from_there_ends_with_2(self, run_once: Desk) -> None:
        assert "no run has the id or name 'nope'" in run_once.fails("run", "flow.py", "--resume", "nope", code=2)
        assert "no run has" in run_once.fails("run", "flow.py", "--resume", "nope", "--explain", code=2)
        assert "total-1" in run_once.fails("run", "flow.py", "--resume", "last", "--from", "tota", code=2)

    def test_that_reuses_values_does_not_count_them_as_kept(self, run_once: Desk) -> None:
        def said(*more: str) -> str:
            ran = run_once.run(CKPT, "run", "flow.py", "--resume", "last", *more)
            assert ran.returncode == 0, ran.stderr
            return ran.stderr.decode()

        everything = said()
        assert "Kept: nothing new; 9 values of earlier runs reused. To read one:" in everything
        assert " B kept" not in everything
        assert "; 8 values of earlier runs reused. To read one:" in said("--from", "use")
        assert sum(each["objects"] for each in run_once.items("du", "last")) == 1

    def test_from_a_task_on_needs_the_run_to_go_on_from(self, run_once: Desk) -> None:
        assert "--resume last --from total" in run_once.fails("run", "flow.py", "--from", "total", code=2)


class TestGet:
    def test_shows_the_value_as_read_does(self, looked: Desk) -> None:
        assert looked.ckpt("get", "last", "load") == "['r0', 'r1', 'r2']\n"
        assert looked.ckpt("get", "good", "weigh-1[2]") == "{'name': 'r2', 'weight': 2}\n"
        assert looked.ckpt("get", "good", "limit") == "9\n"

    def test_a_child_is_found_by_the_name_of_its_task_too(self, looked: Desk) -> None:
        assert looked.ckpt("get", "good", "weigh[2]") == looked.ckpt("get", "good", "weigh-1[2]")
        assert "weigh-1 has 3 children, weigh-1[0] to weigh-1[2]" in looked.fails("get", "good", "weigh[3]")

    def test_a_mapped_call_gives_the_values_of_its_children_in_order(self, looked: Desk) -> None:
        values = [{"name": f"r{number}", "weight": 2} for number in range(3)]
        assert looked.ckpt("get", "good", "weigh") == f"{values}\n"
        bad = looked.items("runs")[1]["id"]
        assert "weigh-1[2] of run " in looked.fails("get", bad, "weigh")
        assert "one each" in looked.fails("get", "good", "weigh", "--raw")

    def test_one_child_that_is_damaged_is_named(self, run_once: Desk) -> None:
        run_once.kept("weigh-1/0001.ckpt").write_bytes(b"")
        assert "weigh-1[1] of run " in run_once.fails("get", "last", "weigh")

    def test_the_bytes_go_into_a_file_or_to_stdout_as_they_are(self, looked: Desk, tmp_path: Path) -> None:
        looked.ckpt("get", "last", "total", "-o", str(tmp_path / "total.ckpt"))
        with (tmp_path / "total.ckpt").open("rb") as file:
            assert pickle.load(file) == 6
        raw = looked.run(CKPT, "get", "last", "total", "--raw").stdout
        assert raw == (tmp_path / "total.ckpt").read_bytes()

    def test_a_task_run_without_a_value_says_why(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        assert "checkpoint=False" in looked.fails("get", "last", "password")
        assert "r2 is too heavy" in looked.fails("get", bad, "weigh-1[2]")
        assert "TriggerFailed" in looked.fails("get", bad, "total")
        assert "did you mean 'total" in looked.fails("get", "last", "totl")

    def test_without_checkpointing_it_says_so(self, desk: Desk) -> None:
        desk.ckpt("run", "flow.py", "-p", "limit=9", "--no-checkpointing")
        assert "checkpointing was off" in desk.fails("get", "last", "total")

    @pytest.mark.parametrize("how", ["missing", "truncated", "flipped", "swapped"])
    @pytest.mark.parametrize("options", [[], ["--raw"], ["-o", "out"]], ids=["value", "raw", "file"])
    def test_an_object_that_is_not_what_was_kept_is_an_error_that_names_it(
        self, run_once: Desk, how: str, options: list[str]
    ) -> None:
        file, other = run_once.kept("total-1.ckpt"), run_once.kept("use-1.ckpt")
        data = bytearray(file.read_bytes())
        if how == "missing":
            file.unlink()
        elif how == "truncated":
            file.write_bytes(data[:-1])
        elif how == "flipped":
            data[len(data) // 3] ^= 1
            file.write_bytes(data)
        else:
            shutil.copy(other, file)
        said = run_once.fails("get", "last", "total", *options)
        assert "total-1 of run " in said
        assert "total-1.ckpt" in said
        assert not (run_once.root / "out").exists()

    def test_a_value_in_the_ledger_that_was_changed_is_an_error_that_names_it(self, run_once: Desk) -> None:
        with sqlite3.connect(run_once.root / "home/.ckpt/ledger.db") as connection:
            connection.execute("UPDATE ckpt_tasks SET location = '\"8\"' WHERE slug = 'limit'")
        connection.close()
        assert "limit of run " in run_once.fails("get", "last", "limit")


class TestLog:
    def test_prints_what_tasks_logged_in_the_order_of_time(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        lines = looked.ckpt("log", bad).splitlines()
        assert [line.split(" ", 3)[3] for line in lines] == [
            "   load-1: loading 3",
            "weigh-1[0]: weighing r0",
            "weigh-1[1]: weighing r1",
            "weigh-1[2]: weighing r2",
            "weigh-1[2] (attempt 2): weighing r2",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("arguments", "count"),
        [(["load"], 1), (["weigh"], 4), (["weigh-1"], 4), (["weigh-1[2]"], 2), (["--level", "warning"], 4)],
        ids=str,
    )
    def test_can_be_narrowed(self, looked: Desk, arguments: list[str], count: int) -> None:
        bad = looked.items("runs")[1]["id"]
        assert len(looked.items("log", bad, *arguments)) == count

    def test_of_a_task_run_that_goes_on_too(self, desk: Desk) -> None:
        ledger = desk.ledger
        ledger.begin(a_run())
        ledger.log([a_line("one"), a_line("two", "clean-2")])
        assert [item["message"] for item in desk.items("log", "last", "clean-2")] == ["two"]

    def test_where_nothing_was_logged_it_says_how_to(self, looked: Desk) -> None:
        ran = looked.run(CKPT, "log", "last", "total")
        assert (ran.returncode, ran.stdout) == (0, b"")
        assert b"get_logger" in ran.stderr


class TestName:
    def test_a_run_gets_a_name_another_one_and_none(self, run_once: Desk) -> None:
        [run] = run_once.items("runs")
        run_once.ckpt("name", "last", "one")
        run_once.ckpt("name", "one", "two")
        assert run_once.items("show", "two")[0]["run"] == run["id"]
        run_once.fails("show", "one")
        run_once.ckpt("name", "two", "--remove")
        assert run_once.items("runs")[0]["name"] is None

    def test_a_name_that_a_newer_run_bears_is_said_to_mean_that(self, desk: Desk) -> None:
        for number in range(2):
            desk.ledger.begin(a_run(f"run-{number}", minutes=number))
        desk.ckpt("name", "run-1", "good")
        assert "which is run-1" in desk.ckpt("name", "run-0", "good")

    @pytest.mark.parametrize("name", ["last", "", " "])
    def test_a_name_that_would_mean_something_else_is_refused(self, run_once: Desk, name: str) -> None:
        assert "another name" in run_once.fails("name", "last", name, code=2)

    def test_neither_a_name_nor_remove_is_refused(self, looked: Desk) -> None:
        assert "--remove" in looked.fails("name", "last", code=2)


class TestDu:
    def test_counts_the_objects_that_are_there(self, looked: Desk) -> None:
        files = [path for path in (looked.root / "kept").rglob("*") if path.is_file()]
        [flow] = looked.items("du")
        bytes_ = sum(path.stat().st_size for path in files)
        assert flow == {"id": "weigh things", "runs": 2, "objects": len(files), "bytes": bytes_}

    def test_the_runs_of_a_flow_and_the_tasks_of_a_run_add_up(self, looked: Desk) -> None:
        [flow] = looked.items("du")
        runs = looked.items("du", "--flow", "weigh things")
        assert [run["id"] for run in runs] == [run["id"] for run in looked.items("runs")]
        tasks = [task for run in runs for task in looked.items("du", run["id"])]
        for items in (runs, tasks):
            assert sum(each["objects"] for each in items) == flow["objects"]
            assert sum(each["bytes"] for each in items) == flow["bytes"]

    def test_what_a_forgotten_run_made_counts_once_where_it_is_used(self, desk: Desk) -> None:
        ledger = desk.ledger
        for number in range(2):
            ledger.begin(a_run(f"run-{number}", minutes=number))
            safe = a_task().safe
            ledger.record([a_task(run=f"run-{number}", origin="forgotten", safe=safe)])
        assert [each["objects"] for each in desk.items("du", "--flow", "weather")] == [0, 1]

    def test_constants_that_are_an_object_count_once(self, desk: Desk) -> None:
        (desk.root / "flow.py").write_text(
            dedent("""
            from ckpt import Flow, task
            @task
            def size(text):
                return len(text)
            with Flow("constants") as flow:
                size("x" * 100_000)
                size("x" * 100_000)
            """)
        )
        desk.ckpt("run", "flow.py")
        files = [path for path in (desk.root / "kept").rglob("*") if path.is_file()]
        [flow] = desk.items("du")
        assert (flow["objects"], flow["bytes"]) == (len(files), sum(path.stat().st_size for path in files)) != (2, 0)

    def test_an_unknown_flow_names_the_nearest(self, looked: Desk) -> None:
        assert "did you mean 'weigh things'" in looked.fails("du", "--flow", "weigh thing")


class TestCompletion:
    def test_offers_runs_by_last_name_and_id(self, looked: Desk) -> None:
        bad = looked.items("runs")[1]["id"]
        assert looked.offered("show", "") == {"last", "good", bad}
        assert looked.offered("get", "go") == {"good"}
        assert len(looked.offered("log", bad[:4])) == 2

    def test_offers_the_calls_of_the_run_that_stands_before(self, looked: Desk) -> None:
        assert looked.offered("get", "last", "") >= {"load-1", "weigh-1", "total-1"}
        assert looked.offered("show", "last", "weigh-1[") == {f"weigh-1[{i}]" for i in range(3)}

    def test_an_older_run_is_offered_once_it_is_begun(self, desk: Desk) -> None:
        for number in range(60):
            desk.ledger.begin(a_run(f"run-{number:02}", minutes=number))
        assert "run-00" not in desk.offered("show", "")
        assert desk.offered("show", "run-00") == {"run-00"}

    def test_offers_flows(self, looked: Desk) -> None:
        assert looked.offered("runs", "--flow", "") == {"weigh things"}
        assert looked.offered("gc", "--flow", "") == {"weigh things"}
        assert looked.offered("verify", "go") == {"good"}

    def test_says_nothing_wrong_where_there_is_no_ledger(self, desk: Desk) -> None:
        assert (desk.offered("show", ""), desk.offered("show", "last", "")) == ({"last"}, set())


class TestTheEndOfARun:
    def test_names_the_run_and_how_to_look_at_it(self, desk: Desk) -> None:
        said = desk.run(CKPT, "run", "flow.py").stderr.decode()
        [run] = desk.items("runs")
        assert f"run {run['id']}" in said.splitlines()[-2]
        assert said.splitlines()[-1].strip() == "ckpt show last"

    def test_says_nothing_of_it_where_no_ledger_recorded(self, desk: Desk) -> None:
        ran = desk.run(CKPT, "run", "flow.py", CKPT__LEDGER__ENABLED="false")
        assert (ran.returncode, b"ckpt show" in ran.stderr) == (1, False)


def test_the_overviews_are_the_same_on_both_databases(ledger: SQLLedger) -> None:
    ledger.begin(a_run(name="good"))
    ledger.record([a_task("clean-1", i, state="Failed" if i == 1 else "Success") for i in range(3)])
    ledger.record([a_task("load-2", origin=None)])
    counts = ledger.overviews.children(a_run().id)
    assert [(each.slug, each.state, each.count, each.kept, each.size) for each in counts] == [
        ("clean-1", "Failed", 1, 1, 2**40),
        ("clean-1", "Success", 2, 2, 2**41),
    ]
    assert counts[0].ended == START + timedelta(microseconds=1)
    assert [each.name for each in ledger.overviews.known("go")] == ["good"]
    assert [(each.name, each.objects, each.size) for each in ledger.usage.of_flows()] == [("weather", 4, 2**42)]
    assert [each.objects for each in ledger.usage.of_runs("weather")] == [4]
    assert [(each.name, each.objects) for each in ledger.usage.of_calls(a_run().id)] == [("clean-1", 3), ("load-2", 1)]
    made = a_run("made", minutes=-5)
    ledger.begin(made)
    ledger.record([a_task(run="made", summary={"type": "made there"})])
    [reused] = ledger.overviews.with_summaries([a_task(summary=None, origin="made")])
    assert reused.summary == {"type": "made there"}
