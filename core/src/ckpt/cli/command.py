"""The group of commands, ours and those that plugins bring, and what a person sees of an error."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.text import Text

import ckpt
from ckpt import plugins
from ckpt.cli.output import console, printable
from ckpt.errors import CkptError, ConfigError, PluginBroken, PluginNotFound
from ckpt.logs import show_messages
from ckpt.suggestions import nearest

__all__ = ["as_usage", "command", "debug_option", "invoke"]

_OURS = ("run", "explain", "read", "check", "config", "plugins", "new-plugin", "completion")
"""Each is an object of its name in the module of its name here, imported when it is needed; `-` becomes `_`."""

_USAGE = (ConfigError, PluginNotFound, PluginBroken)
"""Errors of what was asked for, not of what came of it."""

_LOG = logging.getLogger("ckpt")
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@dataclass
class _Session:
    """What one call of the command must remember after its context is gone."""

    debug: bool = False


def _switch_debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and (session := context.find_object(_Session)) is not None:
        session.debug = True


def debug_option(function: _Decorated) -> _Decorated:
    """The option `--debug`, on the group and on each of its commands."""
    option = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_switch_debug, help="Show where an error came from."
    )
    return option(function)


@contextmanager
def as_usage() -> Iterator[None]:
    """Whatever ckpt raises in here ends with 2: for a command in which 1 says what came of it."""
    try:
        yield
    except _USAGE:
        raise
    except CkptError as error:
        raise ConfigError(str(error)) from error


class _Commands(click.Group):
    """Our commands by name, imported when they are needed; then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OURS, *sorted(self._of_plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OURS:
            name = cmd_name.replace("-", "_")
            found: click.Command = getattr(importlib.import_module(f"ckpt.cli.{name}"), name)
            return found
        return self._of_plugins().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            guess = nearest(name, self.list_commands(ctx))
            hint = f"did you mean `ckpt {guess}`?" if guess else "`ckpt --help` lists the commands"
            if os.path.exists(name):  # noqa: PTH110  any text may stand here, also what no Path takes
                hint = f"to run a flow file: ckpt run {name}"
            raise click.UsageError(f"there is no command {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    @staticmethod
    def _of_plugins() -> dict[str, click.Command]:
        """What plugins add; a plugin that is broken, or settings that are, hide none of our commands."""
        found: dict[str, click.Command] = {}
        try:
            brought = plugins.commands()
        except CkptError as error:
            _LOG.warning("the commands of plugins are not there: %s", error)
            return found
        for each in brought:
            if not each.name or each.name in _OURS or each.name in found:
                _LOG.warning("a plugin's command is left out, its name is taken or empty: %r", each.name)
            else:
                found[each.name] = each
        return found


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command explains itself: ckpt run --help",
)
@click.version_option(ckpt.__version__, prog_name="ckpt")
@click.pass_context
@debug_option
def command(context: click.Context) -> None:
    """Run flows and look at the values that they kept.

    ckpt keeps the return value of every task of a flow, so that you can look at any of them later.

    \b
    Start here:
      ckpt explain flow.py                               what would be kept, where, and who decided it
      ckpt run flow.py --storage file:///tmp/results     run it and keep every value
      ckpt read LOCATION                                 look at one of them
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def invoke() -> int:
    """Run the command with the arguments of this process and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.encoding.lower().startswith("utf"):
        # A name with an accent must not end a command on a terminal that has no accents.
        sys.stdout.reconfigure(errors="backslashreplace")
    if "_CKPT_COMPLETE" in os.environ:
        logging.disable()  # a message would land in the line that is being typed
    show_messages()
    session = _Session()
    try:
        code = command.main(prog_name="ckpt", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except click.UsageError as error:
        usage = f"{error.ctx.get_usage()}\n" if error.ctx else ""
        return _complain(error.format_message(), error.exit_code, usage=usage)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except CkptError as error:
        if session.debug:
            traceback.print_exc()
        return _complain(str(error), 2 if isinstance(error, _USAGE) else 1)
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int, usage: str = "") -> int:
    label = Text("error", style="bold red")
    console(stderr=True).print(Text.assemble(usage, label, f": {printable(message)}"), soft_wrap=True)
    return code
