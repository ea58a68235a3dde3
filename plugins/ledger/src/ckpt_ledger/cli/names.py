"""RUN and TASK on the command line: what a shell may complete where a run or a task run is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

from ckpt.errors import CkptError
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from click import Context, Parameter

    from ckpt_ledger.ledger import SQLLedger

__all__ = ["complete_flow", "complete_run", "complete_task", "known_flows"]

_RUNS = 500
"""Of so many runs the flows are offered."""


def complete_run(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """`last`, then the names and ids of the newest runs."""
    found = {"last": "the newest run"}
    try:
        newest = open_ledger().overviews.known(incomplete)
    except CkptError:
        newest = []
    for run in newest:
        said = f"{run.flow}, {run.state or 'no final state'}, {run.started.astimezone():%Y-%m-%d %H:%M}"
        if run.name and run.name.startswith(incomplete):
            found.setdefault(run.name, said)
        if run.id.startswith(incomplete) and (incomplete or not run.name):
            found[run.id] = said
    return [CompletionItem(name, help=said) for name, said in found.items() if name.startswith(incomplete)]


def complete_task(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """The calls of the run that stands before; the children of a call that is followed by a bracket."""
    # click gives up on an option without its value before it comes to the arguments; of two runs the second one counts.
    run = ctx.params.get("right") or ctx.params.get("run") or next(reversed(ctx.args), None)
    if not isinstance(run, str):
        return []
    try:
        ledger = open_ledger()
        records = ledger.tasks(ledger.find(run).id, summaries=False, children="[" in incomplete)
    except CkptError:
        return []
    named = [(str(each.call), each.state) for each in records]
    return [CompletionItem(name, help=state) for name, state in named if name.startswith(incomplete)]


def complete_flow(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """The flows of the newest runs."""
    try:
        flows = known_flows(open_ledger())
    except CkptError:
        return []
    return [CompletionItem(flow) for flow in flows if flow.startswith(incomplete)]


def known_flows(ledger: SQLLedger) -> list[str]:
    """The flows of the newest runs, each once."""
    return list(dict.fromkeys(run.flow for run in ledger.overviews.known(limit=_RUNS)))
