"""`ckpt diff`: where two runs begin to differ, how, and why they could."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ckpt.cli.command import as_usage, debug_option
from ckpt.cli.output import console, printable, show_json, size
from ckpt_ledger.cli.difference_page import show_difference
from ckpt_ledger.cli.names import complete_run, complete_task
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from rich.status import Status

    from ckpt_ledger.compare.pairs import Pair
    from ckpt_ledger.compare.run_differences import Progress, RunDifference

__all__ = ["diff"]

DIFFERENT = 1
TROUBLE = 2

_ERRORS = 20


@click.command(short_help="Show where two runs begin to differ, and how.")
@click.argument("run", metavar="RUN1", shell_complete=complete_run)
@click.argument("other", metavar="RUN2", shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help="Compare every value whose digest differs, downstream as well.")
@click.option(
    "--task", metavar="TASK", shell_complete=complete_task, help="Compare only the values of this task or call."
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of task runs, each with its verdict.")
@debug_option
def diff(run: str, other: str, everything: bool, task: str | None, as_json: bool) -> int:
    """Show where RUN2 begins to differ from RUN1, how, and what changed that could be the cause.

    RUN is an id, a unique prefix of one, a name, or last. Task runs are found again although calls were renumbered
    or elements inserted. Values with equal digests are equal, and none of them is read. Of the others only those are
    read and compared where a difference can have begun: all that they took is the same in both runs. The verdicts are
    same, same value (in other bytes), different, not compared, only left, only right.

    Reading a value makes it, which can run code that its author chose, as with every pickle.

    Ends with 0 when nothing differs, 1 when something does, 2 when a value could not be read, there was nothing to
    compare, or a run was not found.

    \b
    Examples:
      ckpt diff good last
      ckpt diff good bad --task clean
      ckpt diff good bad --json | jq '.[] | select(.verdict == "different")'
    """
    if everything and task is not None:
        raise click.UsageError("--all compares everything, --task one task: take one of them")
    from ckpt_ledger.compare.run_differences import diff_runs

    with as_usage():  # for 1 means that the runs differ
        ledger = open_ledger()
        runs = ledger.find(run), ledger.find(other)
        with _progress() as progress:
            found = diff_runs(ledger, *runs, everything=everything, task=task, progress=progress)
    if as_json:
        show_json(_items(found))
    else:
        show_difference(found, (run, other), task=task)
    to = console(stderr=True)
    for each in found.errors[:_ERRORS]:
        to.print(printable(f"error: not compared: {each.error}"), soft_wrap=True)
    if len(found.errors) > _ERRORS:
        to.print(f"error: {len(found.errors) - _ERRORS:,} more values could not be read: --json names all of them")
    return TROUBLE if found.is_unknown else DIFFERENT if found.differing else 0


def _items(found: RunDifference) -> list[dict[str, object]]:
    """Each with an id of its own: two unlike task runs may bear one name, one in each run."""
    taken = {str(each.pair.right.call) for each in found.items if each.pair.right is not None}
    items: list[dict[str, object]] = []
    for each in found.items:
        item: dict[str, object] = dict(each.to_dict())
        if each.pair.right is None and str(each.pair.call) in taken:
            item["id"] = f"{each.pair.call} (left)"
        items.append(item)
    return items


@contextmanager
def _progress() -> Iterator[Progress]:
    """Say on a terminal what is read; nothing where nothing is."""
    to = console(stderr=True)
    status: Status | None = None
    count = 0

    def say(pair: Pair) -> None:
        nonlocal status, count
        count += 1
        if not to.is_terminal:
            return
        if status is None:
            status = to.status("")
            status.start()
        bytes_ = sum(each.safe.size or 0 for each in (pair.left, pair.right) if each is not None and each.safe)
        status.update(printable(f"comparing values: {count}, now {pair.call}, {size(bytes_)}"))

    try:
        yield say
    finally:
        if status is not None:
            status.stop()
