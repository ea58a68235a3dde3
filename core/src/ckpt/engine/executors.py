"""Where tasks run. One scheduling loop serves all executors; an executor only runs what it is given.

`local` runs in the thread of the flow, `threads` in a few threads of its process, `processes` (in
`ckpt.engine.processes`) in processes of its own. Plugins add others (clusters) through `ckpt_executors`.
"""

from __future__ import annotations

import contextvars
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, ClassVar

from ckpt.arguments import Build, Slot, resolve
from ckpt.engine.task_runner import run_call
from ckpt.errors import ConfigError

if TYPE_CHECKING:
    from ckpt.engine.graph import Graph
    from ckpt.engine.plans import Outcome, Plan, Work

__all__ = ["Executor", "LocalExecutor", "ThreadsExecutor", "make_executor"]


class Executor(ABC):
    """Runs work whose inputs are ready.

    The loop submits work when everything upstream has finished. The inputs of the work are what the executor itself
    answered as values of the work upstream: the values, or `Held` futures that only its workers open; so an
    executor over a cluster never pulls a value to the process of the flow. An executor object holds settings and
    may be used for many runs, one at a time.
    """

    name: ClassVar[str]
    """The name in `flows.executor`."""
    remote: ClassVar[bool] = False
    """Do tasks run in other processes? Then values are written there, before they are reported, and stay `Held`."""

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"executor {self.name}: workers is 1 or more, not {workers}")
        self.workers = workers

    def start(self) -> None:  # noqa: B027  nothing to do is a right answer
        """Get ready for a run."""

    def check(self, graph: Graph, plans: Sequence[Plan]) -> None:  # noqa: B027  nothing to refuse is a right answer
        """Refuse, before any task runs, what this executor cannot run."""

    @abstractmethod
    def submit(self, work: Work) -> Outcome | None:
        """Run `work`: answer the outcome at once, or None and report it from `wait`."""

    @abstractmethod
    def wait(self, timeout: float | None) -> Sequence[tuple[Work, Outcome]]:
        """Return what has finished since the last call; wait for something until `timeout` seconds or `wake`."""

    @abstractmethod
    def wake(self) -> None:
        """Let `wait` return now; may be called from any thread and from a signal handler."""

    def cancel(self) -> Sequence[Work]:
        """Take back, and answer, the work that has not started."""
        return ()

    def gather(self, values: Sequence[object]) -> object:
        """The list of `values` as an input of work downstream."""
        return self.fill(Build(list, [Slot(number) for number in range(len(values))]), values)

    def fill(self, template: object, values: Sequence[object]) -> object:
        """A template filled with `values`, as an input of work downstream; in this process: filled now."""
        return resolve(template, values)

    def close(self, *, kill: bool = False) -> None:  # noqa: B027  nothing to do is a right answer
        """End the run; with `kill` also work that still runs."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.workers is None else f'workers={self.workers}'})"


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
    """Runs tasks in `workers` threads of this process; by default as many as there are CPUs, and four more."""

    name = "threads"

    def start(self) -> None:
        self._reports = _Reports()
        self._todo: deque[Work] = deque()
        self._ready = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def size(self) -> int:
        """How many tasks run at once."""
        return self.workers or (os.cpu_count() or 1) + 4

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
            self._reports.put(work, self._run(work))

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


def make_executor(name: str, workers: int | None) -> Executor:
    """The executor of that name, ours or a plugin's.

    Raises: `PluginNotFound` naming those there are, with the pip line for the known ones.
    """
    if name == "local":
        return LocalExecutor()
    if name == "threads":
        return ThreadsExecutor(workers)
    if name == "processes":
        from ckpt.engine.processes import ProcessesExecutor

        return ProcessesExecutor(workers)
    from ckpt import plugins

    kind: type[Executor] = plugins.executor_class(name)
    return kind(workers)
