"""Which handler keeps each call's value, who chose it, and is checkpointing on: decided once, when a run starts.

First that is set wins: the task, the flow, the global `flows.result_handler`, the handler that matches the storage.
"""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ckpt import plugins
from ckpt.errors import ConfigError
from ckpt.handlers import JSON, ResultHandler
from ckpt.storage import Storage

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.flows import Flow
    from ckpt.settings import Settings

__all__ = ["Choice", "Decision", "decide"]

log = logging.getLogger("ckpt")


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided for a task, and so for each of its calls."""

    handler: ResultHandler | None
    """What keeps the value; None if it is not kept."""
    level: str
    """Who chose: task, flow, global, storage or parameter; or why nothing keeps it: off, opted out, no handler."""
    fallback: ResultHandler | None = None
    """For a value that `handler` cannot serialize (parameters only)."""
    fallback_level: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for a run; prints as a table."""

    on: bool
    why: str
    """Which setting switched it on or off, in words."""
    calls: Sequence[Call]
    choices: Sequence[Choice]
    """Per call."""

    def counts(self) -> Mapping[str, int]:
        """How many calls each handler keeps, by its `repr`."""
        chosen = Counter(id(choice) for choice in self.choices)
        distinct = {id(choice): choice for choice in self.choices}
        counts: Counter[str] = Counter()
        for key, choice in distinct.items():
            if choice.handler is not None:
                counts[repr(choice.handler)] += chosen[key]
        return counts

    def headline(self) -> str:
        """The decision in one line."""
        if not self.on:
            return f"checkpointing is off: {self.why}"
        kept = ", ".join(f"{handler} keeps {count}" for handler, count in self.counts().items())
        kept = kept or "nothing to keep with"
        unkept = sum(choice.handler is None for choice in self.choices)
        total = len(self.choices)
        rest = f"; {unkept} of {total} task{'s' * (total != 1)} not kept" if unkept else ""
        return f"checkpointing is on: {self.why}; {kept}{rest}"

    def to_dict(self) -> dict[str, JSON]:
        """The decision in plain JSON."""
        return {
            "on": self.on,
            "why": self.why,
            "calls": [
                {"id": call.slug, "handler": repr(c.handler) if c.handler else None, "level": c.level}
                for call, c in zip(self.calls, self.choices, strict=True)
            ],
        }

    def __str__(self) -> str:
        width = max([4, *(len(call.slug) for call in self.calls)])
        level = max([5, *(len(choice.level) for choice in self.choices)])
        lines = [self.headline(), "", f"{'task':<{width}}  {'level':<{level}}  handler"]
        lines += [
            f"{call.slug:<{width}}  {choice.level:<{level}}  {choice.handler or '-'}"
            for call, choice in zip(self.calls, self.choices, strict=True)
        ]
        return "\n".join(lines)


def decide(flow: Flow, settings: Settings, checkpointing: bool | None = None) -> Decision:
    """Choose for each call of `flow`; `checkpointing` is the argument of `Flow.run`.

    Handlers are as they were given; the run makes them ready with `for_run`.

    Raises: `PluginNotFound` with the pip line, `ConfigError` for a setting that cannot be right.
    """
    switch: Any = checkpointing if checkpointing is not None else settings.flows.checkpointing
    said = "flow.run(checkpointing=…)" if checkpointing is not None else _setting(settings, "flows.checkpointing")
    if switch is False:
        return _nothing(flow, f"{said} is false", "off")
    matched, storage = _matched(flow, settings)
    everywhere = [
        (flow.result_handler, "flow"),
        (_named(settings.flows.result_handler, settings), "global"),
        (matched, "storage"),
    ]
    general = next((Choice(handler, level) for handler, level in everywhere if handler is not None), _NO_HANDLER)
    by_task = {id(call.task): _choose(call, general) for call in flow.calls}
    choices = [by_task[id(call.task)] for call in flow.calls]
    if switch is True:
        if general.handler is None and not any(choice.level == "task" for choice in by_task.values()):
            log.warning("checkpointing is on, but there is nothing to keep with: set flows.storage")
        return Decision(True, f"{said} is true", flow.calls, choices)
    if matched is not None:
        return Decision(True, f"{said} is auto, and the storage {storage} has a handler", flow.calls, choices)
    given = sum(choice.level in ("task", "flow", "global") for choice in choices)
    if given:
        log.warning(
            "checkpointing is off: %d task%s a result handler, but %s; "
            "switch it on with the setting flows.checkpointing = true",
            given,
            " has" if given == 1 else "s have",
            "no storage is configured" if storage is None else f"the storage {storage} has none to match",
        )
    why = "no storage is configured" if storage is None else f"{storage} has no handler"
    return _nothing(flow, f"{said} is auto, and {why}", "off")


_NO_HANDLER = Choice(None, "no handler")


def _nothing(flow: Flow, why: str, level: str) -> Decision:
    return Decision(False, why, flow.calls, [Choice(None, level)] * len(flow.calls))


def _choose(call: Call, general: Choice) -> Choice:
    task = call.task
    if not task.checkpoint:
        return Choice(None, "opted out")
    if task.result_handler is not None:
        return Choice(task.result_handler, "task")
    if call.is_parameter:
        return Choice(plugins.handler_class("json")(), "parameter", general.handler, general.level)
    return general


def _matched(flow: Flow, settings: Settings) -> tuple[ResultHandler | None, Storage | None]:
    """The handler that matches the storage, and the storage; None where there is none."""
    given = flow.storage if flow.storage is not None else settings.flows.storage
    if given is None:
        return None, None
    storage = Storage.parse(given) if isinstance(given, str) else given
    return plugins.match(storage, settings), storage


def _named(name: str | None, settings: Settings) -> ResultHandler | None:
    """The global handler: a type name, a URL, or `module:object`."""
    if name is None:
        return None
    module, colon, attribute = name.partition(":")
    if colon and not attribute.startswith("//"):
        try:
            handler = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"flows.result_handler = {name!r}: there is no such object: {error}") from error
        if not isinstance(handler, ResultHandler):
            raise ConfigError(f"flows.result_handler = {name!r} is {handler!r}; it must be a ResultHandler object")
        return handler
    return plugins.match(Storage.parse(name), settings)


def _setting(settings: Settings, name: str) -> str:
    source = settings.setting(name).source
    return name if source == "default" else f"{name} ({source})"
