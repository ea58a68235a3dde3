"""The command as it explains itself."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ckpt.cli.command import command

__all__ = ["every_command"]

_WIDTH = 92


def every_command() -> str:
    """The help of `ckpt` and of each of its commands."""
    return "\n\n".join(_helps(command, "ckpt", "##"))


def _helps(group: click.Command, name: str, level: str) -> Iterator[str]:
    context = click.Context(group, info_name=name, max_content_width=_WIDTH, terminal_width=_WIDTH)
    yield f"{level} `{name}`\n\n```text\n{group.get_help(context)}\n```"
    if isinstance(group, click.Group):
        for each in group.list_commands(context):
            if (found := group.get_command(context, each)) is not None:
                yield from _helps(found, f"{name} {each}", f"{level}")
