"""When may a task run? Asked once everything upstream has finished.

A trigger is any function from the upstream states to a bool; a mapped call counts with each of its children.
A task with nothing upstream runs, whatever its trigger. `Skipped` counts as successful.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ckpt.states import State

__all__ = ["Trigger", "all_failed", "all_finished", "all_successful", "any_failed", "any_successful"]

Trigger = Callable[[Sequence[State]], bool]


def all_successful(upstream: Sequence[State]) -> bool:
    """Run if everything upstream succeeded (the default)."""
    return all(state.is_successful() for state in upstream)


def all_failed(upstream: Sequence[State]) -> bool:
    """Run if everything upstream failed."""
    return all(state.is_failed() for state in upstream)


def any_successful(upstream: Sequence[State]) -> bool:
    """Run if at least one call upstream succeeded."""
    return any(state.is_successful() for state in upstream)


def any_failed(upstream: Sequence[State]) -> bool:
    """Run if at least one call upstream failed."""
    return any(state.is_failed() for state in upstream)


def all_finished(upstream: Sequence[State]) -> bool:
    """Run in any case, once everything upstream has finished."""
    return True
