"""`ckpt plugins`: what is installed, from metadata and settings alone."""

from __future__ import annotations

import click

from ckpt import installed
from ckpt import plugins as installed_plugins
from ckpt.cli.command import debug_option
from ckpt.cli.output import console, show_json, show_table

__all__ = ["plugins"]


@click.command(short_help="List the plugins, and why one is left out.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def plugins(as_json: bool) -> None:
    """List the installed plugins, and why one is left out.

    Read from the metadata of what is installed and from the settings; no plugin is imported.

    \b
    Examples:
      ckpt plugins
      CKPT__PLUGINS__BLOCK=s3 ckpt plugins     leave one out, by the name in the first column
    """
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
