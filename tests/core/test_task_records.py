"""What listeners are told of a task run: per argument the task runs that its value came from, with their digests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt import Flow, TaskRecord, hookimpl, plugins, task, unmapped
from ckpt_local import LocalResultHandler


class Listener:
    """Remembers the last record of each task run."""

    def __init__(self) -> None:
        self.records: dict[str, TaskRecord] = {}

    @hookimpl
    def ckpt_task_changed(self, record: TaskRecord) -> None:
        self.records[str(record.call)] = record

    def inputs(self, call: str) -> dict[str, list[str]]:
        return {name: [str(one.call) for one in sources] for name, sources in self.records[call].inputs.items()}


@pytest.fixture
def heard() -> Iterator[Listener]:
    listener = Listener()
    plugins.register(listener)
    yield listener
    plugins.unregister(listener)


@task
def inc(x: int, *more: Any, y: int = 0, **named: Any) -> int:
    return x + 1


@task
def total(values: list[int], also: Any = None) -> int:
    return sum(values)


def test_inputs_are_told_by_argument(heard: Listener) -> None:
    with Flow("inputs") as flow:
        one = inc(1)
        two = inc.map([one, 2, one])
        three = inc.map(two, y=unmapped(one))
        four = total(three, also={"one": [one]})
        inc(one, two, q=four)
    flow.run()
    assert heard.inputs("inc-1") == {}
    assert [heard.inputs(f"inc-2[{i}]")["x"] for i in range(3)] == [["inc-1"], [], ["inc-1"]]
    assert heard.inputs("inc-3[1]") == {"x": ["inc-2[1]"], "y": ["inc-1"]}
    assert heard.inputs("total-1") == {"values": ["inc-3"], "also": ["inc-1"]}
    assert heard.inputs("inc-4") == {"x": ["inc-1"], "more": ["inc-2"], "named": ["total-1"]}


@pytest.mark.parametrize("executor", ["local", "threads", "processes"])
def test_inputs_carry_the_digest_of_the_kept_value(heard: Listener, tmp_path: Path, executor: str) -> None:
    with Flow("digests", result_handler=LocalResultHandler(dir=tmp_path)) as flow:
        one = inc(1)
        inc(one)
    state = flow.run(checkpointing=True, executor=executor)
    (source,) = heard.records["inc-2"].inputs["x"]
    assert source.digest is not None
    assert source.digest == state.result[one].safe_value.digest
    assert heard.records["inc-2"].outcome == "stored"
