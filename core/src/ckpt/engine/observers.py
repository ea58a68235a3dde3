"""Tells state handlers and plugins what changed, and takes a state handler's word for what the state should be.

Listeners are collected once a run. What one raises stays in `ckpt.registry`, and it never changes what happens to the
flow. A state handler does: what it raises fails the task.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ckpt import plugins
from ckpt.arguments import Build, slots_in
from ckpt.engine.maps import follows
from ckpt.engine.plans import RunFacts
from ckpt.errors import CkptError
from ckpt.results import SafeResult
from ckpt.states import Failed, Pending, State
from ckpt.task_records import Source, TaskRecord

if TYPE_CHECKING:
    from ckpt.calls import Call, CallPath
    from ckpt.engine.runs import Rows
    from ckpt.tasks import Task

__all__ = ["Observers"]

log = logging.getLogger("ckpt")

Listener = Callable[..., object]


class Observers:
    """Everybody who wants to know of one run."""

    def __init__(self, facts: RunFacts) -> None:
        self._facts = facts
        self._listeners = {
            name: list(plugins.listeners(name)) for name in ("ckpt_run_started", "ckpt_task_changed", "ckpt_run_ended")
        }
        self._slots: dict[int, dict[str, tuple[int, ...]]] = {}
        """Per call, the slots of its inputs by argument."""
        self._last: dict[int, State] = {}
        self._started: dict[int, datetime] = {}

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
            self._tell("ckpt_task_changed", run=self._facts, record=self._record(rows, row, state))
        return state

    def failed(self, path: CallPath, message: str, error: object = None) -> None:
        """Say that a task has failed and why, with the traceback where a function of the user raised."""
        raised = error if isinstance(error, BaseException) and not isinstance(error, CkptError) else None
        log.error("task %s failed: %s", path, message, exc_info=raised)

    def warn(self, message: str) -> None:
        """Say something that a person must see."""
        log.warning("%s", message)

    def _record(self, rows: Rows, row: int, state: State) -> TaskRecord:
        now = datetime.now(UTC)
        if state.is_running():
            self._started.setdefault(row, now)
        keep = rows.plans[rows.call_of[row]].keep
        error = rows.value[row] if state.is_failed() else None
        final = state.is_finished()
        safe = state.safe_value
        return TaskRecord(
            run=self._facts.id,
            call=rows.path(row),
            state=state.name,
            message=state.message,
            attempt=rows.attempts.get(row, 1),
            started=self._started.get(row),
            ended=now if final else None,
            safe=safe if isinstance(safe, SafeResult) else None,
            outcome=rows.outcome(row) if final else "",
            inputs=self._inputs(rows, row) if final else {},
            handler=repr(keep.handler) if keep else None,
            level=keep.level if keep else None,
            error="".join(traceback.format_exception(error)) if isinstance(error, BaseException) else None,
        )

    def _inputs(self, rows: Rows, row: int) -> dict[str, tuple[Source, ...]]:
        """Per argument, the task runs that its value came from."""
        number = rows.call_of[row]
        call = rows.calls[number]
        slots = self._slots.get(number)
        if slots is None:
            bound = call.task.signature.bind_partial(*call.args, **call.kwargs).arguments
            found = {name: tuple(dict.fromkeys(slots_in(_template(value)))) for name, value in bound.items()}
            slots = self._slots[number] = {name: numbers for name, numbers in found.items() if numbers}
        return {name: tuple(self._sources(rows, row, call, numbers)) for name, numbers in slots.items()}

    def _sources(self, rows: Rows, row: int, call: Call, slots: Iterable[int]) -> Iterator[Source]:
        index = rows.index(row)
        for slot in slots:
            if call.each is None or slot < call.shared:
                yield _source(rows, call.inputs[slot].index)
                continue
            each = call.each[slot - call.shared]
            if each.call is None:
                elements = each.elements if index is None else each.elements[index : index + 1]
                for inner in dict.fromkeys(number for element in elements for number in slots_in(element)):
                    yield _source(rows, call.inputs[inner].index)
            elif index is not None and follows(each) and each.call.index in rows.children:
                yield _source(rows, rows.children[each.call.index][index])
            else:
                yield _source(rows, each.call.index)

    def _tell(self, name: str, **facts: Any) -> None:
        for listener in self._listeners[name]:
            listener(**facts)


def _template(value: object) -> object:
    """What `*args` and `**kwargs` of a signature gather, as one template."""
    if isinstance(value, dict):
        return Build(dict, list(value.values()))
    return Build(tuple, value) if isinstance(value, tuple) else value


def _source(rows: Rows, row: int) -> Source:
    return Source(rows.path(row), rows.digest(row))


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
