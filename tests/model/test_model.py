"""The engine against a model: random flows give what the rules say, on every executor."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import event, example, given
from model_check import Check
from model_programs import FOREVER, CallSpec, Const, Mood, Program, Ref, TaskSpec, Write
from model_runs import Built
from model_strategies import examples, programs

pytestmark = pytest.mark.timeout(0)


ONE_EACH = Const([0, 1, 2])

FAILED_AND_SKIPPED_CHILDREN = Program(
    tasks=(
        TaskSpec(moods=(Mood(), Mood(fails=FOREVER), Mood(skips=True))),
        TaskSpec(),
        TaskSpec(trigger="any_failed", skip_on_upstream_skip=False),
    ),
    calls=(
        CallSpec(0, (ONE_EACH,), mapped=True),
        CallSpec(1, (Ref(0),), mapped=True),
        CallSpec(2, (Ref(1), Ref(0)), mapped=True),
        CallSpec(1, (Ref(1),)),
        CallSpec(2, (Ref(2),)),
    ),
    listened=True,
)
"""Children that follow children, and tasks that take all of them."""

NEWS_THAT_COMES_LATE = Program(
    tasks=(
        TaskSpec(writes=(Write(refused=True, milliseconds=3),), returns="list", width=4),
        TaskSpec(moods=(Mood(milliseconds=4), Mood(fails=1, milliseconds=4)), max_retries=1),
        TaskSpec(writes=(Write(refused=True, milliseconds=3),), returns="list", watched=True),
    ),
    calls=(
        CallSpec(0, (Const(1),)),
        CallSpec(1, (Ref(0),), mapped=True),
        CallSpec(1, (Ref(1),), mapped=True),
        CallSpec(1, (Ref(0),), after=(1,)),
        CallSpec(2, (Const(2),)),
        CallSpec(1, (Ref(4),), mapped=True),
    ),
    listened=True,
)
"""A write that fails while children downstream run, and one that is waited for since its task has a state handler."""


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


@examples(200)
@example(FAILED_AND_SKIPPED_CHILDREN)
@example(NEWS_THAT_COMES_LATE)
@given(programs())
def test_in_this_thread(program: Program) -> None:
    hold_against_rules(program, "local")


@examples(120)
@example(FAILED_AND_SKIPPED_CHILDREN)
@example(NEWS_THAT_COMES_LATE)
@given(programs())
def test_in_threads(program: Program) -> None:
    hold_against_rules(program, "threads")


@examples(8, share=0.05)
@example(FAILED_AND_SKIPPED_CHILDREN)
@example(NEWS_THAT_COMES_LATE)
@given(programs(least=6, remote=True))
def test_in_processes(program: Program) -> None:
    hold_against_rules(program, "processes")
