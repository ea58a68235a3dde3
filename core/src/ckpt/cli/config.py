"""`ckpt config`: the settings that hold here, and where each came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ckpt import config as configuration
from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json, show_table
from ckpt.errors import CkptError
from ckpt.settings import Setting, Settings

if TYPE_CHECKING:
    from click import Context, Parameter

__all__ = ["config"]


def _complete_key(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    try:
        settings = configuration.load()
    except CkptError:
        settings = Settings()
    return [CompletionItem(each.name, help=each.doc) for each in settings.all() if each.name.startswith(incomplete)]


@click.command(short_help="Show the settings and where each came from.")
@click.argument("key", required=False, shell_complete=_complete_key)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def config(key: str | None, as_json: bool) -> None:
    """Show each setting and where it came from; or all about one KEY.

    Settings come from ckpt.toml in this folder, then ~/.ckpt/config.toml; variables CKPT__SECTION__KEY go over
    both, and arguments over all. What looks like a credential is not shown.

    \b
    Examples:
      ckpt config
      ckpt config flows.storage
      CKPT__FLOWS__STORAGE=file:///tmp/results ckpt config
    """
    settings = configuration.load()
    shown = settings.all() if key is None else [settings.setting(key)]
    if as_json:
        show_json([{"id": s.name, "value": s.shown, "source": s.source, "doc": s.doc} for s in shown])
    elif key is None:
        show_table(("setting", "value", "from"), [(each.name, _text(each), each.source) for each in shown])
    else:
        for line in (f"{key} = {_text(shown[0])}", f"from: {shown[0].source}", shown[0].doc):
            if line:
                console().print(printable(line), soft_wrap=True)


def _text(setting: Setting) -> str:
    value = setting.shown
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
