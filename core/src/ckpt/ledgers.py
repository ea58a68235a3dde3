"""The record of runs: the contract of whoever remembers them.

The core tells a ledger what happened and asks it what is known; what to reuse is planned in the core.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.settings import Settings
    from ckpt.task_records import CallArguments, Identity, LogLine, RunRecord, TaskRecord

__all__ = ["Ledger", "Prior"]


@dataclass(frozen=True, slots=True)
class Prior:
    """An earlier run, to go on from."""

    run: RunRecord
    tasks: Mapping[CallPath, TaskRecord]
    """The record of every task run that came to its end; times, inputs, summaries and errors may be left out."""
    is_alive: bool = False
    """Has it not ended, and is its heartbeat younger than the lease?"""


class Ledger(ABC):
    """Remembers runs. A ledger only keeps facts: it never decides what is reused.

    `begin`, `record`, `log`, `heartbeat` and `end` are called by one thread for one run; several runs of a process, and
    several processes, may use one ledger at the same time. What they raise never fails a flow, unless `required`.
    """

    id: str
    """Made once for each ledger; goes into the header of every record that its runs write."""
    required: bool = False
    """Does a task whose record cannot be kept count as one whose value could not be kept?"""
    lease_seconds: float = 60.0
    """How long after its last heartbeat a run that has not ended counts as in progress; it beats three times in it."""
    section: ClassVar[str] = "ledger"
    """The section of the settings that belongs to it."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """The ledger that the settings describe, ready for use; None if they switch it off.

        Raises: `ConfigError`; `StoreUnavailable` if it cannot be reached; `AccessDenied`.
        """

    @abstractmethod
    def begin(self, run: RunRecord) -> None:
        """A run starts; durable when it returns.

        Raises: `NotFound` where the run that it goes on from is being deleted; then nothing is run.
        """

    @abstractmethod
    def record(self, tasks: Sequence[TaskRecord], arguments: Sequence[CallArguments] = ()) -> None:
        """Keep a batch of records of final states, and the arguments that they name; durable when it returns.

        A later record of the same task run takes the place of an earlier one; known arguments stay as they are.
        """

    def log(self, lines: Sequence[LogLine]) -> None:  # noqa: B027  a ledger may leave messages out
        """Keep what tasks have logged."""

    @abstractmethod
    def heartbeat(self, run: str) -> None:
        """The run with this id is alive."""

    @abstractmethod
    def end(
        self,
        run: str,
        state: str,
        message: str,
        tasks: Sequence[TaskRecord] = (),
        arguments: Sequence[CallArguments] = (),
    ) -> None:
        """The run with this id has ended in the state of this name; with its last records, as for `record`.

        Either all of it is kept or nothing.
        """

    @abstractmethod
    def prior(self, run_ref: str, *, flow: str) -> Prior:
        """An earlier run with all of its task runs, in one read.

        `run_ref` is an id, a unique prefix of one, a name, or `last`: the newest run of the flow named `flow`.

        Raises: `NotFound` saying what there is.
        """

    @abstractmethod
    def lookup(self, identities: Sequence[Identity]) -> Mapping[Identity, TaskRecord]:
        """For each identity that may be reused now the newest record of a kept value, in one read."""

    def close(self) -> None:  # noqa: B027  nothing to do is a right answer
        """The run is over: let connections go."""
