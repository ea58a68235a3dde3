"""Where tasks run. One scheduling loop serves all executors; an executor only runs what it is given.

`local` and `threads` are in `ckpt.engine.threads`, `processes` is in `ckpt.engine.processes`. Plugins add others
(clusters) through the hook `ckpt_executors`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ckpt.arguments import Build, Slot, resolve
from ckpt.errors import ConfigError

if TYPE_CHECKING:
    from ckpt.engine.graph import Graph
    from ckpt.engine.plans import Outcome, Plan, RunFacts, Work

__all__ = ["Executor", "check_executor"]


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

    most: float = float("inf")
    """How much work it takes at once. More waits in the loop, where it costs nothing and is easily cancelled."""

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"executor {self.name}: workers is 1 or more, not {workers}")
        self.workers = workers

    def start(self) -> None:  # noqa: B027  nothing to do is a right answer
        """Get ready for a run."""

    def check(self, graph: Graph, plans: Sequence[Plan], facts: RunFacts) -> None:  # noqa: B027  nothing to refuse is a right answer
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
        """Take back, and answer, the work that has not started.

        Interrupt also the functions that run, where that can be done; `wait` reports them as cancelled. A write that
        has begun is not broken off.
        """
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


def check_executor(owner: str, executor: object) -> None:
    """Refuse what is no executor, where it is given.

    Raises: `ConfigError` naming the owner, and the object to give instead of a class.
    """
    if isinstance(executor, type):
        raise ConfigError(f"{owner}: executor is a class; give an object: {executor.__name__}()")
    if executor is not None and not isinstance(executor, str | Executor):
        raise ConfigError(f"{owner}: executor is {executor!r}; give a name such as 'threads', or an Executor object")
