"""Which task run of a run a person means by a text, and what to say where there is no such."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ckpt.calls import CallPath
from ckpt.errors import NotFound
from ckpt.suggestions import did_you_mean

if TYPE_CHECKING:
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["absence", "calls_named", "path_of"]

_CHILD: Final = re.compile(r"(.+)\[([0-9]{1,18})\]")


def path_of(text: str) -> CallPath:
    """What a text says: the slug of a call or the name of a task, and the index of a child."""
    child = _CHILD.fullmatch(text)
    return CallPath(child[1], int(child[2])) if child else CallPath(text)


def calls_named(records: Iterable[TaskRecord], path: CallPath) -> list[str]:
    """The slugs of the calls that can be meant: that call itself, else those of the task; with an index mapped ones."""
    found = [
        each
        for each in records
        if path.slug in (each.call.slug, each.task)
        and (path.map_index is None or each.call.map_index is not None or each.children is not None)
    ]
    if any(each.call.slug == path.slug for each in found):
        return [path.slug]
    return list(dict.fromkeys(each.call.slug for each in found))


def absence(run: RunRow, records: Sequence[TaskRecord], text: str, slug: str | None) -> NotFound:
    """The error that says why a run has no such task run; `slug` is the call that is meant, as far as one is."""
    said = f"run {run.id} has no task run {text!r}"
    parent = next((each for each in records if each.call == CallPath(slug)), None) if slug is not None else None
    children = [each for each in records if each.call.slug == slug and each.call.map_index is not None]
    if children and parent is None:
        have = f"{len(children):,} of its children {'has' if len(children) == 1 else 'have'}"
        return NotFound(
            f"{said}: {slug} has not come to its end in this run ({run.state}), and {have}: "
            f"name one of these, as in {str(children[0].call)!r}"
        )
    index = path_of(text).map_index
    if parent is not None and parent.children is not None and index is not None and index >= parent.children:
        last = parent.children - 1
        among = f", {slug}[0] to {slug}[{last}]" if last > 0 else f", {slug}[0]" if last == 0 else ""
        count = f"{last + 1:,} {'child' if last == 0 else 'children'}" if last >= 0 else "no children"
        return NotFound(f"{said}: {slug} has {count}{among}")
    if run.ended is None:
        said += f": it has not ended ({run.state}), and what has not begun, or goes on, is not recorded"
    meant = did_you_mean(text, {str(each.call) for each in records} | {each.task for each in records})
    return NotFound(f"{said}{';' if run.ended is None else ':'} {meant}")
