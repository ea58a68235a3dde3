"""`ckpt name`: a name for a run."""

from __future__ import annotations

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable
from ckpt_ledger.cli.names import complete_run
from ckpt_ledger.looking import open_ledger

__all__ = ["name"]


@click.command(short_help="Name a run.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--remove", is_flag=True, help="Take the run's name away.")
@debug_option
def name(run: str, name: str | None, remove: bool) -> None:
    """Name RUN, so that NAME can stand wherever a run is asked for.

    RUN is an id, a unique prefix of one, a name, or last. Several runs may bear one name: it means the newest of them.

    \b
    Examples:
      ckpt name last good
      ckpt name good --remove
    """
    if remove == (name is not None):
        raise click.UsageError("give a NAME, or --remove")
    ledger = open_ledger()
    row = ledger.find(run)
    ledger.rename(row.id, name)
    if name is None:
        said = f"run {row.id} was {row.name}, and has no name now" if row.name else f"run {row.id} had no name"
    else:
        said = f"run {row.id} is {name} now"
        newest = ledger.find(name)
        if newest.id != row.id:
            said += f"; but {name} means the newest run that bears it, which is {newest.id}"
    console().print(printable(said), soft_wrap=True)
