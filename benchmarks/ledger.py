"""What the ledger costs, and how fast it answers: over runs that are made up, in the numbers of a busy year.

`filled_ledger` makes a ledger of any size; looking at one is measured as a person does it, in a new process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

from rows import Row, Took, timed

from ckpt import CallPath, Identity, SafeResult, TaskRecord
from ckpt.task_records import FOREVER, LogLine, Place, RunRecord, Source

__all__ = ["filled_ledger", "rows"]

RUNS, TASKS = 10_000, 100
"""Runs, and task runs of each: a million in all."""

_FLOWS = 20
_MAPPED = 40
"""Task runs of each run that are children of one mapped call."""
_BATCH = 5_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_EVERY = timedelta(minutes=47)
_SUMMARY = {
    "type": "pandas.DataFrame",
    "rows": 1461,
    "width": 6,
    "columns": [["date", "datetime64[ns]"], ["precipitation", "float64"], ["temp_max", "float64"], ["wind", "float64"]],
    "first": [["2012-01-01 00:00:00", "0.0", "12.8", "4.7"], ["2012-01-02 00:00:00", "10.9", "10.6", "4.5"]],
}


def run_records(runs: int) -> Iterator[RunRecord]:
    """Runs of twenty flows in turn, oldest first."""
    for number in range(runs):
        started = _START + number * _EVERY
        flow, run = f"flow {number % _FLOWS}", f"{started:%Y%m%d-%H%M%S}-000-{number:06x}"
        yield RunRecord(
            run,
            flow,
            started,
            name=f"release {number}" if number % 50 == 0 else None,
            target=f"/flows/flow_{number % _FLOWS}.py",
            parameters={"day": f"{started:%Y-%m-%d}", "limit": 100},
            code=sha256(flow.encode()).hexdigest(),
            environment={"python": "3.11.2", "ckpt": "0.1.0", "plugins": ["ckpt-local 0.1.0", "ckpt-json 0.1.0"]},
            executor="threads",
            calls=TASKS - _MAPPED,
            places=(Place({"type": "local", "dir": "/values"}, f"{started:%Y/%m/%d}/{flow}/{run}/"),),
        )


def task_records(run: RunRecord, tasks: int) -> Iterator[TaskRecord]:
    """A chain of calls, and in its middle a mapped one with children; all kept, and all fit for reuse."""
    mapped = min(_MAPPED, max(tasks - 2, 0))
    chain = tasks - mapped
    at, before, order = run.started, CallPath("load-1"), 0
    for number in range(chain):
        task = "load" if not number else "weigh" if number == chain // 2 and mapped else "clean"
        call = CallPath(f"{task}-{number + 1}")
        is_parent = task == "weigh"
        yield task_record(
            run, call, task, order, at, before, None if is_parent else 2_000, mapped if is_parent else None
        )
        if is_parent:
            for index in range(mapped):
                yield task_record(run, CallPath(call.slug, index), task, order, at, before, 500)
        before, order, at = call, order + 1, at + timedelta(milliseconds=20)


def task_record(
    run: RunRecord, call: CallPath, task: str, order: int, at: datetime, before: CallPath, size: int | None,
    children: int | None = None,
) -> TaskRecord:  # fmt: skip
    """One task run; without a size the parent of mapped children, which has no value."""
    [place] = run.places
    digest, source = (sha256(f"{run.id} {each}".encode()).hexdigest() for each in (call, before))
    safe = None
    if size is not None:
        safe = SafeResult(f"{place.prefix}{call}.ckpt", place.handler, digest=digest, size=size, serializer="pickle")
    return TaskRecord(
        run.id,
        call,
        "Success" if children is None else "Mapped",
        "Task run succeeded.",
        1,
        at,
        at + timedelta(milliseconds=19),
        safe,
        "stored" if safe else "",
        {"rows": (Source(before, source),)} if before.slug != call.slug else {},
        "LocalResultHandler(dir='/values')",
        "storage",
        Identity(sha256(f"{digest} identity".encode()).hexdigest()),
        _SUMMARY if safe else None,
        task=task,
        order=order,
        code=sha256(task.encode()).hexdigest(),
        children=children,
        reusable_until=FOREVER if safe and order % 4 == 0 else None,
    )


def filled_ledger(folder: Path, runs: int = RUNS, tasks: int = TASKS) -> str:
    """Make a ledger of so many runs with so many task runs each; its URL."""
    from ckpt_ledger import SQLLedger

    url = f"sqlite:///{folder}/ledger.db"
    ledger = SQLLedger(url)
    made = run_records(runs)
    while batch := list(islice(made, max(1, _BATCH // tasks))):
        for run in batch:
            ledger.begin(run)
        ledger.record([task for run in batch for task in task_records(run, tasks)])
        ledger.log([LogLine(run.id, CallPath("load-1"), 1, run.started, "INFO", "loading") for run in batch])
        for run in batch:
            ledger.end(run.id, "Success", f"{run.calls} tasks succeeded")
    ledger.close()
    return url


@cache
def _large() -> str:
    """A ledger that all rows look at, made once."""
    folder = Path(tempfile.mkdtemp(prefix="ckpt-bench-ledger-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return filled_ledger(folder)


def looking(arguments: list[str], place: Path) -> Took:
    """The command in a process of its own, as a person starts it."""
    environment = {**os.environ, "CKPT__LEDGER__URL": _large()}
    command = [sys.executable, "-m", "ckpt", *arguments]
    return timed(lambda: subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL))


def imports(place: Path) -> Took:
    """What the commands are made of, and nothing else."""
    code = "import sqlalchemy, rich, click"
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def rows() -> list[Row]:
    names = {"runs": "ckpt runs", "show": "ckpt show last"}
    return [
        Row(
            f"look-{key}", f"{name}, 10,000 runs, 1,000,000 task runs, above imports",
            partial(looking, name.split()[1:]), imports, 250, "milliseconds", rounds=9, slow=True,
        )
        for key, name in names.items()
    ]  # fmt: skip
