"""A program that is interrupted again and again while it runs flows; `test_interrupts_at_random` sends the signals.

It says how long one run takes. Then, as often as it is told to, it says `go`, runs a flow, waits for the line that
tells that the signal was sent, and reports.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckpt import Flow, State, task
from ckpt.errors import CkptError, FlowInterrupted
from ckpt.handlers import DEFAULT_TEMPLATE
from ckpt_local import LocalResultHandler
from ckpt_local.store import LocalStore

CHILDREN = 20
PAUSE = 0.003


class SlowStore(LocalStore):
    """Files, each of which takes its time."""

    def put(self, key: str, data: Any, *, overwrite: bool = True) -> Any:
        time.sleep(PAUSE)
        return super().put(key, data, overwrite=overwrite)

    def put_many(self, objects: Sequence[tuple[str, Any]]) -> Any:
        time.sleep(PAUSE * len(objects))
        return super().put_many(objects)


class SlowHandler(LocalResultHandler):
    """Keeps values in a `SlowStore`."""

    def open_store(self) -> SlowStore:
        return SlowStore(self.dir, durability=self.durability)


@task
def give(x: Any) -> Any:
    return x


@task(max_retries=1)
def step(x: int) -> int:
    time.sleep(PAUSE)
    if x % 7 == 3:
        raise ValueError(f"not {x}")
    return x + 1


@task(skip_on_upstream_skip=False, trigger=lambda states: True)
def count(values: list[Any]) -> int:
    time.sleep(PAUSE)
    return sum(isinstance(value, int) for value in values)


def right(slug: str, index: int | None) -> object:
    """What a task run of the flow returns, if it does."""
    if slug == "give-1":
        return list(range(CHILDREN))
    if slug in ("step-1", "step-2", "step-3"):
        assert index is not None
        return index + int(slug[-1])
    # Of six steps in a row those end well that meet no 3, 10 or 17 on their way.
    return sum(not any((n + k) % 7 == 3 for k in range(3)) for n in range(CHILDREN))


def one_flow(folder: Path, durability: Any) -> Flow:
    handler = SlowHandler(folder, durability=durability, template=DEFAULT_TEMPLATE)
    with Flow("interrupted", result_handler=handler) as flow:
        steps = step.map(step.map(step.map(give(list(range(CHILDREN))))))
        count(steps)
    return flow


def complaints(state: State, folder: Path) -> list[str]:
    """What is wrong with what an interrupted run left behind."""
    wrong = []
    stored = set()
    for call, top in state.result.items():
        rows = [(None, top)] if top.map_states is None else list(enumerate(top.map_states))
        for index, row in rows:
            name = f"{call.slug}[{index}]"
            if not row.is_finished():
                wrong.append(f"{name} is {row}")
            if row.name == "Success":
                if not row.safe_value:
                    wrong.append(f"{name} succeeded and is not kept")
                    continue
                stored.add(row.safe_value.value)
                found = row.safe_value.read()
                if found != right(call.slug, index) and call.slug != "count-1":
                    wrong.append(f"{name} is kept as {found}")
            elif row.safe_value:
                wrong.append(f"{name} is {row} and kept as {row.safe_value}")
            elif row.name == "Failed" and not row.message.startswith("ValueError: not"):
                wrong.append(f"{name}: {row.message}")
    handler = LocalResultHandler(folder)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for key in there:
        try:
            handler.read(key)
        except CkptError as error:
            wrong.append(f"{key} is not whole: {error}")
    if there != stored:
        wrong.append(f"on disk and in no state: {sorted(there - stored)}; the reverse: {sorted(stored - there)}")
    return wrong


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    executor, rounds = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this may have ignored it
    logging.getLogger("ckpt").setLevel(logging.CRITICAL + 1)
    took = 0.0
    for name in ("first", "second"):  # the first run also imports
        began = time.monotonic()
        one_flow(Path(name).absolute(), "os").run(executor=executor, checkpointing=True)
        took = time.monotonic() - began
    say(str(took))
    for number in range(rounds):
        folder = Path(f"kept-{number}").absolute()
        flow = one_flow(folder, "disk" if number % 2 else "os")
        landed, state, began, said = "after", None, time.monotonic(), False
        while not said:
            try:
                if state is None and landed == "after":
                    say("go")
                    began = time.monotonic()
                    try:
                        state = flow.run(executor=executor, checkpointing=True)
                    except FlowInterrupted as caught:
                        state, landed = caught.state, "while it ran"
                sys.stdin.readline()
                said = True
            except KeyboardInterrupt:
                landed = "beside" if state is None else landed
        wrong = [] if state is None else complaints(state, folder)
        took = time.monotonic() - began
        say(json.dumps({"landed": landed, "wrong": wrong, "took": took, "state": state and state.name}))


if __name__ == "__main__":
    main()
