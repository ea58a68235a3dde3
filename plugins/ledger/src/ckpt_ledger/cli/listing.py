"""Tables that fit: into a pipe goes everything, on a terminal what there is room for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ckpt.cli.output import console, printable, show_table
from ckpt.handlers import JSON

__all__ = ["Cell", "Column", "cell", "plain", "show_columns", "show_facts"]

Cell = str | Text

_GAP = 2
_TITLE = 8
"""Below this no column is cut."""
_LONGEST = 1000
"""Characters of a cell on a terminal, before it is cut to its column."""
_COLOURS = {
    "Success": "green", "Cached": "green", "Mapped": "green", "Running": "cyan", "Lost": "yellow", "Skipped": "dim",
    "Failed": "red", "TimedOut": "red", "TriggerFailed": "red", "Cancelled": "yellow",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    cells: Sequence[Cell]
    least: int | None = None
    """To how many characters it may be cut; None where it is not."""
    keeps_end: bool = False
    """Whether it is cut in the middle, since its end tells cells apart."""
    spare: int = 0
    """Where there is no room, the column with the highest number is left out first; 0 stays."""
    is_number: bool = False


def cell(text: object, state: str | None = None) -> Text:
    """One line of text that is safe to print, in the colour of a state."""
    return Text(" ".join(printable(text).split()), style=_COLOURS.get(state or "", ""))


def show_columns(columns: Sequence[Column]) -> None:
    """Print a table; on a terminal without empty columns, and never wider than it."""
    to = console()
    if to.is_terminal:
        columns = _fitting([column for column in columns if any(map(str, column.cells))], to.width)
    cells = [[_aligned(each, column, is_piped=not to.is_terminal) for each in column.cells] for column in columns]
    show_table([column.title for column in columns], list(zip(*cells, strict=True)), to=to)


def show_facts(facts: Sequence[tuple[str, Cell]]) -> None:
    """Print names and what there is to say under each; what is long goes on below itself."""
    to = console()
    facts = [(name, said) for name, said in facts if str(said)]
    if not to.is_terminal:
        width = max((len(name) for name, _ in facts), default=0)
        for name, said in facts:
            head, *more = printable(said).splitlines()
            to.file.writelines([f"{name:<{width}}  {head}\n", *(f"{'':<{width}}  {line}\n" for line in more)])
        return
    table = Table.grid(padding=(0, _GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, said in facts:
        table.add_row(name, said if isinstance(said, Text) else Text(printable(said)))
    to.print(table)


def plain(value: JSON) -> str:
    """JSON for people: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fitting(columns: list[Column], width: int) -> list[Column]:
    """The columns that there is room for, cut where they may be."""
    wide = [max(cell_len(c.title), *(_wide(each) for each in c.cells)) for c in columns]
    least = [w if c.least is None else min(w, max(c.least, len(c.title))) for w, c in zip(wide, columns, strict=True)]
    shown = list(range(len(columns)))
    for number in sorted(shown, key=lambda n: columns[n].spare, reverse=True):
        if columns[number].spare and sum(least[n] + _GAP for n in shown) - _GAP > width:
            shown.remove(number)
    excess = sum(wide[n] + _GAP for n in shown) - _GAP - width
    # Where that is not enough, a cut cell is still better than one that is wrapped.
    for floor in (least, [w if c.least is None else _TITLE for w, c in zip(wide, columns, strict=True)]):
        while excess > 0 and (longer := [n for n in shown if wide[n] > floor[n]]):
            wide[max(longer, key=lambda n: wide[n])] -= 1
            excess -= 1
    return [replace(columns[n], cells=[_cut(each, wide[n], columns[n]) for each in columns[n].cells]) for n in shown]


def _wide(text: Cell) -> int:
    return min(_LONGEST, cell_len(text.plain if isinstance(text, Text) else text))


def _cut(text: Cell, width: int, column: Column) -> Text:
    made = text.copy() if isinstance(text, Text) else cell(text[:_LONGEST])
    if column.keeps_end and made.cell_len > width > 2:
        end = made[-(width // 2) :]
        made.truncate(width - end.cell_len, overflow="ellipsis")
        return made.append_text(end)
    made.truncate(width, overflow="ellipsis")
    return made


def _aligned(text: Cell, column: Column, *, is_piped: bool) -> Text:
    made = text.copy() if isinstance(text, Text) else cell(text)
    if is_piped and not made.plain:
        made = Text("-")
    if column.is_number:
        made.justify = "right"
    return made
