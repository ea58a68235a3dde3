"""What a run decides once for each task, so that one task run costs little, and what travels to a worker.

`Plan` is per task, `Work` per attempt of a task run, `Outcome` what comes back. A plan holds no part of the graph, so
it can be pickled to another process.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ckpt.calls import CallPath
from ckpt.handlers import JSON, ResultHandler, Staged
from ckpt.keys import KeyTemplate, map_part
from ckpt.states import (
    Cached,
    Cancelled,
    Failed,
    Mapped,
    Pending,
    Retrying,
    Running,
    Skipped,
    State,
    Success,
    TimedOut,
    TriggerFailed,
)
from ckpt.task_records import Identity

__all__ = ["CallFacts", "CallPart", "Code", "Keep", "Outcome", "Plan", "RunFacts", "Span", "Work"]

Span = tuple[float, float]
"""Beginning and end, in seconds since 1970."""

STATES: tuple[type[State], ...] = (
    Pending,
    Retrying,
    Running,
    Success,
    Cached,
    Skipped,
    Mapped,
    Failed,
    TimedOut,
    TriggerFailed,
    Cancelled,
)
"""The state of each code: a column of states is a bytearray of places in this tuple."""


class Code:
    """Places in `STATES`. Below `SUCCESS` is unfinished, from `FAILED` on is failed."""

    PENDING, RETRYING, RUNNING, SUCCESS, CACHED, SKIPPED, MAPPED = range(7)
    FAILED, TIMED_OUT, TRIGGER_FAILED, CANCELLED = range(7, 11)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a task may know of the run it is in; goes to workers and to listeners."""

    id: str
    """Ordered by time."""
    flow: str
    """The flow's name."""
    started: datetime
    """UTC."""
    parameters: dict[str, object]
    executor: str
    """Name of the executor."""
    calls: int
    """How many calls the graph has; mapped children come on top."""
    write_retries: int = 3
    """Further attempts of a write that failed for a passing reason."""
    write_retry_delay: float = 0.2
    """Seconds before the second attempt of a write; doubles, with jitter."""
    ledger: str | None = None
    """Id of the ledger that records the run; None without one."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How the values of a task are kept."""

    handler: ResultHandler
    template: KeyTemplate
    """The key template with everything bound that is the same for the whole run."""
    level: str
    """Which level chose the handler: task, flow, global, storage, or parameter."""
    tags: tuple[str, ...] = ()
    fallback: Keep | None = None
    """For a value that the handler cannot serialize (parameters only)."""
    shown: str = ""
    """The handler as its `repr`."""

    def key(self, work: Work) -> str:
        """The key for one attempt of one task run."""
        place = "" if work.index is None else map_part(work.index, work.width)
        call = work.call
        return self.template.render(place, work.attempt, call=call.slug, order=call.index, tags=self.tags)


class Plan:
    """One task, ready to run any number of times; all its calls share it."""

    __slots__ = ("is_async", "is_parameter", "keep", "name", "run", "timeout")

    def __init__(
        self,
        name: str,
        run: Callable[..., Any],
        *,
        timeout: float | None = None,
        keep: Keep | None = None,
        is_parameter: bool = False,
    ) -> None:
        self.name = name
        self.run = run
        self.is_async = inspect.iscoroutinefunction(run)
        self.timeout = timeout
        """Seconds for one attempt."""
        self.keep = keep
        """None where values are not kept."""
        self.is_parameter = is_parameter


class CallFacts(Protocol):
    """What running a call needs to know of it: a `Call` here, a `CallPart` in a worker."""

    @property
    def index(self) -> int:
        """Its place among the calls of the flow."""

    @property
    def slug(self) -> str:
        """Its name in the flow."""

    @property
    def args(self) -> Sequence[object]:
        """Templates over the inputs."""

    @property
    def kwargs(self) -> Mapping[str, object]:
        """The same, by name."""


@dataclass(frozen=True, slots=True)
class CallPart:
    """The part of a call that travels."""

    index: int
    slug: str
    args: Sequence[object]
    kwargs: Mapping[str, object]
    splits: Sequence[object]
    """Templates over one slot, the value: the parts of it that calls downstream map over."""
    is_read: bool
    """Does another call take the value?"""
    plan: Plan


class Work:
    """One attempt of one task run: a plan and a call with its inputs."""

    __slots__ = ("attempt", "call", "facts", "held", "identity", "index", "inputs", "plan", "row", "width")

    def __init__(
        self,
        plan: Plan,
        call: CallFacts,
        facts: RunFacts,
        inputs: Sequence[object],
        row: int,
        index: int | None,
        width: int,
        attempt: int,
        identity: Identity | None = None,
    ) -> None:
        self.plan = plan
        self.call = call
        self.facts = facts
        self.inputs = inputs
        self.row = row
        self.index = index
        self.width = width
        """How many children the mapped call has; 0 for a call that is not mapped."""
        self.attempt = attempt
        self.identity = identity
        self.held = False
        """Are there inputs that have to be loaded first, in the process where it runs?"""

    @property
    def path(self) -> CallPath:
        """Which task run this is."""
        return CallPath(self.call.slug, self.index)


@dataclass(slots=True)
class Outcome:
    """What came of one attempt."""

    code: int
    value: object = None
    """The value, or what stands for it (`Held`) where it stays elsewhere; of a failure the exception."""
    staged: Staged | None = None
    """The value as bytes, where it is to be kept; still to be sent if it has data."""
    handler: ResultHandler | None = None
    """The handler that staged it, where it is not the plan's own."""
    write_error: Exception | None = None
    """Why the value is not kept, for good."""
    parts: Sequence[Sequence[object] | Exception] = ()
    """For each of the plan's splits its elements, or why there are none; only where the value stays elsewhere."""
    summary: Mapping[str, JSON] | None = None
    """What the value looks like; only where a ledger records the run, and the value is kept."""
    span: Span | None = None
    """When the attempt began and ended; only where a ledger records the run."""
