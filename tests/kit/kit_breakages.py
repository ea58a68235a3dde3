"""What must be caught, and by which tests of the kit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=type)

BROKEN: dict[type, tuple[set[str], set[str]]] = {}
"""The tests that must go red for each, and those that may as well."""


def caught_by(*tests: str, perhaps: Iterable[str] = ()) -> Callable[[T], T]:
    def mark(kind: T) -> T:
        BROKEN[kind] = ({f"test_{test}" for test in tests}, {f"test_{test}" for test in perhaps})
        return kind

    return mark
