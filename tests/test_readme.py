"""What README.md shows is what happens.

Its blocks run in their order in one fresh folder, with a home of their own:

    python      is executed, all blocks in one namespace; `# name.py` in the first line also saves it under that name.
                Of an expression with a comment in its last line the value must be what the comment says.
    sh          is run by the shell, and must end with exit code 0
    text        must be what the block before it printed; … stands for anything
    toml        must be settings that ckpt accepts
    console     is not run: for what needs a network, or takes as long as these tests
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ckpt import config

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str
    line: int
    """Where its text begins in the file, from 1."""


def blocks_of(readme: str) -> list[Block]:
    return [Block(m[1], m[2], readme.count("\n", 0, m.start()) + 2) for m in FENCED.finditer(readme)]


def matches(shown: str, real: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, real.strip(), re.DOTALL) is not None


class Reader:
    """A stranger who types what the README shows."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
        }
        self.namespace: dict[str, object] = {"__name__": "__main__"}
        self.printed = ""
        self.compared = 0
        """How many values and outputs were compared with what is shown."""

    def follow(self, readme: str) -> None:
        for block in blocks_of(readme):
            if block.language not in ("python", "sh", "text", "toml", "console"):
                pytest.fail(f"README.md:{block.line}: no rule says how to check a block of {block.language!r}")
            getattr(self, f"do_{block.language}")(block)

    def do_python(self, block: Block) -> None:
        if name := re.match(r"# (\w+\.py)\n", block.text):
            (self.folder / name[1]).write_text(block.text)
        lines = block.text.splitlines()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            for node in ast.parse(block.text).body:
                if not isinstance(node, ast.Expr):
                    exec(compile(ast.Module([node], []), f"README.md:{block.line}", "exec"), self.namespace)
                    continue
                code = compile(ast.Expression(node.value), f"README.md:{block.line}", "eval")
                real = repr(eval(code, self.namespace))
                comment = lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset or 0 :].decode().strip()
                if comment.startswith("# "):
                    self.compare(block.line + node.lineno - 1, comment.removeprefix("# "), real)
        self.printed = out.getvalue()

    def do_sh(self, block: Block) -> None:
        self.printed = ""
        for number, line in enumerate(block.text.splitlines()):
            done = subprocess.run(
                ["sh", "-c", line], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.fail(f"README.md:{block.line + number}: {line}\n{done.stdout}{done.stderr}")
            self.printed += done.stdout

    def do_text(self, block: Block) -> None:
        self.compare(block.line, block.text, self.printed)

    def do_toml(self, block: Block) -> None:
        folder = self.folder / "settings"
        folder.mkdir(exist_ok=True)
        (folder / "ckpt.toml").write_text(block.text)
        config.load(cwd=folder, env=self.env)

    def do_console(self, block: Block) -> None:
        self.printed = ""

    def compare(self, line: int, shown: str, real: str) -> None:
        self.compared += 1
        if not matches(shown, real):
            pytest.fail(f"README.md:{line} shows\n{shown}\nbut this is what happens:\n{real}")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    for name in os.environ:
        if name.startswith("CKPT__"):
            monkeypatch.delenv(name)
    return Reader(folder, home)


def test_what_the_readme_shows_is_what_happens(reader: Reader) -> None:
    reader.follow(README.read_text())
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
    ],
)
def test_a_readme_that_shows_something_else_is_noticed(reader: Reader, readme: str) -> None:
    with pytest.raises(pytest.fail.Exception):
        reader.follow(readme)


def commands_in(text: str) -> Iterator[str]:
    """The subcommands of `ckpt` that text between blocks speaks of in backticks."""
    for code in re.findall(r"`([^`\n]+)`", FENCED.sub("", text)):
        if found := re.match(r"ckpt ([a-z]+)", code):
            yield found[1]


def test_every_command_in_the_text_exists() -> None:
    commands = set(commands_in(README.read_text()))
    assert commands
    for command in commands:
        program = Path(sys.executable).with_name("ckpt")
        done = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ckpt {command}: {done.stderr}"


def test_every_make_verb_in_the_text_exists() -> None:
    verbs = set(re.findall(r"make ([a-z]+)`", README.read_text()))
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
