"""Why a task run was run, reused or left out, from what the ledger knows: `explain`.

What the run decided is recorded; what changed is found by comparing with the run that it went on from, else with the
one before it of the same flow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ckpt import JSON
from ckpt.calls import CallPath
from ckpt.errors import NotFound
from ckpt_ledger.compare.before import UNVALUED, Before, ending
from ckpt_ledger.compare.lineage import NOT_RUN, VALUED

if TYPE_CHECKING:
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.compare.causes import Cause
    from ckpt_ledger.ledger import SQLLedger
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["Explanation", "explain"]

Action = Literal["ran", "reused", "skipped", "not run", "given", "mapped"]

_BLAME = re.compile(r"upstream failed: (.*?)(?: and \d+ more)?$", re.DOTALL)
_LEVELS: Final = {
    "task": "as @task(result_handler=…) says",
    "flow": "as Flow(result_handler=…) says",
    "global": "as the setting flows.result_handler says",
    "storage": "since it serves the flow's storage",
    "parameter": "as for every parameter",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one task run is what it is."""

    run: RunRow
    record: TaskRecord
    action: Action
    why: str
    """In one sentence."""
    since: RunRow | None = None
    """The run that it was compared with."""
    causes: tuple[Cause, ...] = ()
    """What has changed since then, of the task run itself; none where nothing has."""
    roots: tuple[tuple[CallPath, str], ...] = ()
    """Where it began: task runs upstream, and what happened there."""
    is_new: bool = False
    """Has the run that it was compared with no such task run?"""
    children_there: int | None = None
    """How many children that run has recorded of a mapped call that it did not come to the end of."""
    is_unknown: bool = False
    """Was it not come to there, so that nothing tells what it would have been?"""
    has_other_bytes: bool = False
    """Is its value kept as other bytes than in that run?"""
    kept: str = ""
    """Which handler keeps the value, and which level chose it; or why none does."""

    def to_dict(self) -> dict[str, JSON]:
        """Plain JSON."""
        record = self.record
        return {
            "id": str(record.call),
            "call": str(record.call),
            "run": self.run.id,
            "state": record.state,
            "message": record.message,
            "action": self.action,
            "why": self.why,
            "compared_with": None if self.since is None else self.since.id,
            "causes": [cause.to_dict() for cause in self.causes],
            "upstream": [{"call": str(call), "why": why} for call, why in self.roots],
            "other_bytes": self.has_other_bytes,
            "origin": record.origin,
            "handler": record.handler,
            "level": record.level,
            "outcome": record.outcome,
            "kept": self.kept,
        }


def explain(ledger: SQLLedger, run: RunRow, text: str, since: RunRow | None = None) -> Explanation:
    """Explain a task run, compared with `since`, else the run that this one went on from, else the one before.

    Raises: `NotFound` naming the nearest; `ConfigError` for a task with several calls.
    """
    record = ledger.task(run.id, text)
    tasks = ledger.tasks(run.id)
    base = since
    if base is None and run.record.resumed is not None:
        try:
            base = ledger.find(run.record.resumed)
        except NotFound:
            base = None  # it has been deleted since
    if base is None and run.record.resumed is None:
        base = ledger.previous(run.id)
    before = Before(ledger, run, tasks, base)
    action, why = _decided(run, record, before, _children(tasks, record.call.slug))
    causes: tuple[Cause, ...] = ()
    roots: tuple[tuple[CallPath, str], ...] = ()
    if action == "not run" or (action == "skipped" and record.inputs):
        roots = tuple(_blamed({each.call: each for each in tasks}, record))
    elif action in ("ran", "mapped", "given"):
        causes, roots = before.changes(record)
        if base is not None and base.id == run.record.resumed and action == "ran":
            causes = tuple(cause for cause in causes if cause.kind != "state")  # it is said why it ran
    alike = before.alike(record)
    return Explanation(
        run, record, action, why, base, causes, roots,
        is_new=base is not None and alike is None,
        children_there=before.children(record) or None if alike is None and record.children is not None else None,
        is_unknown=alike is not None and alike.state in NOT_RUN and alike.identity is None,
        has_other_bytes=alike is not None and _has_other_bytes(alike, record),
        kept=_kept(record),
    )  # fmt: skip


def _has_other_bytes(one: TaskRecord, other: TaskRecord) -> bool:
    """Are both values kept, with digests that differ?"""
    digests = {each.safe.digest for each in (one, other) if each.safe is not None}
    return len(digests) == 2 and None not in digests


def _decided(run: RunRow, record: TaskRecord, before: Before, children: Sequence[TaskRecord]) -> tuple[Action, str]:
    """What was done, and the sentence for it."""
    if record.code == "parameter" and record.state in VALUED:
        return "given", "it is a parameter: its value was given when the flow ran, or is its default"
    if record.state == "Mapped":
        states = Counter(each.state for each in children)
        done = ", ".join(f"{count:,} {_DONE.get(state, state)}" for state, count in states.items())
        return "mapped", f"it was mapped over {record.children:,} elements: {done or 'none'}"
    if record.state == "Cached":
        return "reused", _reused(run, record, before)
    if record.state == "Skipped":
        return "skipped", f"it was skipped: {record.message}"
    if record.state in NOT_RUN and record.started is None:
        return "not run", f"it did not run: {record.message}"
    ran = "it ran" if record.state == "Success" else f"it ran, and ended {record.state} ({record.message})"
    return "ran", f"{ran}: {_ran(run, record, before)}"


_DONE: Final = {"Success": "ran", "Cached": "reused", "TriggerFailed": "did not run", "Cancelled": "cancelled"}


def _reused(run: RunRow, record: TaskRecord, before: Before) -> str:
    where = f"run {record.origin}"
    what = "its value was not needed, and it finished in" if record.safe is None else "its value is that of"
    earlier = before.records.get(record.call)
    if run.record.resumed is not None and earlier is not None and earlier.identity == record.identity:
        on = "from there" if record.origin == run.record.resumed else f"from run {run.record.resumed}, which had it so"
        return f"it was reused: {what} {where}; this run goes on {on}, and its code and inputs are the same"
    if run.record.resumed is not None and record.reusable_until is None:
        through = f"this run goes on from run {run.record.resumed}"
        on = "there" if record.origin == run.record.resumed else "in a run that this one went on from"
        return f"it was reused: {what} {where}; {through}, and its code and inputs are the same as {on}"
    return f"it was reused: {what} {where}; it has cache=, and its code and inputs are the same as there"


def _ran(run: RunRow, record: TaskRecord, before: Before) -> str:
    if record.identity is None:
        return "its code or an argument cannot be pickled, so it is never taken for another"
    resumed = run.record.resumed
    if resumed is None:
        if record.reusable_until is None:
            return "this run goes on from no other, and the task has no cache="
        return f"it has cache=, and {before.miss(record)}"
    if before.base is None or before.base.id != resumed:
        return f"what it was in run {resumed}, which this run goes on from, is not recorded any more"
    earlier = before.records.get(record.call)
    if earlier is None:
        moved = before.alike(record)
        there = f"; {moved.call} there is the same, but a run goes on by call path" if moved is not None else ""
        return f"run {resumed}, which this run goes on from, has no record of {record.call}{there}"
    is_other = earlier.identity != record.identity
    if earlier.state in UNVALUED:
        changed = ", and something has changed since" if is_other and earlier.identity is not None else ""
        return ending(earlier, f"run {resumed}, which this run goes on from, so it ran here{changed}")
    if is_other:
        return f"something has changed since run {resumed}, which this run goes on from"
    if earlier.safe is None:
        return f"its value was not kept in run {resumed}, which this run goes on from, and something needed it"
    return (
        f"nothing has changed since run {resumed}, which this run goes on from: it was asked for with --from, "
        "or what was kept of it could not be read"
    )


def _blamed(tasks: Mapping[CallPath, TaskRecord], record: TaskRecord) -> Iterator[tuple[CallPath, str]]:
    """The task runs upstream that went wrong themselves, or were the first to be skipped."""
    seen, waiting = {record.call}, [record]
    while waiting:
        at = waiting.pop()
        ahead = [source.call for sources in at.inputs.values() for source in sources if source.call is not None]
        if (blame := _BLAME.search(at.message)) is not None:
            ahead += [_path(name) for name in blame[1].split(", ")]
        for call in ahead:
            for each in _with_children(tasks, call):
                if each.call in seen or each.state in (*VALUED, "Mapped"):
                    continue
                seen.add(each.call)
                if each.state == "TriggerFailed" or (each.state == "Skipped" and each.message.startswith("something")):
                    waiting.append(each)
                else:
                    yield each.call, f"{each.state}: {each.message}" if each.message else each.state


def _with_children(tasks: Mapping[CallPath, TaskRecord], call: CallPath) -> Iterator[TaskRecord]:
    record = tasks.get(call)
    if record is None:
        return
    yield record
    for index in range(record.children or 0):
        if (child := tasks.get(call._replace(map_index=index))) is not None:
            yield child


def _path(text: str) -> CallPath:
    slug, bracket, index = text.partition("[")
    return CallPath(slug, int(index.removesuffix("]"))) if bracket and index[:-1].isdecimal() else CallPath(text)


def _children(tasks: Sequence[TaskRecord], slug: str) -> list[TaskRecord]:
    return [each for each in tasks if each.call.slug == slug and each.call.map_index is not None]


def _kept(record: TaskRecord) -> str:
    if record.handler is None:
        return f"not kept: {record.outcome or 'no handler was chosen for it'}"
    by = f"chosen at the level {record.level}, {_LEVELS.get(record.level or '', 'by a plugin')}"
    if record.safe is None and record.children is None:
        return f"{record.handler} was to keep it, {by}: {record.outcome or 'there was no value'}"
    return f"kept by {record.handler}, {by}"
