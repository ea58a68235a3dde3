"""Records to put into a ledger, and places for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ckpt import CallPath, Identity, SafeResult, TaskRecord
from ckpt.task_records import FOREVER, CallArguments, LogLine, Place, RunRecord, Source

START = datetime(2026, 11, 22, 17, 16, 23, 481_000, tzinfo=UTC)
SPEC = {"type": "local", "dir": "values"}
DIGEST = "0123456789abcdef" * 4


def a_run(run: str = "20261122-171623-481-9f3ac1", /, *, minutes: float = 0, **fields: Any) -> RunRecord:
    """A run with every field set."""
    given: dict[str, Any] = {
        "flow": "weather",
        "started": START + timedelta(minutes=minutes),
        "name": None,
        "target": "/flows/weather.py",
        "parameters": {"city": "Köln", "days": [1, 2.5, None]},
        "code": "c0de" * 16,
        "environment": {"python": "3.11.2", "plugins": {"local": "0.1.0"}},
        "executor": "threads",
        "calls": 3,
        "places": (Place(SPEC, f"2026/11/22/weather/{run}/"),),
        "resumed": "20261121-000000-000-000000",
        "ledger": "1ed9e4",
    }
    return RunRecord(run, **{**given, **fields})


def a_task(
    slug: str = "clean-1", index: int | None = None, /, *, run: str = "20261122-171623-481-9f3ac1", **fields: Any
) -> TaskRecord:
    """A task run with every field set."""
    call = CallPath(slug, index)
    given: dict[str, Any] = {
        "state": "Success",
        "message": "Task run succeeded.",
        "attempt": 2,
        "started": START,
        "ended": START + timedelta(microseconds=1),
        "safe": SafeResult(f"{run}/{call}.ckpt", SPEC, digest=DIGEST, size=2**40, serializer="pickle"),
        "outcome": "stored",
        "inputs": {"rows": (Source(CallPath("load-1"), DIGEST), Source(CallPath("load-2", 7))), "by": (Source(None),)},
        "handler": "LocalResultHandler(dir='values')",
        "level": "flow",
        "identity": None,
        "summary": {"type": "int", "value": 5},
        "error": None,
        "task": slug.rpartition("-")[0],
        "order": int(slug.rpartition("-")[2]),
        "code": "c0de" * 16,
        "arguments": "a" * 64,
        "children": 3,
        "origin": "20261121-000000-000-000000",
        "reusable_until": None,
    }
    return TaskRecord(run, call, **{**given, **fields})


def reusable(identity: str, slug: str = "clean-1", /, **fields: Any) -> TaskRecord:
    """A task run whose value others may take."""
    return a_task(slug, **{"identity": Identity(identity), "reusable_until": FOREVER, **fields})


def some_arguments(digest: str = "a" * 64, data: bytes | None = b"\x80\x05\x00pickle") -> CallArguments:
    return CallArguments(digest, data, None if data is not None else SafeResult("place", SPEC, digest=DIGEST, size=3))


def a_line(text: str, slug: str = "clean-1", *, run: str = "20261122-171623-481-9f3ac1", seconds: float = 0) -> LogLine:
    return LogLine(run, CallPath(slug), 1, START + timedelta(seconds=seconds), "INFO", text)


def paths(tasks: Sequence[TaskRecord] | Mapping[CallPath, TaskRecord]) -> list[str]:
    """Their calls as text, in that order."""
    return [str(task.call) for task in (tasks.values() if isinstance(tasks, Mapping) else tasks)]
