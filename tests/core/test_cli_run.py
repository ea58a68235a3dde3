"""`ckpt run` as a person uses it: real flow files, real processes, real signals, a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from ckpt import plugins
from ckpt.errors import ConfigError

FLOW = """
    from dataclasses import dataclass
    from ckpt import Flow, Parameter, task

    @dataclass
    class Row:
        name: str
        weight: int

    @task
    def load(n):
        print("loading", n)
        return [Row(f"r{i}", i) for i in range(n)]

    @task
    def weigh(row, limit):
        if row.weight > limit:
            raise ValueError(f"{row.name} is too heavy")
        return row.weight

    @task
    def total(weights):
        return sum(weights)

    from ckpt import unmapped

    with Flow("weigh things") as flow:
        n = Parameter("n", 3)
        limit = Parameter("limit", 100)
        sum_of_all = total(weigh.map(load(n), unmapped(limit)))
"""


CKPT = str(Path(sys.executable).with_name("ckpt"))


class Desk:
    """A folder to work in, an empty home, and the real command in processes of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        home = root / "home"
        home.mkdir()
        foreign = ("CKPT__", "PYTHON", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_", "TERM")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env |= {"HOME": str(home), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env={**self.env, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def ckpt(self, *arguments: str, code: int | None = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command; it must end with `code`, and show no traceback but those of tasks that failed."""
        ran = self.run(CKPT, *arguments, **variables)
        assert code is None or ran.returncode == code, ran.stdout + ran.stderr
        failed = re.findall(r"ERROR +task \S+ failed: ", ran.stderr)
        assert ran.stderr.count("Traceback") <= len(failed), ran.stderr
        return ran

    @property
    def storage(self) -> str:
        return (self.root / "kept").as_uri()

    def kept(self, name: str) -> Path:
        """The file of the one value whose name matches."""
        [path] = (self.root / "kept").rglob(name)
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def flow(desk: Desk) -> Path:
    return desk.write("weighing.py", FLOW)


@pytest.mark.usefixtures("flow")
class TestARunThatSucceeds:
    def test_ends_with_0_and_leaves_stdout_to_the_tasks(self, desk: Desk) -> None:
        assert desk.ckpt("run", "weighing.py", "--storage", desk.storage).stdout == "loading 3\n"

    def test_says_how_to_read_a_value_with_a_command_that_works(self, desk: Desk) -> None:
        said = desk.ckpt("run", "weighing.py", "--storage", desk.storage).stderr
        [line] = [line.split("#")[0].strip() for line in said.splitlines() if line.startswith("  ckpt read ")]
        assert desk.ckpt(*shlex.split(line)[1:]).stdout == "3\n"

    def test_a_value_that_is_its_own_location_is_read_by_the_command_too(self, desk: Desk) -> None:
        said = desk.ckpt("run", "weighing.py", "-p", "limit=1", "-p", "n=2", "--storage", "json", code=1).stderr
        [line] = re.findall(r"^  (ckpt read .+)    # n$", said, re.MULTILINE)
        assert desk.ckpt(*shlex.split(line)[1:]).stdout == "2\n"

    def test_says_what_to_add_when_nothing_was_kept(self, desk: Desk) -> None:
        said = desk.ckpt("run", "weighing.py").stderr
        [added] = re.findall(r"No value was kept\. To keep every one of them, add: (.+)", said)
        desk.ckpt("run", "weighing.py", *shlex.split(added))
        assert list((desk.root / "results").rglob("total-1.ckpt"))

    def test_without_a_terminal_prints_one_plain_line_for_a_finished_call(self, desk: Desk) -> None:
        said = desk.ckpt("run", "weighing.py", "--storage", desk.storage).stderr
        assert "\x1b" not in said
        lines = re.findall(r"^\S+ \[(\d)/5\] (\S+): (\w+)", said, re.MULTILINE)
        assert sorted(number for number, _, _ in lines) == ["1", "2", "3", "4", "5"]
        states = {call: state for _, call, state in lines}
        assert states.keys() == {"n", "limit", "load-1", "weigh-1", "total-1"}
        assert (states["total-1"], states["weigh-1"]) == ("Success", "Mapped")

    def test_a_large_flow_prints_a_hundred_lines_at_most(self, desk: Desk) -> None:
        desk.write(
            "large.py",
            """
            from ckpt import Flow, task

            @task
            def one(n):
                return n

            with Flow("large") as flow:
                for n in range(950):
                    one(n)
        """,
        )
        said = desk.ckpt("run", "large.py").stderr
        lines = re.findall(r"\[(\d+)/950\]", said)
        assert 50 <= len(lines) <= 100
        assert lines[-1] == "950"

    def test_as_json_is_one_object_and_what_tasks_print_is_elsewhere(self, desk: Desk) -> None:
        ran = desk.ckpt("run", "weighing.py", "--storage", desk.storage, "--json")
        assert "loading 3" in ran.stderr
        run = json.loads(ran.stdout)
        assert (run["flow"], run["state"]) == ("weigh things", "Success")
        tasks = {each["id"]: each for each in run["tasks"]}
        assert list(tasks) == ["n", "limit", "load-1", "weigh-1", "weigh-1[0]", "weigh-1[1]", "weigh-1[2]", "total-1"]
        assert tasks["weigh-1"]["safe_value"] is None
        total = tasks["total-1"]
        assert total["size"] == desk.kept("total-1.ckpt").stat().st_size
        assert total["digest"] == total["safe_value"]["digest"]
        assert run["run"] in total["safe_value"]["value"]
        assert desk.ckpt("read", json.dumps(total["safe_value"])).stdout == "3\n"

    def test_a_program_that_a_task_starts_does_not_write_into_the_json(self, desk: Desk) -> None:
        desk.write(
            "noisy.py",
            """
            import subprocess
            from ckpt import Flow, task

            @task
            def noisy():
                subprocess.run(["echo", "noise"], check=True)

            with Flow("noisy") as flow:
                noisy()
        """,
        )
        ran = desk.ckpt("run", "noisy.py", "--json")
        assert json.loads(ran.stdout)["state"] == "Success"
        assert "noise\n" in ran.stderr

    @pytest.mark.parametrize("executor", ["threads", "processes"])
    def test_on_other_executors_too(self, desk: Desk, executor: str) -> None:
        desk.ckpt("run", "weighing.py", "--storage", desk.storage, "--executor", executor, "--workers", "2")
        assert desk.ckpt("read", str(desk.kept("total-1.ckpt"))).stdout == "3\n"

    def test_the_switch_goes_over_the_storage(self, desk: Desk) -> None:
        desk.ckpt("run", "weighing.py", "--storage", desk.storage, "--no-checkpointing")
        assert not (desk.root / "kept").exists()

    def test_without_values_in_memory(self, desk: Desk) -> None:
        desk.ckpt("run", "weighing.py", "--storage", desk.storage, "--keep-values", "none")
        assert desk.ckpt("read", str(desk.kept("total-1.ckpt"))).stdout == "3\n"


@pytest.mark.usefixtures("flow")
class TestARunThatFails:
    def test_ends_with_1_and_says_which_task_and_why(self, desk: Desk) -> None:
        said = desk.ckpt("run", "weighing.py", "-p", "limit=1", code=1).stderr
        assert re.search(r"^  weigh-1\[2\] +Failed +ValueError: r2 is too heavy$", said, re.MULTILINE)
        assert "1 more did not run because of that" in said

    def test_says_how_to_read_what_went_in(self, desk: Desk) -> None:
        said = desk.ckpt("run", "weighing.py", "-p", "limit=1", "--storage", desk.storage, code=1).stderr
        hints = dict(re.findall(r"^  (ckpt read .+)    # (\S+)$", said, re.MULTILINE))
        assert sorted(hints.values()) == ["limit", "load-1"]
        shown = {call: desk.ckpt(*shlex.split(line)[1:]).stdout for line, call in hints.items()}
        assert shown["limit"] == "1\n"
        assert "Row(name='r2', weight=2)" in shown["load-1"]

    def test_is_told_as_json(self, desk: Desk) -> None:
        run = json.loads(desk.ckpt("run", "weighing.py", "-p", "limit=1", "--json", code=1).stdout)
        assert run["state"] == "Failed"
        [failed] = [each for each in run["tasks"] if each["state"] == "Failed"]
        assert (failed["id"], failed["message"]) == ("weigh-1[2]", "ValueError: r2 is too heavy")


class TestWhatCannotBeRun:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["weighing.py", "-p", "limt=3"], "did you mean 'limit'?"),
            (["weighing.py", "-p", "n"], "'n' is not NAME=VALUE"),
            (["weighing.py", "-p", "n=1", "-p", "n=2"], "n is given twice"),
            (["weighting.py"], "there is no file weighting.py: did you mean 'weighing.py'?"),
            (["nowhere/weighing.py"], "there is no folder nowhere"),
            (["home"], "home is a folder"),
            (["weighing.py:flwo"], "did you mean 'flow'?"),
            (["weighing.py", "--storage", "ftp://host"], "pip install ckpt-ftp"),
            (["weighing.py", "--storage", "./kept"], "is a path, not a storage"),
            (["weighing.py", "--workers", "0"], "--workers"),
            (["no_such.module:flow"], "neither a file nor a module no_such.module"),
        ],
    )
    @pytest.mark.usefixtures("flow")
    def test_is_told_before_anything_runs(self, desk: Desk, arguments: list[str], said: str) -> None:
        ran = desk.ckpt("run", *arguments, code=2)
        assert ran.stdout == ""
        [line] = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        assert said in line

    def test_a_missing_parameter_is_named_as_one_has_to_type_it(self, desk: Desk) -> None:
        desk.write(
            "f.py",
            """
            from ckpt import Flow, Parameter
            with Flow("f") as flow:
                Parameter("day")
        """,
        )
        assert "--param day=…" in desk.ckpt("run", "f.py", code=2).stderr

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("x = 1\ndef f(:\n", "line 2\n    def f(:"),
            ("import no_such_module\n", "line 1: import no_such_module"),
            ("import sys\nsys.exit('usage')\n", "SystemExit: usage, line 2"),
            ("x = 1\n", "f.py has no flow"),
            ("from ckpt import Flow\na = Flow('a')\nb = Flow('b')\n", "2 flows, say which one: f.py:a, f.py:b"),
        ],
    )
    def test_a_file_without_a_flow_to_run_says_what_is_wrong(self, desk: Desk, text: str, said: str) -> None:
        desk.write("f.py", text)
        assert said in desk.ckpt("run", "f.py", code=2).stderr

    def test_a_file_does_not_take_the_place_of_a_module_that_is_in_use(self, desk: Desk) -> None:
        desk.write("json.py", FLOW)
        assert "rename the file" in desk.ckpt("run", "json.py", code=2).stderr

    def test_debug_shows_where_the_error_came_from(self, desk: Desk) -> None:
        desk.write("f.py", "def inner():\n    raise RuntimeError('deep')\n\ninner()\n")
        ran = desk.run(CKPT, "run", "f.py", "--debug")
        assert ran.returncode == 2
        assert "in inner" in ran.stderr

    def test_workers_of_an_executor_that_the_flow_brings_are_its_own(self, desk: Desk) -> None:
        desk.write(
            "f.py",
            """
            from ckpt import Flow
            from ckpt.engine.flow_runner import make_executor
            flow = Flow("f", executor=make_executor("threads", 2))
        """,
        )
        assert "--workers needs --executor" in desk.ckpt("run", "f.py", "--workers", "3", code=2).stderr


class TestTheFlowFile:
    def test_its_own_run_is_taken_down_and_not_done(self, desk: Desk) -> None:
        desk.write(
            "f.py",
            """
            from ckpt import Flow, Parameter, task

            @task
            def show(day, limit):
                print("shown", repr(day), repr(limit))

            with Flow("f") as flow:
                show(Parameter("day"), Parameter("limit", 1))

            state = flow.run(day="monday")
            print("loaded")
        """,
        )
        assert desk.ckpt("run", "f.py").stdout == "loaded\nshown 'monday' 1\n"
        assert desk.ckpt("run", "f.py", "-p", "day=2", "-p", "limit=x=y").stdout == "loaded\nshown 2 'x=y'\n"

    def test_an_error_after_its_run_does_not_hide_the_flow(self, desk: Desk) -> None:
        desk.write(
            "f.py",
            """
            from ckpt import Flow, task

            @task
            def three():
                print("three")
                return 3

            with Flow("f") as flow:
                kept = three()

            print(flow.run().result[kept].result + 1)
        """,
        )
        ran = desk.ckpt("run", "f.py")
        assert ran.stdout == "three\n"
        assert "WARNING f.py stopped" in ran.stderr

    def test_a_flow_that_a_function_builds_and_runs_is_found(self, desk: Desk) -> None:
        desk.write(
            "f.py",
            """
            from ckpt import Flow, task

            @task
            def hello():
                print("hello")

            def main():
                with Flow("hidden") as flow:
                    hello()
                flow.run()

            main()
        """,
        )
        assert desk.ckpt("run", "f.py").stdout == "hello\n"

    def test_of_several_flows_one_is_named_by_variable_or_name(self, desk: Desk) -> None:
        desk.write(
            "f.py",
            """
            from ckpt import Flow, task

            @task
            def say(text):
                print(text)

            with Flow("the first") as one:
                say("one")
            with Flow("the second") as two:
                say("two")
        """,
        )
        assert desk.ckpt("run", "f.py:two").stdout == "two\n"
        assert desk.ckpt("run", "f.py:the first").stdout == "one\n"

    def test_imports_what_lies_beside_it_wherever_it_is_run_from(self, desk: Desk) -> None:
        desk.write("there/beside.py", "WORD = 'beside'\n")
        desk.write(
            "there/f.py",
            """
            from beside import WORD
            from ckpt import Flow, task

            @task
            def say():
                return WORD

            with Flow("f") as flow:
                say()
        """,
        )
        desk.ckpt("run", "there/f.py", "--executor", "processes", "--storage", desk.storage)
        assert desk.ckpt("read", str(desk.kept("say-1.ckpt"))).stdout == "'beside'\n"

    def test_a_module_of_a_package_is_named_with_dots(self, desk: Desk) -> None:
        desk.write("package/__init__.py", "")
        desk.write("package/part.py", "WORD = 'relative'\n")
        desk.write(
            "package/flows.py",
            """
            from ckpt import Flow, task
            from .part import WORD

            @task
            def say():
                print(WORD)

            with Flow("f") as nightly:
                say()
        """,
        )
        assert desk.ckpt("run", "package.flows:nightly").stdout == "relative\n"

    @pytest.mark.parametrize("executor", ["local", "processes"])
    def test_instances_of_its_classes_are_read_where_it_is_not(self, desk: Desk, flow: Path, executor: str) -> None:
        flow.write_text(flow.read_text() + f"\nif __name__ == '__main__':\n    flow.run(executor={executor!r})\n")
        desk.run(sys.executable, "weighing.py", CKPT__FLOWS__STORAGE=f"{desk.storage}/by-python")
        desk.ckpt("run", "weighing.py", "--storage", f"{desk.storage}/by-command", "--executor", executor)
        flow.unlink()
        for folder in ("by-python", "by-command"):
            [path] = (desk.root / "kept" / folder).rglob("load-1.ckpt")
            program = "import ckpt, sys; print([(row.name, row.weight) for row in ckpt.read(sys.argv[1])])"
            read = desk.run(sys.executable, "-c", program, str(path))
            assert read.stdout == "[('r0', 0), ('r1', 1), ('r2', 2)]\n", read.stderr


class TestAStderrThatNobodyReads:
    @pytest.fixture(autouse=True)
    def naps(self, desk: Desk) -> None:
        desk.write(
            "naps.py",
            """
            import time
            from pathlib import Path
            from ckpt import Flow, get_logger, task

            @task
            def nap(n):
                get_logger().info("napping")
                time.sleep(0.005)
                return n

            @task
            def last(naps, fails):
                Path("marker").touch()
                return 1 // (not fails)

            from ckpt import Parameter

            with Flow("naps") as flow:
                last([nap(n) for n in range(50)], Parameter("fails", False))
        """,
        )

    def run(self, desk: Desk, *arguments: str, out: int | None = subprocess.DEVNULL) -> tuple[int, str]:
        """Exit code and stdout of a run whose stderr is read for three lines; `out` as for `Popen`."""
        ours, theirs = os.pipe()
        with open(ours, closefd=True) as reader:  # noqa: PTH123  a number
            process = subprocess.Popen(
                [CKPT, "run", "naps.py", *arguments],
                cwd=desk.root, env=desk.env, stderr=theirs, stdout=theirs if out is None else out, text=True,
            )  # fmt: skip
            os.close(theirs)
            lines = [reader.readline() for _ in range(3)]
        assert all(lines)
        assert not (desk.root / "marker").exists()
        said, _ = process.communicate(timeout=60)
        assert (desk.root / "marker").exists()
        return process.returncode, said or ""

    @pytest.mark.parametrize("out", [subprocess.DEVNULL, None], ids=["stderr alone", "with stdout"])
    @pytest.mark.parametrize("executor", ["local", "processes"])
    def test_does_not_end_the_run(self, desk: Desk, out: int | None, executor: str) -> None:
        assert self.run(desk, "--executor", executor, out=out) == (0, "")

    def test_leaves_the_exit_code_to_the_run(self, desk: Desk) -> None:
        assert self.run(desk, "-p", "fails=true") == (1, "")

    def test_leaves_the_json_to_its_own_reader(self, desk: Desk) -> None:
        code, said = self.run(desk, "--json", out=subprocess.PIPE)
        assert (code, json.loads(said)["state"]) == (0, "Success")

    @pytest.mark.parametrize(
        ("stderr", "code"),
        [("2>&-", 0), ("2>/dev/full", 120)],  # 120 is how Python ends when it holds back text that fits nowhere
        ids=["closed", "on a full disk"],
    )
    def test_nor_does_one_that_cannot_be_written_to(self, desk: Desk, stderr: str, code: int) -> None:
        ran = desk.run("sh", "-c", f'exec "$0" run naps.py --json {stderr}', CKPT)
        assert (ran.returncode, json.loads(ran.stdout)["state"]) == (code, "Success")

    def test_one_that_the_program_has_closed_hears_no_message(self, desk: Desk) -> None:
        program = "import sys, naps; naps.flow.run(); sys.stderr.close(); print(naps.flow.run().name)"
        ran = desk.run(sys.executable, "-c", program)
        assert (ran.returncode, ran.stdout) == (0, "Success\n")

    def test_a_stdout_that_nobody_reads_ends_quietly_with_1_after_the_run(self, desk: Desk) -> None:
        ours, theirs = os.pipe()
        os.close(ours)
        process = subprocess.Popen(
            [CKPT, "run", "naps.py", "--json"],
            cwd=desk.root, env=desk.env, stdout=theirs, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(theirs)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "Traceback" not in said
        assert (desk.root / "marker").exists()


class TestCtrlC:
    def test_ends_with_130_and_what_was_computed_is_kept(self, desk: Desk) -> None:
        desk.write(
            "slow.py",
            """
            import time
            from pathlib import Path
            from ckpt import Flow, task

            @task
            def quick():
                return "was kept"

            @task
            def slow(text):
                Path("started").touch()
                time.sleep(60)

            with Flow("slow") as flow:
                slow(quick())
        """,
        )
        process = subprocess.Popen(
            [CKPT, "run", "slow.py", "--storage", desk.storage],
            cwd=desk.root, env=desk.env, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            while not (desk.root / "started").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert "Cancelled" in said
        assert desk.ckpt("read", str(desk.kept("quick-1.ckpt"))).stdout == "'was kept'\n"


class TestATerminal:
    def run(self, desk: Desk, *arguments: str, columns: int = 80, stdout: Path | None = None, **variables: str) -> str:
        """What a terminal of that width gets; stdout as well, unless it goes into a file."""
        import fcntl
        import struct
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with Path(stdout or os.devnull).open("wb") as file:
            process = subprocess.Popen(
                [CKPT, *arguments],
                cwd=desk.root,
                env={**desk.env, **variables},
                stdin=theirs,
                stdout=file if stdout else theirs,
                stderr=theirs,
            )
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # how Linux says that the other side has closed
                break
        os.close(ours)
        assert process.wait(30) == 0, seen.decode()
        return seen.decode(errors="replace")

    SLOW = """
        import time
        from ckpt import Flow, task

        @task
        def nap(n):
            print("napping", n)
            time.sleep(0.3)
            return n

        with Flow("naps") as flow:
            nap(nap(1))
    """

    def test_sees_progress_drawn_and_redrawn(self, desk: Desk) -> None:
        desk.write("naps.py", self.SLOW)
        seen = self.run(desk, "run", "naps.py", "--storage", desk.storage)
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
        assert "\x1b[2K" in seen  # a line was drawn over
        assert "━" in plain
        assert "1/2" in plain
        assert re.search(r"[12] running, 0 failed", plain)
        assert "nap-2" in plain
        assert "napping 1" in plain
        assert "[1/2]" not in plain  # the plain lines are for pipes

    def test_the_drawing_stays_out_of_a_redirected_stdout(self, desk: Desk) -> None:
        desk.write("naps.py", self.SLOW)
        into = desk.root / "stdout.txt"
        seen = self.run(desk, "run", "naps.py", stdout=into)
        assert "━" in seen
        assert into.read_text() == "napping 1\nnapping 1\n"

    def test_a_narrow_one_loses_no_word_of_a_table(self, desk: Desk) -> None:
        desk.write("weighing.py", FLOW)
        seen = self.run(desk, "explain", "weighing.py", "--storage", "local", columns=30)
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", seen)
        assert "JSONResultHandler()" in plain or ("JSONResult" in plain and "Handler()" in plain)
        assert "…" not in plain

    def test_no_color_means_no_colour(self, desk: Desk) -> None:
        desk.write("naps.py", self.SLOW)
        desk.ckpt("run", "naps.py", "--storage", desk.storage)
        path = str(desk.kept("nap-1.ckpt"))
        colours = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
        assert colours.search(self.run(desk, "read", path))
        assert not colours.search(self.run(desk, "read", path, NO_COLOR="1"))


def test_nobody_listens_any_more_once_a_run_could_not_be_started() -> None:
    from ckpt.cli.progress import watching

    def listening() -> int:
        return len(plugins.listeners("ckpt_task_changed"))

    before = listening()
    with pytest.raises(ConfigError), watching():  # noqa: PT012  the block is what is tested
        assert listening() == before + 1
        raise ConfigError("no such storage")
    assert listening() == before
