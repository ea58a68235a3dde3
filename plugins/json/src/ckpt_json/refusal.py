"""A value that cannot be kept, on its way from where it was found to the message that names the place.

Writers raise `Refused` without knowing where they are; each container that it passes adds its own step, so a
path costs nothing as long as nothing is refused.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

from ckpt.errors import NotSerializable

__all__ = ["MAX_DEPTH", "Refused", "key_step", "type_name"]

MAX_DEPTH = 100
"""Containers inside one another, at most: what is written must be readable from a deep stack, too."""

_PICKLE = "use a handler that pickles, such as LocalResultHandler()"


class Refused(Exception):
    """Part of a value cannot be kept; private to this package and always turned into `NotSerializable`."""

    def __init__(self, reason: str, advice: str = _PICKLE) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self._steps: list[tuple[str, int]] = []

    def inside(self, step: str, owner: object) -> None:
        """Note one more step, going outwards: `owner` has the refused part at `step`."""
        self._steps.append((step, id(owner)))

    def explain(self) -> NotSerializable:
        """The error that names the path from the outermost value."""
        steps = self._steps[::-1]
        first_seen: dict[int, int] = {}
        for depth, (_, owner) in enumerate(steps):
            if owner in first_seen:
                start = first_seen[owner]
                again, whole = _path(steps[:depth]), _path(steps[:start])
                return NotSerializable(f"JSON cannot keep a cycle: {again} is {whole} again; {self.advice}")
            first_seen[owner] = depth
        return NotSerializable(f"JSON cannot keep {_path(steps)}: {self.reason}; {self.advice}")


def _path(steps: Iterable[tuple[str, int]]) -> str:
    return "".join(step for step, _ in steps) or "the value itself"


def key_step(key: object) -> str:
    """How a path goes through a dict: `['when']`; never fails and is never long, whatever the key."""
    return f"[{reprlib.repr(key)}]"


def type_name(kind: type) -> str:
    """The name a person knows a type by: `int`, `decimal.Decimal`."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
