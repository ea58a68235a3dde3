"""`ckpt runs`: the recorded runs, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json
from ckpt.errors import NotFound
from ckpt.suggestions import did_you_mean
from ckpt_ledger.cli.figures import Moment, moment, seconds_between, span
from ckpt_ledger.cli.items import run_item
from ckpt_ledger.cli.listing import Column, cell, show_columns
from ckpt_ledger.cli.names import complete_flow, known_flows
from ckpt_ledger.looking import is_recording, open_ledger
from ckpt_ledger.sql.run_rows import STATES

if TYPE_CHECKING:
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["ended_or_seen", "runs"]

_SHOWN = 20


@click.command(short_help="List the recorded runs.")
@click.option("--flow", metavar="NAME", shell_complete=complete_flow, help="Runs of this flow.")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="Runs in this state.")
@click.option("--since", metavar="WHEN", type=Moment(), help="Runs that started then or later.")
@click.option("--until", metavar="WHEN", type=Moment(is_end=True), help="Runs that started before; a day counts whole.")
@click.option("--name", metavar="NAME", help="Runs that bear this name.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=_SHOWN, show_default=True,
    help="So many at most; 0 for all of them.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, with all that is known of each run.")
@debug_option
def runs(
    flow: str | None,
    state: str | None,
    since: datetime | None,
    until: datetime | None,
    name: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the recorded runs, newest first.

    WHEN is a date, a date with a time, today, yesterday, or how long ago: 90m, 24h, 7d, 2w. A run that has not ended
    is Running, or Lost if nothing has been heard of it for a while.

    \b
    Examples:
      ckpt runs
      ckpt runs --flow weather --state failed --since 7d
      ckpt runs --since 2026-11-01 --until 2026-11-22 --limit 0 --json
    """
    try:
        ledger = open_ledger()
    except NotFound:
        show_json([]) if as_json else _say(_nothing())
        return
    # One more than is shown tells whether there are more.
    found = ledger.runs(flow=flow, state=state, since=since, until=until, name=name, limit=limit + 1 if limit else None)
    rows = found[:limit] if limit else found
    if as_json:
        show_json([run_item(row) for row in rows])
    elif rows:
        _show(rows)
        if len(found) > len(rows) and console().is_terminal:
            _say(f"\nThere are more: --limit {10 * limit}, or --flow, --state, --since, --until, --name.")
    elif not (flow or state or since or until or name):
        _say(_nothing())
    else:
        flows = known_flows(ledger)
        hint = f" There is no flow {flow!r}: {did_you_mean(flow, flows)}" if flow and flow not in flows else ""
        _say(f"No run is like that.{hint}")


def ended_or_seen(row: RunRow) -> datetime:
    """When a run ended, or the last moment that is known of one that has not."""
    return row.ended or (datetime.now(UTC) if row.is_alive else row.heartbeat)


def _nothing() -> str:
    if not is_recording():
        return "No run has been recorded, and none will be: recording is switched off by the setting ledger.enabled."
    return "No run has been recorded yet. To record one:  ckpt run flow.py"


def _show(rows: Sequence[RunRow]) -> None:
    show_columns(
        [
            Column("run", [row.id for row in rows]),
            Column("name", [row.name or "" for row in rows], least=10),
            Column("flow", [row.flow for row in rows], least=12, spare=1),
            Column("state", [cell(row.state, row.state) for row in rows]),
            Column("started", [moment(row.started) for row in rows], spare=5),
            Column(
                "took", [span(seconds_between(row.started, ended_or_seen(row))) for row in rows], spare=2,
                is_number=True,
            ),
            Column("tasks", [str(row.tasks) for row in rows], spare=4, is_number=True),
            Column("failed", [str(row.failed or "") for row in rows], spare=3, is_number=True),
        ]
    )  # fmt: skip


def _say(text: str) -> None:
    console().print(printable(text), soft_wrap=True)
