"""Which flow is being built here: `with Flow(…)` sets it, calling a task asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from ckpt.arguments import unmapped

if TYPE_CHECKING:
    from ckpt.flows import Flow
    from ckpt.states import State

__all__ = ["current", "enter", "leave", "map_now", "record_run", "recording"]

_recorded: ContextVar[list[tuple[Flow, Mapping[str, object]]] | None] = ContextVar("ckpt_recorded", default=None)
_current: ContextVar[Flow | None] = ContextVar("ckpt_building", default=None)


def current() -> Flow | None:
    """The flow of the innermost `with` block, or None."""
    return _current.get()


def enter(flow: Flow | None) -> Token[Flow | None]:
    """Begin to build `flow` here, or nothing; give the token back to `leave`."""
    return _current.set(flow)


def leave(token: Token[Flow | None]) -> None:
    """Go back to what was being built before."""
    _current.reset(token)


@contextmanager
def recording() -> Iterator[list[tuple[Flow, Mapping[str, object]]]]:
    """While a flow file is loaded: `Flow.run` runs nothing and is written down, with its parameters, in this list."""
    runs: list[tuple[Flow, Mapping[str, object]]] = []
    token = _recorded.set(runs)
    try:
        yield runs
    finally:
        _recorded.reset(token)


def record_run(flow: Flow, parameters: Mapping[str, object]) -> State | None:
    """Write a run down where runs are recorded and answer the state of a run that has not begun; else None."""
    runs = _recorded.get()
    if runs is None:
        return None
    runs.append((flow, parameters))
    from ckpt.states import Pending

    return Pending("recorded while the file is loaded", {call: Pending() for call in flow.calls})


def map_now(run: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """What `.map` means outside a flow: call `run` for each element, in order.

    Raises: `TypeError` when the mapped arguments differ in length, or none is mapped.
    """
    columns = [list(value) for value in (*args, *kwargs.values()) if not isinstance(value, unmapped)]
    if not columns:
        raise TypeError("nothing to map over: every argument is unmapped")
    if len({len(column) for column in columns}) > 1:
        raise TypeError(f"cannot map over arguments of different lengths: {', '.join(str(len(c)) for c in columns)}")
    rows = len(columns[0])
    spread = [[a.value] * rows if isinstance(a, unmapped) else list(a) for a in args]
    named = {name: [a.value] * rows if isinstance(a, unmapped) else list(a) for name, a in kwargs.items()}
    return [run(*(c[i] for c in spread), **{name: c[i] for name, c in named.items()}) for i in range(rows)]
