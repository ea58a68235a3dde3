"""What the record of runs costs, and what it saves.

    python benchmarks/history.py [--quick] [--only TEXT] [--json FILE] [--folder DIR]

Recording is judged against the same flow with the ledger switched off, in the same run, with the values in memory: what
the disk makes of a thousand files differs by more than the rows cost. Everything else is judged by itself. The ledger
is a file on the disk, as it comes. Rounds and medians are as in `run.py`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ledger
from arrays import peak
from rows import Row, Took, level, timed
from run import asked, told
from scheduling import finished
from shapes import chain

from ckpt import Flow, task
from ckpt_local import LocalResultHandler, LocalStore

TASKS, MANY, COMPARED = 1000, 100_000, 10_000


class CountedReads(LocalResultHandler):
    """Files that say how often one was read."""

    reads = 0

    def open_store(self) -> LocalStore:
        store = super().open_store()
        get = store.get

        def counted(key: str) -> Any:
            type(self).reads += 1
            return get(key)

        store.get = counted  # type: ignore[method-assign]  # it is ours
        return store


def in_files(place: Path, tasks: int, values: Path | None = None) -> Flow:
    """A chain whose values go to files, and whose runs are recorded in that folder."""
    os.environ["CKPT__LEDGER__URL"] = f"sqlite:///{place}/ledger.db"
    return chain(tasks, result_handler=CountedReads(dir=values or place / "values", durability="os"))


def of_chain(place: Path) -> Took:
    """A chain whose values stay in memory where there is such a folder: of a thousand files more than the rows cost."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else place) as values:
        flow = in_files(place, TASKS, Path(values))
        return timed(lambda: finished(flow.run(checkpointing=True)))


def recorded(place: Path) -> Took:
    finished(in_files(place, 1).run(checkpointing=True))  # a ledger is made once, and used for years
    return of_chain(place)


def unrecorded(place: Path) -> Took:
    os.environ["CKPT__LEDGER__ENABLED"] = "false"
    try:
        return of_chain(place)
    finally:
        del os.environ["CKPT__LEDGER__ENABLED"]


def unread(took: Took, before: int) -> Took:
    """A figure that stands only if no value was read."""
    if CountedReads.reads != before:
        raise SystemExit(f"{CountedReads.reads - before} values were read, and none had to be")
    return took


def resumed(place: Path) -> Took:
    flow = in_files(place, TASKS)
    finished(flow.run(checkpointing=True))
    level()
    before = CountedReads.reads
    return unread(timed(lambda: finished(flow.run(checkpointing=True, resume="last"))), before)


@task(cache=True)
def doubled(number: int) -> int:
    return 2 * number


def hits(place: Path) -> Took:
    """1,000 tasks in a fan-out, each of which an earlier run has."""
    in_files(place, 1)
    with Flow("hits", result_handler=CountedReads(dir=place / "values", durability="os")) as flow:
        for number in range(TASKS):
            doubled(number)
    finished(flow.run(checkpointing=True))
    level()
    before = CountedReads.reads
    return unread(timed(lambda: finished(flow.run(checkpointing=True))), before)


def resumed_many(place: Path) -> Took:
    """In processes of their own: one that runs, and one that goes on from there and is measured."""
    for step in ("run", "resume"):
        made = subprocess.run([sys.executable, __file__, "--step", step, place], check=True, capture_output=True)
    seen = json.loads(made.stdout)
    return Took(seen["seconds"], seen["extra"])


def step(name: str, place: Path) -> None:
    """What a process of `resumed_many` does."""
    logging.getLogger("ckpt").setLevel(logging.ERROR)
    flow = in_files(place, MANY)
    start = time.perf_counter()
    finished(flow.run(checkpointing=True, resume="last" if name == "resume" else None))
    print(json.dumps({"seconds": time.perf_counter() - start, "extra": peak() / (1 << 20)}))


def compared(place: Path) -> Took:
    """`ckpt diff` of two equal runs, in a process of its own."""
    flow = in_files(place, COMPARED)
    for name in ("one", "two"):
        finished(flow.run(checkpointing=True, run_name=name))
    command = [sys.executable, "-m", "ckpt", "diff", "one", "two"]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def rows() -> list[Row]:
    big = f"{MANY:,} tasks resumed"
    return [
        Row("record", "a row for each of 1,000 tasks, above the same chain", recorded, unrecorded, 25, "above", TASKS),
        Row("resume", "1,000 finished tasks resumed, none read", resumed, None, 50, "milliseconds"),
        Row("hit", "a reuse hit, of 1,000, none read", hits, None, 30, "per task", TASKS),
        Row("resume-many", big, resumed_many, None, 5000, "milliseconds", rounds=3, slow=True),
        Row("resume-peak", f"{big}, memory", resumed_many, None, 300, "megabytes", rounds=1, slow=True),
        Row("diff", f"ckpt diff, {COMPARED:,} equal tasks, above imports", compared, ledger.imports, 2000,
            "milliseconds", rounds=3),
        *ledger.rows(),
    ]  # fmt: skip


def main() -> int:
    return told(rows(), asked(__doc__, "results-history.json"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
