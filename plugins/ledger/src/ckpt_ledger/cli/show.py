"""`ckpt show`: a run with its task runs, or all that is known of one task run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import show_json
from ckpt_ledger.cli.items import task_item
from ckpt_ledger.cli.names import complete_run, complete_task
from ckpt_ledger.cli.run_page import show_run
from ckpt_ledger.cli.task_page import show_task
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from ckpt.calls import CallPath

__all__ = ["show"]


@click.command(short_help="Show a run, or one of its task runs.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("task", metavar="[TASK]", required=False, shell_complete=complete_task)
@click.option("--children", is_flag=True, help="Show each child of a mapped call in a line of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of task runs, with all that is known of each.")
@debug_option
def show(run: str, task: str | None, children: bool, as_json: bool) -> None:
    """Show RUN with its task runs, or all that is known of TASK in it.

    RUN is an id, a unique prefix of one, a name, or last; TASK a call, the name of a task with one call, or call[i].
    What a value looks like was written down when it was kept: no value is read for this.

    \b
    Examples:
      ckpt show last
      ckpt show last --children
      ckpt show good clean-1
      ckpt show last --json | jq -r '.[] | select(.state == "Failed") | .id'
    """
    if task is not None and children:
        raise click.UsageError("--children unfolds a run's table: leave TASK or --children out")
    ledger = open_ledger()
    row = ledger.find(run)
    if task is None:
        records = ledger.overviews.with_summaries(ledger.tasks(row.id, children=children))
        counts = ledger.overviews.children(row.id)
        if not as_json:
            show_run(row, records, counts, unfold=children)
            return
    else:
        [record] = records = ledger.overviews.with_summaries([ledger.task(row.id, task)])
        counts = ledger.overviews.children(row.id) if record.children is not None else []
        if not as_json:
            sources = {call for given in record.inputs.values() for call, _ in given}
            known = ledger.overviews.with_summaries(ledger.tasks(row.id, children=any(map(_is_child, sources))))
            made = {each.call: each for each in known if each.call in sources}
            show_task(row, record, made, [each for each in counts if each.slug == record.call.slug])
            return
    states: dict[str, dict[str, int]] = {}
    for each in counts:
        states.setdefault(each.slug, {})[each.state] = each.count
    show_json(
        [task_item(each, states.get(each.call.slug) if each.call.map_index is None else None) for each in records]
    )


def _is_child(call: CallPath | None) -> bool:
    return call is not None and call.map_index is not None
