"""`ckpt log`: what the tasks of a run logged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.text import Text

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json
from ckpt_ledger.cli.figures import iso
from ckpt_ledger.cli.names import complete_run, complete_task
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from ckpt.task_records import LogLine
    from ckpt_ledger.ledger import SQLLedger

__all__ = ["log"]

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}


@click.command(short_help="Print what tasks logged.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("task", metavar="[TASK]", required=False, shell_complete=complete_task)
@click.option("--level", type=click.Choice(_LEVELS, case_sensitive=False), help="Messages of this level and above.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def log(run: str, task: str | None, level: str | None, as_json: bool) -> None:
    """Print the messages that the tasks of RUN logged through ckpt.get_logger(), or TASK alone, in the order of time.

    RUN is an id, a unique prefix of one, a name, or last; TASK a call, with its children if it was mapped, the name of
    a task with one call, or call[i].

    \b
    Examples:
      ckpt log last
      ckpt log last clean --level warning
    """
    ledger = open_ledger()
    row = ledger.find(run)
    lines = ledger.logs(row.id)
    if task is not None:
        lines = _of_task(ledger, row.id, task, lines)
    least = logging.getLevelNamesMapping()[level] if level else 0
    lines = [line for line in lines if _number(line.level) >= least]
    if as_json:
        show_json([_item(number, line) for number, line in enumerate(lines)])
    elif lines:
        _show(lines)
    else:
        of = f" of {task}" if task else ""
        above = f" at {level} or above" if level else ""
        console(stderr=True).print(
            printable(f"Nothing{of} was logged in run {row.id}{above}. A task logs with ckpt.get_logger().info(…)."),
            soft_wrap=True,
        )


def _of_task(ledger: SQLLedger, run: str, text: str, lines: Sequence[LogLine]) -> list[LogLine]:
    # A task run that goes on has messages, and no row yet.
    found = [line for line in lines if text in (line.call.slug, str(line.call))]
    if found:
        return found
    call = ledger.task(run, text).call
    return [line for line in lines if line.call == call or (call.map_index is None and line.call.slug == call.slug)]


def _number(level: str) -> int:
    """A level as a number; one of a person's own counts as INFO."""
    return logging.getLevelNamesMapping().get(level, logging.INFO)


def _item(number: int, line: LogLine) -> dict[str, object]:
    return {
        "id": number,
        "run": line.run,
        "call": str(line.call),
        "attempt": line.attempt,
        "at": iso(line.at),
        "level": line.level,
        "message": line.message,
    }


def _show(lines: Sequence[LogLine]) -> None:
    to = console()
    days = {line.at.astimezone().date() for line in lines}
    clock = "%H:%M:%S" if len(days) == 1 and to.is_terminal else "%Y-%m-%d %H:%M:%S"
    for line in lines:
        attempt = f" (attempt {line.attempt})" if line.attempt > 1 else ""
        level = Text(f"{line.level:<7}", style=_COLOURS.get(line.level, ""))
        head = f"{line.at.astimezone():{clock}} "
        to.print(
            Text.assemble(head, level, f" {printable(line.call)}{attempt}: {printable(line.message)}"), soft_wrap=True
        )
