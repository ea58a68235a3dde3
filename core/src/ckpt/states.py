"""The states of a task run or a flow run.

State
├── Pending            not started
│   └── Retrying       failed, and will be tried again
├── Running
└── Finished
    ├── Success        computed, and kept where it is to be kept
    │   ├── Cached     not run: the value of an earlier run serves
    │   └── Skipped    the task raised SKIP, or something upstream was skipped
    ├── Mapped         the parent of mapped children; as successful as they are
    └── Failed
        ├── TimedOut       the function ran longer than the task's timeout
        ├── TriggerFailed  not run: the states upstream did not satisfy the trigger
        └── Cancelled      not run to the end: the run was interrupted
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ckpt.results import NoResult, NoResultType, Result, SafeResult

__all__ = [
    "SKIP",
    "Cached",
    "Cancelled",
    "Failed",
    "Finished",
    "Mapped",
    "Pending",
    "Retrying",
    "Running",
    "Skipped",
    "State",
    "Success",
    "TimedOut",
    "TriggerFailed",
]


class State:
    """Where a task run or flow run stands, with its message and its value.

    `kept` (also `_result`, the name of the ancestor) is the `Result`; `map_states` are the states of the children
    of a mapped call, in order, else None.
    """

    __slots__ = ("kept", "map_states", "message")

    color: ClassVar[str] = "white"
    """Colour in pictures and on terminals: a name that both graphviz and rich know."""

    def __init__(
        self,
        message: str = "",
        result: object = NoResult,
        *,
        kept: Result | None = None,
        map_states: Sequence[State] | None = None,
    ) -> None:
        self.message = message
        self.kept = Result(result) if kept is None else kept
        self.map_states = map_states

    @property
    def name(self) -> str:
        """The state in one word: the name of its class."""
        return type(self).__name__

    @property
    def _result(self) -> Result:
        return self.kept

    @property
    def safe_value(self) -> SafeResult | NoResultType:
        """What is kept in the value's place; `NoResult` if nothing is."""
        return self.kept.safe_value

    @property
    def result(self) -> Any:
        """The value, read from storage where it is not here any more.

        Of a mapped call the list of its children's values, of a flow the mapping from call to `State`, of a
        failed task its exception; `NoResult` where there is none.
        """
        if self.map_states is not None:
            return [state.result for state in self.map_states]
        return self.kept.value

    def is_pending(self) -> bool:
        """Not started yet, or waiting for its next attempt."""
        return isinstance(self, Pending)

    def is_running(self) -> bool:
        """Is the function running now?"""
        return isinstance(self, Running)

    def is_retrying(self) -> bool:
        """Failed, and waiting for its next attempt."""
        return isinstance(self, Retrying)

    def is_finished(self) -> bool:
        """Will it stay as it is?"""
        return isinstance(self, Finished)

    def is_successful(self) -> bool:
        """Did all that was to be done succeed? Skipped counts; a mapped call is as successful as its children."""
        return isinstance(self, Success)

    def is_failed(self) -> bool:
        """Failed in whatever way; a mapped call fails with any of its children."""
        return isinstance(self, Failed)

    def is_skipped(self) -> bool:
        """Was it skipped, by itself or from upstream?"""
        return isinstance(self, Skipped)

    def is_mapped(self) -> bool:
        """Is it the parent of mapped children?"""
        return isinstance(self, Mapped)

    def is_cached(self) -> bool:
        """Does the value come from an earlier run?"""
        return isinstance(self, Cached)

    def is_cancelled(self) -> bool:
        """Did an interrupt end it?"""
        return isinstance(self, Cancelled)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        mine, theirs = self.map_states, other.map_states
        return (
            type(self) is type(other)
            and self.message == other.message
            and (self.kept == other.kept if mine is None else theirs is not None and list(mine) == list(theirs))
        )

    def __hash__(self) -> int:
        return hash((type(self), self.message))

    def __reduce__(self) -> tuple[object, ...]:
        return _state, (type(self), self.message, self.kept, None if self.map_states is None else list(self.map_states))

    def __repr__(self) -> str:
        return f"<{self.name}: {self.message!r}>" if self.message else f"<{self.name}>"


def _state(kind: type[State], message: str, kept: Result, map_states: Sequence[State] | None) -> State:
    return kind(message, kept=kept, map_states=map_states)


class Pending(State):
    """Not started."""

    __slots__ = ()
    color = "grey"


class Retrying(Pending):
    """Failed, and will be tried again after the task's delay."""

    __slots__ = ()
    color = "orange"


class Running(State):
    """The function is running."""

    __slots__ = ()
    color = "gold"


class Finished(State):
    """The base of all states that stay."""

    __slots__ = ()


class Success(Finished):
    """Computed, and kept where it is to be kept."""

    __slots__ = ()
    color = "green"


class Cached(Success):
    """Not run: the value of an earlier run serves."""

    __slots__ = ()
    color = "cyan"


class Skipped(Success):
    """The task raised `SKIP`, or something upstream was skipped."""

    __slots__ = ()
    color = "blue"


class Mapped(Finished):
    """The parent of mapped children; its value is the list of theirs."""

    __slots__ = ()
    color = "purple"

    def is_successful(self) -> bool:
        return all(state.is_successful() for state in self.map_states or ())

    def is_failed(self) -> bool:
        return any(state.is_failed() for state in self.map_states or ())


class Failed(Finished):
    """The task raised, or its value could not be kept."""

    __slots__ = ()
    color = "red"


class TimedOut(Failed):
    """The function ran longer than the task's timeout."""

    __slots__ = ()


class TriggerFailed(Failed):
    """Not run: the states upstream did not satisfy the trigger."""

    __slots__ = ()
    color = "salmon"


class Cancelled(Failed):
    """Not run to the end: the run was interrupted."""

    __slots__ = ()
    color = "brown"


class SKIP(Exception):
    """Raise it in a task to skip the rest of it and, by default, everything downstream."""
