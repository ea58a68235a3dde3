"""The record of runs in SQL: `SQLLedger`, and what a person asks of it from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckpt import Ledger, hookimpl
from ckpt_ledger.ledger import SQLLedger
from ckpt_ledger.looking import KeptRun, KeptTask, inputs, open_ledger, run, runs
from ckpt_ledger.settings import LedgerSettings
from ckpt_ledger.sql.run_rows import Reference, RunRow

if TYPE_CHECKING:
    import click

__all__ = [
    "KeptRun",
    "KeptTask",
    "LedgerSettings",
    "Reference",
    "RunRow",
    "SQLLedger",
    "inputs",
    "open_ledger",
    "run",
    "runs",
]


@hookimpl
def ckpt_ledgers() -> list[type[Ledger]]:
    """The ledgers of this distribution."""
    return [SQLLedger]


@hookimpl
def ckpt_settings() -> list[type]:
    """What may stand in the section `[ledger]`."""
    return [LedgerSettings]


@hookimpl
def ckpt_commands() -> list[click.Command]:
    """The commands of this distribution."""
    from ckpt_ledger.cli.diff import diff
    from ckpt_ledger.cli.du import du
    from ckpt_ledger.cli.gc import gc
    from ckpt_ledger.cli.get import get
    from ckpt_ledger.cli.log import log
    from ckpt_ledger.cli.name import name
    from ckpt_ledger.cli.replay import replay
    from ckpt_ledger.cli.runs import runs
    from ckpt_ledger.cli.show import show
    from ckpt_ledger.cli.verify import verify
    from ckpt_ledger.cli.why import why

    return [runs, show, get, log, name, diff, why, du, replay, gc, verify]
