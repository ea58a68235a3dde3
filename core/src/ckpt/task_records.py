"""What is known of runs and task runs: the facts that listeners, ledger, command and `explain` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, NewType

from ckpt.calls import CallPath
from ckpt.handlers import JSON
from ckpt.results import SafeResult

__all__ = ["FOREVER", "CallArguments", "Identity", "LogLine", "Place", "RunRecord", "Source", "TaskRecord", "Wish"]

Identity = NewType("Identity", str)
"""What makes two task runs the same computation: hex digest over code version, configuration and arguments."""

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""The end of a value's reuse where it has none."""


class Source(NamedTuple):
    """Where one input of a task run came from."""

    call: CallPath | None
    """The task run that made it, without an index for all children of a mapped call; None for a constant."""
    digest: str | None = None
    """Content digest of the value that was used; None if it was not kept, or by a handler without digests."""


class TaskRecord(NamedTuple):
    """One change of state of one task run: what listeners, ledger, command and `explain` share.

    A tuple, since there is one for each task run: a frozen dataclass of this size takes 4 µs to make.
    """

    run: str
    """Id of the run."""
    call: CallPath
    state: str
    """Name of the state's class: `Success`."""
    message: str = ""
    attempt: int = 1
    started: datetime | None = None
    """Start of the first attempt, UTC; None before it, and for what was not run."""
    ended: datetime | None = None
    """When the state became final, UTC; None before."""
    safe: SafeResult | None = None
    """Where the value is kept; None if it is not."""
    outcome: str = ""
    """Of the write: `stored`, `failed: …`, `opted out`, `off`; empty while there is none."""
    inputs: Mapping[str, Sequence[Source]] = {}
    """Per argument the task runs and constants that its value came from."""
    handler: str | None = None
    """The handler that was chosen, as its `repr`."""
    level: str | None = None
    """The level that chose it: task, flow, global, storage or parameter."""
    identity: Identity | None = None
    summary: Mapping[str, JSON] | None = None
    """A small safe description of the value; None where nothing may be known of it."""
    error: str | None = None
    """Traceback of a failure, as text."""
    task: str = ""
    """Name of the task."""
    order: int = 0
    """Number of the call in the flow, from 0."""
    code: str | None = None
    """Code version of the task's function, hex; None where it has none."""
    arguments: str | None = None
    """Digest of the call's `CallArguments`; None where the call has none that were kept."""
    children: int | None = None
    """How many children a mapped call had; None for other task runs."""
    origin: str | None = None
    """Id of the run that computed the value, where it was not this one."""
    reusable_until: datetime | None = None
    """Until when other runs may take the value (`FOREVER` without an end); None where they may not."""

    @property
    def made_in(self) -> str:
        """Id of the run that computed the value."""
        return self.origin or self.run


@dataclass(frozen=True, slots=True)
class CallArguments:
    """What a flow gives to one of its calls: its constants, and where values of other calls go between them."""

    digest: str
    """Hex; what was given alike has it alike."""
    data: bytes | None
    """A pickle for `ckpt.serializers.unpickle`; None where it is too large, and then `safe` says where it is."""
    safe: SafeResult | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One message that a task logged through `ckpt.get_logger()`."""

    run: str
    call: CallPath
    attempt: int
    at: datetime
    """UTC."""
    level: str
    """`INFO`"""
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps values: what is below belongs to this run alone."""

    handler: Mapping[str, JSON]
    """The handler's spec."""
    prefix: str
    """What the keys begin with; it holds the run's id."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, as it is known when it starts."""

    id: str
    """Ordered by time."""
    flow: str
    """The flow's name."""
    started: datetime
    """UTC."""
    name: str | None = None
    """Given by a person; the newest run that bears a name is meant by it."""
    target: str | None = None
    """What loads the flow again: `/folder/file.py` or `package.module`; None where nothing does (a notebook)."""
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    """By name; what is not plain JSON as its `repr`."""
    code: str | None = None
    """Digest over the code versions of all tasks."""
    environment: Mapping[str, JSON] = field(default_factory=dict)
    """Python, ckpt, cloudpickle, the installed plugins, the host."""
    executor: str = ""
    calls: int = 0
    """How many calls the graph has; mapped children come on top."""
    places: Sequence[Place] = ()
    resumed: str | None = None
    """Id of the run that it goes on from."""
    ledger: str | None = None
    """Id of the ledger that recorded it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of earlier runs."""

    resume: str | None = None
    """The run to go on from: an id, a unique prefix of one, a name, or `last`."""
    from_task: Sequence[str] = ()
    """Calls, by slug or unique task name, that are run again with all that is downstream of them."""
    refresh: bool | Sequence[str] = False
    """Whether tasks with `cache` are run all the same: all of them, or those of these names."""
    run_name: str | None = None
