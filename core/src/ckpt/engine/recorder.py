"""Tells the ledger of one run, behind the flow: in batches, in the order "value durable, then row".

One thread writes; it also says that the run is alive. The records of rows that are final are made when they are
written, many at a time: to make one between two tasks takes three times as long, with what these leave in the caches of
the processor. What is left at the end the flow's own thread writes.

A ledger that cannot be written is given up for the rest of the run with one warning, and the values are kept all the
same; unless it is required: then a row that cannot be written counts as a value that could not be kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

from ckpt.collector import Uncollected
from ckpt.contexts import entered
from ckpt.engine.task_runner import as_exception
from ckpt.errors import CkptError, NotFound, StoreUnavailable
from ckpt.ledgers import Ledger
from ckpt.states import State
from ckpt.task_records import CallArguments, LogLine, RunRecord, TaskRecord

__all__ = ["Recorder"]

log = logging.getLogger("ckpt")

_BATCH = 1000
"""Rows that are written at once, at most."""
_MOST = 4 * _BATCH
"""Rows that may wait; who has more waits for room."""
_LINGER = 0.1
"""Seconds that a row waits for others if nobody waits for it: a thread that writes while tasks run slows them down."""
_ROOM = 0.002
"""Seconds between two looks whether there is room again."""
_PAUSES = (0.05, 0.2, 1.0)
"""Seconds before each further attempt to write a batch."""

Acknowledge = Callable[[int, Exception | None], None]
Told = tuple[TaskRecord, int | None]
"""A record, and the row whose being durable somebody waits for."""


class Recorder:
    """The way of one run's facts to a ledger. `acknowledge(row, error)` is called from its thread."""

    def __init__(self, ledger: Ledger, run: RunRecord) -> None:
        self.ledger, self.run = ledger, run
        self._queue: deque[int | Told] = deque()
        self._making = threading.Lock()
        self._arguments: dict[str, CallArguments] = {}
        self._told: set[str] = set()
        self._lines: deque[LogLine] = deque()
        self._some = threading.Event()
        """Set when there is something to do for a thread that sleeps."""
        self._now = threading.Event()
        """Set when somebody waits for what is queued."""
        self._acknowledge: Acknowledge
        self._made: Callable[[int], TaskRecord]
        self._given_up: Exception | None = None
        self._closed = self._idle = False
        self._thread = threading.Thread(target=self._write, name="ckpt-recorder", daemon=True)
        self._messages = _Messages(self._lines)

    def begin(self, acknowledge: Acknowledge, made: Callable[[int], TaskRecord]) -> None:
        """Say that the run starts; `made` makes the record of a row that is final.

        Raises: what the ledger raises, if it is required; `NotFound` for a run to go on from that is gone.
        """
        self._acknowledge, self._made = acknowledge, made
        try:
            self.ledger.begin(self.run)
        except Exception as error:
            # Nobody may go on from a run that is being deleted, whether or not a record is required.
            if self.ledger.required or (self.run.resumed is not None and isinstance(error, NotFound)):
                raise
            self._give_up(error)
        self._thread.start()
        logging.getLogger("ckpt.task").addHandler(self._messages)

    def put(self, what: int | Told) -> None:
        """Keep the record of a row that is final, or one that is there."""
        self._queue.append(what)
        if self._idle:
            self._some.set()
        waiting = len(self._queue)
        if waiting == _BATCH + 1:  # one batch may be the last, and goes with the end of the run
            self._now.set()
        while waiting >= _MOST:
            time.sleep(_ROOM)
            waiting = len(self._queue)

    def make(self) -> None:
        """Make the records of the rows that are queued: one that is final is about to change."""
        with self._making, self._giving_up():
            for place, queued in enumerate(list(self._queue)):
                if isinstance(queued, int):
                    self._queue[place] = self._made(queued), None

    def hurry(self) -> None:
        """Write what is queued now: somebody waits for it."""
        if self._queue:
            self._now.set()

    def knows(self, digest: str) -> bool:
        """Have the arguments with this digest been given to `arguments`?"""
        return digest in self._told

    def arguments(self, given: CallArguments) -> None:
        """Keep arguments, before the first record that names them."""
        self._arguments[given.digest] = given
        self._told.add(given.digest)

    def end(self, state: State) -> None:
        """Write what is left, and say how the run ended."""
        logging.getLogger("ckpt.task").removeHandler(self._messages)
        self._closed = True
        self._some.set()
        self._now.set()
        self._thread.join()
        with Uncollected():
            while len(self._queue) > _BATCH or self._lines:
                self._write_some()  # here and now: nobody is to be woken for it
            error = self._write_batch(lambda *last: self.ledger.end(self.run.id, state.name, state.message, *last))
        if error is not None:
            self._give_up(error)
        self.ledger.close()

    def _write(self) -> None:
        pulse = self.ledger.lease_seconds / 3
        beat = monotonic() + pulse
        while True:
            self._sleep(max(0.0, beat - monotonic()))
            if self._closed:
                return
            self._write_some()
            if monotonic() >= beat:
                beat = monotonic() + pulse
                self._try(lambda: self.ledger.heartbeat(self.run.id))

    def _write_some(self) -> None:
        """Write a batch of what is queued, and all that was logged."""
        if self._queue:
            self._write_batch(self.ledger.record)
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            self._try(lambda: self.ledger.log(lines))

    def _write_batch(self, write: Callable[[list[TaskRecord], list[CallArguments]], None]) -> Exception | None:
        count = min(_BATCH, len(self._queue))
        batch, awaited = self._taken(count)
        # Only with a row that names them: what no row names is deleted by whoever cleans.
        named = {each.arguments for each in batch if each.arguments in self._arguments}
        arguments = [self._arguments.pop(digest) for digest in named]
        error = self._try(lambda: write(batch, arguments))
        for row in awaited:
            self._acknowledge(row, error if self.ledger.required else None)
        return error

    def _taken(self, count: int) -> tuple[list[TaskRecord], list[int]]:
        """The first records that are queued, and the rows that somebody waits for."""
        with self._making:
            queued = [self._queue.popleft() for _ in range(count)]
            awaited = [each[1] for each in queued if not isinstance(each, int) and each[1] is not None]
            records = []
            with self._giving_up():
                records = [self._made(each) if isinstance(each, int) else each[0] for each in queued]
            return records, awaited

    def _sleep(self, most: float) -> None:
        """Wait for rows, and then a little for more of them, unless somebody waits for these."""
        self._some.clear()
        self._idle = True
        if not self._queue and not self._closed:  # looked at after `_idle` is set, so that no sleeper is missed
            self._some.wait(most)
        self._idle = False
        if 0 < len(self._queue) <= _BATCH and not self._closed:
            self._now.wait(_LINGER)
        self._now.clear()

    def _try(self, step: Callable[[], None]) -> Exception | None:
        """Take a step, again where that may help; what it raises in the end."""
        if self._given_up is not None:
            return self._given_up
        error: Exception | None = None
        for pause in (*_PAUSES, None):
            try:
                step()
            except StoreUnavailable as passing:
                error = passing
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # noqa: BLE001  a ledger may be anybody's, and this a thread of its own
                error = as_exception(raised)
                break
            else:
                return None
            if pause is not None:
                time.sleep(pause)
        assert error is not None
        if not self.ledger.required:
            self._give_up(error)
        return error

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Give up where a record cannot be made: a thread that ended there would be waited for in vain."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a plugin's `sys.exit` too
            self._give_up(as_exception(error))

    def _give_up(self, error: Exception) -> None:
        """Record nothing any more, and say so, once."""
        if self._given_up is not None:
            return
        self._given_up = error
        said = str(error) if isinstance(error, CkptError) else f"{type(error).__name__}: {error}"
        log.warning("run %s is not recorded any further, its values are kept all the same: %s", self.run.id, said)


class _Messages(logging.Handler):
    """Takes down what tasks log through `ckpt.get_logger()`."""

    def __init__(self, lines: deque[LogLine]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        work = entered.get()
        if work is None:
            return
        text = record.getMessage().removeprefix(f"{work.path}: ")
        at = datetime.fromtimestamp(record.created, UTC)
        self._lines.append(LogLine(work.facts.id, work.path, work.attempt, at, record.levelname, text))
