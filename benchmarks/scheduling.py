"""What the engine costs when nothing is kept, and what threads and processes cost beside the bare pools."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor as Pool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rows import Row, Took, timed
from shapes import chain, fan_out, mapped

from ckpt import Flow

__all__ = ["rows"]


def unkept(make: Callable[..., Flow], tasks: int, **options: Any) -> Callable[[Path], Took]:
    flow = None

    def work(place: Path) -> Took:
        nonlocal flow
        flow = flow or make(tasks)
        return timed(lambda: finished(flow.run(checkpointing=False, **options)))

    return work


def finished(state: Any) -> None:
    """A benchmark of a run that failed would measure nothing."""
    if not state.is_successful():
        raise SystemExit(f"the run failed: {state}")


def add_one(x: int) -> int:
    return x + 1


def pool(kind: Callable[[int], Pool], tasks: int) -> Callable[[Path], Took]:
    """The same fan-out on a bare pool of as many workers."""

    def work(place: Path) -> Took:
        def run() -> None:
            with kind(os.cpu_count() or 1) as workers:
                waiting = [workers.submit(add_one, number) for number in range(tasks - 1)]
                sum(future.result() for future in waiting)

        return timed(run)

    return work


def rows() -> list[Row]:
    shapes = {"chain": chain, "fan-out and reduce": fan_out, "map and reduce": mapped}
    small = [
        Row(
            f"off-{make.__name__}", f"{name}, 1,000 tasks, nothing kept", unkept(make, 1000), None, 10, "per task", 1000
        )
        for name, make in shapes.items()
    ]
    large = [
        Row(
            f"off-{make.__name__}-large",
            f"{name}, 100,000 tasks, nothing kept",
            unkept(make, 100_000),
            None,
            12,
            "per task",
            100_000,
            rounds=3,
            slow=True,
        )
        for name, make in shapes.items()
    ]
    pools = [
        Row(
            name,
            f"{name}: fan-out of 1,000 beside the bare pool",
            unkept(fan_out, 1000, executor=name),
            pool(kind, 1000),
            None,
            "ratio",
            1000,
            rounds=5,
        )
        for name, kind in {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}.items()
    ]
    return [*small, *large, *pools]
