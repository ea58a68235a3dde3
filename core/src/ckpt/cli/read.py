"""`ckpt read`: one value, its bytes, or what was written down with it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem
from rich.highlighter import ReprHighlighter
from rich.pretty import pretty_repr
from rich.text import Text

from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json, show_table
from ckpt.errors import Unsupported
from ckpt.handlers import JSON
from ckpt.objects import ObjectResultHandler
from ckpt.reading import locate
from ckpt.results import SafeResult

if TYPE_CHECKING:
    from click import Context, Parameter

    from ckpt.stores import Buffer

__all__ = ["bytes_of", "read", "save", "show"]


def _complete_location(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    return [CompletionItem(incomplete, type="file")]


@click.command(short_help="Show a kept value.")
@click.argument("locations", metavar="LOCATION…", nargs=-1, required=True, shell_complete=_complete_location)
@click.option("--raw", is_flag=True, help="The bytes as they are kept, to stdout; nothing is verified or unpickled.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="The bytes into FILE.")
@click.option("--meta", is_flag=True, help="The verified header: when, by which run and task, by which versions.")
@click.option("--json", "as_json", is_flag=True, help="With --meta: as JSON.")
@debug_option
def read(locations: tuple[str, ...], raw: bool, output: str | None, meta: bool, as_json: bool) -> None:
    """Show the value that is kept at LOCATION.

    LOCATION is the path of a file, a URL, a key in the configured storage, or a safe value as JSON (as in
    `ckpt run --json`); `-` reads it from stdin. The value is verified before it is made. Making it can run code
    that its author chose, as with every pickle: read only what you or people you trust have written.

    \b
    Examples:
      ckpt read results/2026/11/22/my-flow/20261122-171623-481-9f3ac1/add-1.ckpt
      ckpt read s3://bucket/2026/11/22/…/add-1.ckpt --meta
      ckpt read 2026/11/22/…/add-1.ckpt            a key, with flows.storage set
      ckpt read KEY -o value.ckpt                  then, without ckpt: pickle.load(open("value.ckpt", "rb"))
    """
    if as_json and not meta:
        raise click.UsageError("--json goes with --meta: a value need not be JSON")
    if meta and (raw or output):
        raise click.UsageError("--meta shows the header, --raw and -o the bytes: take one of them")
    if len(locations) > 1 and (raw or output):
        raise click.UsageError("--raw and -o take one LOCATION")
    for number, text in enumerate(locations):
        safe = locate(sys.stdin.read().strip() if text == "-" else text)
        if output is not None:
            save(bytes_of(safe), Path(output))
        elif raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(bytes_of(safe))
        elif meta:
            _show_meta(safe, as_json=as_json)
        else:
            if len(locations) > 1:
                console().print(printable(f"{'' if number == 0 else chr(10)}== {text}"), soft_wrap=True, style="bold")
            show(safe.read())


def bytes_of(safe: SafeResult) -> Buffer:
    """The bytes of a value as they are kept, verified by nobody.

    Raises: `Unsupported` for a handler that keeps none.
    """
    handler = safe.result_handler
    if not isinstance(handler, ObjectResultHandler):
        raise Unsupported(
            f"a {handler.storage_type} handler keeps no bytes of its own; the location is all there is: {safe.value}"
        )
    return handler.raw(safe.value)


def save(data: Buffer, path: Path) -> None:
    """Write the whole file or leave what was there."""
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise click.FileError(os.fspath(path), error.strerror) from error


def _show_meta(safe: SafeResult, *, as_json: bool) -> None:
    facts: dict[str, JSON] = {"location": safe.value, "handler": safe.spec}
    handler = safe.result_handler
    if isinstance(handler, ObjectResultHandler):
        facts |= handler.meta(safe.value)
    else:
        facts |= {"digest": safe.digest, "size": safe.size, "serializer": safe.serializer}
    if as_json:
        show_json(facts)
        return
    rows = [(name, "-" if value is None else str(value)) for name, value in _flat(facts)]
    show_table(("field", "value"), rows)


def _flat(facts: dict[str, JSON], stem: str = "") -> list[tuple[str, JSON]]:
    """The leaves of nested objects, under dotted names."""
    flat: list[tuple[str, JSON]] = []
    for name, value in facts.items():
        flat += _flat(value, f"{stem}{name}.") if isinstance(value, dict) and value else [(f"{stem}{name}", value)]
    return flat


def show(value: object) -> None:
    """Print a value: text of several lines as it is, a table as its library prints it, all else as Python writes it."""
    to = console()
    width = to.width if to.is_terminal else 120
    if isinstance(value, str) and "\n" in value:
        to.print(printable(value) if to.is_terminal else value, soft_wrap=True)
        return
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        with pandas.option_context("display.width", width, "display.max_columns", 0 if to.is_terminal else None):
            text = repr(value)
    else:
        text = pretty_repr(value, max_width=width)
    to.print(ReprHighlighter()(Text(printable(text))) if to.is_terminal else Text(text), soft_wrap=True)
