"""What crosses from the programs that inject faults to the table: how far to go, and one row for each kind of fault."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Row", "Scope"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """How far to go. The same seed chooses the same faults."""

    seed: int
    quick: bool
    """A small part of everything, which another seed chooses differently."""
    folder: Path
    """Where files may be written; empty, and deleted afterwards."""
    memory: Path
    """The same in memory where that is to be had, for faults that need no real disk."""

    def random(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def some(self, items: Sequence[T], name: str, *, quick: int) -> list[T]:
        """All items, or `quick` of them, in their order."""
        if not self.quick or quick >= len(items):
            return list(items)
        return [items[place] for place in sorted(self.random(name).sample(range(len(items)), quick))]

    def at_least(self, full: int) -> int:
        """What a row must reach: `full`, or anything at all where only a part is tried."""
        return 1 if self.quick else full


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault."""

    injected: str
    fired: int
    """Faults that were seen to happen; one that missed does not count."""
    least: int
    """With fewer than these nothing would be proved."""
    found: tuple[str, ...]
    """Broken promises, each in words."""
    control: str
    """The bugs that were planted, to see the same check fail."""
    planted: int
    caught: int

    @property
    def holds(self) -> bool:
        return self.fired >= self.least and not self.found and self.caught == self.planted > 0
