"""Records as the rows that keep them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ckpt.handlers import JSON
from ckpt.task_records import CallArguments, LogLine, RunRecord, Source, TaskRecord

__all__ = [
    "ARGUMENTS",
    "EPOCH",
    "LOGS",
    "PRIOR",
    "RUNS",
    "TASKS",
    "WHOLE",
    "Row",
    "TaskRows",
    "arguments_row",
    "clean",
    "log_row",
    "micros",
    "run_row",
]

Row = tuple[Any, ...]

RUNS: Final = (
    "id", "flow", "started", "name", "target", "parameters", "code", "environment", "executor", "calls", "places",
    "resumed", "ledger",
)  # fmt: skip
PRIOR: Final = (
    "slug", "map_index", "position", "facts", "state", "message", "attempt", "location", "digest", "size", "outcome",
    "identity", "arguments", "children", "origin", "reusable_until",
)  # fmt: skip
"""Of a task run what is needed to go on from it."""
WHOLE: Final = (*PRIOR, "started", "ended", "inputs", "summary", "error")
TASKS: Final = (
    "slug", "map_index", "position", "facts", "state", "message", "attempt", "started", "ended", "location", "digest",
    "size", "outcome", "identity", "arguments", "children", "origin", "reusable_until", "inputs", "summary", "error",
)  # fmt: skip
"""The same in the order of the table."""
ARGUMENTS: Final = ("digest", "data", "safe")
LOGS: Final = ("slug", "map_index", "attempt", "at", "level", "message")

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_ALONE = re.compile("[\ud800-\udfff\0]")

_json = json.JSONEncoder(separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def clean(text: str) -> str:
    """The text as both databases take it: a lone surrogate or a zero character as its escape."""
    if text.isascii() and "\0" not in text:
        return text
    return _ALONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def run_row(run: RunRecord) -> Row:
    """The columns of `RUNS`."""
    return (
        run.id,
        clean(run.flow),
        micros(run.started),
        None if run.name is None else clean(run.name),
        None if run.target is None else clean(run.target),
        _json(dict(run.parameters)),
        run.code,
        _json(dict(run.environment)),
        run.executor,
        run.calls,
        _json([[dict(place.handler), place.prefix] for place in run.places]),
        run.resumed,
        run.ledger,
    )


def arguments_row(arguments: CallArguments) -> Row:
    """The columns of `ARGUMENTS`."""
    safe = None if arguments.safe is None else _json(arguments.safe.to_dict())
    return arguments.digest, arguments.data, safe


def log_row(line: LogLine) -> Row:
    """The columns of `LOGS`."""
    slug, index = line.call
    return slug, -1 if index is None else index, line.attempt, micros(line.at), line.level, clean(line.message)


class TaskRows:
    """Makes the rows of a batch of records, and gathers the facts that they share."""

    def __init__(self) -> None:
        self.facts: dict[int, str] = {}
        self._numbers: dict[tuple[object, ...], int] = {}
        self._specs: dict[int, object] = {}

    def row(self, task: TaskRecord) -> Row:
        """The columns of `TASKS`."""
        (
            _, (slug, index), state, message, attempt, started, ended, safe, outcome, inputs, handler, level, identity,
            summary, error, name, position, code, arguments, children, origin, until,
        ) = task  # fmt: skip
        if safe is None:
            kept_by, serializer, location, digest, size = None, None, None, None, None
        else:
            kept_by, serializer, digest, size, location = (
                safe.kept_by, safe.serializer, safe.digest, safe.size, safe.value,
            )  # fmt: skip
            location = _quoted(location) if type(location) is str else _json(location)
        key = (name, code, level, handler, serializer, id(kept_by))
        number = self._numbers.get(key)
        if number is None:
            # The object must live as long as its id is in a key.
            self._specs[id(kept_by)] = kept_by
            data = _json([name, code, level, handler, serializer, safe.spec if safe else None])
            number = self._numbers[key] = _digest_number(data)
            self.facts[number] = data
        return (
            slug,
            -1 if index is None else index,
            position,
            number,
            state,
            clean(message),
            attempt,
            None if started is None else micros(started),
            None if ended is None else micros(ended),
            location,
            digest,
            size,
            clean(outcome),
            identity,
            arguments,
            children,
            origin,
            None if until is None else micros(until),
            _inputs_text(inputs) if inputs else None,
            None if summary is None else _summary_text(summary),
            None if error is None else clean(error),
        )


def _inputs_text(inputs: Mapping[str, Sequence[Source]]) -> str:
    """`{"x":[["add-1",null,"digest"]]}`: put together by hand, in half the time that an encoder takes to be made."""
    parts = []
    for name, sources in inputs.items():
        texts = []
        for call, digest in sources:
            used = "null" if digest is None else _quoted(digest)
            if call is None:
                texts.append(f"[null,null,{used}]")
            else:
                slug, index = call
                texts.append(f"[{_quoted(slug)},{'null' if index is None else index},{used}]")
        parts.append(f"{_quoted(name)}:[{','.join(texts)}]")
    return f"{{{','.join(parts)}}}"


def _summary_text(summary: Mapping[str, JSON]) -> str:
    """A summary as JSON; most are flat and put together by hand."""
    parts = []
    for name, part in summary.items():
        if type(part) is str:
            parts.append(f"{_quoted(name)}:{_quoted(part)}")
        elif type(part) is int:
            parts.append(f"{_quoted(name)}:{part}")
        else:
            return _json(summary)
    return f"{{{','.join(parts)}}}"


def _digest_number(data: str) -> int:
    """63 bits of a digest: the number of facts, the same in every process."""
    return int.from_bytes(hashlib.sha256(data.encode()).digest()[:8], "big") >> 1
