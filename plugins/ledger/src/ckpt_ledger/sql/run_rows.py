"""A run as the ledger knows it now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ckpt.handlers import JSON
    from ckpt.task_records import RunRecord

__all__ = ["GOING", "STATES", "Reference", "RunRow"]

STATES: Final = ("Success", "Failed", "Cancelled", "Running", "Lost")
"""What a run can be, for filters."""

GOING: Final = "Going"
"""The state of a run that `ckpt gc` deletes: it is listed nowhere."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: how it started, and what has become of it."""

    record: RunRecord
    state: str
    """Name of the final state; `Running` while it has none, `Lost` if nobody has heard of it for the lease."""
    message: str
    ended: datetime | None
    """UTC; None while it has no final state."""
    heartbeat: datetime
    """The last sign of life, UTC."""
    tasks: int
    """How many task runs have come to their end, mapped children included."""
    failed: int
    """How many of these failed."""
    is_alive: bool
    """Has it not ended, and is its last sign of life younger than the lease?"""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.id

    @property
    def flow(self) -> str:
        """The flow's name."""
        return self.record.flow

    @property
    def name(self) -> str | None:
        """What a person called it."""
        return self.record.name

    @property
    def started(self) -> datetime:
        """When it started, UTC."""
        return self.record.started


@dataclass(frozen=True, slots=True)
class Reference:
    """One object that a row of the ledger refers to."""

    run: str
    """Id of the run whose row it is."""
    handler: Mapping[str, JSON]
    """Spec of the handler; one object for all of a run that share it."""
    location: JSON
    """The safe value's `value`."""
    call: str | None
    """The task run whose value it is; None for arguments."""
    size: int | None
    digest: str | None
    origin: str | None
    """Id of the run that computed the value, where it was another."""
    reusable_until: datetime | None
    """Until when other runs may take the value; None where they may not."""
