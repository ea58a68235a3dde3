"""Runs for people: what a ledger knows, as objects that read a value when somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ckpt.results import NoResult, NoResultType, Result, SafeResult
from ckpt_ledger.ledger import SQLLedger

if TYPE_CHECKING:
    from ckpt.handlers import JSON
    from ckpt.task_records import LogLine, TaskRecord
    from ckpt_ledger.settings import LedgerSettings
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["KeptRun", "KeptTask", "inputs", "open_ledger", "run", "runs"]


def open_ledger(url: str | None = None) -> SQLLedger:
    """The ledger at a URL, by default that of the settings, to look into; it is not made where there is none.

    Raises: `NotFound` where no run has been recorded yet.
    """
    mine = _settings()
    return SQLLedger(
        mine.url if url is None else url, required=mine.required, lease_seconds=mine.lease_seconds, create=False
    )


def is_recording() -> bool:
    """Do the settings say that runs are recorded?"""
    return _settings().enabled


def _settings() -> LedgerSettings:
    from ckpt import config
    from ckpt_ledger.settings import LedgerSettings

    return LedgerSettings.of(config.load())


def runs(
    flow: str | None = None,
    *,
    state: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    name: str | None = None,
    limit: int | None = 50,
    url: str | None = None,
) -> list[KeptRun]:
    """The recorded runs, newest first."""
    ledger = open_ledger(url)
    found = ledger.runs(flow=flow, state=state, since=since, until=until, name=name, limit=limit)
    return [KeptRun(ledger, row) for row in found]


def run(ref: str = "last", *, flow: str | None = None, url: str | None = None) -> KeptRun:
    """The run that an id, a unique prefix of one, a name or `last` means.

    Raises: `NotFound` saying what there is; `ConfigError` for a prefix of several ids.
    """
    ledger = open_ledger(url)
    return KeptRun(ledger, ledger.find(ref, flow=flow))


def inputs(run: str, task: str, *, file: str | None = None, url: str | None = None) -> Mapping[str, object]:
    """The arguments that a recorded task run had, by name; each is verified, what was not kept is computed again.

    `file` is the file that has the flow, where it is not the one of that run.

    Raises: `NotFound`, `CorruptRecord`, `Unsupported` naming the input that cannot be had; `ConfigError`.
    """
    from ckpt_ledger.replay.replaying import Replay  # needs the engine, which a plugin that is looked up must not load

    return Replay(open_ledger(url), run, task, file=file).named()


class KeptTask:
    """One task run of a recorded run; `value` is read when it is asked for."""

    def __init__(self, ledger: SQLLedger, record: TaskRecord) -> None:
        self._ledger = ledger
        self.record = record
        self._result = record.safe.to_result() if record.safe is not None else Result()

    @cached_property
    def children(self) -> Sequence[KeptTask]:
        """The task runs of a mapped call, in order; none of another."""
        if not self.record.children:
            return []
        there = self._ledger.children(self.record.run, self.record.call.slug)
        return [KeptTask(self._ledger, each) for each in there]

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.record.task

    @property
    def state(self) -> str:
        """Name of the final state."""
        return self.record.state

    @property
    def message(self) -> str:
        """The state's message."""
        return self.record.message

    @property
    def summary(self) -> Mapping[str, JSON] | None:
        """A small description of the value, made when it was written."""
        return self.record.summary

    @property
    def safe_value(self) -> SafeResult | NoResultType:
        """Where the value is kept; `NoResult` if it is not."""
        return self._result.safe_value

    @property
    def value(self) -> object:
        """The value, verified and read once; `NoResult` where none was kept. Of a mapped call a list of them."""
        if self.record.safe is None and self.record.children is not None:
            return [child.value for child in self.children]
        return self._result.value

    def __repr__(self) -> str:
        kept = "" if self.safe_value is NoResult else f" {self.record.outcome}"
        return f"<KeptTask {self.record.call} {self.state}{kept}>"


class KeptRun:
    """A recorded run: its task runs by call slug, `slug[i]` or the name of a task with one call."""

    def __init__(self, ledger: SQLLedger, row: RunRow) -> None:
        self._ledger = ledger
        self.row = row

    @property
    def id(self) -> str:
        """The run's id."""
        return self.row.id

    @property
    def flow(self) -> str:
        """The flow's name."""
        return self.row.flow

    @property
    def name(self) -> str | None:
        """What a person called it."""
        return self.row.name

    @property
    def state(self) -> str:
        """Name of the final state, `Running`, or `Lost`."""
        return self.row.state

    @property
    def parameters(self) -> Mapping[str, JSON]:
        """The parameters, what is not plain JSON as its `repr`."""
        return self.row.record.parameters

    @cached_property
    def tasks(self) -> Sequence[KeptTask]:
        """Every task run, in run order."""
        return [KeptTask(self._ledger, record) for record in self._ledger.tasks(self.id)]

    @property
    def logs(self) -> Sequence[LogLine]:
        """What the tasks logged."""
        return self._ledger.logs(self.id)

    def __getitem__(self, text: str) -> KeptTask:
        """One task run; what is not there raises `NotFound` naming the nearest."""
        return KeptTask(self._ledger, self._ledger.task(self.id, text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptRun) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<KeptRun {self.id}{name} of {self.flow!r}: {self.state}, {self.row.tasks} task runs>"
