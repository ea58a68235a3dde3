"""`ckpt run`: run the flow of a file and keep its values."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from ckpt import config
from ckpt.cli.command import as_usage, debug_option
from ckpt.cli.output import show_json
from ckpt.cli.targets import complete_executor, complete_parameter, complete_storage, target_argument
from ckpt.engine.flow_runner import make_executor
from ckpt.errors import ConfigError, FlowInterrupted
from ckpt.executors import Executor
from ckpt.loading import LoadedFlow, load_flow
from ckpt.storage import Storage

if TYPE_CHECKING:
    from ckpt.engine.loop import KeepValues
    from ckpt.flows import Flow
    from ckpt.states import State

__all__ = ["run"]

INTERRUPTED = 130


@click.command(short_help="Run a flow and keep its values.")
@target_argument
@click.option(
    "-p", "--param", "params", metavar="NAME=VALUE", multiple=True, shell_complete=complete_parameter,
    help="Fill a parameter of the flow; the value is JSON, else text. Once for each.",
)  # fmt: skip
@click.option("--storage", metavar="TYPE|URL", shell_complete=complete_storage, help="Where values are kept.")
@click.option(
    "--executor", metavar="NAME", shell_complete=complete_executor, help="Where tasks run: local, threads, processes, …"
)
@click.option("--workers", type=click.IntRange(min=1), help="How many tasks run at once, on threads and processes.")
@click.option("--checkpointing/--no-checkpointing", default=None, help="Keep values or not, whatever the settings say.")
@click.option(
    "--keep-values", type=click.Choice(["all", "terminal", "none"]), default="all", show_default=True,
    help="Which values stay in memory when nothing needs them any more; the others are dropped.",
)  # fmt: skip
@click.option("--resume", metavar="RUN", help="Go on from a run: an id, a unique prefix of one, a name, or last.")
@click.option("--from", "from_task", metavar="TASK", multiple=True, help="Run it, and all downstream of it, again.")
@click.option("--refresh", metavar="TASK", multiple=True, help="Run it though it has cache; `all` for every such task.")
@click.option("--name", "run_name", metavar="NAME", help="Name the run; a name means the newest that bears it.")
@click.option("--explain", is_flag=True, help="Run nothing: print what would be reused, what would be run, and why.")
@click.option("--json", "as_json", is_flag=True, help="The run as one JSON object; what tasks print goes to stderr.")
@debug_option
def run(
    target: str,
    params: Sequence[str],
    storage: str | None,
    executor: str | None,
    workers: int | None,
    checkpointing: bool | None,
    keep_values: KeepValues,
    resume: str | None,
    from_task: Sequence[str],
    refresh: Sequence[str],
    run_name: str | None,
    explain: bool,
    as_json: bool,
) -> int:
    """Run the flow in FILE.

    The file is loaded, and where it calls flow.run(…) itself, that is not done but taken down: its parameters
    hold, with --param above them. A file with several flows needs FILE:flow, by variable or by the flow's name;
    package.module:flow works too. The way of the run is told on stderr; stdout belongs to your tasks.

    With ckpt-ledger, --resume goes on from an earlier run: what finished there is not run again, unless its code or
    an argument has changed. Parameters are those of that run where none are given.

    Ends with 0 when the flow succeeded, 1 when it failed, 2 when it could not be started, 130 after Ctrl-C.

    \b
    Examples:
      ckpt run flow.py
      ckpt run flow.py --storage file:///tmp/results -p day=2026-11-22 -p limit=10
      ckpt run flows.py:nightly --executor processes --workers 4
      ckpt run flow.py --resume last --explain
      ckpt run flow.py --resume last --from clean
      ckpt run flow.py --json | jq '.tasks[] | select(.state == "Failed")'
    """
    if from_task and resume is None:
        raise click.UsageError(f"--from says where to go on in an earlier run: --resume last --from {from_task[0]}")
    with _own_stdout(as_json) as out:
        given = _parameters(params)
        loaded = load_flow(target)
        flow = loaded.flow
        if storage is not None:
            flow.storage = Storage.parse(storage)
        values = given if resume else _filled(loaded, given)
        wanted = {"resume": resume, "from_task": from_task, "refresh": "all" in refresh or refresh}
        if explain:
            with as_usage():
                plan = flow.plan(values, **wanted)  # type: ignore[arg-type]  # each by its name
            show_json(plan.to_dict()["calls"], out) if as_json else click.echo(str(plan), out)
            return 0
        how = {
            "executor": _executor(flow, executor, workers),
            "checkpointing": checkpointing,
            "keep_values": keep_values,
        }
        return _run(flow, lambda: flow.run(values, **how, **wanted, run_name=run_name), out, as_json)  # type: ignore[arg-type]  # as above


def _run(flow: Flow, start: Callable[[], State], out: TextIO, as_json: bool) -> int:
    from ckpt.cli.progress import watching
    from ckpt.cli.summary import as_dict, show_summary

    state: State | None
    with watching() as progress:
        try:
            with as_usage():  # what is raised, no task has run for
                state = start()
            code = 0 if state.is_successful() else 1
        except FlowInterrupted as interrupt:
            state, code = interrupt.state, INTERRUPTED
    if state is not None:
        sys.stdout.flush()
        show_summary(flow, state, progress)
        if as_json:
            show_json(as_dict(progress.run.id if progress.run else None, flow, state), out)
    return code


@contextmanager
def _own_stdout(apart: bool) -> Iterator[TextIO]:
    """Stdout; if `apart`, one that nobody else can write to: tasks, and what they start, write to stderr instead."""
    if not apart:
        yield sys.stdout
        return
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield out


def _parameters(params: Sequence[str]) -> dict[str, object]:
    """`name=value` as values: JSON, else text."""
    given: dict[str, object] = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
        if name in given:
            raise click.BadParameter(f"{name} is given twice", param_hint="--param")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    return given


def _filled(loaded: LoadedFlow, given: Mapping[str, object]) -> dict[str, object]:
    """The flow's parameters: as its file gives them, the command line above."""
    values = {**loaded.parameters, **given}
    missing = [name for name, each in loaded.flow.parameters().items() if each.required and name not in values]
    if missing and not given.keys() - loaded.flow.parameters().keys():
        raise ConfigError(
            f"flow {loaded.flow.name!r} needs a value for {', '.join(missing)}: "
            + " ".join(f"--param {name}=…" for name in missing)
        )
    return loaded.flow.fill_parameters(values)


def _executor(flow: Flow, name: str | None, workers: int | None) -> Executor | str | None:
    """What `flow.run` is to be told; None if nothing was said."""
    if workers is None:
        return name
    chosen = name or flow.executor or config.load().flows.executor
    if not isinstance(chosen, str):
        raise click.UsageError(f"the flow brings its own executor, {chosen!r}: --workers needs --executor")
    return make_executor(chosen, workers)
