"""RUN and TASK on the command line: what a shell may complete where a run or a task run is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

from ckpt.errors import CkptError
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from click import Context, Parameter

__all__ = ["complete_flow", "complete_run", "complete_task"]


def complete_run(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """`last`, then the names and ids of the newest runs."""
    found = {"last": "the newest run"}
    try:
        newest = open_ledger().runs(limit=50)
    except CkptError:
        newest = []
    for run in newest:
        found.setdefault(run.name or run.id, f"{run.flow}, {run.state}, {run.started.astimezone():%Y-%m-%d %H:%M}")
    found |= {run.id: f"{run.flow}, {run.state}" for run in newest if incomplete and run.id.startswith(incomplete)}
    return [CompletionItem(name, help=said) for name, said in found.items() if name.startswith(incomplete)]


def complete_task(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """The calls of the run that stands before; the children of a call that is followed by a bracket."""
    # click gives up on an option without its value before it comes to the arguments.
    run = ctx.params.get("run") or next(iter(ctx.args), None)
    if not isinstance(run, str):
        return []
    try:
        ledger = open_ledger()
        records = ledger.tasks(ledger.find(run).id, summaries=False)
    except CkptError:
        return []
    named = [each for each in records if each.call.map_index is None or "[" in incomplete]
    return [CompletionItem(str(each.call), help=each.state) for each in named if str(each.call).startswith(incomplete)]


def complete_flow(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """The flows of the newest runs."""
    try:
        newest = open_ledger().runs(limit=500)
    except CkptError:
        return []
    return [CompletionItem(flow) for flow in sorted({each.flow for each in newest}) if flow.startswith(incomplete)]
