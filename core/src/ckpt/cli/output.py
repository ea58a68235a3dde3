"""Tables, JSON and text, as they can be printed: on a terminal, into a pipe, in any encoding."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["console", "printable", "show_json", "show_table", "size"]

_WIDE = 10_000
"""A pipe has no width: its reader cuts lines, not we."""


def console(*, stderr: bool = False) -> Console:
    """Where to print; nothing in the text means anything but itself, and a stderr that nobody reads ends nothing."""
    file = cast("IO[str]", _Stderr(sys.stderr)) if stderr and sys.stderr is not None else None
    made = Console(file=file, stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made = Console(file=file, stderr=stderr, markup=False, highlight=False, emoji=False, width=_WIDE)
    return made


class _Stderr:
    """What is told on the way: where it cannot be printed it is dropped, for what it tells of goes on."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self.encoding = getattr(to, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        with self._dropping():
            self._to.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._to.flush()

    def isatty(self) -> bool:
        return self._to.isatty()

    def fileno(self) -> int:
        return self._to.fileno()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._leave()
        except (OSError, ValueError):  # a full disk, a terminal that is gone; closed
            pass

    def _leave(self) -> None:
        """The reader has seen enough: what tasks, and what they start, write into that pipe goes nowhere either."""
        # What has no number is no pipe, and one of the two may be closed.
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            pipe = os.fstat(self.fileno())
            for number in (2, 1):
                if os.path.samestat(os.fstat(number), pipe):
                    os.dup2(nowhere.fileno(), number)


def printable(text: object) -> str:
    """Text without characters that would move a terminal's cursor or change its colours."""
    letters = str(text)
    if letters.isprintable():
        return letters
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in letters)


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, to: Console | None = None, indent: int = 0
) -> None:
    """Print a table; into a pipe as aligned columns, one row a line."""
    to = to or console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold" if to.is_terminal else "")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    if to.is_terminal:
        from rich.padding import Padding

        to.print(Padding(table, (0, 0, 0, indent)))
        return
    with to.capture() as captured:
        to.print(table)
    for line in captured.get().splitlines():
        to.file.write(" " * indent + line.rstrip() + "\n")


def show_json(data: object, file: TextIO | None = None) -> None:
    """Print one JSON document: indented for people, one line for programs."""
    file = file or sys.stdout
    text = json.dumps(data, indent=2 if file.isatty() else None, default=str)
    file.write(f"{text}\n")


def size(count: int) -> str:
    """A number of bytes for people: `812 B`, `1.2 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
