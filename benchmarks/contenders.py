"""The same work by each library: a chain and a fan-out of trivial tasks, each value kept in a file of its own.

`python contenders.py NAME FOLDER TASKS` is one round of one of them, in a process of its own so that none pays for the
threads and imports of another. A short run of the same comes first and does not count. Printed is JSON: the seconds of
each shape and the version.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from files import by_hand, by_hand_durably, kept
from rows import level
from shapes import chain, fan_out

__all__ = ["CONTENDERS", "SHAPES", "Contender"]

Work = Callable[[Path, int], float]
"""From a new folder and the number of tasks to the seconds that they took."""

SHAPES = {"chain": chain, "fan-out": fan_out}
WARM = 20
"""Tasks of the run that does not count."""


def hand(durably: bool) -> dict[str, Work]:
    loop = by_hand_durably if durably else by_hand
    return dict.fromkeys(SHAPES, lambda place, tasks: loop(place, tasks).seconds)


def ckpt(durability: Literal["os", "disk"]) -> dict[str, Work]:
    logging.getLogger("ckpt").setLevel(logging.ERROR)
    return {
        name: lambda place, tasks, make=make: kept(make, durability, place, tasks).seconds  # type: ignore[misc]
        for name, make in SHAPES.items()
    }


def add_one(x: int) -> int:
    return x + 1


def total(values: list[int]) -> int:
    return sum(values)


def in_chain(task: Callable[[int], int], tasks: int) -> float:
    start = time.perf_counter()
    value = 0
    for _ in range(tasks):
        value = task(value)
    return checked(time.perf_counter() - start, value, tasks)


def in_fan_out(task: Callable[[int], int], last: Callable[[list[int]], int], tasks: int) -> float:
    start = time.perf_counter()
    value = last([task(number) for number in range(tasks - 1)])
    return checked(time.perf_counter() - start, value, sum(range(tasks)))


def checked(seconds: float, value: int, right: int) -> float:
    if value != right:
        raise SystemExit(f"computed {value}, not {right}")
    return seconds


def joblib() -> dict[str, Work]:
    from joblib import Memory

    def cached(place: Path) -> tuple[Callable[[int], int], Callable[[list[int]], int]]:
        cache = Memory(place, verbose=0).cache
        return cache(add_one), cache(total)

    return {
        "chain": lambda place, tasks: in_chain(cached(place)[0], tasks),
        "fan-out": lambda place, tasks: in_fan_out(*cached(place), tasks),
    }


def prefect() -> dict[str, Work]:
    """Its results persisted, its logs off; a temporary server of its own, which ends with the process.

    Only the tasks are timed, not the run around them, which takes about a second whatever it holds.
    """
    os.environ |= {
        "PREFECT_HOME": sys.argv[2],
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    from prefect import flow, task
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    one, last = task(add_one), task(total)

    def run(work: Callable[[], float], place: Path) -> float:
        with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: str(place)}):
            return flow(work, name="run")()

    return {
        "chain": lambda place, tasks: run(lambda: in_chain(one, tasks), place),
        "fan-out": lambda place, tasks: run(lambda: in_fan_out(one, last, tasks), place),
    }


@dataclass(frozen=True, slots=True)
class Contender:
    """A library, or a loop by hand, and how it keeps values."""

    key: str
    name: str
    durable: bool
    """Would the values survive a power loss? Ratios are to the loop by hand that promises the same."""
    tasks: int
    make: Callable[[], dict[str, Work]]
    distribution: str | None = None


CONTENDERS = {
    contender.key: contender
    for contender in (
        Contender("hand", "by hand", False, 1000, lambda: hand(durably=False)),
        Contender("ckpt", "ckpt", False, 1000, lambda: ckpt("os"), "ckpt-core"),
        Contender("joblib", "joblib.Memory", False, 1000, joblib, "joblib"),
        Contender("prefect", "Prefect", False, 200, prefect, "prefect"),
        Contender("hand-durable", "by hand", True, 1000, lambda: hand(durably=True)),
        Contender("ckpt-durable", "ckpt", True, 1000, lambda: ckpt("disk"), "ckpt-core"),
    )
}


def main(key: str, folder: Path, tasks: int) -> None:
    contender = CONTENDERS[key]
    facts: dict[str, object] = {"version": version(contender.distribution) if contender.distribution else ""}
    for shape, work in contender.make().items():
        work(folder / f"{shape}-warm", WARM)
        level()
        place = folder / shape
        facts[shape] = work(place, tasks)
        if (files := sum(path.is_file() for path in place.rglob("*"))) < tasks:
            raise SystemExit(f"{contender.name} kept {files} files for {tasks} tasks: that is not the same work")
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
