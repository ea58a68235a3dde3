"""`ckpt replay`: run one task again with exactly the inputs it had."""

from __future__ import annotations

import pdb
from pathlib import Path

import click

from ckpt.cli.command import as_usage, debug_option
from ckpt.cli.output import console, printable
from ckpt_ledger.cli.names import complete_run, complete_task
from ckpt_ledger.looking import open_ledger
from ckpt_ledger.replay.replaying import Replay, Replayed, script
from ckpt_ledger.values.difference_text import lines

__all__ = ["replay"]

DIFFERENT = 1


@click.command(short_help="Run one task again with exactly the inputs it had.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("task", metavar="TASK", shell_complete=complete_task)
@click.option(
    "--pdb", "debugger", is_flag=True, help="Stop in the debugger: at the function's first line, and where it fails."
)
@click.option("--file", metavar="FILE[:flow]", help="The flow file, where it is not the one of that run.")
@click.option(
    "--script", "as_script", is_flag=True, help="Run nothing: print the lines of Python that load the inputs."
)
@debug_option
@as_usage()  # for 1 means that something else came of it
def replay(run: str, task: str, debugger: bool, file: str | None, as_script: bool) -> int:
    """Run TASK of RUN again, in this process, with exactly the inputs it had, and compare its value with the kept one.

    RUN is an id, a unique prefix of one, a name, or last; TASK a call, the name of a task with one call, or call[i].
    The inputs are verified by their digests; what was not kept is computed again first. The function is that of the
    flow file as it is today, the constants are those of the run. Nothing is written, unless the task itself writes.

    Ends with 0 when it did what it did then, or when nothing was kept to compare its value with; 1 when its value or
    its failure is another; 2 when it could not be replayed, as when an input is missing or damaged.

    \b
    Examples:
      ckpt replay last total
      ckpt replay last 'weigh-1[25]' --pdb
      ckpt replay good clean --script > inputs.py
    """
    file = None if file is None else _absolute(file)
    replayed = Replay(open_ledger(), run, task, file=file)
    if as_script:
        click.echo("\n".join(script(replayed, file=file)))
        return 0
    to = console(stderr=True)
    for each in replayed.changes():
        to.print(printable(f"since then: {each}"), soft_wrap=True)
    stops = _Debugger() if debugger else None
    found = replayed.again(stops.runcall if stops else None)
    if stops and stops.left:
        to.print("the debugger was left before the task had ended: nothing was compared")
        return 0
    if debugger and isinstance(found.value, BaseException) and found.value.__traceback__ is not None:
        pdb.post_mortem(found.value.__traceback__)
    _show(replayed, found)
    return 0 if found.is_same else DIFFERENT


class _Debugger(pdb.Pdb):
    """The debugger, which remembers that a person has left it in the middle."""

    left = False

    def set_quit(self) -> None:
        self.left = True
        super().set_quit()


def _show(replayed: Replay, found: Replayed) -> None:
    to = console()
    for call in replayed.recomputed:
        to.print(printable(f"{call} was not kept and was computed again"), soft_wrap=True)
    to.print(printable(f"{replayed.record.call}: {found.verdict}: {found.message}"), soft_wrap=True)
    if found.difference is not None:
        for line in lines(found.difference):
            to.print(printable(f"  {line}"), soft_wrap=True)


def _absolute(file: str) -> str:
    """A file as it is called from anywhere; the name of a module as it is."""
    from ckpt.loading import split_target

    place, flow = split_target(file)
    if Path(place).exists():
        place = str(Path(place).absolute())
    return place if flow is None else f"{place}:{flow}"
