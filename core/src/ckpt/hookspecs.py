"""What a plugin can bring, as hooks. An implementation is marked `@ckpt.hookimpl`.

The first six return classes (commands: objects) and never do work: each is called once per process, when
somebody asks for that kind of thing. The three events are told during a run; an implementation may leave
arguments out but not rename them. One that raises is reported once and not asked again.

`ckpt.registry` marks these methods for pluggy when it makes the manager, so that reading them needs no pluggy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from click import Command

    from ckpt.engine.plans import RunFacts
    from ckpt.executors import Executor
    from ckpt.handlers import ResultHandler
    from ckpt.ledgers import Ledger
    from ckpt.serializers import Serializer
    from ckpt.states import State
    from ckpt.task_records import TaskRecord

__all__ = ["HookSpecs"]


class HookSpecs(Protocol):
    """The hooks of ckpt."""

    def ckpt_result_handlers(self) -> list[type[ResultHandler]]:
        """Classes that keep values, each for one `storage_type` and the URL `schemes` it serves."""
        ...

    def ckpt_serializers(self) -> list[type[Serializer]]:
        """Classes that turn values into bytes, each under its `name`."""
        ...

    def ckpt_executors(self) -> list[type[Executor]]:
        """Classes that run tasks, each under its `name`."""
        ...

    def ckpt_ledgers(self) -> list[type[Ledger]]:
        """Classes that keep the record of runs."""
        ...

    def ckpt_commands(self) -> list[Command]:
        """Commands that the `ckpt` command shows beside its own."""
        ...

    def ckpt_settings(self) -> list[type]:
        """One class whose `__init__` takes, with annotations, the keys of the section named like the entry point."""
        ...

    def ckpt_run_started(self, run: RunFacts) -> None:
        """A run has begun; told in the thread of the flow, before its first task."""
        ...

    def ckpt_task_changed(self, run: RunFacts, record: TaskRecord) -> None:
        """A task run has reached a new state: Success only once its value is kept."""
        ...

    def ckpt_run_ended(self, run: RunFacts, state: State) -> None:
        """The run is over and its final state is known."""
        ...
