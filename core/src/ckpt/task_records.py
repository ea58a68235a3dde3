"""What is known of one task run: the facts that listeners, ledger, command and `explain` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

from ckpt.calls import CallPath
from ckpt.results import SafeResult

__all__ = ["Identity", "Source", "TaskRecord"]

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
