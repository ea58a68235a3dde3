"""Tells state handlers and plugins what changed, and takes a state handler's word for what the state should be.

Listeners are collected once a run. What one raises stays in `ckpt.registry`, and it never changes what happens to the
flow. A state handler does: what it raises fails the task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ckpt import plugins
from ckpt.engine.plans import RunFacts
from ckpt.errors import CkptError
from ckpt.states import Failed, Pending, State

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.engine.facts import TaskFacts
    from ckpt.engine.runs import Rows
    from ckpt.tasks import Task

__all__ = ["Observers"]

log = logging.getLogger("ckpt")

Listener = Callable[..., object]


class Observers:
    """Everybody who wants to know of one run."""

    def __init__(self, facts: RunFacts, records: TaskFacts) -> None:
        self._facts = facts
        self._listeners = {
            name: list(plugins.listeners(name)) for name in ("ckpt_run_started", "ckpt_task_changed", "ckpt_run_ended")
        }
        self._records = records
        self._last: dict[int, State] = {}

    @property
    def tell_of_ends(self) -> bool:
        """Is anybody to be told of the end of the run?"""
        return bool(self._listeners["ckpt_run_ended"])

    def watches(self, task: Task) -> bool:
        """Is anybody to be told of this task's changes?"""
        return bool(task.state_handlers or self._listeners["ckpt_task_changed"])

    def run_started(self) -> None:
        """Tell that the run has started."""
        self._tell("ckpt_run_started", run=self._facts)

    def run_ended(self, state: State) -> None:
        """Tell that the run has ended."""
        self._tell("ckpt_run_ended", run=self._facts, state=state)

    def changed(self, rows: Rows, row: int, new: State) -> State:
        """Tell of a task's new state; answer the state that it shall have."""
        task = rows.calls[rows.call_of[row]].task
        old = self._last.get(row) or Pending()
        state = handled(task.state_handlers, task, old, new)
        if task.state_handlers:
            self._last[row] = state
        if self._listeners["ckpt_task_changed"]:
            self._tell("ckpt_task_changed", run=self._facts, record=self._records.record(rows, row, state))
        return state

    def failed(self, path: CallPath, message: str, error: object = None) -> None:
        """Say that a task has failed and why, with the traceback where a function of the user raised."""
        raised = error if isinstance(error, BaseException) and not isinstance(error, CkptError) else None
        log.error("task %s failed: %s", path, message, exc_info=raised)

    def warn(self, message: str) -> None:
        """Say something that a person must see."""
        log.warning("%s", message)

    def _tell(self, name: str, **facts: Any) -> None:
        for listener in self._listeners[name]:
            listener(**facts)


def handled(handlers: Any, subject: object, old: State, new: State) -> State:
    """Ask each state handler in turn; a handler that raises makes the state `Failed`."""
    state = new
    for handler in handlers:
        try:
            state = handler(subject, old, state) or state
        except Exception as error:
            name = getattr(handler, "__name__", repr(handler))
            log.exception("state handler %s of %r failed", name, subject)
            return Failed(f"state handler {name} raised {type(error).__name__}: {error}", error)
        if not isinstance(state, State):
            return Failed(f"state handler {handler!r} returned {state!r}; return a State, or None to leave it")
    return state
