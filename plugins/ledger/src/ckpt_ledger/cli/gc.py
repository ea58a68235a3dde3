"""`ckpt gc`: delete the values and rows of old runs."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json, show_table, size
from ckpt.errors import ConfigError
from ckpt.suggestions import did_you_mean
from ckpt_ledger.cli.counting import counting
from ckpt_ledger.cli.names import complete_flow, known_flows
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from click import Context, Parameter

    from ckpt_ledger.care.cleaning import Cleaned, Part

__all__ = ["gc"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([smhdw])")
_SHOWN = 20


def _span(context: Context, parameter: Parameter, text: str) -> timedelta:
    """`30d` as a length of time."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no length of time: write 30d, 12h, 90m, 45s or 2w", context, parameter)
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


@click.command(short_help="Delete the values and rows of old runs.")
@click.option("--older-than", metavar="SPAN", callback=_span, default="30d", show_default=True, help="30d, 12h, 2w, …")
@click.option(
    "--keep-last", metavar="N", type=click.IntRange(min=0), default=10, show_default=True,
    help="How many of the newest runs of each flow stay, whatever their age.",
)  # fmt: skip
@click.option("--flow", metavar="NAME", shell_complete=complete_flow, help="Only runs of this flow.")
@click.option(
    "--grace", metavar="SPAN", callback=_span, default="1d", show_default=True,
    help="How old an object that no row refers to has to be.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as a list of objects.")
@debug_option
def gc(
    older_than: timedelta, keep_last: int, flow: str | None, grace: timedelta, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Delete the runs that are older than --older-than and not among the last --keep-last of their flow.

    With their values goes what no row refers to at the places of all runs of this ledger, after --grace. A run with a
    name stays, one in progress, and one that a run which has not ended goes on from; of a run that goes, the values
    stay that a later run has taken, or that tasks with `cache` may still reuse. What another ledger has written in the
    same bucket is left alone. An age counts from a run's last sign of life.

    Asks before it deletes; without a terminal it needs --yes. What is interrupted, the next gc finishes.

    Ends with 0, or with 1 when something could not be deleted.

    \b
    Examples:
      ckpt gc --dry-run
      ckpt gc --older-than 7d --keep-last 3 --flow nightly
      ckpt gc --yes                                  from cron
    """
    is_asked = not dry_run and not yes
    if is_asked and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("nobody is here to be asked: --yes deletes, --dry-run says what would go")
    from ckpt_ledger.care.cleaning import Cleaning, Policy  # and SQLAlchemy, which other commands need not wait for

    ledger = open_ledger()
    policy = Policy(older_than, keep_last, flow, grace)
    with counting("looked at") as seen:
        plan = Cleaning(ledger, policy, seen).plan()
    if flow is not None and not ledger.runs(flow=flow, limit=1) and all(run.flow != flow for run in plan.runs):
        raise ConfigError(f"no run of a flow {flow!r} is recorded: {did_you_mean(flow, known_flows(ledger))}")
    if dry_run or is_asked:
        _show(plan, "would go", as_json=as_json and dry_run, to_stderr=is_asked)
    if dry_run or (plan.is_nothing and not plan.problems):
        if not (dry_run or is_asked):
            _show(plan, "went", as_json=as_json)
        return int(bool(plan.problems))
    if is_asked and not click.confirm("Delete it?", err=True):
        return 1
    with counting("cleaned") as seen:
        done = Cleaning(ledger, policy, seen).clean(plan)
    _show(done, "went", as_json=as_json)
    return int(bool(done.problems))


def _show(cleaned: Cleaned, verb: str, *, as_json: bool, to_stderr: bool = False) -> None:
    for each in cleaned.problems:
        console(stderr=True).print(printable(f"error: left alone: {each}"), soft_wrap=True)
    if as_json:
        show_json(_items(cleaned, verb))
        return
    to = console(stderr=to_stderr)
    rows = [
        (run.id, run.flow, f"{run.started:%Y-%m-%d %H:%M}", *_amount(cleaned.of(run.id)))
        for run in cleaned.runs[:_SHOWN]
    ]
    if rows:
        show_table(("run", "flow", "started", "objects", "size"), rows, to=to)
    if len(cleaned.runs) > _SHOWN:
        to.print(f"… and {len(cleaned.runs) - _SHOWN} more runs")
    orphans = cleaned.unreferred
    total = cleaned.total
    to.print(f"{verb}: {_count(len(cleaned.runs), 'run')}, {_said(total)}", soft_wrap=True)
    if orphans.objects:
        to.print(f"among them of runs that stay, and referred to by no row: {_said(orphans)}", soft_wrap=True)
    for left, why in (
        (cleaned.young, "no row refers to them, and they are younger than --grace"),
        (cleaned.foreign, "foreign: written by no run of this ledger"),
    ):
        if left.objects:
            to.print(f"left alone: {_said(left)}; {why}", soft_wrap=True)
    if cleaned.named:
        to.print(f"left alone: {_count(cleaned.named, 'old run')} with a name", soft_wrap=True)


def _items(cleaned: Cleaned, verb: str) -> list[dict[str, object]]:
    """The runs that go, those that lose orphans, and what is foreign, each with its objects and bytes."""
    items: list[dict[str, object]] = [_item(run.id, verb, cleaned.of(run.id), flow=run.flow) for run in cleaned.runs]
    items += [_item(run, "orphans", part) for run, part in cleaned.orphans.items()]
    if cleaned.foreign.objects:
        items.append(_item("foreign", "left alone", cleaned.foreign))
    if cleaned.young.objects:
        items.append(_item("young", "left alone", cleaned.young))
    return items


def _item(what: str, kind: str, part: Part, **more: object) -> dict[str, object]:
    return {"id": what, "what": kind, **more, "objects": part.objects, "bytes": part.bytes}


def _amount(part: Part) -> tuple[str, str]:
    return str(part.objects), size(part.bytes)


def _said(part: Part) -> str:
    return f"{_count(part.objects, 'object')}, {size(part.bytes)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
