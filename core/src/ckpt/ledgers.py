"""The record of runs: what is remembered of each task run, and the contract of whoever remembers it.

The core tells a ledger what happened and asks it what is known; what to reuse is planned in the core.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NewType

from ckpt.calls import CallPath

if TYPE_CHECKING:
    from ckpt.engine.plans import RunFacts
    from ckpt.results import SafeResult
    from ckpt.states import State

__all__ = ["Identity", "Ledger", "Source", "TaskRecord"]

Identity = NewType("Identity", str)
"""What makes two task runs the same computation: hex digest over code version, configuration and arguments."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one input of a task run came from."""

    call: CallPath
    """The task run that made it; without an index for all children of a mapped call."""
    digest: str | None = None
    """Content digest of the value that was used; None if it was not kept, or by a handler without digests."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One change of state of one task run: what listeners, ledger, command and `explain` share."""

    run: str
    """Id of the run."""
    call: CallPath
    state: str
    """Name of the state's class: `Success`."""
    message: str = ""
    attempt: int = 1
    started: datetime | None = None
    """Start of the first attempt, UTC; None before it."""
    ended: datetime | None = None
    """When the state became final, UTC; None before."""
    safe: SafeResult | None = None
    """Where the value is kept; None if it is not."""
    outcome: str = ""
    """Of the write: `stored`, `failed: …`, `opted out`, `off`; empty while there is none."""
    inputs: Mapping[str, Sequence[Source]] = field(default_factory=dict)
    """Per argument the task runs that its value came from."""
    handler: str | None = None
    """The handler that was chosen, as its `repr`."""
    level: str | None = None
    """The level that chose it: task, flow, global, storage or parameter."""
    identity: Identity | None = None
    summary: Mapping[str, object] | None = None
    """A small safe description of the value; None where nothing may be known of it."""
    error: str | None = None
    """Traceback of a failure, as text."""


class Ledger(ABC):
    """Remembers runs. A ledger only keeps facts: it never decides what is reused."""

    id: str
    """Made once for each ledger; goes into the header of every record that its runs write."""

    @abstractmethod
    def begin(self, run: RunFacts) -> None:
        """A run starts."""

    @abstractmethod
    def heartbeat(self, run: RunFacts) -> None:
        """The run is alive."""

    @abstractmethod
    def end(self, run: RunFacts, state: State) -> None:
        """The run has ended in `state`."""

    @abstractmethod
    def record(self, tasks: Sequence[TaskRecord]) -> None:
        """Keep a batch of records; durable when it returns."""

    @abstractmethod
    def prior(self, run_ref: str) -> Mapping[CallPath, TaskRecord]:
        """The last record of every task run of a run, in one read.

        `run_ref` is an id, a unique prefix of one, a name, or `last`.
        """

    @abstractmethod
    def lookup(self, identities: Sequence[Identity]) -> Mapping[Identity, TaskRecord]:
        """For each identity that is known the newest record of a kept value, in one read."""
