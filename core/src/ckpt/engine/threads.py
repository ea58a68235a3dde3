"""The executors that run tasks in this process: `local` in the thread of the flow, `threads` in a few of their own."""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ckpt.engine.plans import Code, Outcome
from ckpt.engine.task_runner import run_call
from ckpt.executors import Executor

if TYPE_CHECKING:
    from ckpt.engine.plans import Work

__all__ = ["LocalExecutor", "ThreadsExecutor"]


class _Reports:
    """The way of outcomes from other threads to the loop."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Work, Outcome] | None] = SimpleQueue()

    def put(self, work: Work, outcome: Outcome) -> None:
        self._queue.put((work, outcome))

    def wake(self) -> None:
        self._queue.put(None)

    def wait(self, timeout: float | None) -> list[tuple[Work, Outcome]]:
        done: list[tuple[Work, Outcome]] = []
        try:
            first = self._queue.get(block=timeout != 0, timeout=timeout)
            while True:
                if first is not None:
                    done.append(first)
                first = self._queue.get_nowait()
        except Empty:
            return done


class LocalExecutor(Executor):
    """Runs each task in the thread of the flow, at once."""

    name = "local"

    def __init__(self, workers: int | None = None) -> None:
        super().__init__(None)
        self._reports = _Reports()

    def submit(self, work: Work) -> Outcome | None:
        return run_call(work)

    def wait(self, timeout: float | None) -> Sequence[tuple[Work, Outcome]]:
        return self._reports.wait(timeout)

    def wake(self) -> None:
        self._reports.wake()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()


class ThreadsExecutor(Executor):
    """Runs tasks in `workers` threads of this process; by default as many as there are CPUs."""

    name = "threads"

    def start(self) -> None:
        self.most = 2 * self.size  # as much again as runs, so that no worker waits for the loop
        self._reports = _Reports()
        self._todo: deque[Work] = deque()
        self._ready = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def size(self) -> int:
        """How many tasks run at once."""
        return self.workers or os.cpu_count() or 1

    def submit(self, work: Work) -> Outcome | None:
        self._todo.append(work)
        self._ready.release()
        if len(self._threads) < self.size:
            # Each thread sees the context variables of the flow as they were when it started.
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(self._serve,), name="ckpt-worker", daemon=True)
            self._threads.append(thread)
            thread.start()
        return None

    def _serve(self) -> None:
        while True:
            self._ready.acquire()
            if self._closed:
                return
            try:
                work = self._todo.popleft()
            except IndexError:
                continue  # it was taken back by `cancel`
            try:
                outcome = self._run(work)
            except BaseException as error:  # noqa: BLE001  without a report the run would never end
                outcome = Outcome(Code.FAILED, error)
            self._reports.put(work, outcome)
            del work, outcome  # an idle thread holds no values

    def _run(self, work: Work) -> Outcome:
        return run_call(work)

    def wait(self, timeout: float | None) -> Sequence[tuple[Work, Outcome]]:
        return self._reports.wait(timeout)

    def wake(self) -> None:
        self._reports.wake()

    def cancel(self) -> Sequence[Work]:
        taken = []
        while self._todo:
            try:
                taken.append(self._todo.popleft())
            except IndexError:
                break  # a worker was quicker
        return taken

    def close(self, *, kill: bool = False) -> None:
        self._closed = True
        for _ in self._threads:
            self._ready.release()
        if not kill:
            for thread in self._threads:
                thread.join()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.workers,)
