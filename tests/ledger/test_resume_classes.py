"""Values of classes that a flow file defines: read back, they are of the class that is in the file now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = """
import enum
from pathlib import Path
from ckpt import Flow, task

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

class Shape:
    def __init__(self, colour):
        self.colour = colour
    def weight(self):
        return 2

@task
def shapes():
    return [Shape(Colour.RED), Shape(Colour.BLUE)]

@task
def red(shapes):
    return [isinstance(each, Shape) and each.colour == Colour.RED for each in shapes]

@task
def weight(shapes):
    return sum(each.weight() for each in shapes)

with Flow("classes", storage=Path("results").absolute().as_uri()) as flow:
    made = shapes()
    red(made)
    weight(made)
"""


def ckpt(folder: Path, *arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CKPT__")}
    command = [Path(sys.executable).with_name("ckpt"), *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("executor", ["local", "threads", "processes"])
def test_a_value_that_was_kept_is_of_the_class_of_the_file(executor: str, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(FLOW)
    ckpt(tmp_path, "run", "flow.py", "--executor", executor)
    assert ckpt(tmp_path, "get", "last", "red").strip() == "[True, False]"
    ckpt(tmp_path, "run", "flow.py", "--resume", "last", "--from", "red", "--from", "weight", "--executor", executor)
    assert ckpt(tmp_path, "get", "last", "red").strip() == "[True, False]"
    file.write_text(FLOW.replace("return 2", "return 3"))
    ckpt(tmp_path, "run", "flow.py", "--resume", "last", "--from", "weight", "--executor", executor)
    assert ckpt(tmp_path, "get", "last", "weight").strip() == "6", "the method is that of the file"


def test_a_missing_answer_is_computed_again(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    ckpt(tmp_path, "run", "flow.py")
    [answer] = (tmp_path / "results").rglob("weight-1.ckpt")
    answer.unlink()
    ckpt(tmp_path, "run", "flow.py", "--resume", "last")
    assert ckpt(tmp_path, "get", "last", "weight").strip() == "4"


def test_an_argument_hides_the_task_of_its_name(tmp_path: Path) -> None:
    text = (
        "from pathlib import Path\nfrom ckpt import Flow, task\n\n@task\ndef total():\n    return 1 + 2\n\n"
        "@task\ndef message(total):\n    return f'total {total}'\n\n"
        "with Flow('f', storage=Path('results').absolute().as_uri()) as flow:\n    message(total())\n"
    )
    (tmp_path / "flow.py").write_text(text)
    ckpt(tmp_path, "run", "flow.py")
    (tmp_path / "flow.py").write_text(text.replace("1 + 2", "2 + 1"))
    ckpt(tmp_path, "run", "flow.py", "--resume", "last")
    assert "Cached" in ckpt(tmp_path, "show", "last", "message")
