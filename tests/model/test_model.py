"""The engine against a model: random flows give what the rules say, on every executor."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import event, given
from model_check import Check
from model_programs import Program
from model_runs import Built
from model_strategies import examples, programs

pytestmark = pytest.mark.timeout(0)


def hold_against_rules(program: Program, executor: str) -> None:
    remote = executor == "processes"
    folder = Path(tempfile.mkdtemp(prefix="ckpt-model-")) if remote else None
    try:
        seen = Built(program, folder).run(executor)
        check = Check(program, seen, remote=remote)
        complaints = check.complaints()
    finally:
        if folder is not None:
            shutil.rmtree(folder)
    event(f"late news: {check.has_late_news}")
    assert not complaints, "\n".join([*complaints, f"{program!r}"])


@examples(150)
@given(programs())
def test_in_this_thread(program: Program) -> None:
    hold_against_rules(program, "local")


@examples(100)
@given(programs())
def test_in_threads(program: Program) -> None:
    hold_against_rules(program, "threads")


@examples(8, share=0.05)
@given(programs(least=6, remote=True))
def test_in_processes(program: Program) -> None:
    hold_against_rules(program, "processes")
