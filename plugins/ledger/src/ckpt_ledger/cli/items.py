"""Runs and task runs as the objects of `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ckpt_ledger.cli.figures import iso, seconds_between

if TYPE_CHECKING:
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.sql.run_rows import RunRow

__all__ = ["run_item", "task_item"]


def run_item(row: RunRow) -> dict[str, object]:
    """All that is known of a run."""
    record = row.record
    return {
        "id": row.id,
        "name": row.name,
        "flow": row.flow,
        "state": row.state,
        "message": row.message,
        "started": iso(row.started),
        "ended": iso(row.ended),
        "seconds": seconds_between(row.started, row.ended),
        "heartbeat": iso(row.heartbeat),
        "tasks": row.tasks,
        "failed": row.failed,
        "calls": record.calls,
        "parameters": dict(record.parameters),
        "target": record.target,
        "code": record.code,
        "environment": dict(record.environment),
        "executor": record.executor,
        "places": [{"handler": dict(place.handler), "prefix": place.prefix} for place in record.places],
        "resumed": record.resumed,
        "ledger": record.ledger,
    }


def task_item(record: TaskRecord, states: Mapping[str, int] | None = None) -> dict[str, object]:
    """All that is known of a task run; of a mapped call also how many children ended in each state."""
    return {
        "id": str(record.call),
        "run": record.run,
        "task": record.task,
        "state": record.state,
        "message": record.message,
        "attempt": record.attempt,
        "started": iso(record.started),
        "ended": iso(record.ended),
        "seconds": seconds_between(record.started, record.ended),
        "outcome": record.outcome,
        "safe_value": record.safe.to_dict() if record.safe is not None else None,
        "summary": None if record.summary is None else dict(record.summary),
        "inputs": {
            name: [{"call": None if call is None else str(call), "digest": digest} for call, digest in sources]
            for name, sources in record.inputs.items()
        },
        "handler": record.handler,
        "level": record.level,
        "identity": record.identity,
        "code": record.code,
        "arguments": record.arguments,
        "origin": record.origin,
        "reusable_until": iso(record.reusable_until),
        "children": record.children,
        "child_states": None if states is None else dict(states),
        "error": record.error,
    }
