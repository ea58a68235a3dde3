"""What a run sets aside from Python's garbage collector while it takes values over, it looks at again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ckpt import Flow, task
from ckpt.engine import collector

seen: list[int] = []


@pytest.fixture(autouse=True)
def nothing_is_frozen() -> Iterator[None]:
    gc.unfreeze()
    seen.clear()
    yield
    gc.unfreeze()


@task(version="1")
def first() -> int:
    return 1


@task(version="1")
def second(number: int) -> int:
    seen.append(gc.get_freeze_count())
    return number + 1


def test_while_a_function_runs_and_afterwards_nothing_stands_aside(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asides: list[int] = []
    begin = collector.SetAside.__init__

    def noted(self: collector.SetAside) -> None:
        begin(self)
        asides.append(gc.get_freeze_count())

    monkeypatch.setattr(collector.SetAside, "__init__", noted)
    with Flow("f", storage=f"file://{tmp_path}/results") as flow:
        second(first())
    flow.run()
    assert not asides, "nothing is taken over by a run that goes on from none"
    flow.run(resume="last", from_task=["second"])
    assert len(asides) == 1
    assert asides[0] > 1000
    assert seen == [0, 0]
    flow.run(resume="last")
    assert len(asides) == 2
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_has_frozen_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    aside = collector.SetAside()
    aside.end()
    assert gc.get_freeze_count() == frozen > 0


def test_to_end_twice_leaves_what_was_frozen_in_between() -> None:
    aside = collector.SetAside()
    aside.end()
    gc.freeze()
    aside.end()
    assert gc.get_freeze_count() > 0
