"""What the pages of docs/ show is what happens, their links lead somewhere, and every promise has its test."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from click import Context

import ckpt
import ckpt.errors
from ckpt.cli.command import command
from ckpt.hookspecs import HookSpecs
from ckpt.settings import SECTIONS
from docs.generate import PARTS, expand
from docs.generate.proofs import linked, source
from tests.documents import ROOT, Reader, blocks_of, commands_in, make_verbs_in, prose_of

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [str(page.relative_to(DOCS)) for page in PAGES]

each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page.read_text())], ids=str)
def test_what_a_page_shows_is_what_happens(reader: Reader, page: Path) -> None:
    reader.follow(page.read_text(), str(page.relative_to(ROOT)))


def test_every_block_of_a_kind_that_is_not_run_installs_something() -> None:
    for page in PAGES:
        for block in blocks_of(page.read_text()):
            if block.language == "console":
                assert re.search(r"\$ (pip install|make) ", block.text), f"{page.name}:{block.line} could be run"


@each_page
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose_of(page.read_text()))
    assert [link for link in links if "://" not in link and not (page.parent / link).is_file()] == []


def test_every_command_and_verb_in_the_text_exists() -> None:
    texts = [page.read_text() for page in PAGES]
    said = {name for text in texts for name in commands_in(text)}
    assert said <= set(command.list_commands(Context(command))), "of the command"
    said = {verb for text in texts for verb in make_verbs_in(text)}
    assert said <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)), "of make"


def test_every_promise_links_to_a_test_that_exists() -> None:
    promises = (DOCS / "explanation/promises.md").read_text()
    rows = [row for row in re.findall(r"^\| (.*) \|$", promises, re.MULTILINE) if row != "promise | kept by"]
    assert len(rows) >= 40
    for row in rows:
        tests = list(linked(f"{row}\n"))
        assert len(tests) == row.count("](") > 0, f"a promise without a test: {row}"
        for test in tests:
            assert f"def {test.test}(" in source(test)


def test_a_link_to_a_test_that_is_not_there_is_noticed() -> None:
    for link in ("tests/core/test_records.py#test_that_nobody_wrote", "tests/core/test_gone.py#test_a"):
        (proof,) = linked(f"[test](../../{link})")
        with pytest.raises(LookupError):
            source(proof)


def test_the_reference_has_every_setting_error_hook_and_export() -> None:
    settings, errors, hooks, api = (PARTS[name]() for name in ("settings", "errors", "hooks", "api"))
    for section, kind in SECTIONS.items():
        assert [f.name for f in dataclasses.fields(kind) if f"`{section}.{f.name}`" not in settings] == []
    assert [name for name in ckpt.errors.__all__ if f"## `{name}`" not in errors] == []
    assert [name for name in vars(HookSpecs) if name.startswith("ckpt_") and f"## `{name}`" not in hooks] == []
    assert [name for name in ckpt.__all__ if f"### `{name}`" not in api] == []


def test_every_generated_part_is_on_a_page_and_says_something() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    marks = re.findall(r"<!-- generated: ([\w-]+) -->", text)
    assert sorted(marks) == sorted(PARTS)
    assert all(len(part()) > 100 for part in PARTS.values())
    assert "<!-- generated" not in expand(text, DOCS)
