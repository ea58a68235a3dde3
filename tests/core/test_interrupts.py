"""Ctrl-C: a real SIGINT to a real process, while tasks run, while values are written, and once more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("plain")

PRELUDE = """
import json, os, signal, sys, threading, time
import ckpt
from ckpt import Flow, ObjectInfo, ObjectResultHandler, ObjectStore, ResultHandler
from ckpt.engine import writers
from ckpt.errors import FlowInterrupted
from ckpt.tasks import FunctionTask
from ckpt_local import LocalResultHandler

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this process may have ignored it
executor = sys.argv[1]
forever = threading.Event()
local = LocalResultHandler(dir="kept", durability="os")

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Store(ObjectStore):
    def __init__(self):
        self.objects = {}
    def put(self, key, data, *, overwrite=True):
        before(key)
        self.objects[key] = bytes(data)
        return self.head(key)
    def get(self, key):
        return self.objects[key]
    def head(self, key):
        return ObjectInfo(key, len(self.objects[key]))
    def list(self, prefix=""):
        return iter([])
    def delete(self, key):
        pass

store = Store()

class Memory(ObjectResultHandler):
    storage_type = "memory"
    def open_store(self):
        return store

class Plain(ResultHandler):
    storage_type = "plain"
    kept = {}
    def write(self, value, *, key=None):
        before(key)
        self.kept[key] = value
        return key
    def read(self, location):
        return self.kept[location]

def before(key):
    pass

def t(function, name, **settings):
    return FunctionTask(function, name, **settings)

def run(flow, **arguments):
    try:
        flow.run(executor=executor, checkpointing=True, **arguments)
    except FlowInterrupted as caught:
        report(caught.state, str(caught))
    else:
        print(json.dumps("not interrupted"))

def report(state, text):
    def told(s):
        if s.map_states is not None:
            return [s.name, [told(child) for child in s.map_states]]
        return [s.name, s.message, s.safe_value.read() if s.safe_value else None]
    states = {call.slug: told(s) for call, s in state.result.items()}
    print(json.dumps({"state": state.name, "text": text, "tasks": states}))
"""


def run(code: str, executor: str = "local", *, check: bool = True, **settings: Any) -> Any:
    """Run a script that interrupts itself; answer what it printed, else its exit code."""
    environment = {**os.environ, **{f"CKPT__FLOWS__{name.upper()}": str(value) for name, value in settings.items()}}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, executor],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_first_interrupt_ends_the_run_in_order_with_what_was_done(here: str, plain: Path) -> None:
    found = run(
        """
def second(x):
    interrupt()
    time.sleep(0.2)
    return x + 1

with Flow("f", result_handler=local) as flow:
    first = t(lambda: 41, "first")()
    after = t(lambda x: x, "after")(t(second, "second")(first))
    t(lambda x: x, "mapped").map([after])
run(flow)
""",
        here,
    )
    tasks = found["tasks"]
    assert found["state"] == "Cancelled"
    assert "interrupted" in found["text"]
    assert tasks["first-1"] == ["Success", "", 41]
    assert tasks["after-1"][0] == tasks["mapped-1"][0] == "Cancelled"
    if here == "local":
        assert tasks["second-1"][0] == "Cancelled"
    else:
        assert tasks["second-1"] == ["Success", "", 42]  # a thread cannot be interrupted; it finishes
    assert len([file for file in (plain / "kept").rglob("*") if file.is_file()]) == (1 if here == "local" else 2)


def test_writes_in_flight_finish(here: str) -> None:
    found = run(
        """
def before(key):
    time.sleep(0.3)

def last(xs):
    interrupt()
    return sum(xs)

with Flow("f", result_handler=Memory()) as flow:
    t(last, "last")(t(lambda x: x, "many").map([1, 2, 3]))
run(flow)
""",
        here,
    )
    assert found["tasks"]["many-1"] == ["Mapped", [["Success", "", n] for n in (1, 2, 3)]]


def test_a_write_that_the_task_itself_makes_is_not_broken_off(here: str) -> None:
    found = run(
        """
def before(key):
    interrupt()
    time.sleep(0.1)

with Flow("f", result_handler=Plain()) as flow:
    t(lambda x: x, "after")(t(lambda: 41, "first")())
run(flow)
""",
        here,
    )
    assert found["tasks"] == {"first-1": ["Success", "", 41], "after-1": ["Cancelled", "the run was interrupted", None]}


def test_a_storage_that_hangs_is_given_up_after_drain_seconds(here: str) -> None:
    found = run(
        """
def before(key):
    forever.wait()

def second(x):
    interrupt()
    time.sleep(0.05)

with Flow("f", result_handler=Memory()) as flow:
    t(second, "second")(t(lambda: 41, "first")())
run(flow)
""",
        here,
        drain_seconds=0.2,
    )
    assert found["tasks"]["first-1"][0] == "Failed"
    assert found["tasks"]["first-1"][1].startswith("computed, not kept")


def test_a_storage_that_hangs_is_given_up_also_while_the_flow_waits_for_room(here: str) -> None:
    found = run(
        """
writers.IN_FLIGHT_BYTES = 1000
waiting = threading.Event()

def before(key):
    if not waiting.is_set():
        waiting.set()
        threading.Timer(0.2, interrupt).start()
    forever.wait()

with Flow("f", result_handler=Memory()) as flow:
    t(lambda x: bytes(900), "many").map(range(5))
run(flow)
""",
        here,
        drain_seconds=0.2,
    )
    assert found["state"] == "Cancelled"
    assert found["tasks"]["many-1"][1][0][1].startswith("computed, not kept")


def test_a_task_that_goes_on_in_a_thread_is_given_up_after_drain_seconds() -> None:
    found = run(
        """
def endless():
    interrupt()
    forever.wait()

with Flow("f", result_handler=local) as flow:
    t(endless, "endless")()
run(flow)
""",
        "threads",
        drain_seconds=0.2,
    )
    assert found["tasks"]["endless-1"][0] == "Cancelled"


def test_a_second_interrupt_gives_up_at_once(here: str) -> None:
    done = run(
        """
def before(key):
    threading.Timer(0.2, interrupt).start()
    forever.wait()

def second(x):
    interrupt()
    time.sleep(0.05)

with Flow("f", result_handler=Memory()) as flow:
    t(second, "second")(t(lambda: 41, "first")())
try:
    flow.run(executor=executor, checkpointing=True)
except KeyboardInterrupt as caught:
    print(type(caught).__name__)
""",
        here,
        check=False,
        drain_seconds=1000,
    )
    assert done.stdout.strip() in ("KeyboardInterrupt", "FlowInterrupted")
    assert "Ctrl-C again gives up" in done.stderr
    assert done.returncode == 0


def test_an_interrupt_while_a_task_waits_for_its_next_try_cancels_it(here: str) -> None:
    found = run(
        """
def flaky():
    threading.Timer(0.1, interrupt).start()
    raise ValueError

with Flow("f", result_handler=local) as flow:
    t(flaky, "flaky", max_retries=1, retry_delay=1000)()
    t(lambda: 1, "beside")()
run(flow)
""",
        here,
    )
    assert found["tasks"]["flaky-1"][0] == "Cancelled"
    assert found["tasks"]["beside-1"] == ["Success", "", 1]


def test_a_task_with_a_timeout_and_an_async_task_are_interrupted_too() -> None:
    for body in ("time.sleep(1000)", "await_()"):
        found = run(
            f"""
import asyncio
async def later():
    threading.Timer(0.1, interrupt).start()
    await asyncio.sleep(1000)

def slow():
    threading.Timer(0.1, interrupt).start()
    time.sleep(1000)

with Flow("f", result_handler=local) as flow:
    t({"slow" if body.startswith("time") else "later"}, "task", timeout={"500" if body.startswith("time") else None})()
run(flow)
"""
        )
        assert found["tasks"]["task-1"][0] == "Cancelled"


def test_a_keyboard_interrupt_of_a_tasks_own_ends_the_run_in_order(here: str) -> None:
    found = run(
        """
def own(x):
    raise KeyboardInterrupt

with Flow("f", result_handler=local) as flow:
    t(lambda x: x, "after")(t(own, "own")(t(lambda: 1, "first")()))
run(flow)
""",
        here,
    )
    assert [found["tasks"][name][0] for name in ("first-1", "own-1", "after-1")] == [
        "Success",
        "Cancelled",
        "Cancelled",
    ]


def test_every_task_is_told_its_end_and_the_program_gets_its_signal_back(here: str) -> None:
    done = run(
        """
ended, runs = [], []

class Listener:
    @ckpt.hookimpl
    def ckpt_task_changed(self, record):
        if record.ended:
            ended.append((str(record.call), record.state))
    @ckpt.hookimpl
    def ckpt_run_ended(self, state):
        runs.append(state.name)

ckpt.plugins.register(Listener())

def own():
    interrupt()
    time.sleep(0.1)

with Flow("f") as flow:
    t(lambda x: x, "after")(t(own, "own")())
try:
    flow.run(executor=executor)
except FlowInterrupted:
    pass
assert sorted(name for name, _ in ended) == ["after-1", "own-1"], ended
assert runs == ["Cancelled"], runs
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
mine = lambda *_: None
signal.signal(signal.SIGINT, mine)
with Flow("g") as flow:
    t(lambda: signal.getsignal(signal.SIGINT) is mine, "look")()
assert flow.run(executor=executor).result["look"].result
assert signal.getsignal(signal.SIGINT) is mine
""",
        here,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_many_interrupts_at_any_moment_lose_nothing_that_was_said_to_be_kept() -> None:
    found = run(
        """
import random, traceback
wrong = []

def first(x):
    global timer
    if x == 0:
        timer = threading.Timer(delay, interrupt)
        timer.start()
    return x

for seed in range(60):
    delay = random.Random(seed).uniform(0, 0.006)
    with Flow("f", result_handler=Memory()) as flow:
        t(lambda x: sum(range(200)) + x, "second").map(t(first, "first").map(range(60)))
    state = None
    try:
        try:
            state = flow.run(checkpointing=True)
        except FlowInterrupted as caught:
            state = caught.state
        finally:
            timer.join()
            time.sleep(0)
    except KeyboardInterrupt as caught:  # it may come when the run is over
        if any(frame.filename.endswith("loop.py") for frame in traceback.extract_tb(caught.__traceback__)):
            wrong.append(f"{seed}: {traceback.format_exc()}")
    if ckpt.context:
        wrong.append(f"{seed}: a task still runs, it is said")
    for call, s in state.result.items() if state else ():
        for child in s.map_states or ():
            if child.name == "Success" and child.safe_value.value not in store.objects:
                wrong.append(f"{seed}: {child}")
            if not child.is_finished():
                wrong.append(f"{seed}: {child}")
print(json.dumps(wrong))
"""
    )
    assert found == []
