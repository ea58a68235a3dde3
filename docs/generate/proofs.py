"""The tests that pages link to, each with its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from docs.generate.sources import ROOT

__all__ = ["LINK", "Proof", "every_linked_test", "linked", "source"]

LINK = re.compile(r"\]\((?:\.\./)*(?P<file>tests/(?:\w+/)*(?P<stem>\w+)\.py)#(?P<label>(?P<test>test_\w+))\)")


class Proof(NamedTuple):
    """A test that a page links to."""

    file: str
    test: str


def linked(page: str) -> Iterator[Proof]:
    """The tests that a page links to, in its order."""
    for found in LINK.finditer(page):
        yield Proof(found["file"], found["test"])


def source(proof: Proof) -> str:
    """The source of the test, its decorators included.

    Raises: `LookupError` if there is no such file, or no such test in it.
    """
    path = ROOT / proof.file
    if not path.is_file():
        raise LookupError(f"there is no {proof.file}")
    text, tests = _tests(path)
    if (node := tests.get(proof.test)) is None:
        raise LookupError(f"there is no {proof.test} in {proof.file}")
    first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def every_linked_test() -> str:
    """What every page links to, by file.

    Raises: `LookupError` for a link that leads nowhere, `ValueError` for two tests of one name.
    """
    pages = sorted((ROOT / "docs").rglob("*.md"))
    proofs = sorted({proof for page in pages for proof in linked(page.read_text())})
    names = [proof.test for proof in proofs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two linked tests have one name, so that no link can tell them apart: {', '.join(twice)}")
    parts = []
    for file, group in groupby(proofs, lambda proof: proof.file):
        parts.append(f"## `{file}`")
        parts += [f"({each.test})=\n### `{each.test}`\n\n```python\n{source(each)}\n```" for each in group]
    return "\n\n".join(parts)


@cache
def _tests(path: Path) -> tuple[str, dict[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    text = path.read_text()
    nodes = ast.walk(ast.parse(text))
    return text, {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
