"""What keeping 1,000 small values in files costs, against a bare loop that writes the same values."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import cloudpickle
from rows import Row, Took, timed
from scheduling import finished
from shapes import chain, fan_out

from ckpt import Flow
from ckpt_local import LocalResultHandler

__all__ = ["by_hand", "by_hand_durably", "kept", "rows"]

TASKS = 1000


def kept(make: Callable[..., Flow], durability: Literal["os", "disk"], place: Path, tasks: int = TASKS) -> Took:
    flow = make(tasks, result_handler=LocalResultHandler(dir=place, durability=durability))
    return timed(lambda: finished(flow.run(checkpointing=True)))


def by_hand(place: Path, tasks: int = TASKS) -> Took:
    """cloudpickle, temporary file, rename."""
    place.mkdir()

    def work() -> None:
        value = 0
        for number in range(tasks):
            value += 1
            write(f"{place}/{number}", cloudpickle.dumps(value), sync=False)

    return timed(work)


def by_hand_durably(place: Path, tasks: int = TASKS) -> Took:
    """The same with fdatasync, in a pool of four threads, and one fsync of the folder at the end."""
    place.mkdir()

    def work() -> None:
        value = 0
        with ThreadPoolExecutor(4) as pool:
            writes = []
            for number in range(tasks):
                value += 1
                writes.append(pool.submit(write, f"{place}/{number}", cloudpickle.dumps(value), sync=True))
            for future in writes:
                future.result()
        folder = os.open(place, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    return timed(work)


def write(path: str, data: bytes, *, sync: bool) -> None:
    with open(f"{path}.tmp", "wb") as file:  # noqa: PTH123  the floor is the quickest way by hand
        file.write(data)
        if sync:
            file.flush()
            os.fdatasync(file.fileno())
    os.rename(f"{path}.tmp", path)  # noqa: PTH104  as above


def rows() -> list[Row]:
    shapes = {"chain": chain, "fan-out and reduce": fan_out}
    return [
        Row(
            f"{durability}-{make.__name__}",
            f"{name}, 1,000 values in files, {what}",
            partial(kept, make, durability),
            floor,
            1.3,
            "ratio",
            TASKS,
        )
        for durability, what, floor in (("os", "not synced", by_hand), ("disk", "durable", by_hand_durably))
        for name, make in shapes.items()
    ]
