"""`ckpt explain`: what a run would keep, where, and who decided it."""

from __future__ import annotations

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json, show_table
from ckpt.cli.targets import complete_storage, target_argument
from ckpt.loading import load_flow
from ckpt.storage import Storage

__all__ = ["explain"]


@click.command(short_help="Say what would be kept, where, and who chose it.")
@target_argument
@click.option("--storage", metavar="TYPE|URL", shell_complete=complete_storage, help="As if run with this storage.")
@click.option("--checkpointing/--no-checkpointing", default=None, help="As if run with this switch.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON.")
@debug_option
def explain(target: str, storage: str | None, checkpointing: bool | None, as_json: bool) -> None:
    """Say which handler would keep each task's value, and who chose it.

    The level is where the choice was made: task, flow, global (the setting flows.result_handler) or storage; a
    parameter is kept as JSON. Nothing is run and nothing is written.

    \b
    Examples:
      ckpt explain flow.py
      ckpt explain flow.py:nightly --storage s3://bucket/prefix
    """
    flow = load_flow(target).flow
    if storage is not None:
        flow.storage = Storage.parse(storage)
    decision = flow.explain(checkpointing=checkpointing)
    if as_json:
        show_json(decision.to_dict())
        return
    console().print(printable(f"{flow.name}: {decision.headline()}\n"), soft_wrap=True)
    decided = zip(decision.calls, decision.choices, strict=True)
    rows = [(call.slug, repr(each.handler) if each.handler else "-", each.level) for call, each in decided]
    show_table(("task", "handler", "level"), rows)
