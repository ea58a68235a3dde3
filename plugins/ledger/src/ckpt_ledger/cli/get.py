"""`ckpt get`: the value of a task run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ckpt.cli.command import debug_option
from ckpt.cli.read import bytes_of, save
from ckpt.cli.read import show as show_value
from ckpt.errors import NotFound
from ckpt_ledger.cli.names import complete_run, complete_task
from ckpt_ledger.looking import open_ledger
from ckpt_ledger.telling import telling

if TYPE_CHECKING:
    from ckpt.task_records import TaskRecord

__all__ = ["get"]

_READERS = 16
"""Threads that read the values of a mapped call."""


@click.command(short_help="Show the value of a task run.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("task", metavar="TASK", shell_complete=complete_task)
@click.option("--raw", is_flag=True, help="The bytes as they are kept, verified, to stdout; nothing is unpickled.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="The verified bytes into FILE.")
@debug_option
def get(run: str, task: str, raw: bool, output: str | None) -> None:
    """Show the value of TASK in RUN, as `ckpt read` does.

    RUN is an id, a unique prefix of one, a name, or last; TASK a call, the name of a task with one call, or call[i].
    A mapped call gives the list of its children's values. A value must be the one that the run kept, by size and
    digest. Making it can run code that its author chose, as with every pickle: get only what you or people you trust
    have computed.

    \b
    Examples:
      ckpt get last total
      ckpt get good 'clean-1[25]'
      ckpt get last clean -o clean.ckpt      then, without ckpt: pickle.load(open("clean.ckpt", "rb"))
    """
    ledger = open_ledger()
    record = ledger.task(ledger.find(run).id, task)
    if not raw and output is None:
        is_mapped = record.safe is None and record.children is not None
        show_value(_values(ledger.children(record.run, record.call.slug)) if is_mapped else _value(record))
        return
    if record.safe is None:
        raise _nothing(record)
    with _telling(record):
        data = bytes_of(record.safe)
        record.safe.result_handler.verify(record.safe)
    if output is not None:
        save(data, Path(output))
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _values(records: Sequence[TaskRecord]) -> list[object]:
    """The values of the children of a mapped call; several are read at once."""
    for record in records:
        if record.safe is None:
            raise _nothing(record)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="ckpt-reader") as readers:
        try:
            return list(readers.map(_value, records))
        except BaseException:
            readers.shutdown(cancel_futures=True)
            raise


def _value(record: TaskRecord) -> object:
    if record.safe is None:
        raise _nothing(record)
    with _telling(record):
        return record.safe.read()


def _nothing(record: TaskRecord) -> NotFound:
    return NotFound(f"{record.call} of run {record.run} has no value: {_why(record)}")


def _why(record: TaskRecord) -> str:
    """Why there is no value, and what to do about it."""
    if record.children is not None:
        if not record.children:
            return "it was mapped over nothing"
        return f"its {record.children} children have one each; the first:  ckpt get {record.run} '{record.call}[0]'"
    if record.state not in ("Success", "Cached"):
        said = f" ({record.message})" if record.message else ""
        return f"it ended {record.state}{said};  ckpt show {record.run} '{record.call}'"
    if record.outcome == "opted out":
        return "its task has checkpoint=False or gave a Secret; without checkpoint=False the next run keeps it"
    if record.outcome == "off":
        return "checkpointing was off or it had no handler;  ckpt explain FILE  says what the next run would keep"
    return f"{record.outcome or 'none was kept'};  ckpt show {record.run} '{record.call}'"


def _telling(record: TaskRecord) -> AbstractContextManager[None]:
    """An error of a value says whose value it is."""
    return telling(f"the value of {record.call} of run {record.run}")
