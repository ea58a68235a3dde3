"""A run on a page: what is known of it, and the table of its task runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ckpt.cli.output import console, printable, size
from ckpt.summaries import as_text
from ckpt_ledger.cli.figures import moment, seconds_between, span
from ckpt_ledger.cli.listing import Cell, Column, cell, plain, show_columns, show_facts
from ckpt_ledger.cli.runs import ended_or_seen

if TYPE_CHECKING:
    from datetime import datetime

    from ckpt.handlers import JSON
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.sql.overviews import Children
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["counted", "kept_as", "looks_like", "show_run", "whole_span"]

_CUT = 300
"""Characters of one parameter on a terminal."""
_WELL = ("Success", "Cached", "Skipped")


def show_run(row: RunRow, records: Sequence[TaskRecord], counts: Sequence[Children], *, unfold: bool) -> None:
    """Print what is known of a run, and its task runs in run order."""
    show_facts(list(_facts(row)))
    by_slug: dict[str, list[Children]] = {}
    for each in counts:
        by_slug.setdefault(each.slug, []).append(each)
    prefixes = [place.prefix for place in row.record.places]
    lines = [_line(record, by_slug.pop(record.call.slug, None), prefixes) for record in _parents_first(records)]
    if not unfold:
        # Of a map that goes on the children are there, and not yet their parent.
        lines += [_folded(slug, counts_) for slug, counts_ in by_slug.items()]
    if not lines:
        return
    console().print()
    titles = ("task", "state", "attempts", "started", "took", "size", "value", "kept as")
    least = {"task": 20, "state": 16, "value": 28, "kept as": 20}
    spare = {"size": 1, "took": 2, "kept as": 3, "attempts": 4, "started": 5}
    show_columns(
        [
            Column(
                title, cells, least=least.get(title), keeps_end=title in ("task", "kept as"),
                spare=spare.get(title, 0), is_number=title in ("attempts", "took", "size"),
            )
            for title, cells in zip(titles, zip(*lines, strict=True), strict=True)
        ]
    )  # fmt: skip


def counted(counts: Sequence[Children]) -> str:
    """`1 Failed, 4 Success`: what went wrong first."""
    ordered = sorted(counts, key=lambda each: (each.state in _WELL, each.state))
    return ", ".join(f"{each.count} {each.state}" for each in ordered)


def whole_span(counts: Sequence[Children]) -> tuple[datetime | None, datetime | None]:
    """When the first child started and the last one ended."""
    starts = [each.started for each in counts if each.started is not None]
    ends = [each.ended for each in counts if each.ended is not None]
    return min(starts, default=None), max(ends, default=None)


def looks_like(record: TaskRecord) -> Cell:
    """The value in one line; of a task run without one why."""
    if record.summary is not None:
        return cell(as_text(record.summary))
    if record.state not in _WELL:
        return cell(record.message.partition("\n")[0], record.state)
    return Text(f"({record.outcome})", style="dim") if record.outcome not in ("", "stored") else ""


def kept_as(record: TaskRecord, prefixes: Sequence[str]) -> str:
    """The safe value; below the folder of the run without that folder, where the page names it."""
    if record.safe is None:
        return ""
    text = plain(record.safe.value)
    for prefix in prefixes:
        if console().is_terminal and text.startswith(prefix):
            return text.removeprefix(prefix)
    return text


def _facts(row: RunRow) -> Iterator[tuple[str, Cell]]:
    record = row.record
    yield "run", row.id
    yield "name", row.name or ""
    yield "flow", row.flow
    yield "state", Text.assemble(cell(row.state, row.state), f": {printable(row.message)}" if row.message else "")
    took = span(seconds_between(row.started, ended_or_seen(row)))
    ended = f"ended {moment(row.ended)}, took {took}" if row.ended else f"for {took}, last seen {moment(row.heartbeat)}"
    yield "started", f"{moment(row.started)}, {ended}"
    failed = f", {row.failed} failed" if row.failed else ""
    yield "task runs", f"{row.tasks} ended{failed}; the flow has {record.calls} calls"
    yield "resumed from", record.resumed or ""
    yield "parameters", "\n".join(f"{name} = {_short(value)}" for name, value in record.parameters.items())
    yield "loaded from", record.target or ""
    yield "executor", record.executor
    for place in record.places:
        options = " ".join(f"{name}={_short(value)}" for name, value in place.handler.items() if name != "type")
        yield "values in", f"{place.handler.get('type', '')} {options}: {place.prefix}"
    yield "code", record.code or ""
    yield "environment", _listed(record.environment)
    yield "ledger", record.ledger or ""


def _listed(environment: Mapping[str, JSON]) -> str:
    parts = []
    for name, value in environment.items():
        if isinstance(value, dict):
            text = ", ".join(f"{part} {plain(said)}" for part, said in value.items())
        else:
            text = ", ".join(map(plain, value)) if isinstance(value, list) else plain(value)
        parts.append(f"{name} {text}")
    return "\n".join(parts)


def _short(value: JSON) -> str:
    text = plain(value)
    return f"{text[:_CUT]}…" if len(text) > _CUT and console().is_terminal else text


def _parents_first(records: Sequence[TaskRecord]) -> list[TaskRecord]:
    return sorted(records, key=lambda record: (record.order, record.call.slug, record.call.map_index is not None))


def _line(record: TaskRecord, counts: Sequence[Children] | None, prefixes: Sequence[str]) -> tuple[Cell, ...]:
    if counts is not None and record.call.map_index is None:
        return _folded(record.call.slug, counts)
    # A mapped call without children has nothing to count.
    state = "0 children" if record.state == "Mapped" else record.state
    is_kept = record.safe is not None and record.safe.size is not None
    return (
        str(record.call),
        cell(state, record.state),
        str(record.attempt) if record.attempt > 1 else "",
        _clock(record.started),
        span(seconds_between(record.started, record.ended)),
        size(record.safe.size or 0) if is_kept and record.safe is not None else "",
        looks_like(record),
        kept_as(record, prefixes),
    )


def _folded(slug: str, counts: Sequence[Children]) -> tuple[Cell, ...]:
    """A mapped call in one line."""
    started, ended = whole_span(counts)
    kept = sum(each.kept for each in counts)
    worst = next((each.state for each in counts if each.state not in _WELL), "Mapped")
    return (
        slug,
        cell(counted(counts), worst),
        "",
        _clock(started),
        span(seconds_between(started, ended)),
        size(sum(each.size for each in counts)) if kept else "",
        Text(f"{kept} values" if kept != 1 else "1 value", style="dim") if kept else "",
        "",
    )


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone():%H:%M:%S}"
