"""What a row of the benchmark is, and how it is shown."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["Row", "Seen", "Took", "level", "timed"]


class Took(NamedTuple):
    """What one round took."""

    seconds: float
    extra: float = 0.0
    """A second figure, for rows that have one: peak memory in arrays or megabytes, requests."""


def level() -> None:
    """Before each turn: what the turn before left to be written and collected must not be paid for in this one."""
    os.sync()
    gc.collect()


def timed(work: Callable[[], object]) -> Took:
    """Time one call."""
    start = time.perf_counter()
    work()
    return Took(time.perf_counter() - start)


_UNITS = {
    "ratio": "x",
    "per task": "us",
    "above": "us",
    "milliseconds": "ms",
    "extra": "arrays",
    "megabytes": "MB",
    "requests": "requests",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a work of ckpt, its floor done by hand, and the bar it must reach."""

    key: str
    name: str
    work: Callable[[Path], Took]
    floor: Callable[[Path], Took] | None
    bar: float | None
    """What the judged figure may be at most; None for a row that only reports."""
    judged: Literal["ratio", "per task", "above", "milliseconds", "extra", "megabytes", "requests"]
    """Ratio to the floor, microseconds a task, the same above the floor, milliseconds above it, or the second figure
    in its unit."""
    tasks: int = 1
    rounds: int = 9
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured of a row: medians over the rounds."""

    row: Row
    ours: float
    floor: float | None
    ratio: float | None
    extra: float

    @property
    def figure(self) -> float:
        """The figure that the bar is for."""
        match self.row.judged:
            case "ratio":
                return self.ratio or 0.0
            case "per task":
                return self.ours / self.row.tasks * 1e6
            case "above":
                return (self.ours - (self.floor or 0.0)) / self.row.tasks * 1e6
            case "milliseconds":
                return (self.ours - (self.floor or 0.0)) * 1e3
            case "extra" | "megabytes" | "requests":
                return self.extra

    @property
    def verdict(self) -> str:
        """Was the bar reached?"""
        if self.row.bar is None:
            return "-"
        return "ok" if self.figure <= self.row.bar else "MISSED"

    def line(self) -> str:
        """One line of the table."""
        unit = _UNITS[self.row.judged]
        bar = "" if self.row.bar is None else f"<= {self.row.bar:g} {unit} {self.verdict}"
        floor = "" if self.floor is None else self._shown(self.floor)
        return (
            f"{self.row.name:<58} {self._shown(self.ours):>11} {floor:>11} {self.figure:>7.2f} {unit:<8} {bar}".rstrip()
        )

    def _shown(self, seconds: float) -> str:
        if self.row.tasks > 1:
            return f"{seconds / self.row.tasks * 1e6:.1f} us"
        return f"{seconds * 1e3:.1f} ms"

    def to_dict(self) -> dict[str, object]:
        """The row in plain JSON."""
        return {
            "id": self.row.key,
            "name": self.row.name,
            "seconds": self.ours,
            "floor_seconds": self.floor,
            "ratio": self.ratio,
            "extra": self.extra,
            "figure": self.figure,
            "judged": self.row.judged,
            "bar": self.row.bar,
            "verdict": self.verdict,
        }
