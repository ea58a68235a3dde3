"""What is shown on stderr while a flow runs: a live line on a terminal, a few plain lines elsewhere.

A listener like any plugin's: it hears of the run through ckpt's hooks.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ckpt import hookimpl, plugins
from ckpt.cli.output import console, printable, size

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.engine.plans import RunFacts
    from ckpt.states import State
    from ckpt.task_records import TaskRecord

__all__ = ["Progress", "watching"]

_LINES = 100
"""A flow of more calls than this shows every n-th only."""
_BARE = frozenset({"Failed", "TimedOut"})
"""States of a task that itself went wrong, not of one that others kept from running."""
_FAILED = _BARE | {"TriggerFailed", "Cancelled"}
_KEPT_RECORDS = 20


class Progress:
    """What has come of a run so far. Subclasses show it."""

    def __init__(self, to: Console) -> None:
        self.to = to
        self.run: RunFacts | None = None
        self.began = time.monotonic()
        self.calls = self.done = self.failed = self.reused = self.kept = self.bytes = 0
        """Calls of the graph that are final; task runs (mapped children, not their parents) that are, that failed,
        whose values an earlier run has kept, and this one; the bytes of these last."""
        self.running: dict[CallPath, None] = {}
        self.failures: list[TaskRecord] = []
        """The first task runs that went wrong themselves."""
        self.broken = 0
        """How many did."""

    @hookimpl
    def ckpt_run_started(self, run: RunFacts) -> None:
        """Begin to show the run; another one that a task of it may start is none of ours."""
        if self.run is None:
            self.run = run
            self.begin()

    @hookimpl
    def ckpt_task_changed(self, run: RunFacts, record: TaskRecord) -> None:
        """Count the change."""
        if self.run is None or run.id != self.run.id:
            return
        if record.state == "Running":
            self.running[record.call] = None
        else:
            self.running.pop(record.call, None)
        if record.ended is None:
            return
        self.calls += record.call.map_index is None
        if record.state != "Mapped":
            self.done += 1
            self.failed += record.state in _FAILED
        if record.state in _BARE:
            self.broken += 1
            if len(self.failures) < _KEPT_RECORDS:
                self.failures.append(record)
        if record.safe is not None and record.origin is not None:
            self.reused += 1
        elif record.safe is not None:
            self.kept += 1
            self.bytes += record.safe.size or 0
        self.ended(record)

    @hookimpl
    def ckpt_run_ended(self, run: RunFacts, state: State) -> None:
        """Stop showing."""
        if self.run is not None and run.id == self.run.id:
            self.stop()

    def begin(self) -> None:
        """The run has begun."""

    def ended(self, record: TaskRecord) -> None:
        """A task run has come to its end."""

    def stop(self) -> None:
        """The run is over, or given up; may be called twice."""

    def seconds(self) -> str:
        """How long it has taken, as `0:07`."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes}:{seconds:02}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class _Live(Progress):
    """Draws and redraws: a bar, the counts, and below the names of what runs."""

    def begin(self) -> None:
        self._spinner = Spinner("dots" if self.to.encoding.startswith("utf") else "line")
        # What tasks print to the same terminal must scroll above the drawing; into a file it must stay untouched.
        self._live = Live(
            get_renderable=self._drawing,
            console=self.to,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()

    def stop(self) -> None:
        if self.run is not None:
            self._live.stop()

    def _drawing(self) -> RenderableType:
        assert self.run is not None  # drawn only after the run has begun
        line = Table.grid(padding=(0, 1, 0, 0))
        total = max(self.run.calls, 1)
        bar = ProgressBar(total, self.calls, width=max(8, min(30, self.to.width // 4)))
        line.add_row(self._spinner, Text(printable(self.run.flow)), bar, f"{self.calls}/{total}", self.seconds())
        counts = Text.assemble(
            f"  {self.done} done, {len(self.running)} running, ",
            (f"{self.failed} failed", "bold red" if self.failed else ""),
            f", {size(self.bytes)} kept",
        )
        # The newest first: one that is computed and still being kept has not ended either.
        names = ", ".join(printable(call) for call in list(self.running)[:-20:-1])
        return Group(line, counts, Text(f"  {names}", style="dim", no_wrap=True, overflow="ellipsis"))


class _Lines(Progress):
    """Prints one line for each finished call, and for no more than a hundred of them."""

    def begin(self) -> None:
        assert self.run is not None  # that is what has begun
        self._step = -(-self.run.calls // _LINES)
        self._bytes: Counter[str] = Counter()
        self._children: Counter[str] = Counter()

    def ended(self, record: TaskRecord) -> None:
        assert self.run is not None  # it has begun
        slug, index = record.call
        if record.safe is not None and record.origin is None:
            self._bytes[slug] += record.safe.size or 0
        if index is not None:
            self._children[slug] += 1
            if record.state in _BARE and self.broken <= _KEPT_RECORDS:
                self._say(record, [])
        elif record.state in _FAILED or not self.calls % self._step or self.calls == self.run.calls:
            extra = [f"{self._children[slug]} children"] if record.state == "Mapped" else []
            self._say(record, [*extra, f"{size(self._bytes[slug])} kept"] if self._bytes[slug] else extra)
        if index is None:
            del self._bytes[slug], self._children[slug]

    def _say(self, record: TaskRecord, extra: list[str]) -> None:
        assert self.run is not None  # it has begun
        said = [record.state]
        if record.message:
            said.append(record.message.splitlines()[0])
        line = f"[{self.calls}/{self.run.calls}] {record.call}: {', '.join([*said, *extra])}"
        self.to.print(Text(printable(f"{time.strftime('%H:%M:%S')} {line}")), soft_wrap=True)


@contextmanager
def watching() -> Iterator[Progress]:
    """Show the run that is started inside."""
    to = console(stderr=True)
    progress = _Live(to) if to.is_terminal and not to.is_dumb_terminal else _Lines(to)
    plugins.register(progress)
    try:
        with progress:
            yield progress
    finally:
        plugins.unregister(progress)
