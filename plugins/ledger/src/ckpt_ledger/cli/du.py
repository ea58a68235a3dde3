"""`ckpt du`: how much is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json, size
from ckpt.errors import NotFound
from ckpt.suggestions import did_you_mean
from ckpt_ledger.cli.listing import Column, show_columns
from ckpt_ledger.cli.names import complete_flow, complete_run
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from ckpt_ledger.ledger import SQLLedger
    from ckpt_ledger.sql.usage import Usage

__all__ = ["du"]


@click.command(short_help="Say how much is kept, and of what.")
@click.argument("run", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--flow", metavar="NAME", shell_complete=complete_flow, help="Each run of this flow.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def du(run: str | None, flow: str | None, as_json: bool) -> None:
    """Say how many objects and bytes are kept for each flow; with --flow for each of its runs; for each task of RUN.

    RUN is an id, a unique prefix of one, a name, or last. This is what the ledger says; no storage is asked. A value
    that was taken from another run counts there, and a value that stands in the ledger itself, as most parameters do,
    is no object.

    \b
    Examples:
      ckpt du
      ckpt du --flow weather
      ckpt du last
    """
    if run is not None and flow is not None:
        raise click.UsageError("RUN shows its tasks, --flow its runs: take one of them")
    ledger = open_ledger()
    if run is not None:
        what, found = "task", ledger.usage.of_calls(ledger.find(run).id)
    elif flow is not None:
        what, found = "run", _runs(ledger, flow)
    else:
        what, found = "flow", ledger.usage.of_flows()
    if as_json:
        show_json([_item(each, what) for each in found])
    elif found:
        _show(what, found)
    else:
        console().print("Nothing has been recorded yet.")


def _runs(ledger: SQLLedger, flow: str) -> list[Usage]:
    found = ledger.usage.of_runs(flow)
    if not found:
        known = did_you_mean(flow, [each.name for each in ledger.usage.of_flows()])
        raise NotFound(f"no run of flow {flow!r} has been recorded in {ledger.shown}: {known}")
    return found


def _item(usage: Usage, what: str) -> dict[str, object]:
    runs = {"runs": usage.runs} if what == "flow" else {}
    return {"id": usage.name, **runs, "objects": usage.objects, "bytes": usage.size}


def _show(what: str, found: Sequence[Usage]) -> None:
    names = [each.name for each in found]
    columns = [
        Column(what, names, least=12),
        Column("runs", [str(each.runs) for each in found] if what == "flow" else [], is_number=True),
        Column("objects", [str(each.objects) for each in found], is_number=True),
        Column("size", [size(each.size) for each in found], is_number=True),
    ]
    show_columns([column for column in columns if column.cells])
    if len(found) > 1 and console().is_terminal:
        objects, total = sum(each.objects for each in found), sum(each.size for each in found)
        console().print(printable(f"\n{objects} objects, {size(total)} in all"), soft_wrap=True)
