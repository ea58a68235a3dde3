"""`ckpt completion`: the script that teaches a shell to complete `ckpt`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ckpt.cli.command import debug_option
from ckpt.errors import Unsupported

__all__ = ["completion"]

_PLACES = {
    "bash": "Put it where bash looks:   ckpt completion bash > ~/.local/share/bash-completion/completions/ckpt\n"
    'or load it in ~/.bashrc:   eval "$(ckpt completion bash)"',
    "zsh": "Put it where zsh looks, a folder of $fpath:   ckpt completion zsh > ~/.zfunc/_ckpt\n"
    'or load it in ~/.zshrc, after compinit:       eval "$(ckpt completion zsh)"',
    "fish": "Put it where fish looks:   ckpt completion fish > ~/.config/fish/completions/ckpt.fish",
}


@click.command(short_help="Print the script that makes a shell complete.")
@click.argument("shell", type=click.Choice(list(_PLACES)))
@debug_option
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete `ckpt`: commands, files, flows, parameters, settings.

    The end of the script says where to put it.

    \b
    Example, for this shell only:
      eval "$(ckpt completion bash)"
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise Unsupported(f"the installed click cannot complete {shell}: pip install --upgrade click")
    context = click.get_current_context().find_root()
    script = kind(context.command, {}, "ckpt", "_CKPT_COMPLETE").source()
    comment = "".join(f"# {line}\n" for line in _PLACES[shell].splitlines())
    # At the end: zsh must find `#compdef` in the first line.
    click.echo(f"{script.rstrip()}\n\n{comment}", nl=False)
