"""What a run would take from earlier ones and what it would run, and why: found without running anything.

Calls are looked at in their order. Where the inputs are known, so is the identity, and a record serves or does not.
Downstream of what runs nothing is known for certain: should it give the value that it gave before, what is downstream
is taken after all; the loop decides that when it comes to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Literal

from ckpt.engine.maps import Column, follows
from ckpt.engine.plans import Code
from ckpt.handlers import JSON
from ckpt.results import SafeResult

if TYPE_CHECKING:
    from ckpt.calls import Call, CallPath
    from ckpt.engine.runs import Rows
    from ckpt.engine.tracking import Tracker

__all__ = ["Planned", "RunPlan", "make_plan"]

Action = Literal["reuse", "run", "depends", "leave"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to become of one call."""

    call: CallPath
    action: Action
    """`reuse` a kept value; `run`; `depends` on what an input that runs will be; `leave` out, as nothing needs it."""
    why: str


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The plan of a run; prints as a table."""

    calls: Sequence[Planned]
    border: Sequence[tuple[CallPath, SafeResult]]
    """Kept values that something which may run takes."""
    ends: Sequence[tuple[CallPath, SafeResult]] = ()
    """Kept values that nothing takes: those that the run is for."""

    def to_dict(self) -> dict[str, JSON]:
        """The plan in plain JSON."""
        return {"calls": [{"id": str(each.call), "action": each.action, "why": each.why} for each in self.calls]}

    def __str__(self) -> str:
        counts = {action: sum(each.action == action for each in self.calls) for action in _WORDS}
        head = ", ".join(f"{count} {_WORDS[action]}" for action, count in counts.items() if count)
        width = max([4, *(len(str(each.call)) for each in self.calls)])
        rows = [f"{each.call!s:<{width}}  {each.action:<7}  {each.why}" for each in self.calls]
        return "\n".join([head or "nothing to do", "", f"{'task':<{width}}  {'plan':<7}  why", *rows])


_WORDS = {"reuse": "reused", "run": "to run", "depends": "to see", "leave": "not needed"}


def make_plan(rows: Rows, tracker: Tracker) -> RunPlan:
    """Plan a run whose `rows` are all still to come; the rows are used up by it."""
    rows.identity = [None] * len(rows.code)
    tracker.rows = rows
    planned: list[Planned] = []
    for number, call in enumerate(rows.calls):
        action, why = _decided(rows, tracker, number, call)
        planned.append(Planned(rows.path(number), action, why))
    _demand(rows, planned)
    tracker.planned = [
        rows.identity[number] if each.action == "reuse" and number not in rows.children else None
        for number, each in enumerate(planned)
    ]
    return RunPlan(planned, list(dict.fromkeys(_border(rows, planned))), list(_ends(rows)))


def _decided(rows: Rows, tracker: Tracker, number: int, call: Call) -> tuple[Action, str]:
    for up in call.sources:
        if any(rows.code[row] == Code.PENDING for row in (up.index, *rows.children.get(up.index, ()))):
            return "depends", f"on what {up.slug} gives"
    for row in _upstream(rows, call):
        if rows.code[row] == Code.SKIPPED and call.task.skip_on_upstream_skip:
            rows.code[number] = Code.SKIPPED
            return "leave", f"{rows.path(row)} was skipped, so this is"
    if call.each is not None:
        return _mapped(rows, tracker, number, call)
    tracker.identify(number)
    if tracker.unknown(number):
        tracker.ask([number])
    return _taken(rows, tracker, number)


def _mapped(rows: Rows, tracker: Tracker, number: int, call: Call) -> tuple[Action, str]:
    tracker.identify(number)
    count = tracker.adoptable(number)
    columns: list[Column] | None = None
    if count is None:
        columns = _columns(rows, call)
        if columns is None:
            if kept := tracker.kept_children(call):
                return "depends", f"on what its elements are: {kept} of the earlier run's are kept"
            if call.task.cache:
                return "depends", "on what its elements are"
            return "run", f"for each element: {tracker.reason(number)}"
        count = len(columns[0])
    children = rows.add_children(number, count)
    if columns is None:
        tracker.adopt(number, children)
    done: list[tuple[Action, str]] = []
    for index, child in enumerate(children):
        ahead = [column[index] for column in columns or () if type(column) is range]
        if call.task.skip_on_upstream_skip and any(rows.code[up] == Code.SKIPPED for up in ahead):
            rows.code[child] = Code.SKIPPED
            done.append(("reuse", "what it follows was skipped, so it is"))
            continue
        tracker.identify(child, columns)
        done.append(_taken(rows, tracker, child))
    rows.code[number] = Code.MAPPED
    to_run = [why for action, why in done if action == "run"]
    if to_run:
        return "run", f"{len(to_run)} of {count} children: {to_run[0]}"
    if any(action == "leave" for action, _ in done):
        return "leave", "it finished, and its values were not to be kept"
    return "reuse", done[0][1] if done else "it maps over nothing"


def _columns(rows: Rows, call: Call) -> list[Column] | None:
    """What the children get one element each of, where no value has to be read for that."""
    columns: list[Column] = []
    for each in call.each or ():
        if each.call is None:
            columns.append(each.elements)
        elif follows(each) and each.call.index in rows.children:
            columns.append(rows.children[each.call.index])
        else:
            return None
    return columns if len({len(column) for column in columns}) == 1 else None


def _taken(rows: Rows, tracker: Tracker, row: int) -> tuple[Action, str]:
    record = tracker.earlier(row)
    if record is None:
        return "run", tracker.reason(row)
    where = record.made_in
    if record.state == "Skipped":
        rows.code[row] = Code.SKIPPED
        return "reuse", intern(f"skipped in run {where}")
    rows.code[row] = Code.CACHED
    if record.safe is None:
        return "leave", f"it finished in run {where}, and its value was not to be kept"
    rows.take(row, record)
    return "reuse", intern(f"kept in run {where}")


def _upstream(rows: Rows, call: Call) -> Iterator[int]:
    """The rows that have to be there before a call starts or expands."""
    for up in call.upstream if call.each or call.after else call.inputs:
        if not any(each.call is up and follows(each) and up.index in rows.children for each in call.each or ()):
            yield from rows.of(up.index)


def _demand(rows: Rows, planned: list[Planned]) -> None:
    """What was to be left out is run after all where something takes its value that runs, or may."""
    for number in reversed(range(len(planned))):
        each = planned[number]
        if each.action not in ("run", "depends"):
            continue
        for up in rows.calls[number].sources:
            if planned[up.index].action == "leave":
                planned[up.index] = Planned(
                    planned[up.index].call, each.action, f"{each.call} takes its value, which was not kept"
                )


def _ends(rows: Rows) -> Iterator[tuple[CallPath, SafeResult]]:
    taken = {up for call in rows.calls for up in call.sources}
    for call in rows.calls:
        if call not in taken:
            yield from _kept(rows, call)


def _border(rows: Rows, planned: Sequence[Planned]) -> Iterator[tuple[CallPath, SafeResult]]:
    for call, each in zip(rows.calls, planned, strict=True):
        if each.action in ("run", "depends"):
            for up in call.sources:
                yield from _kept(rows, up)


def _kept(rows: Rows, call: Call) -> Iterator[tuple[CallPath, SafeResult]]:
    """What earlier runs have kept of a call."""
    for row in rows.of(call.index):
        record = rows.earlier.get(row)
        if record is not None and record.safe is not None:
            yield rows.path(row), record.safe
