"""`ckpt verify`: is everything that was kept there, and whole?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ckpt.cli.command import as_usage, debug_option
from ckpt.cli.output import console, printable, show_json, size
from ckpt_ledger.cli.counting import counting
from ckpt_ledger.cli.listing import Column, cell, show_columns
from ckpt_ledger.cli.names import complete_run
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from click import Context, Parameter

    from ckpt_ledger.care.verification import Finding, Verification

__all__ = ["verify"]

WRONG = 1
NOT_LOOKED = 2


def _share(context: Context, parameter: Parameter, text: str) -> float:
    """`5%` as 0.05."""
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not text.strip().endswith("%") or not 0 <= share <= 1:
        raise click.BadParameter(f"{text!r} is no share: 5% for a sample, 100% for everything", context, parameter)
    return share


@click.command(short_help="Look whether everything that was kept is there.")
@click.argument("run", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help="Every run of the ledger.")
@click.option(
    "--read-data", metavar="SHARE", callback=_share, default="0%",
    help="Also read so much of it, chosen at random, and verify its digest: 5%, or 100% for everything.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as a list of objects.")
@debug_option
def verify(run: str | None, everything: bool, read_data: float, as_json: bool) -> int:
    """Look whether every object that RUN refers to is there and has its size; with --all, those of every run.

    RUN is an id, a unique prefix of one, a name, or last. Only heads are asked for, unless --read-data says how much to
    read as well: other bytes of the same length are found by reading alone. Nothing is unpickled.

    Objects at the places of the runs that no row refers to are listed as orphans, and with --all what another ledger
    has written beside them as foreign. Neither is wrong: `ckpt gc` deletes orphans, and nothing deletes the others.

    Ends with 0 when all is there, 1 when something is missing or damaged, 2 when it could not look.

    \b
    Examples:
      ckpt verify last
      ckpt verify --all --read-data=5%
      ckpt verify --all --json | jq '.[] | select(.finding == "missing")'
    """
    if (run is None) == (not everything):
        raise click.UsageError("say which: ckpt verify RUN, or ckpt verify --all")
    from ckpt_ledger.care.verification import Verification  # and SQLAlchemy, which other commands need not wait for

    with as_usage():  # for 1 means that something is wrong
        ledger = open_ledger()
        which = None if run is None else ledger.find(run).id
        with counting("looked at") as seen:
            verification = Verification(ledger, which, data=read_data, seen=seen)
            found = list(verification.findings())
    if as_json:
        show_json([_item(each) for each in found])
    else:
        _show(found, verification)
    if any(each.is_wrong for each in found):
        return WRONG
    return NOT_LOOKED if any(each.kind == "not looked at" for each in found) else 0


def _item(found: Finding) -> dict[str, object]:
    facts = asdict(found)
    return {"id": found.id, "finding": facts.pop("kind"), **facts}


def _show(found: list[Finding], verification: Verification) -> None:
    counts = Counter(each.kind for each in found)
    told = [each for each in found if each.kind != "foreign"]
    if told:
        columns = [
            Column("finding", [cell(each.kind) for each in told]),
            Column("run", [cell(each.run or "") for each in told]),
            Column("call", [cell(each.call or "") for each in told], least=8, keeps_end=True),
            Column("location", [cell(each.location) for each in told], least=16, keeps_end=True, spare=1),
            Column("what", [cell(each.message) for each in told], least=24),
        ]
        show_columns(columns)
    wrong = sum(each.is_wrong for each in found)
    said = [f"{verification.objects} references", f"{verification.read} of them read"]
    said.append(f"{wrong} wrong" if wrong else "nothing wrong")
    for kind in ("not looked at", "orphan", "foreign"):
        if counts[kind]:
            amount = sum(each.size or 0 for each in found if each.kind == kind)
            said.append(f"{counts[kind]} {kind}" + (f" ({size(amount)})" if amount else ""))
    console().print(printable(", ".join(said)), soft_wrap=True)
