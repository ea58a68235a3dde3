"""A task run on a page: all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ckpt.cli.output import console, printable, size
from ckpt.task_records import FOREVER
from ckpt_ledger.cli.figures import moment, seconds_between, span
from ckpt_ledger.cli.listing import Cell, Column, cell, plain, show_columns, show_facts
from ckpt_ledger.cli.run_page import counted, looks_like, whole_span

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.handlers import JSON
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.sql.overviews import Children
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["show_task"]


def show_task(
    row: RunRow, record: TaskRecord, sources: Mapping[CallPath, TaskRecord], counts: Sequence[Children]
) -> None:
    """Print all that is known of a task run; `sources` are the task runs that its inputs came from."""
    show_facts(list(_facts(row, record, counts)))
    if record.inputs:
        _title("inputs")
        _show_inputs(record, sources)
    if record.summary is not None:
        _title("value")
        _show_summary(record.summary)
    if record.error is not None:
        _title("error")
        console().print(Text(printable(record.error.rstrip())), soft_wrap=True)


def _title(text: str) -> None:
    console().print(Text(f"\n{text}", style="bold"))


def _facts(row: RunRow, record: TaskRecord, counts: Sequence[Children]) -> Iterator[tuple[str, Cell]]:
    started, ended = whole_span(counts) if counts else (record.started, record.ended)
    yield "task run", str(record.call)
    yield "task", record.task
    yield "run", f"{row.id} ({row.name})" if row.name else row.id
    yield "flow", row.flow
    message = f": {printable(record.message)}" if record.message else ""
    yield "state", Text.assemble(cell(record.state, record.state), message)
    if record.children is not None:
        yield "children", f"{record.children}: {counted(counts)}" if counts else str(record.children)
    yield "started", moment(started)
    yield "ended", moment(ended)
    yield "took", span(seconds_between(started, ended))
    yield "attempts", str(record.attempt) if record.started is not None else ""
    yield "outcome", record.outcome
    if (safe := record.safe) is not None:
        yield "kept as", plain(safe.value)
        yield "kept by", " ".join(f"{name}={plain(value)}" for name, value in safe.spec.items())
        if safe.size is not None:
            yield "size", f"{size(safe.size)} ({safe.size:,} bytes)" if safe.size >= 1000 else size(safe.size)
        yield "digest", safe.digest or ""
        yield "serializer", safe.serializer or ""
    yield "made in run", record.origin or ""
    if record.reusable_until is not None:
        yield (
            "reusable",
            "without an end" if record.reusable_until == FOREVER else f"until {moment(record.reusable_until)}",
        )
    yield "handler", f"{record.handler}, chosen at level {record.level}" if record.handler else ""
    yield "identity", record.identity or ""
    yield "code", record.code or ""
    yield "constants", record.arguments or ""


def _show_inputs(record: TaskRecord, sources: Mapping[CallPath, TaskRecord]) -> None:
    rows = [(name, *source) for name, given in record.inputs.items() for source in given]
    made = [sources.get(call) if call is not None else None for _, call, _ in rows]
    show_columns(
        [
            Column("argument", [name for name, _, _ in rows], least=8),
            Column(
                "from", ["a constant" if call is None else str(call) for _, call, _ in rows], least=12,
                keeps_end=True,
            ),
            Column("state", [cell(each.state, each.state) if each else "" for each in made], spare=2),
            Column("value", [_of_source(each) if each else "" for each in made], least=12, spare=1),
            Column("digest", [digest or "" for _, _, digest in rows], least=12),
        ]
    )  # fmt: skip


def _of_source(record: TaskRecord) -> Cell:
    return f"{record.children} children" if record.children is not None else looks_like(record)


def _show_summary(summary: Mapping[str, JSON]) -> None:
    """Print what was written down of a value; the head of a frame as a table."""
    columns, first = summary.get("columns"), summary.get("first")
    head = _head(columns, first)
    facts: list[tuple[str, Cell]] = []
    for name, value in summary.items():
        if head is None or name not in ("columns", "first"):
            facts.append((name, _parts(value)))
        elif name == "columns":
            facts.append((name, ", ".join(f"{title} ({dtype})" for title, dtype, _ in head)))
    show_facts(facts)
    if head and head[0][2]:
        console().print()
        show_columns([Column(title, cells, least=3, spare=number) for number, (title, _, cells) in enumerate(head)])


def _head(columns: JSON, first: JSON) -> list[tuple[str, str, list[str]]] | None:
    """Name, dtype and first cells of each column of a frame; None for what is no frame."""
    if not isinstance(columns, list) or not isinstance(first, list):
        return None
    rows = [row for row in first if isinstance(row, list) and len(row) == len(columns)]
    named = [each for each in columns if isinstance(each, list) and len(each) == 2]
    if len(rows) != len(first) or len(named) != len(columns):
        return None
    return [(plain(name), plain(dtype), [plain(row[i]) for row in rows]) for i, (name, dtype) in enumerate(named)]


def _parts(value: JSON) -> str:
    """A fact of a summary; pairs as `name = part`, one below the other."""
    if not isinstance(value, list):
        return plain(value)
    if all(isinstance(each, list) and len(each) == 2 for each in value):
        return "\n".join(f"{plain(each[0])} = {plain(each[1])}" for each in value if isinstance(each, list))
    return ", ".join(map(plain, value))
