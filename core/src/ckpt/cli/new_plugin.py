"""`ckpt new-plugin`: a complete package for a storage of one's own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from ckpt.cli.command import debug_option
from ckpt.cli.output import printable
from ckpt.cli.skeleton import Kind, check_is_free, skeleton

__all__ = ["new_plugin"]

_WHAT: Mapping[Kind, Mapping[str, str]] = {
    "objects": {
        "__init__.py": "the hook by which ckpt finds the handler",
        "handler.py": "how the storage is configured",
        "store.py": "bytes at keys: put your storage here",
        "test_conformance.py": "what ckpt promises, asked of your storage",
        "test_flow.py": "a flow that keeps its values there",
    },
    "two_methods": {
        "__init__.py": "the hook by which ckpt finds the handler",
        "handler.py": "write and read: put your storage here",
        "test_conformance.py": "what ckpt promises, asked of your storage",
        "test_flow.py": "a flow that keeps its values there",
    },
}


@click.command("new-plugin", short_help="Make the package of a storage plugin of your own.")
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), metavar="DIR", help="The folder to make.  [default: ckpt-NAME]"
)
@click.option("--objects", "kind", flag_value="objects", default="objects", help="For bytes at keys (the default).")
@click.option(
    "--two-methods", "kind", flag_value="two_methods", help="For a storage that takes values: write and read."
)
@debug_option
def new_plugin(name: str, folder: Path | None, kind: Kind) -> None:
    """Make a package that keeps values in the storage NAME, complete and working.

    It has a handler, the entry point by which ckpt finds it, and tests that ask what ckpt promises of every
    storage. It keeps values in a SQLite file until you put your own storage in its place. NAME becomes the
    storage type and the scheme of its URLs: small letters, digits and hyphens.

    With --objects you write put, get, head, list and delete of bytes; streaming, digests and verification are
    there. With --two-methods you write and read whole values, in any way you like, and nothing verifies them.

    \b
    Examples:
      ckpt new-plugin vault                          makes ckpt-vault, which serves vault:///…
      ckpt new-plugin vault --two-methods            the same in two methods
      ckpt new-plugin vault --folder ~/code/vault    elsewhere
    """
    made = skeleton(name, kind)
    check_is_free(name)
    folder = Path(made.distribution) if folder is None else folder
    made.write(folder)
    click.echo(f"Made {printable(folder)}, a plugin that keeps values in a SQLite file:\n")
    width = max(map(len, made.files))
    for path in made.files:
        click.echo(f"  {path:{width}}  {_WHAT[kind].get(path.rpartition('/')[2], '')}".rstrip())
    click.echo(f"\nNext:\n\n  cd {shlex.quote(os.fspath(folder))}\n  pip install -e '.[dev]'\n  pytest")
