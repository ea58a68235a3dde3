"""Where a comparison is on its two sides, and what it has found: some examples of each kind, all of them counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from ckpt.briefs import brief
from ckpt_ledger.values.changes import Change, Group, PartChange, ValueChange
from ckpt_ledger.values.scalars import unlike

__all__ = ["Findings", "Place"]

_EXAMPLES: Final = 3
_KEY: Final = 200
"""Characters of a key in a path."""


@dataclass(frozen=True, slots=True)
class Place:
    """A way into two values: a chain, made into text only where something is found."""

    before: Place | None = None
    left: str = ""
    right: str = ""
    general: str = ""
    """The step in a pattern."""

    def step(self, left: str, right: str | None = None, general: str = "[*]") -> Place:
        return Place(self, left, left if right is None else right, general)

    def attribute(self, name: str) -> Place:
        return Place(self, f".{name}", f".{name}", f".{name}")

    def key(self, key: Any, *, varies: bool) -> Place:
        step = f"[{brief(key, _KEY)}]"
        return Place(self, step, step, "[*]" if varies else step)

    def element(self, left: int, right: int) -> Place:
        return Place(self, f"[{left}]", f"[{right}]", "[*]")

    def run(self, first: int, last: int) -> Place:
        step = f"[{first}]" if last - first == 1 else f"[{first}:{last}]"
        return Place(self, step, step, "[*]")

    def texts(self) -> tuple[str, str | None]:
        """The path in the left value, and that in the right one where it is another."""
        chain = self.chain()
        left, right = "".join(one.left for one in chain), "".join(one.right for one in chain)
        return left, None if left == right else right

    def pattern(self) -> str:
        return "".join(one.general for one in self.chain())

    def chain(self) -> list[Place]:
        chain: list[Place] = []
        at: Place | None = self
        while at is not None:
            chain.append(at)
            at = at.before
        return chain[::-1]


@dataclass(slots=True)
class _Gathered:
    pattern: str
    count: int = 0
    places: int = 0
    changes: list[Change] = field(default_factory=list)
    largest: ValueChange | None = None


class Findings:
    """Gathers changes by the pattern of their places and their kind, of which `most` are kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = self.more = 0
        self._groups: dict[tuple[str, str], _Gathered] = {}

    def add(self, change: Change, place: Place) -> None:
        self.total += 1
        side = change.side if isinstance(change, PartChange) else ""
        key = (place.pattern(), change.kind + side)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self.most:
                self.more += 1
                return
            group = self._groups[key] = _Gathered(key[0])
        group.places += 1
        group.count += change.count if isinstance(change, PartChange) else 1
        if len(group.changes) < _EXAMPLES:
            group.changes.append(change)
        if isinstance(change, ValueChange) and change.absolute is not None:
            known = group.largest
            if known is None or known.absolute is None or change.absolute > known.absolute:
                group.largest = change

    def unlike(self, left: Any, right: Any, place: Place, note: str = "") -> None:
        """Two values of other types, or that cannot be compared."""
        self.add(unlike(left, right, *place.texts(), note), place)

    def groups(self) -> tuple[Group, ...]:
        """In the order in which they were found; one of a single place bears its path."""
        groups = [
            Group(one.pattern, one.count, one.places, tuple(one.changes), one.largest) for one in self._groups.values()
        ]
        return tuple(
            replace(group, pattern=group.changes[0].path, largest=None) if group.places == 1 else group
            for group in groups
        )
