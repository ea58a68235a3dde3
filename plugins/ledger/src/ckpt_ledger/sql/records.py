"""The records that rows stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from ckpt.calls import CallPath
from ckpt.errors import CorruptRecord
from ckpt.handlers import JSON
from ckpt.results import SafeResult
from ckpt.task_records import FOREVER, CallArguments, Identity, LogLine, Place, RunRecord, Source, TaskRecord
from ckpt_ledger.sql.rows import EPOCH, micros

__all__ = ["TaskReader", "call_arguments", "log_line", "moment", "run_record", "summary_of"]

_FOREVER: Final = micros(FOREVER)
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)

_LEFT_OUT: Final = (None,) * 5
"""In the place of what `WHOLE` has beyond `PRIOR`."""

_NO_INPUTS: Final[Mapping[str, Sequence[Source]]] = {}

_parsed = json.loads


def moment(micros: int) -> datetime:
    """The moment that many microseconds after 1970, in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def run_record(row: Sequence[Any]) -> RunRecord:
    """The run that the columns `RUNS` describe."""
    with _whole(f"run {row[0]!r}"):
        (run_id, flow, started, name, target, parameters, code, environment, executor, calls, places, *rest) = row
        return RunRecord(
            run_id,
            flow,
            moment(started),
            name,
            target,
            _table(parameters),
            code,
            _table(environment),
            executor,
            calls,
            tuple(Place(_is_table(spec), prefix) for spec, prefix in _parsed(places)),
            *rest,
        )


class TaskReader:
    """Makes records of rows; what many of them share is there once.

    `facts` gives the texts of facts by number.
    """

    def __init__(self, facts: Callable[[Sequence[int]], Mapping[int, str]]) -> None:
        self._ask = facts
        self._facts: dict[int, tuple[list[Any], SafeResult | None]] = {}
        self._texts: dict[Any, Any] = {}

    def tasks(self, run: str, rows: Sequence[Sequence[Any]]) -> list[TaskRecord]:
        """The task runs of a run that the columns `PRIOR` or `WHOLE` describe."""
        with _whole(f"a task run of run {run!r}"):
            self._learn({row[3] for row in rows} - self._facts.keys())
            return [self._task(run, row) for row in rows]

    def _task(self, run: str, row: Sequence[Any]) -> TaskRecord:
        (
            slug, index, position, number, state, message, attempt, location, digest, size, outcome, identity,
            arguments, children, origin, until, *more,
        ) = row  # fmt: skip
        started, ended, inputs, summary, error = more or _LEFT_OUT
        shared = self._texts.setdefault
        (name, code, level, handler, serializer, _), like = self._facts[number]
        safe = None
        if location is not None:
            if like is None:
                raise TypeError("a value that no handler keeps")
            safe = like.beside(_location(location), digest=digest, size=size, serializer=serializer)
        return TaskRecord(
            run,
            CallPath(slug, None if index < 0 else index),
            shared(state, state),
            shared(message, message),
            attempt,
            None if started is None else moment(started),
            None if ended is None else moment(ended),
            safe,
            shared(outcome, outcome),
            _NO_INPUTS if inputs is None else {name: _sources(each) for name, each in _table(inputs).items()},
            handler,
            level,
            None if identity is None else Identity(identity),
            None if summary is None else _table(summary),
            error,
            name,
            position,
            code,
            arguments,
            children,
            shared(origin, origin),
            None if until is None else FOREVER if until == _FOREVER else moment(until),
        )

    def _learn(self, numbers: Collection[int]) -> None:
        if not numbers:
            return
        for number, text in self._ask(sorted(numbers)).items():
            fields = _parsed(text)
            spec = fields[-1]
            self._facts[number] = fields, None if spec is None else SafeResult(None, _is_table(spec))


def call_arguments(row: Sequence[Any]) -> CallArguments:
    """The arguments that the columns `ARGUMENTS` describe."""
    digest, data, safe = row
    with _whole(f"arguments {digest!r}"):
        return CallArguments(
            digest, None if data is None else bytes(data), None if safe is None else SafeResult.from_dict(_table(safe))
        )


def log_line(run: str, row: Sequence[Any]) -> LogLine:
    """The message that the columns `LOGS` describe."""
    slug, index, attempt, at, level, message = row
    with _whole(f"a message of run {run!r}"):
        return LogLine(run, CallPath(slug, None if index < 0 else index), attempt, moment(at), level, message)


def summary_of(run: str, text: str) -> dict[str, JSON]:
    """The summary that a text of the column `summary` is."""
    with _whole(f"a task run of run {run!r}"):
        return _table(text)


def _location(text: str) -> JSON:
    """A location is nearly always a key, and then needs no parser."""
    inner = text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner and "\\" not in inner:
        return inner
    found: JSON = _parsed(text)
    return found


def _sources(rows: Any) -> tuple[Source, ...]:
    return tuple(Source(None if slug is None else CallPath(slug, index), digest) for slug, index, digest in rows)


def _table(text: str) -> dict[str, JSON]:
    return _is_table(_parsed(text))


def _is_table(value: object) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise TypeError(f"a table was expected, not {type(value).__name__}")
    return value


@contextmanager
def _whole(what: str) -> Iterator[None]:
    """A row that ckpt did not write, or that has been damaged since, says so."""
    try:
        yield
    except _DAMAGED as error:
        raise CorruptRecord(
            f"the ledger's row of {what} is damaged ({type(error).__name__}): "
            "restore the ledger from a copy, or remove that run from it"
        ) from error
