"""A nursery of runs that kill themselves: forked from this process, which has imported all there is to import.

One line of JSON on stdin is one run; its answer is one line on stdout. A run counts its steps (a function begins or
returns, bytes go to a file, a file is synced or gets its name, rows are written, a listener is told) in a file that
all processes of the run append to, and at step number `kill` ends the whole run with SIGKILL, its workers included.

Everything here also works in a worker process, where functions of this file travel by value and the settings are
found in the environment.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import ckpt_ledger
from ckpt import CallPath, Flow, TaskRecord, context, hookimpl, plugins, task
from ckpt.errors import NotFound
from ckpt.handlers import Staged
from ckpt_local import LocalResultHandler, drafts

WIDTH = 4
_BE_PARENT_OF_ORPHANS = 36
"""PR_SET_CHILD_SUBREAPER"""
STEPS = ("write", "fdatasync", "fsync", "link", "rename")


def append(variable: str, text: str) -> int:
    """Append to the file that an environment variable names; answers where its end is then."""
    fd = os.open(os.environ[variable], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        getattr(os.write, "__wrapped__", os.write)(fd, text.encode())
        getattr(os.fsync, "__wrapped__", os.fsync)(fd)
        return os.lseek(fd, 0, os.SEEK_CUR)
    finally:
        os.close(fd)


def step(name: str) -> None:
    """One step; the run ends here if its number has come."""
    fd = os.open(os.environ["KILLS_STEPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    getattr(os.write, "__wrapped__", os.write)(fd, b".")
    number = os.lseek(fd, 0, os.SEEK_CUR)
    os.close(fd)
    if number == int(os.environ["KILLS_AT"]):
        append("KILLS_NOTES", f"killed {name}\n")
        os.killpg(int(os.environ["KILLS_RUN"]), signal.SIGKILL)
        time.sleep(60)


def stepping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a step before it and one after it."""

    @wraps(function)
    def stepped(*args: Any, **kwargs: Any) -> Any:
        step(f"before {name}")
        value = function(*args, **kwargs)
        step(f"after {name}")
        return value

    return stepped


def halved(write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
    """`os.write` that is killed with half of the bytes written, too."""

    @wraps(write)
    def written(fd: int, data: Any) -> int:
        step("before write")
        done = write(fd, memoryview(data)[: len(data) // 2])
        step("amid write")
        done += write(fd, memoryview(data)[done:])
        step("after write")
        return done

    return written


def note_kept(staged: Staged) -> None:
    """Write down that a value is durable."""
    slug, *index = str(staged.stored.location).removesuffix(".ckpt").split("/")[5:]
    append("KILLS_NOTES", f"kept {CallPath(slug, int(index[0]) if index else None)}\n")


def watch_values() -> None:
    """Write down what this process keeps."""
    stages, sends = LocalResultHandler.stage, LocalResultHandler.send

    def stage(self: Any, *args: Any, **more: Any) -> Staged:
        staged = stages(self, *args, **more)
        if staged.data is None:
            note_kept(staged)
        return staged

    def send(self: Any, values: Sequence[Staged]) -> Any:
        errors = sends(self, values)
        for staged, error in zip(values, errors, strict=True):
            if error is None:
                note_kept(staged)
        return errors

    LocalResultHandler.stage, LocalResultHandler.send = stage, send  # type: ignore[method-assign]


def watch_files() -> None:
    """Count what this process does to files."""
    if hasattr(os.fsync, "__wrapped__"):
        return
    watch_values()
    os.write = halved(os.write)
    for name in STEPS[1:]:
        setattr(os, name, stepping(name, getattr(os, name)))
    drafts._to_disk = os.fdatasync


def run_noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a task, which writes down that it begins."""

    @wraps(function)
    def noted(*args: Any) -> Any:
        if os.environ.get("KILLS_REMOTE"):
            watch_files()
        append("KILLS_NOTES", f"began {context.call}\n")
        step(f"begin {context.call}")
        value = function(*args)
        step(f"end {context.call}")
        return value

    return noted


def numbers() -> list[int]:
    return list(range(WIDTH))


def square(x: int) -> int:
    if x == 1 and context.attempt == 1:
        raise ValueError("once more")
    return x * x


def hidden(values: list[int]) -> str:
    return f"hidden {sum(values)}"


def large(text: str) -> bytes:
    return text.encode() * 120_000


def total(squares: list[int], text: str) -> int:
    return sum(squares) + len(text)


def after(total: int, piece: int, sign: int) -> int:
    return sign * (total + piece)


def build(storage: str) -> Flow:
    with Flow("killed", storage=storage) as flow:
        values = task(name="numbers", version="1")(run_noted(numbers))()
        squares = task(name="square", version="1", max_retries=1)(run_noted(square)).map(values)
        text = task(name="hidden", version="1", checkpoint=False)(run_noted(hidden))(values)
        data = task(name="large", version="1")(run_noted(large))(text)
        summed = task(name="total", version="1")(run_noted(total))(squares, text)
        task(name="after", version="1")(run_noted(after)).map([summed, summed], [data[3], data[5]], [1, -1])
    return flow


class Listener:
    """Writes down what is acknowledged."""

    @hookimpl
    def ckpt_task_changed(self, record: TaskRecord) -> None:
        if record.state == "Success":
            append("KILLS_NOTES", f"told {record.call}\n")
            step(f"told {record.call}")


def watch_ledger() -> None:
    """Count what is told to the ledger."""
    for name in ("begin", "record", "end"):
        setattr(ckpt_ledger.SQLLedger, name, stepping(name, getattr(ckpt_ledger.SQLLedger, name)))


def forget_heartbeats() -> None:
    """Let the time pass after which a run that was killed counts as over."""
    database = ckpt_ledger.open_ledger()._database
    database.write(lambda connection: connection.exec_driver_sql("UPDATE ckpt_runs SET heartbeat = 0"))


def child(job: dict[str, Any]) -> int:
    """One run, gone on from the last one where there is one."""
    os.environ.update(job["env"], KILLS_RUN=str(os.getpid()))
    flow = build(job["storage"])
    try:
        forget_heartbeats()
        ckpt_ledger.open_ledger().find("last")
        resume = "last"
    except NotFound:
        resume = None
    watch_files()
    watch_ledger()
    state = flow.run(executor=job["executor"], resume=resume)
    step("over")
    if not state.is_successful():
        raise AssertionError(state.message)
    Path(job["answer"]).write_text(json.dumps(state.result["after"].result))
    return 0


def forked(job: dict[str, Any]) -> int:
    """Its exit status, once no process of it is left; below zero the signal that ended it."""
    pid = os.fork()
    if not pid:
        status = 70
        try:
            os.setsid()
            out = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            status = child(job)
        except BaseException:  # noqa: BLE001  the child ends here, and nowhere else
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    while True:  # its workers are ours now
        try:
            os.waitpid(-pid, 0)
        except ChildProcessError:
            return os.waitstatus_to_exitcode(status)


def warm() -> None:
    """Import whatever a run imports; no thread of it is left."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CKPT__LEDGER__URL"] = f"sqlite:///{folder}/ledger.db"
        with Flow("warm", storage=Path(folder).as_uri()) as flow:
            task(lambda: 1)()
        flow.run(executor="threads")
        flow.run(resume="last")


def main() -> None:
    ctypes.CDLL(None).prctl(_BE_PARENT_OF_ORPHANS, 1, 0, 0, 0)
    warm()
    plugins.register(Listener())
    for line in sys.stdin:
        sys.stdout.write(f"{forked(json.loads(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
