"""What a person sees of two runs that differ: the place first, then how, why, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.text import Text

from ckpt.cli.output import console, printable
from ckpt_ledger.compare.run_differences import DIFFERING
from ckpt_ledger.values.difference_text import lines, many

if TYPE_CHECKING:
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.compare.run_differences import Compared, RunDifference
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["show_difference"]

_CALLS: Final = 4
"""Calls of which the first difference is told in full."""
_ALSO: Final = 3
"""Further children of one call that get a line."""
_NAMES: Final = 10


def show_difference(found: RunDifference, refs: tuple[str, str], *, task: str | None = None) -> None:
    """Print what was found; `refs` is what the person calls the two runs."""
    to = console()

    def say(text: str = "", style: str = "") -> None:
        to.print(Text(printable(text), style=style), soft_wrap=True)

    told = [each for each in found.items if each.difference is not None or each.is_first] if task else found.firsts
    told = [each for each in told if not each.pair.is_mapped or len(told) == 1]
    say(_headline(found, told, task), "bold")
    for note in _notes(found):
        say(note, "yellow")
    say()
    for side, run, ref in zip(("left", "right"), (found.left, found.right), refs, strict=True):
        say(f"  {side:<5}  {_run(run, ref)}")
    groups = _by_call(told)
    for group in groups[:_CALLS]:
        say()
        for line in _told(group):
            say(line, _style(line))
    if len(groups) > _CALLS:
        say(f"\nalso first: {_some([_names(group) for group in groups[_CALLS:]])}")
    around = list(_around(found, told))
    if around:
        say()
    for line in around:
        say(line)
    commands = list(_commands(told, refs))
    if commands:
        say("\nnext:")
    for command in commands:
        say(f"  {command}")


def _style(line: str) -> str:
    text = line.lstrip()
    return "bold" if text == line else {"-": "red", "+": "green"}.get(text[:1], "cyan" if text[:5] == "why: " else "")


def _headline(found: RunDifference, told: Sequence[Compared], task: str | None) -> str:
    if not told:
        return _same(found)
    first = told[0]
    more = len(told) - 1
    word = f"difference in {task}" if task else "first difference"
    is_parameter = "parameter " if first.pair.is_parameter else ""
    return f"{word}: {is_parameter}{_name(first)}: {_how(first)[0]}" + (f" (and {more:,} more)" if more else "")


def _same(found: RunDifference) -> str:
    """What is to be said where no difference was found, which may be since nothing could be compared."""
    same = found.same
    unlike = sum(not each.pair.is_mapped for each in found.items) - len(same)
    rest = f"{many(unlike, 'task run')} could not be compared"
    if unlike and not same:
        return rest
    bytes_ = sum(each.verdict == "same value" for each in same)
    other = f", {bytes_:,} of them in other bytes (same value, different bytes)" if bytes_ else ""
    known = f"{many(len(same), 'task run')} the same{other}"
    if found.errors:
        return f"{rest}; {known}"
    return f"no difference: {known}" + (f"; {rest}" if unlike else "")


def _notes(found: RunDifference) -> Iterator[str]:
    if found.left.flow != found.right.flow:
        yield f"note: these are runs of two flows, {found.left.flow!r} and {found.right.flow!r}"
    for run in (found.left, found.right):
        if run.ended is None:
            what = "is in progress" if run.is_alive else "has not ended, and nothing is heard of it"
            yield f"note: run {run.id} {what}: what it has not got to is not compared"


def _run(run: RunRow, ref: str) -> str:
    called = f" ({run.name or ref})" if (run.name or ref) not in (run.id, "") else ""
    return f"{run.id}{called}  {run.flow}, {run.state}, {run.started.astimezone():%Y-%m-%d %H:%M:%S}"


def _by_call(told: Sequence[Compared]) -> list[list[Compared]]:
    groups: dict[tuple[str, str], list[Compared]] = {}
    for each in told:
        groups.setdefault((each.pair.call.slug, each.verdict), []).append(each)
    return list(groups.values())


def _told(group: Sequence[Compared]) -> Iterator[str]:
    """The first of them in full, of a few others a line; the line of a task run is not indented."""
    first = group[0]
    head, *details = _how(first)
    yield f"{_name(first)}: {head}"
    if first.causes:
        yield f"  why: {first.causes[0].text}"
        yield from (f"       {cause.text}" for cause in first.causes[1:])
    yield from details
    for each in group[1 : 1 + _ALSO]:
        causes = ""
        if each.causes and [c.text for c in each.causes] != [c.text for c in first.causes]:
            causes = f"   ({'; '.join(cause.text for cause in each.causes)})"
        yield f"{_name(each)}: {_how(each)[0]}{causes}"
    if len(group) > 1 + _ALSO:
        yield f"and {len(group) - 1 - _ALSO:,} more of {first.pair.call.slug}"


def _name(each: Compared) -> str:
    left, right = each.pair.left, each.pair.right
    if left is not None and right is not None and left.call != right.call:
        return f"{right.call} (left: {left.call})"
    return str(each.pair.call)


def _how(each: Compared) -> list[str]:
    """A headline, and what is to be told below it."""
    if each.difference is not None:
        return lines(each.difference)
    left, right = each.pair.left, each.pair.right
    if left is None or right is None:
        which = each.pair.record
        value = "" if which.state in ("Success", "Cached", "Mapped") else f" ({which.state})"
        return [f"{each.verdict}{value}"]
    if left.state == right.state == "Mapped":
        return ["its children differ"]
    if left.state == right.state:
        return [f"{left.state} in both, with another message", f"  left:  {left.message}", f"  right: {right.message}"]
    return [f"{_state(left)} → {_state(right)}"]


def _state(record: TaskRecord) -> str:
    """The state, and of one that went wrong what was said of it."""
    message = next(iter(record.message.splitlines()), "")
    return f"{record.state}: {message}" if message and record.state not in ("Success", "Cached") else record.state


def _around(found: RunDifference, told: Sequence[Compared]) -> Iterator[str]:
    """What else the runs differ in, and what was not looked at."""
    said = " ".join(cause.text for each in told for cause in each.causes)
    parameters = [cause.text for cause in found.parameters if cause.text not in said]
    if parameters and not any(each.pair.is_parameter for each in told):
        yield f"parameters: {'; '.join(parameters)}"
    if found.environment and not any(cause.kind == "environment" for each in told for cause in each.causes):
        yield f"environment: {'; '.join(cause.text for cause in found.environment)}"
    explained = {each.pair.record.task for each in told for cause in each.causes if cause.kind == "code"}
    if told and (code := [name for name in found.code if name not in explained]):
        yield f"code has changed as well: {_some(code)}"
    known = {id(each) for each in told}
    single = [each for each in found.items if not each.pair.is_mapped and not each.pair.is_parameter]
    rest = [each for each in single if id(each) not in known]
    yield from _downstream([each for each in rest if each.verdict in DIFFERING or each.is_unlike])
    unkept = [each for each in rest if each.verdict == "not compared" and not each.is_unlike and each.error is None]
    for group in _grouped(unkept, by_note=True)[:_CALLS]:
        yield f"not compared: {_names(group)}: {group[0].note}"
    if same := [each for each in single if each.verdict == "same value"]:
        yield f"same value, different bytes: {_some([_names(each) for each in _grouped(same)])}"
    if told and len(single) > 1:
        yield f"same: {sum(each.verdict == 'same' for each in single):,} of {len(single):,} task runs"


def _downstream(items: Sequence[Compared]) -> Iterator[str]:
    if not items:
        return
    compared = [each for each in items if each.difference is not None]
    count = f"{len(items):,} more task run{'s differ' if len(items) > 1 else ' differs'}"
    if not compared:
        unseen = ", not compared (--all does)" if any(each.is_unlike for each in items) else ""
        yield f"downstream: {count}{unseen}: {_some([_names(each) for each in _grouped(items)])}"
        return
    yield f"downstream: {count}"
    for group in _grouped(compared)[:_NAMES]:
        more = f" (and {len(group) - 1:,} more of that call)" if len(group) > 1 else ""
        yield f"  {_name(group[0])}: {_how(group[0])[0]}{more}"


def _grouped(items: Sequence[Compared], *, by_note: bool = False) -> list[list[Compared]]:
    groups: dict[tuple[str, str], list[Compared]] = {}
    for each in items:
        groups.setdefault((each.pair.call.slug, each.note if by_note else ""), []).append(each)
    return list(groups.values())


def _names(group: Sequence[Compared]) -> str:
    """Its one task run, or the call and how many."""
    return str(group[0].pair.call) if len(group) == 1 else f"{group[0].pair.call.slug} ({len(group):,} task runs)"


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _commands(told: Sequence[Compared], refs: tuple[str, str]) -> Iterator[str]:
    if not told or told[0].pair.is_parameter:
        return
    first = told[0]
    left, right = first.pair.left, first.pair.right
    if right is not None:
        debugger = " --pdb" if right.state in ("Failed", "TimedOut") else ""
        what = "under the debugger, " if debugger else ""
        yield f"{_command('replay', refs[1], right.call)}{debugger}    # {what}with exactly the inputs that it had"
    for record, ref in ((left, refs[0]), (right, refs[1])):
        if record is not None and record.safe is not None:
            yield f"{_command('get', ref, record.call)}    # the value"


def _command(verb: str, ref: str, call: object) -> str:
    return shlex.join(["ckpt", verb, ref, str(call)])
