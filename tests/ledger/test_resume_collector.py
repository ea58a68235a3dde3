"""Python's garbage collector rests while a run takes values over, and is as it was once a function runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt import SKIP, Flow, plugins, task
from ckpt.collector import Uncollected
from ckpt.engine.tracked import TrackedLoop
from ckpt.plugins import hookimpl_marker

seen: list[tuple[str, bool]] = []


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    gc.enable()
    seen.clear()
    yield
    gc.enable()


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    served = TrackedLoop._served

    def noted(self: TrackedLoop, row: int) -> bool:
        seen.append(("looked at", gc.isenabled()))
        return served(self, row)

    monkeypatch.setattr(TrackedLoop, "_served", noted)
    with Flow("f", storage=f"file://{tmp_path}/results") as flow:
        second(first())
    return flow


@task(version="1")
def first() -> int:
    return 1


@task(version="1")
def second(number: int) -> int:
    seen.append(("run", gc.isenabled()))
    return number + 1


def test_it_rests_while_values_are_taken_over_and_never_while_a_function_runs(flow: Flow) -> None:
    flow.run()
    assert seen == [("run", True)], "nothing is taken over by a run that goes on from none"
    seen.clear()
    flow.run(resume="last", from_task=["second"])
    assert seen == [("looked at", False), ("looked at", False), ("run", True)]
    seen.clear()
    flow.run(resume="last")
    assert seen == [("looked at", False), ("looked at", False)]
    assert gc.isenabled()


def test_a_trigger_and_a_state_handler_are_functions_too(tmp_path: Path) -> None:
    def asked(upstream: object) -> bool:
        seen.append(("trigger", gc.isenabled()))
        return True

    def handled(*given: object) -> None:
        seen.append(("state handler", gc.isenabled()))

    for settings in ({"trigger": asked}, {"state_handlers": [handled]}):
        with Flow("f", storage=f"file://{tmp_path}/results") as flow:
            task(name="last", version="1", **settings)(lambda x: x)(first())  # type: ignore[call-overload]
        flow.run()
        seen.clear()
        assert flow.run(resume="last").result["last"].is_cached()
        assert seen
        assert all(enabled for _, enabled in seen), seen


def test_what_is_skipped_again_asks_nobody(flow: Flow) -> None:
    def skips() -> int:
        raise SKIP("no")

    with flow:
        task(name="held_back", version="1")(lambda x: x)(task(name="skips", version="1")(skips)())
        second(flow.calls[1])  # looked at after that
    flow.run()
    seen.clear()
    assert flow.run(resume="last").result["held_back"].is_skipped()
    assert len(seen) == 4
    assert not any(enabled for _, enabled in seen), seen


@pytest.mark.parametrize("moment", ["ckpt_run_started", "ckpt_run_ended"])
def test_a_listener_that_switches_it_off_keeps_it_off(flow: Flow, moment: str) -> None:
    class Listener:
        pass

    setattr(Listener, moment, hookimpl_marker()(lambda self: gc.disable()))
    flow.run()
    listener = Listener()
    plugins.register(listener)
    try:
        assert flow.run(resume="last").is_successful()
    finally:
        plugins.unregister(listener)
    assert not gc.isenabled()


def test_who_has_switched_it_off_keeps_it_off(flow: Flow) -> None:
    flow.run()
    gc.disable()
    flow.run(resume="last", from_task=["second"])
    assert seen[-1] == ("run", False)
    assert not gc.isenabled()


def test_two_that_overlap_leave_it_on() -> None:
    one = Uncollected()
    with Uncollected():
        one.end()
        assert gc.isenabled(), "the first of them knows that it was on"
    assert gc.isenabled()


def test_to_end_twice_leaves_it_to_who_switched_it_off_in_between() -> None:
    rest = Uncollected()
    rest.end()
    gc.disable()
    rest.end()
    assert not gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="damaged"), Uncollected():
        raise ValueError("damaged")
    assert gc.isenabled()
