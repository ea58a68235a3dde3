"""One value of the corpus, and when what was read is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Case", "same"]


@dataclass(frozen=True, slots=True)
class Case:
    """One value."""

    name: str
    make: Callable[[], object]
    """Makes it anew, so that nobody shares it."""
    same: Callable[[Any, Any], bool]
    """Is the second, which was read, the same as the first, which was made?"""
    plain: bool = False
    """Plain values may not be refused: every handler keeps them."""


def same(made: object, read: object) -> bool:
    """Are they of the same type and equal, all the way down in lists, tuples and dicts?"""
    if type(made) is not type(read):
        return False
    if isinstance(made, float) and isinstance(read, float):
        return repr(made) == repr(read)  # nan equals itself here, and -0.0 does not equal 0.0
    if isinstance(made, list | tuple) and isinstance(read, list | tuple):
        return len(made) == len(read) and all(map(same, made, read))
    if isinstance(made, dict) and isinstance(read, dict):
        return same(list(made), list(read)) and same(list(made.values()), list(read.values()))
    return bool(made == read)
