"""What is said when a run has ended: what failed, where the values are, and what to type next."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ckpt import plugins
from ckpt.calls import CallPath
from ckpt.cli.output import console, printable, show_table, size
from ckpt.errors import CkptError
from ckpt.reading import locate
from ckpt.results import SafeResult
from ckpt.states import Pending

if TYPE_CHECKING:
    from rich.console import Console

    from ckpt.cli.progress import Progress
    from ckpt.flows import Flow
    from ckpt.states import State

__all__ = ["as_dict", "show_summary"]

_HINTS = 5


def show_summary(flow: Flow, state: State, progress: Progress) -> None:
    """Tell the end of a run on stderr."""
    to = console(stderr=True)
    _show_values(to, flow, state, progress)
    # The command is the ledger's own; another ledger need not have it.
    if progress.run is not None and progress.run.ledger is not None and _has_show():
        _say(to, f"Recorded as run {progress.run.id}. To look at it:")
        _say(to, "  ckpt show last")


def _has_show() -> bool:
    try:
        return any(each.name == "show" for each in plugins.commands())
    except CkptError:
        return False


def _show_values(to: Console, flow: Flow, state: State, progress: Progress) -> None:
    if progress.failures:
        to.print()
        rows = [(str(record.call), Text(record.state, style="red"), record.message) for record in progress.failures]
        show_table(("task", "state", "message"), rows, to=to, indent=2)
        if progress.broken > len(rows):
            to.print(f"  … and {progress.broken - len(rows)} more that failed")
        if held := progress.failed - progress.broken:
            to.print(f"  {held} {'cancelled' if state.is_cancelled() else 'more did not run because of that'}")
    to.print()
    if not progress.kept and not progress.reused:
        if state.is_successful():
            _say(to, f"No value was kept. To keep every one of them, add: --storage {Path.cwd().as_uri()}/results")
        return
    kept = f"{_values(progress.kept)}, {size(progress.bytes)}" if progress.kept else "nothing new"
    if progress.reused:
        kept += f"; {_values(progress.reused)} of earlier runs reused"
    if progress.failures and (inputs := _inputs(flow, state, progress.failures[0].call)):
        _say(to, f"Kept: {kept}. What went into {progress.failures[0].call}:")
        for name, safe in inputs[:_HINTS]:
            _say(to, f"  {read_command(safe)}    # {name}")
    elif (last := _last(flow, state)) is not None:
        _say(to, f"Kept: {kept}. To read one:")
        _say(to, f"  {read_command(last)}")


def _values(count: int) -> str:
    return f"{count} value{'s' * (count != 1)}"


def _states(state: State) -> Mapping[Any, State]:
    """The states of the calls; none if a state handler has put a state of its own in place of the flow's."""
    states = state.result
    return states if isinstance(states, Mapping) else {}


def _say(to: Console, text: str) -> None:
    to.print(Text(printable(text)), soft_wrap=True)


def _inputs(flow: Flow, state: State, failed: CallPath) -> list[tuple[str, SafeResult]]:
    """The kept values that a failed task run took, each with the task run that made it."""
    states = _states(state)
    call = next(call for call in flow.calls if call.slug == failed.slug)
    paths = [CallPath(up.slug) for up in call.inputs]
    mapped = [each.call for each in call.each or () if each.call is not None]
    paths += [CallPath(up.slug, failed.map_index if up.is_mapped else None) for up in mapped]
    kept = [(str(path), states.get(str(path), Pending()).safe_value) for path in paths]
    return [(name, safe) for name, safe in kept if isinstance(safe, SafeResult)]


def _last(flow: Flow, state: State) -> SafeResult | None:
    """A kept value that is worth a look: of a call that decides, else of any."""
    results = _states(state)
    for call in [*flow.reference_tasks(), *reversed(flow.calls)]:
        one = results.get(call, Pending())
        for safe in [one.safe_value, *(child.safe_value for child in one.map_states or ())]:
            if isinstance(safe, SafeResult):
                return safe
    return None


def read_command(safe: SafeResult) -> str:
    """The command line that reads a value: by the path of its file, else by key if that will do, else by JSON."""
    spec, key = safe.spec, safe.value
    folder = spec.get("dir")
    if spec["type"] == "local" and isinstance(folder, str) and isinstance(key, str):
        path = Path(os.path.expandvars(folder)).expanduser() / key
        if path.is_file():
            near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            return f"ckpt read {shlex.quote(os.fspath(near))}"
    if isinstance(key, str) and _is_key_of(key, safe):
        return f"ckpt read {shlex.quote(key)}"
    told = {"value": key, "handler": spec, "digest": safe.digest}
    return f"ckpt read {shlex.quote(json.dumps(told))}"


def _is_key_of(key: str, safe: SafeResult) -> bool:
    """Does the key alone, with the settings that hold here, lead to the same value?"""
    try:
        found = locate(key)
        return (found.value, found.spec) == (safe.value, safe.spec)
    except CkptError:
        return False


def as_dict(run: str | None, flow: Flow, state: State) -> dict[str, object]:
    """The run in plain JSON; a mapped call is followed by its children."""
    return {
        "run": run,
        "flow": flow.name,
        "state": state.name,
        "message": state.message,
        "tasks": list(_tasks(flow, state)),
    }


def _tasks(flow: Flow, state: State) -> Iterator[dict[str, object]]:
    results = _states(state)
    for call in flow.calls:
        one = results.get(call, Pending())
        yield _task(call.slug, one)
        for index, child in enumerate(one.map_states or ()):
            yield _task(f"{call.slug}[{index}]", child)


def _task(name: str, state: State) -> dict[str, object]:
    safe = state.safe_value
    kept = safe if isinstance(safe, SafeResult) else None
    return {
        "id": name,
        "state": state.name,
        "message": state.message,
        "safe_value": kept.to_dict() if kept else None,
        "digest": kept.digest if kept else None,
        "size": kept.size if kept else None,
    }
