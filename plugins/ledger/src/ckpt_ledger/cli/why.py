"""`ckpt why`: why a task was run, reused or left out, and what changed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click
from rich.text import Text

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json
from ckpt_ledger.cli.names import complete_run, complete_task
from ckpt_ledger.looking import open_ledger

if TYPE_CHECKING:
    from ckpt_ledger.compare.explanations import Explanation

__all__ = ["why"]


@click.command(short_help="Say why a task was run, reused or left out.")
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("task", metavar="TASK", shell_complete=complete_task)
@click.option("--since", metavar="RUN", shell_complete=complete_run, help="The run to compare with.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of one object.")
@debug_option
def why(run: str, task: str, since: str | None, as_json: bool) -> None:
    """Say why TASK was run, reused or left out in RUN, what has changed, and who chose how its value is kept.

    RUN is an id, a unique prefix of one, a name, or last; TASK a call, the name of a task with one call, or call[i].
    It is compared with the run that RUN went on from, else with the run before it of the same flow, and the code of
    the task, its arguments and everything upstream are looked at: no value is read.

    \b
    Examples:
      ckpt why last clean
      ckpt why last 'clean-1[25]' --since good
    """
    ledger = open_ledger()
    from ckpt_ledger.compare.explanations import explain

    found = explain(ledger, ledger.find(run), task, None if since is None else ledger.find(since))
    if as_json:
        show_json([found.to_dict()])
        return
    to = console()
    for number, line in enumerate(_lines(found, run)):
        to.print(Text(printable(line), style="" if number else "bold"), soft_wrap=True)


def _lines(found: Explanation, ref: str) -> list[str]:
    record, since = found.record, found.since
    out = [f"{record.call}: {found.why}", ""]
    if found.action in ("not run", "skipped"):
        out += [f"  upstream: {call}: {said}" for call, said in found.roots]
        if found.roots:
            out.append(f"  see it: {shlex.join(['ckpt', 'why', ref, str(found.roots[0][0])])}")
    elif found.action != "reused":
        if since is not None and (there := found.children_there) is not None:
            have = f"{there:,} of its children {'has' if there == 1 else 'have'}"
            out.append(f"  run {since.id}, which it was compared with, did not come to the end of that call: {have}")
        if since is None:
            out.append("  there is no earlier run of this flow to compare with")
        elif found.causes or found.roots:
            called = f" ({since.name})" if since.name else ""
            out.append(f"  changed since run {since.id}{called}:")
            out += [f"    {cause.text}" for cause in found.causes]
            out += [f"    upstream, {call}: {said}" for call, said in found.roots]
        elif found.is_new:
            if found.children_there is None:
                is_open = "" if since.ended is not None else f", and it has not ended ({since.state})"
                out.append(f"  run {since.id} has no such task run{is_open}")
        elif not found.is_unknown:
            out.append(f"  nothing has changed since run {since.id}: its code and inputs are the same")
            if found.has_other_bytes:
                out.append("  but its value is kept as other bytes: does it depend on the clock, on chance, on a file?")
                command = ["ckpt", "diff", since.id, found.run.id, "--task", str(record.call)]
                out.append(f"  see whether it is another value: {shlex.join(command)}")
    out.append(f"  {found.kept}")
    return out
