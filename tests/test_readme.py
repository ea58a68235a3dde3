"""What README.md shows is what happens; `tests.documents` says how its blocks are checked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.documents import ROOT, Reader, commands_in, make_verbs_in

README = ROOT / "README.md"


def test_what_the_readme_shows_is_what_happens(reader: Reader) -> None:
    reader.follow(README.read_text(), README.name)
    assert reader.compared >= 6


@pytest.mark.parametrize(
    "readme",
    [
        "```python\n1 + 1  # 3\n```\n",
        "```python\nprint(1)\n```\n\n```text\n2\n```\n",
        "```python\nprint(1)\nprint(2)\n```\n\n```text\n1\n```\n",
        "```sh\ntrue\nckpt-is-not-called-this\n```\n",
        "```ruby\nputs 1\n```\n",
        "```\nnobody knows what this is\n```\n",
        "```python {hidden}\n1 + 1\n```\n",
        "1. in a list\n\n   ```python\n   1 + 1\n   ```\n",
    ],
)
def test_a_readme_that_shows_something_else_is_noticed(reader: Reader, readme: str) -> None:
    with pytest.raises(pytest.fail.Exception):
        reader.follow(readme)


def test_every_command_in_the_text_exists() -> None:
    commands = set(commands_in(README.read_text()))
    assert commands
    for command in commands:
        program = Path(sys.executable).with_name("ckpt")
        done = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ckpt {command}: {done.stderr}"


def test_every_make_verb_in_the_text_exists() -> None:
    verbs = make_verbs_in(README.read_text())
    assert verbs >= {"demo", "test", "check", "bench", "dist"}
    assert verbs <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_link_to_a_file_leads_to_one() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README.read_text()) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_packages_called_here_are_here_and_the_planned_are_not() -> None:
    said = {"here": set[str](), "planned": set[str]()}
    for row in re.findall(r"^\| (`ckpt-.*) \|$", README.read_text(), re.MULTILINE):
        names, *_, status = row.split(" | ")
        said[status] |= set(re.findall(r"`(ckpt-\w+)`", names))
    projects = [ROOT / "core/pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    there = {tomllib.loads(project.read_text())["project"]["name"] for project in projects}
    assert said["here"] == there
    assert not said["planned"] & there
