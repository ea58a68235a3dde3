"""What a task can ask about the run it is in: `ckpt.context.run_id`, `ckpt.context.attempt`, `ckpt.get_logger()`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ckpt.errors import ConfigError

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.engine.plans import Work

__all__ = ["Context", "context", "entered", "get_logger"]

entered: ContextVar[Work | None] = ContextVar("ckpt_entered", default=None)
"""The work whose function runs here; set by the task runner."""


class Context:
    """The run and the task run that this code is in; true only while a task runs.

    Raises: `ConfigError` for anything asked outside a running task.
    """

    __slots__ = ()

    def _work(self) -> Work:
        work = entered.get()
        if work is None:
            raise ConfigError(
                "ckpt.context has something to say only while a task of a flow runs; test it with `if ckpt.context:`"
            )
        return work

    def __bool__(self) -> bool:
        return entered.get() is not None

    @property
    def run_id(self) -> str:
        """Id of the run; ids are ordered by time."""
        return self._work().facts.id

    @property
    def flow(self) -> str:
        """Name of the flow."""
        return self._work().facts.flow

    @property
    def started(self) -> datetime:
        """When the run started, UTC."""
        return self._work().facts.started

    @property
    def parameters(self) -> Mapping[str, object]:
        """The values of the flow's parameters."""
        return self._work().facts.parameters

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._work().plan.name

    @property
    def call(self) -> CallPath:
        """Which call this is: `str(ckpt.context.call)` is `add-1`, or `add-1[7]` for a mapped child."""
        return self._work().path

    @property
    def map_index(self) -> int | None:
        """The number of this mapped child, from 0; None in a call that is not mapped."""
        return self._work().index

    @property
    def attempt(self) -> int:
        """1 for the first try."""
        return self._work().attempt

    def __repr__(self) -> str:
        return f"<Context {self.call} of run {self.run_id}>" if self else "<Context: no task runs here>"


context = Context()
"""The context of the code that asks: of this thread, or of this asyncio task."""


class _TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """Puts the call in front of each message and `call` and `attempt` on each record."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        if not context:
            return str(msg), kwargs
        facts = {"run": context.run_id, "call": str(context.call), "attempt": context.attempt}
        return f"{facts['call']}: {msg}", {**kwargs, "extra": {**(kwargs.get("extra") or {}), **facts}}


def get_logger() -> logging.LoggerAdapter[logging.Logger]:
    """The logger for use in tasks: `ckpt.get_logger().info("…")`; its records carry run, call and attempt."""
    return _TaskLogger(logging.getLogger("ckpt.task"))
