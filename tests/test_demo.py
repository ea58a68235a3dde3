"""The demo tells its story, and everything that it prints is so."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
BIN = Path(sys.executable).parent

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command line in one fresh folder, with a home of its own."""
    folder, home = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("home")
    env = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8"}

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def story(run: Run) -> str:
    done = run(sys.executable, EXAMPLES / "demo.py")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def folder(run: Run, story: str) -> Path:
    return Path(run("pwd").stdout.strip())


def chapter(story: str, number: int) -> str:
    return re.split(r"^\d\. ", story, flags=re.MULTILINE)[number]


def test_the_story_goes_from_a_wrong_report_to_the_task_where_it_went_wrong(story: str) -> None:
    assert "hottest month              2015-07   28.1 °C" in chapter(story, 1)
    assert "hottest month              2014-02   46.8 °C" in chapter(story, 3)
    assert "47 of 48 equal, different: clean-1[25]" in chapter(story, 4)
    assert re.search(r"^ +yearly-rain-1 .* equal$", chapter(story, 4), re.MULTILINE)
    assert re.search(r"^ +report-1 .* differs$", chapter(story, 4), re.MULTILINE)
    assert "46.0 °F is 7.8 °C" in chapter(story, 5)
    assert "\n    ['F']\n" in chapter(story, 5)


def test_the_repair_gives_back_every_value_from_the_wrong_task_on(story: str) -> None:
    last = chapter(story, 6)
    assert "\n    True\n" in last
    assert "hottest month              2015-07   28.1 °C" in last
    equal, total = re.findall(r"(\d+) of (\d+) values", last)[0]
    assert equal == total


def test_the_table_lists_at_least_eight_tasks_each_with_state_size_and_safe_value(story: str) -> None:
    rows = re.findall(r"^ +([\w-]+) +(\w+) +([\d,]+)  (\S.*)$", chapter(story, 1), re.MULTILINE)
    assert len(rows) >= 8
    assert {state for _, state, *_ in rows} == {"Success", "Mapped"}
    assert all(int(size.replace(",", "")) > 0 for _, _, size, _ in rows)


def test_values_read_with_ckpt_and_without_it_are_the_same(story: str) -> None:
    values = re.findall(r"^ +(\{.*\})$", chapter(story, 2), re.MULTILINE)
    assert len(values) == 3
    assert len(set(values)) == 1


def test_the_story_fits_a_terminal_of_100_columns(story: str) -> None:
    told, _, commands = story.partition("Your turn")
    assert commands
    assert [line for line in told.splitlines() if len(line) > 100] == []


def test_every_kept_file_is_a_pickle_to_a_python_without_ckpt(run: Run, folder: Path) -> None:
    files = sorted(folder.glob("results/**/*.ckpt"))
    assert len(files) >= 3 * 100
    blocked = "import sys, pickle; sys.modules['ckpt'] = None; [pickle.load(open(f, 'rb')) for f in sys.argv[1:]]"
    done = run(sys.executable, "-c", blocked, *files[::10])
    assert (done.returncode, done.stderr) == (0, "")


def test_the_wrong_value_stays_where_the_story_says_it_is(story: str, folder: Path) -> None:
    file = re.findall(r"ckpt read (\S+)", story)[0]
    month = pickle.loads((folder / file).read_bytes())
    assert month["temp_max"].iloc[0] == 46.0


def test_the_commands_at_the_end_work_as_they_are_printed(run: Run, story: str) -> None:
    commands = [line.split() for line in story.partition("Your turn")[2].splitlines() if line.startswith("    ")]
    assert [command[1] for command in commands] == ["read", "explain", "run"]
    for command in commands:
        done = run(*command)
        assert done.returncode == 0, done.stderr


def test_the_demo_can_be_run_again_beside_its_first_results(run: Run, story: str) -> None:
    again = run(sys.executable, EXAMPLES / "demo.py")
    assert (again.returncode, again.stderr) == (0, "")

    def timeless(text: str) -> str:
        text = re.sub(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{6}", "RUN", text)
        return re.sub(r"(delivery  .*)\b[0-9a-f]{12}\b", r"\1DIGEST", text)  # the name of a temporary folder

    assert timeless(again.stdout) == timeless(story)


def test_the_flow_also_runs_as_a_script(run: Run) -> None:
    done = run(sys.executable, EXAMPLES / "seattle_weather.py")
    assert done.returncode == 0
    assert "hottest month              2015-07" in done.stdout
    assert "checkpointing is on" in done.stderr
