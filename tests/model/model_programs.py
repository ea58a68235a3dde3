"""Flows as plain data: what a random flow is made of, before it is either built or interpreted.

A program says what each task does (fail, skip, return), how its writes go, and what each call is given. The model and
the engine read the same program; they share nothing else than `returned`: what a task makes of its arguments.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ckpt import NoResult

FOREVER = 99


# -- arguments


@dataclass(frozen=True)
class Const:
    """A value given in the flow."""

    value: Any


@dataclass(frozen=True)
class Ref:
    """The value of the call of that number."""

    call: int


@dataclass(frozen=True)
class Look:
    """`source[key]`."""

    source: Ref | Look
    key: int | str | Ref


@dataclass(frozen=True)
class Pair:
    """A dataclass of a person's own; in a program its parts are expressions."""

    left: Any
    right: Any


@dataclass(frozen=True)
class Many:
    """A list, tuple, dict (keys a, b, …) or `Pair` that holds expressions."""

    kind: str
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Whole:
    """`unmapped(…)`."""

    value: Expression


Expression = Const | Ref | Look | Many
Argument = Expression | Whole


def container(kind: str, parts: Sequence[Any]) -> Any:
    """The container of that kind with these parts."""
    if kind == "dict":
        return dict(zip("abcdefgh", parts, strict=False))
    return Pair(*parts) if kind == "pair" else {"list": list, "tuple": tuple}[kind](parts)


def refs(given: Argument) -> list[int]:
    """The calls in an argument, each as often as it is there."""
    match given:
        case Ref(call):
            return [call]
        case Look(source, key):
            return refs(source) + (refs(key) if isinstance(key, Ref) else [])
        case Many(_, parts):
            return [call for part in parts for call in refs(part)]
        case Whole(value):
            return refs(value)
    return []


# -- tasks and calls


@dataclass(frozen=True)
class Mood:
    """What one task run does: raise in its first `fails` attempts, then skip or return."""

    fails: int = 0
    skips: bool = False
    milliseconds: int = 0


@dataclass(frozen=True)
class Write:
    """How the write of one value goes: it finds the storage unavailable `fails` times, or is refused."""

    fails: int = 0
    refused: bool = False
    milliseconds: int = 0


@dataclass(frozen=True)
class TaskSpec:
    """A task; its `moods` and `writes` are dealt to mapped children in turn."""

    moods: tuple[Mood, ...] = (Mood(),)
    writes: tuple[Write, ...] = (Write(),)
    returns: str = "number"
    width: int = 2
    trigger: str = "all_successful"
    skip_on_upstream_skip: bool = True
    max_retries: int = 0
    checkpoint: bool = True
    handler: str = "flow"
    """Who keeps its values: flow, own (a store of its own), inline (one that puts in line), plain (two methods)."""
    watched: bool = False
    """Does it have a state handler?"""
    style: str = "def"
    """Its function: def, async, or one with a timeout that it never reaches."""


@dataclass(frozen=True)
class CallSpec:
    """A call of a task; the last `keywords` of its arguments are given by keyword."""

    task: int
    args: tuple[Argument, ...] = ()
    mapped: bool = False
    after: tuple[int, ...] = ()
    keywords: int = 0


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter, whose value is given to the run or is its default."""

    value: Any
    given: bool = True
    checkpoint: bool = True
    handler: str = "json"
    write: Write = Write()


@dataclass(frozen=True)
class Program:
    """A flow and how it is run."""

    tasks: tuple[TaskSpec, ...]
    calls: tuple[CallSpec | ParameterSpec, ...]
    references: tuple[int, ...] | None = None
    checkpointing: bool = True
    on_write_error: str = "fail"
    write_retries: int = 1
    writers: int = 16
    keep_values: str = "all"
    listened: bool = False
    workers: int = 2

    def slug(self, number: int) -> str:
        """The name of a call: its task's, and its number among the calls of the task."""
        call = self.calls[number]
        if isinstance(call, ParameterSpec):
            return f"p{number}"
        before = sum(isinstance(other, CallSpec) and other.task == call.task for other in self.calls[:number])
        return f"t{call.task}-{before + 1}"

    def __repr__(self) -> str:
        lines = [f"    task {n}: {told(task)}" for n, task in enumerate(self.tasks)]
        lines += [f"    call {n}, {self.slug(n)}: {told(call)}" for n, call in enumerate(self.calls)]
        return "\n".join(["Program", *lines, f"    {told(self, skip=2)}"])


def told(spec: Any, skip: int = 0) -> str:
    """What is not as usual with it."""
    usual = [(each.name, each.default) for each in fields(spec)[skip:]]
    return ", ".join(f"{n}={getattr(spec, n)!r}" for n, default in usual if getattr(spec, n) != default)


# -- what tasks return


def returned(task: TaskSpec, path: str, attempt: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a task returns: something small that depends on everything it was given."""
    told = repr((path, attempt, [plain(value) for value in args], sorted((k, plain(v)) for k, v in kwargs.items())))
    number = zlib.crc32(told.encode()) % 997
    match task.returns:
        case "number":
            return number
        case "list":
            return [number + n for n in range(task.width)]
        case "lists":
            return [[number + n] * task.width for n in range(task.width)]
        case "dict":
            return {"a": [number] * task.width, "b": number}
        case "large":
            return bytes(1_100_000)
    return None


def plain(value: Any) -> Any:
    """A value as something whose `repr` is the same wherever it is: of an exception its class alone."""
    if isinstance(value, BaseException):
        return "raised", type(value).__name__
    if isinstance(value, list | tuple):
        return type(value).__name__, [plain(part) for part in value]
    if isinstance(value, dict):
        return "dict", [(key, plain(part)) for key, part in value.items()]
    if isinstance(value, Pair):
        return "pair", plain(value.left), plain(value.right)
    if isinstance(value, bytes):
        return "bytes", len(value)
    return "nothing" if value is NoResult else value
