"""Brings staged bytes to storage behind the flow, and says for each when it is durable.

At most 64 MiB are in flight: `send` waits for room. A handler gets as many threads as it can use (`writers`, at most
16) and each takes what is queued, up to the handler's `batch`, so that puts can share a cost (a folder's fsync).
A write that fails for a passing reason is tried again, alone; the task never is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from ckpt.engine.task_runner import as_exception, is_passing, pause_before
from ckpt.errors import StoreUnavailable, Unsupported
from ckpt.handlers import ResultHandler, Staged

__all__ = ["IN_FLIGHT_BYTES", "MOST_WRITERS", "Writers", "send"]

IN_FLIGHT_BYTES = 64 << 20
MOST_WRITERS = 16

_LOOK = 0.1
"""Seconds between two looks for an interrupt while there is no room."""

_Job = tuple[int, Staged]


class Writers:
    """The writers of one run. `acknowledge(row, error)` is called from their threads, once for each send."""

    def __init__(self, acknowledge: Callable[[int, Exception | None], None], *, retries: int, delay: float) -> None:
        self._acknowledge = acknowledge
        self.retries = retries
        self.delay = delay
        self._lanes: dict[int, _Lane] = {}
        self.lock = threading.Lock()
        """Guards everything here and in the lanes."""
        self._room = threading.Condition(self.lock)
        self._threads = 0
        self.in_flight = 0
        """Bytes sent and not yet acknowledged."""
        self.hurried = False
        """After an interrupt nothing waits for room. Set by a signal handler, which can take no lock."""
        self.given_up = threading.Event()

    def send(self, row: int, handler: ResultHandler, staged: Staged) -> None:
        """Queue staged bytes; returns once they fit into what may be in flight."""
        lane = self._lanes.get(id(handler))
        if lane is None:
            lane = self._lanes[id(handler)] = _Lane(self, handler)
        size = len(staged.data or b"")
        with self.lock:
            while self.in_flight and self.in_flight + size > IN_FLIGHT_BYTES and not self.hurried:
                self._room.wait(_LOOK)
            self.in_flight += size
            lane.queue.append((row, staged))
            if lane.idle:
                lane.ready.notify()
            enough = lane.threads >= lane.most_threads or (lane.threads and self._threads >= MOST_WRITERS)
            if len(lane.queue) > lane.idle and not enough:
                lane.threads += 1
                self._threads += 1
                threading.Thread(target=lane.work, name="ckpt-writer", daemon=True).start()

    def done(self, row: int, size: int, error: Exception | None) -> None:
        """One write has ended; called in the threads of the writers."""
        with self.lock:
            self.in_flight -= size
            self._room.notify_all()
        self._acknowledge(row, error)

    def close(self) -> None:
        """Let the threads end once their queues are empty."""
        with self.lock:
            for lane in self._lanes.values():
                lane.closed = True
                lane.ready.notify_all()

    def give_up(self, seconds: float) -> None:
        """Wait `seconds` for what is in flight, then fail the rest of it."""
        end = monotonic() + seconds
        with self.lock:
            while self.in_flight and (left := end - monotonic()) > 0:
                self._room.wait(left)
        self.given_up.set()
        dropped: list[_Job] = []
        with self.lock:
            for lane in self._lanes.values():
                dropped.extend(lane.queue)
                lane.queue.clear()
        for row, staged in dropped:
            error = StoreUnavailable("given up after an interrupt: the storage was too slow; run again")
            self.done(row, len(staged.data or b""), error)
        self.close()


class _Lane:
    """The queue and threads of one handler."""

    def __init__(self, writers: Writers, handler: ResultHandler) -> None:
        self.writers = writers
        self.handler = handler
        self.queue: deque[_Job] = deque()
        self.most_threads = _count(handler, "writers")
        self.batch = _count(handler, "batch")
        self.threads = 0
        self.idle = 0
        self.closed = False
        self.ready = threading.Condition(writers.lock)

    def work(self) -> None:
        while True:
            with self.ready:
                while not self.queue:
                    if self.closed:
                        return
                    self.idle += 1
                    self.ready.wait()
                    self.idle -= 1
                jobs = [self.queue.popleft() for _ in range(min(self.batch, len(self.queue)))]
            writers = self.writers
            send(self.handler, jobs, writers.done, retries=writers.retries, delay=writers.delay, stop=writers.given_up)


def _count(handler: ResultHandler, name: str) -> int:
    """How many threads a handler takes, or how much at once.

    Raises: `Unsupported` for what is no number.
    """
    count = getattr(handler, name)
    if not isinstance(count, int):
        raise Unsupported(f"{handler!r} has {name} = {count!r}: make it a whole number")
    return max(1, count)


def _nonsense(handler: ResultHandler, said: object) -> Exception:
    return Unsupported(f"{handler!r} answered {said!r} to `send`: answer None or an error for each value")


def send(
    handler: ResultHandler,
    jobs: list[_Job],
    done: Callable[[int, int, Exception | None], None],
    *,
    retries: int,
    delay: float,
    stop: threading.Event | None = None,
) -> None:
    """Send a batch and tell of each part when it has ended, `done(row, size, error)`.

    What fails for a passing reason is tried again, `retries` times, until `stop` is set.
    """
    stop = stop or threading.Event()
    attempt = 0
    while jobs:
        answers: Sequence[Any]  # a plugin may answer anything
        try:
            answers = list(handler.send([staged for _, staged in jobs]))
            if len(answers) != len(jobs):
                said = f"{handler!r} answered {len(answers)} outcomes for {len(jobs)} values: mend its `send`"
                raise Unsupported(said)  # noqa: TRY301  an outcome like the others
        except BaseException as error:  # noqa: BLE001  a plugin may raise anything; every value's outcome is recorded
            answers = [as_exception(error)] * len(jobs)
        attempt += 1
        again: list[_Job] = []
        for job, said in zip(jobs, answers, strict=True):
            answer = said if said is None or isinstance(said, Exception) else _nonsense(handler, said)
            if answer is None or attempt > retries or not is_passing(answer) or stop.is_set():
                done(job[0], len(job[1].data or b""), answer)
            else:
                again.append(job)
        jobs = again
        if jobs:
            stop.wait(pause_before(attempt, delay))
