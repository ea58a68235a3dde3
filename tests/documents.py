"""Follows a document as a person would: what its code blocks show must be what happens.

The blocks of a document run in their order in one fresh folder, with a home of their own:

    python      is executed, all blocks in one namespace.
                Of an expression with a comment in its last line the value must be what the comment says.
    sh          is run by the shell, and must end with exit code 0
    text        must be what the block before it printed; … stands for anything, and columns may be wider
    toml        must be settings that ckpt accepts; those of `# ckpt.toml` hold from then on
    console     is not run: for what needs a network, or takes as long as these tests

A block whose first line is `# name.py` (or another name) is also saved under that name; toml under another name than
ckpt.toml must only be TOML. Blocks with a name in braces belong to the generator of the site.
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

__all__ = ["FENCED", "ROOT", "Block", "Reader", "blocks_of", "commands_in", "make_verbs_in", "prose_of"]

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^(`{3,})([\w{}-]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w./-]+\.\w+)\n")


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str
    line: int
    """Where its text begins in the file, from 1."""


def blocks_of(document: str) -> list[Block]:
    """The code blocks, in order; a fence that nobody would look at is an error."""
    if stray := re.search(r"^.*(```|~~~).*$", prose_of(document), re.MULTILINE):
        pytest.fail(f"this fence is not looked at, and so not what it shows: {stray[0]}")
    blocks = [Block(m[2], m[3], document.count("\n", 0, m.start()) + 2) for m in FENCED.finditer(document)]
    return [block for block in blocks if not block.language.startswith("{")]


def prose_of(document: str) -> str:
    """What stands between the blocks."""
    return FENCED.sub("", document)


def commands_in(document: str) -> Iterator[str]:
    """The subcommands of `ckpt` that text between blocks speaks of in backticks."""
    for code in re.findall(r"`([^`\n]+)`", prose_of(document)):
        if found := re.match(r"ckpt ([a-z][a-z-]*)", code):
            yield found[1]


def make_verbs_in(document: str) -> set[str]:
    """The verbs of `make` that text between blocks speaks of in backticks."""
    return set(re.findall(r"`make ([a-z]+)", prose_of(document)))


def matches(shown: str, real: str) -> bool:
    # Columns are as wide as what stands in them, a path of this machine for one.
    shown, real = (re.sub(" {2,}", "  ", text) for text in (shown, real))
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, real.strip(), re.DOTALL) is not None


class Reader:
    """A stranger who types what a document shows."""

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
        self.name = "the document"

    def follow(self, document: str, name: str = "the document") -> None:
        self.name = name
        for block in blocks_of(document):
            if block.language not in ("python", "sh", "text", "toml", "console"):
                pytest.fail(f"{name}:{block.line}: no rule says how to check a block of {block.language!r}")
            if found := _NAME.match(block.text):
                file = self.folder / found[1]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            getattr(self, f"do_{block.language}")(block)

    def do_python(self, block: Block) -> None:
        lines = block.text.splitlines()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            for node in ast.parse(block.text).body:
                if not isinstance(node, ast.Expr):
                    exec(compile(ast.Module([node], []), f"{self.name}:{block.line}", "exec"), self.namespace)
                    continue
                code = compile(ast.Expression(node.value), f"{self.name}:{block.line}", "eval")
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
                pytest.fail(f"{self.name}:{block.line + number}: {line}\n{done.stdout}{done.stderr}")
            self.printed += done.stdout

    def do_text(self, block: Block) -> None:
        self.compare(block.line, block.text, self.printed)

    def do_toml(self, block: Block) -> None:
        found = _NAME.match(block.text)
        if found and found[1] != "ckpt.toml":
            tomllib.loads(block.text)
            return
        folder = self.folder if found else self.folder / "settings"
        folder.mkdir(exist_ok=True)
        (folder / "ckpt.toml").write_text(block.text)
        config.load(cwd=folder, env=self.env)

    def do_console(self, block: Block) -> None:
        self.printed = ""

    def compare(self, line: int, shown: str, real: str) -> None:
        self.compared += 1
        if not matches(shown, real):
            pytest.fail(f"{self.name}:{line} shows\n{shown}\nbut this is what happens:\n{real}")
