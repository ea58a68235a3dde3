"""Replaying: one task again, with exactly the arguments that it had, in this process, and nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

CKPT = str(Path(sys.executable).with_name("ckpt"))

FLOW = """
    import os
    from dataclasses import dataclass
    from pathlib import Path
    from ckpt import Flow, Parameter, Secret, context, get_logger, task, unmapped

    @dataclass
    class Row:
        number: int

    @task
    def load(n):
        return [Row(i) for i in range(n)]

    @task(checkpoint=False)
    def double(n):
        return 2 * n

    @task
    def add(row, y, *rest, k=1, **more):
        return row.number + y + sum(rest) + k + sum(more.values())

    @task
    def total(sums, big, twice, token):
        get_logger().info("adding")
        return [sum(sums), len(big["x"]), big["n"], twice, len(token), context.run_id, str(context.call),
                context.parameters["n"], RATE]

    @task
    def names(row):
        return {f"n{row[0]}" for _ in range(3)} | {"a", "b", "c", "d"}

    @task
    def broken(total):
        return total[0] / 0

    @task
    def paired(one, other):
        return one, other

    RATE = 1

    with Flow("etl", storage=Path("results").absolute().as_uri()) as flow:
        n = Parameter("n", 3)
        rows = load(n)
        sums = add.map(rows, unmapped(10), unmapped(n), k=unmapped(3), z=[1, n, 3])
        summed = total(sums, {"x": "x" * 20_000, "n": n}, double(n), Secret("env:TOKEN"))
        names(["z"])
        broken(summed)
        paired.map(sums, [summed[0], {"q": n}, 5])
"""


class Desk:
    """A folder with a flow in it that has run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write()
        assert self.ckpt("run", "flow.py").returncode == 1

    def write(self, old: str = "", new: str = "") -> None:
        text = dedent(FLOW)
        assert old in text
        (self.folder / "flow.py").write_text(text.replace(old, new) if old else text)

    def ckpt(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CKPT, *args], cwd=self.folder, capture_output=True, text=True, check=False, input=stdin,
            env={**os.environ, "TOKEN": "secret"},
        )  # fmt: skip

    def replay(self, task: str, *more: str, stdin: str = "") -> tuple[int, str]:
        done = self.ckpt("replay", "last", task, *more, stdin=stdin)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_every_task_does_again_what_it_did(desk: Desk) -> None:
    for call in ("load", "add-1[0]", "add-1[2]", "total", "names", "paired-1[0]", "paired-1[1]", "paired-1[2]"):
        code, said = desk.replay(call)
        assert code == 0, (call, said)
        assert ": same" in said, (call, said)
        assert "since then: the code" not in said
    assert "double-1 was not kept and was computed again" in desk.replay("total")[1]


def test_where_nothing_was_kept_it_is_said_that_nothing_is_compared(desk: Desk) -> None:
    code, said = desk.replay("double")
    assert code == 0
    assert "double-1: not compared: it gives a value, and nothing was kept to compare it with" in said


def test_a_failure_is_the_same_failure_or_another(desk: Desk) -> None:
    code, said = desk.replay("broken")
    assert (code, "same failure" in said, "ZeroDivisionError: division by zero" in said) == (0, True, True)
    desk.write("total[0] / 0", "total['x']")
    code, said = desk.replay("broken")
    assert (code, "different" in said, "TypeError" in said) == (1, True, True)
    desk.write("total[0] / 0", "total[0] / 1")
    code, said = desk.replay("broken")
    assert (code, "it gives a value now" in said) == (1, True)


def test_changed_code_is_said_and_what_differs_is_shown(desk: Desk) -> None:
    desk.write("sum(sums), len(big", "sum(sums) + 1, len(big")
    code, said = desk.replay("total")
    assert code == 1
    assert "since then: the code of task total has changed\n" in said
    assert "58" in said
    assert "59" in said


def test_constants_are_those_of_the_run_and_not_of_the_file(desk: Desk) -> None:
    desk.write('"x" * 20_000', '"x" * 5')
    assert desk.replay("total")[0] == 0


def test_an_input_that_is_not_what_was_written_is_an_error_that_names_it(desk: Desk) -> None:
    [file] = (desk.folder / "results").rglob("load-1.ckpt")
    whole = file.read_bytes()
    file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    _cannot_be_had(desk, "add-1[0]", "argument 'row' of add-1[0]: the value of load-1 in run ", file)
    file.unlink()
    _cannot_be_had(desk, "add-1[0]", "argument 'row' of add-1[0]: the value of load-1 in run ", file)
    [file] = (desk.folder / "results").rglob("add-1/0001.ckpt")
    file.unlink()
    _cannot_be_had(desk, "total", "argument 'sums' of total-1: the value of add-1[1] in run ", file)
    _cannot_be_had(desk, "paired-1[1]", "argument 'one' of paired-1[1]: the value of add-1[1] in run ", file)


def test_an_input_of_what_is_computed_again_is_named_with_all_that_needs_it(desk: Desk) -> None:
    desk.write("double(n), Secret", "double(double(rows)), Secret")
    desk.ckpt("run", "flow.py")
    code, said = desk.replay("total")
    assert code == 0, said
    newest = max((desk.folder / "results").rglob("load-1.ckpt"), key=lambda each: each.stat().st_mtime_ns)
    newest.unlink()
    needs = (
        "argument 'twice' of total-1: argument 'n' of double-2: argument 'n' of double-1: the value of load-1 in run "
    )
    _cannot_be_had(desk, "total", needs, newest)


def test_a_value_that_cannot_be_compared_is_no_other_value(desk: Desk) -> None:
    [file] = (desk.folder / "results").rglob("total-1.ckpt")
    file.unlink()
    desk.write("sum(sums), len(big", "sum(sums) + 1, len(big")
    _cannot_be_had(desk, "total", "the value of total-1 in run ", file)


def _cannot_be_had(desk: Desk, task: str, what: str, file: Path) -> None:
    code, said = desk.replay(task)
    assert code == 2, said
    assert f"error: {what}" in said
    assert f"{file.parent.name}/{file.name}" in said
    assert "Traceback" not in said


def test_nothing_is_written(desk: Desk) -> None:
    def there() -> dict[str, tuple[int, bytes]]:
        files = [file for file in desk.folder.rglob("*") if file.is_file() and "__pycache__" not in str(file)]
        return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files if "-shm" not in str(file)}

    before = there()
    for call in ("total", "broken", "add-1[1]"):
        desk.replay(call)
    assert there() == before


def test_the_debugger_stops_at_the_first_line_and_where_it_fails(desk: Desk) -> None:
    code, said = desk.replay("total", "--pdb", stdin="p sums, twice\nc\n")
    assert code == 0, said
    assert "def total" in said or 'get_logger().info("adding")' in said
    assert "([17, 20, 21], 6)" in said
    _, said = desk.replay("broken", "--pdb", stdin="c\np total[0]\nq\n")
    assert "58" in said


def test_the_script_runs_as_printed(desk: Desk) -> None:
    code, said = desk.replay("total", "--script")
    assert code == 0, said
    (desk.folder / "notebook.py").write_text(f"{said}\nprint(sums, len(big['x']), big['n'], twice, token)\n")
    done = subprocess.run(
        [sys.executable, "notebook.py"], cwd=desk.folder, capture_output=True, text=True, check=False,
        env={**os.environ, "TOKEN": "other"},
    )  # fmt: skip
    assert done.stdout == "[17, 20, 21] 20000 3 6 other\n", done.stderr


def test_what_cannot_be_replayed_says_why(desk: Desk) -> None:
    assert "say which child, add-1[0]" in desk.replay("add-1")[1]
    assert desk.replay("n")[0] == 2
    code, said = desk.replay("nope")
    assert (code, "no task run 'nope'" in said) == (2, True)
    desk.write("broken(summed)", "")
    code, said = desk.replay("broken")
    assert code == 2
    assert "has no call broken-1" in said
    (desk.folder / "then.py").write_text(dedent(FLOW))
    assert desk.replay("broken", "--file", "then.py")[0] == 0
    (desk.folder / "flow.py").unlink()
    code, said = desk.replay("load")
    assert code == 2
    assert "--file" in said


def test_the_environment_that_differs_is_said(desk: Desk) -> None:
    import sqlite3

    connection = sqlite3.connect(Path(os.environ["HOME"]) / ".ckpt" / "ledger.db")
    with connection:
        connection.execute("UPDATE ckpt_runs SET environment = json_set(environment, '$.python', '3.1.4')")
    connection.close()
    assert "since then: Python 3.1.4 → " in desk.replay("load")[1]
