"""The record of runs: the contract of whoever remembers them.

The core tells a ledger what happened and asks it what is known; what to reuse is planned in the core.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.engine.plans import RunFacts
    from ckpt.states import State
    from ckpt.task_records import Identity, TaskRecord

__all__ = ["Ledger"]


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
