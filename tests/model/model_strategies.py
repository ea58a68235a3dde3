"""Random programs: small graphs in which everything that a flow may hold meets everything else."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.strategies import DrawFn, SearchStrategy
from model_programs import (
    FOREVER,
    Argument,
    CallSpec,
    Const,
    Expression,
    Look,
    Many,
    Mood,
    ParameterSpec,
    Program,
    Ref,
    TaskSpec,
    Whole,
    Write,
    refs,
)

DEEP = int(os.environ.get("CKPT_EXAMPLES", "0"))
"""How many examples each test tries, by chance; 0: few, and the same ones each time."""


def examples(few: int, share: float = 1.0) -> settings:
    """The settings of one test: `few` examples, or its share of `CKPT_EXAMPLES`."""
    return settings(
        max_examples=max(1, int(DEEP * share)) if DEEP else few,
        derandomize=not DEEP,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


TRIGGERS = ("all_successful", "all_failed", "any_successful", "any_failed", "all_finished")

FITTING = "?"
"""A key that `fitted` replaces by one that is there."""

small = st.integers(0, 3)


_made: dict[str, SearchStrategy[Any]] = {}


def weighted(*choices: tuple[int, Any]) -> SearchStrategy[Any]:
    """One of the values, each as often as its weight says; the first is the simplest."""
    name = repr(choices)  # 0 and False are equal, and not the same
    if name not in _made:
        _made[name] = st.sampled_from([value for weight, value in choices for _ in range(weight)])
    return _made[name]


moods = st.builds(
    Mood,
    fails=weighted((14, 0), (2, 1), (1, 2), (1, FOREVER)),
    skips=weighted((8, False), (1, True)),
    milliseconds=weighted((4, 0), (1, 1), (1, 3)),
)
writes = st.builds(
    Write,
    fails=weighted((12, 0), (3, 1), (1, 2), (1, FOREVER)),
    refused=weighted((6, False), (1, True)),
    milliseconds=weighted((6, 0), (1, 1), (1, 4)),
)


@cache
@st.composite
def tasks(draw: DrawFn, width: int) -> TaskSpec:
    return TaskSpec(
        moods=tuple(draw(st.lists(moods, min_size=1, max_size=3))),
        writes=tuple(draw(st.lists(writes, min_size=1, max_size=3))),
        returns=draw(weighted((6, "number"), (6, "list"), (2, "lists"), (2, "dict"), (2, "none"), (1, "large"))),
        width=draw(weighted((6, width), (1, 0), (1, 3))),
        trigger=draw(weighted((10, TRIGGERS[0]), *((2, trigger) for trigger in TRIGGERS[1:]))),
        skip_on_upstream_skip=draw(weighted((4, True), (1, False))),
        max_retries=draw(weighted((5, 0), (2, 1), (1, 2))),
        checkpoint=draw(weighted((6, True), (1, False))),
        handler=draw(weighted((6, "flow"), (2, "own"), (1, "inline"), (1, "plain"))),
        watched=draw(weighted((4, False), (1, True))),
        style=draw(weighted((12, "def"), (1, "async"), (1, "timeout"))),
    )


keys = weighted((6, FITTING), (1, -1), (1, "b"))


@cache
@st.composite
def looks(draw: DrawFn, refs: SearchStrategy[Ref], *, keys_may_be_calls: bool = True) -> Look:
    """A part of a value, or a part of a part."""
    source: Ref | Look = draw(refs)
    if draw(weighted((3, False), (1, True))):
        source = Look(source, draw(keys))
    key: Any = draw(keys)
    if keys_may_be_calls and draw(weighted((15, False), (1, True))):
        key = draw(refs)
    return Look(source, key)


@cache
def expressions(earlier: int) -> SearchStrategy[Expression]:
    """What an argument may be where `earlier` calls are there to take values from."""
    constants = st.builds(Const, st.one_of(small, st.lists(small, max_size=3)))
    if not earlier:
        return constants
    calls = st.builds(Ref, st.integers(0, earlier - 1))
    leaves = st.one_of(calls, calls, calls, looks(calls), constants)
    inner = st.builds(
        Many, st.sampled_from(["list", "tuple", "dict", "pair"]), st.tuples(leaves, st.one_of(leaves, calls))
    )
    return st.one_of(leaves, leaves, leaves, inner, st.builds(Many, st.just("list"), st.tuples(inner, leaves)))


@cache
def arguments(earlier: int) -> SearchStrategy[list[Expression]]:
    """Arguments of a call that is not mapped."""
    return st.lists(expressions(earlier), min_size=min(earlier, 1), max_size=3)


@cache
def mapped_arguments(earlier: int, length: int) -> SearchStrategy[tuple[Argument, ...]]:
    """Arguments of a mapped call, one of which at least is mapped over; lists given in the flow have equal lengths."""
    constant = st.builds(Const, st.lists(small, min_size=length, max_size=length))
    over: SearchStrategy[Argument] = constant
    if earlier:
        calls = st.builds(Ref, st.integers(0, earlier - 1))
        literal = st.builds(
            Many, st.just("list"), st.lists(expressions(earlier), min_size=length, max_size=length).map(tuple)
        )
        over = st.one_of(calls, calls, calls, calls, constant, literal, looks(calls, keys_may_be_calls=False))
    rest = st.lists(st.one_of(st.builds(Whole, expressions(earlier)), over), max_size=2)
    return st.tuples(over, rest).map(lambda drawn: (drawn[0], *drawn[1]))


@st.composite
def programs(draw: DrawFn, *, most: int = 15, least: int = 1, remote: bool = False) -> Program:
    width = draw(st.sampled_from([2, 3, 1]))
    specs = draw(st.lists(tasks(width), min_size=1, max_size=5))
    if remote:  # a handler of two methods keeps values in the process that it is in
        specs = [TaskSpec(**{**vars(spec), "handler": spec.handler.replace("plain", "inline")}) for spec in specs]
    calls: list[CallSpec | ParameterSpec] = []
    for number in range(draw(st.integers(least, most))):
        if draw(weighted((9, False), (1, True))):
            calls.append(
                ParameterSpec(
                    value=draw(st.one_of(small, st.lists(small, min_size=width, max_size=width))),
                    given=draw(st.booleans()),
                    checkpoint=draw(weighted((4, True), (1, False))),
                    handler=draw(st.sampled_from(["json", "own"])),
                    write=draw(writes),
                )
            )
            continue
        mapped = draw(weighted((1, False), (1, True)))
        length = draw(weighted((6, width), (1, 1), (1, 4))) if mapped else 0
        args: tuple[Argument, ...] = tuple(draw(mapped_arguments(number, length) if mapped else arguments(number)))
        after = draw(st.lists(st.integers(0, number - 1), max_size=2, unique=True)) if number else []
        careless = draw(weighted((19, False), (1, True)))
        calls.append(
            CallSpec(
                task=draw(st.integers(0, len(specs) - 1)),
                args=args if careless else tuple(fitted(arg, calls, specs, length) for arg in args),
                mapped=mapped,
                after=tuple(after) if draw(weighted((3, False), (1, True))) else (),
                keywords=draw(st.integers(0, min(len(args), 1))),
            )
        )
    _wait_for_later_ones(draw, calls)
    numbers = st.integers(0, len(calls) - 1)
    references = st.lists(numbers, min_size=1, max_size=3, unique=True).map(tuple)
    return Program(
        tasks=tuple(specs),
        calls=tuple(calls),
        references=draw(st.one_of(st.none(), st.none(), references)),
        checkpointing=draw(weighted((7, True), (1, False))),
        on_write_error=draw(weighted((3, "fail"), (1, "warn"))),
        write_retries=draw(st.integers(0, 2)),
        writers=draw(st.sampled_from([16, 16, 0, 1])),
        keep_values=draw(st.sampled_from(["all", "terminal", "none"])),
        listened=draw(st.booleans()),
        workers=draw(st.integers(1, 3)),
    )


Shape = str | tuple[str, Any]
"""What is known of a value: number, none, large, dict, or a list of some shape."""


def shape(given: Expression, calls: list[CallSpec | ParameterSpec], specs: list[TaskSpec]) -> Shape:
    """The shape of a value that was computed."""
    match given:
        case Ref(number):
            call = calls[number]
            if isinstance(call, ParameterSpec):
                return ("list", "number") if isinstance(call.value, list) else "number"
            returns = specs[call.task].returns
            found: Shape = {"list": ("list", "number"), "lists": ("list", ("list", "number"))}.get(returns, returns)
            return ("list", found) if call.mapped else found
        case Look(source, key):
            inner = shape(source, calls, specs)
            if isinstance(inner, tuple):
                return inner[1]  # type: ignore[no-any-return]
            return ("list", "number") if inner == "dict" and key != "b" else "number"
        case Many("list", parts):
            return "list", shape(parts[0], calls, specs) if parts else "number"
        case Const(value):
            return ("list", "number") if isinstance(value, list) else "number"
    return "number"


def fitted(given: Any, calls: list[CallSpec | ParameterSpec], specs: list[TaskSpec], width: int = 0) -> Any:
    """The argument with keys that are mostly there; something to map over, if `width` elements are asked for."""
    match given:
        case Whole(value):
            return Whole(fitted(value, calls, specs))
        case Many(kind, parts):
            return Many(kind, tuple(fitted(part, calls, specs) for part in parts))
        case Look(source, key):
            inner = fitted(source, calls, specs)
            found = shape(inner, calls, specs)
            if isinstance(found, tuple):
                given = Look(inner, key if isinstance(key, Ref | int) else 0)
            elif found == "dict":
                given = Look(inner, key if isinstance(key, Ref) or key == "b" else "a")
            else:
                given = inner
    if width and isinstance(given, Ref | Look):
        found = shape(given, calls, specs)
        if found == "dict":
            return Look(given, "a")
        return given if isinstance(found, tuple) else Many("list", (given,) * width)
    return given


def _wait_for_later_ones(draw: DrawFn, calls: list[CallSpec | ParameterSpec]) -> None:
    """Let a call wait for one that was made after it, where that closes no circle."""
    for _ in range(draw(weighted((4, 0), (1, 1), (1, 2))) if len(calls) > 1 else 0):
        first = draw(st.integers(0, len(calls) - 2))
        later = draw(st.integers(first + 1, len(calls) - 1))
        call = calls[first]
        if isinstance(call, CallSpec) and first not in _upstream(calls, later):
            calls[first] = CallSpec(call.task, call.args, call.mapped, (*call.after, later), call.keywords)


def _upstream(calls: list[CallSpec | ParameterSpec], number: int) -> set[int]:
    """Everything upstream of a call, and itself."""
    seen: set[int] = set()
    todo = [number]
    while todo:
        number = todo.pop()
        call = calls[number]
        if number not in seen and isinstance(call, CallSpec):
            todo.extend([*call.after, *(up for arg in call.args for up in refs(arg))])
        seen.add(number)
    return seen
