"""`ckpt plugins`: what is installed, from metadata and settings alone."""

from __future__ import annotations

from dataclasses import asdict

import click

from ckpt import installed
from ckpt import plugins as installed_plugins
from ckpt.cli.command import debug_option
from ckpt.cli.output import console, show_json, show_table
from ckpt.trial import SECONDS, Trial, tried

__all__ = ["plugins"]


@click.group(invoke_without_command=True, short_help="List the plugins, and why one is left out.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_context
@debug_option
def plugins(context: click.Context, as_json: bool) -> None:
    """List the installed plugins, and why one is left out.

    Read from the metadata of what is installed and from the settings; no plugin is imported.

    \b
    Examples:
      ckpt plugins
      CKPT__PLUGINS__BLOCK=s3 ckpt plugins     leave one out, by the name in the first column
      ckpt plugins check                       import each one, in a process of its own
    """
    if context.invoked_subcommand is not None:
        return
    found = installed_plugins.found()
    if (clash := installed.clash()) is not None:
        console(stderr=True).print(f"warning: {clash}", soft_wrap=True)
    if as_json:
        show_json(
            [
                {
                    "id": each.entry_point,
                    "loads": each.value,
                    "distribution": each.distribution,
                    "version": each.version,
                    "would_load": each.would_load,
                    "why": each.why,
                }
                for each in found
            ]
        )
    elif found:
        rows = [
            (e.entry_point, e.distribution, e.version, e.value, "loaded" if e.would_load else f"left out: {e.why}")
            for e in found
        ]
        show_table(("plugin", "distribution", "version", "loads", "state"), rows)
    else:
        console().print(f"No plugin is installed. To keep values in files: {installed.pip_line('ckpt-local')}")


@plugins.command(short_help="Import each plugin in a process of its own.")
@click.argument("names", nargs=-1, metavar="[PLUGIN]…")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=SECONDS, show_default=True)
@debug_option
def check(names: tuple[str, ...], as_json: bool, seconds: float) -> int:
    """Import each plugin in a process of its own: what it brings, how long it takes, what it pulls in.

    Ends with 1 if one cannot be used. Nothing of a plugin runs in this process, and a plugin that takes longer than
    --seconds counts as hanging.

    \b
    Examples:
      ckpt plugins check
      ckpt plugins check local --json
    """
    there = [each.entry_point for each in installed_plugins.found()]
    if unknown := [name for name in names if name not in there]:
        raise click.UsageError(f"there is no plugin {unknown[0]!r}; installed: {', '.join(there) or 'none'}")
    trials = [tried(name, seconds) for name in names or there]
    if as_json:
        show_json([{"id": trial.entry_point, **_facts(trial)} for trial in trials])
    elif trials:
        rows = [
            (
                trial.entry_point,
                f"unusable: {trial.problem}" if trial.problem else "usable",
                f"{trial.seconds * 1e3:.0f} ms",
                "; ".join(trial.brings) or "nothing",
                ", ".join(trial.pulls_in) or "-",
            )
            for trial in trials
        ]
        show_table(("plugin", "state", "import", "brings", "pulls in"), rows)
    return int(any(trial.problem for trial in trials))


def _facts(trial: Trial) -> dict[str, object]:
    facts = asdict(trial)
    del facts["entry_point"]
    return facts
