"""The rules of a run, as a small interpreter: what comes of each task run, and what a person is told of it.

No part of the engine is used here. A row is a task run: `(call, None)`, or `(call, index)` of a mapped child. One thing
is left to chance: a value whose write fails behind the flow is Failed in the end, but who started downstream before
the news came saw a success. So `known`, the bad news that has come, is handed to each row; it only ever grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any

from model_programs import (
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
    container,
    refs,
    returned,
)

from ckpt import NoResult
from ckpt.errors import AccessDenied, ConfigError, StoreUnavailable

Path = tuple[int, int | None]
News = frozenset[Path]


@dataclass
class Row:
    """What comes of one task run."""

    state: str
    message: str = ""
    """How the message begins; all of it if it ends with a full stop or is empty."""
    value: Any = NoResult
    children: int | None = None
    """How many children it has; None of one that did not become children."""
    called: int = 0
    """How often the function was called."""
    told: list[str] = field(default_factory=list)
    """The states that listeners are told, in order."""
    outcome: str = ""
    """Of the write: stored, failed, off, opted out, or nothing to say."""
    tries: int = 0
    """How often the store was asked to put the value."""
    late: bool = False
    """Fails its write behind the flow: what is downstream may start before."""
    known: News = frozenset()
    columns: list[Callable[[int], Any]] = field(default_factory=list)


TRIGGERS: dict[str, Callable[[list[str]], bool]] = {
    "all_successful": lambda states: all(good(state) for state in states),
    "all_failed": lambda states: all(bad(state) for state in states),
    "any_successful": lambda states: any(good(state) for state in states),
    "any_failed": lambda states: any(bad(state) for state in states),
    "all_finished": lambda states: True,
}


def good(state: str) -> bool:
    """Does it count as successful? A mapped call is asked child by child, so here it has none."""
    return state in ("Success", "Skipped", "Mapped")


def bad(state: str) -> bool:
    """Does it count as failed?"""
    return state in ("Failed", "TriggerFailed")


class Rules:
    """The interpreter of one program; `rows` has what is known so far, calls upstream before those downstream."""

    def __init__(self, program: Program, *, remote: bool) -> None:
        self.program = program
        self.remote = remote
        """Do tasks run, and write, in other processes?"""
        self.rows: dict[Path, Row] = {}

    # -- who waits for whom

    def followed(self, call: CallSpec) -> list[int]:
        """The mapped calls whose children the children of this call follow, one by one."""
        over = [arg.call for arg in call.args if isinstance(arg, Ref)] if call.mapped else []
        return [number for number in over if getattr(self.program.calls[number], "mapped", False)]

    def awaited(self, call: CallSpec) -> list[int]:
        """The calls that are computed before this one starts, or becomes children."""
        follows = self.followed(call)
        taken = [arg for arg in call.args if not (isinstance(arg, Ref) and arg.call in follows)]
        return list(dict.fromkeys([*chain.from_iterable(refs(arg) for arg in taken), *call.after]))

    def upstream(self, path: Path) -> list[Path]:
        """The rows whose states decide whether this one runs; a mapped call counts with each of its children."""
        number, index = path
        call = self.program.calls[number]
        if isinstance(call, ParameterSpec):
            return []
        follows = dict.fromkeys(self.followed(call))
        if index is None:
            rows: list[Path] = [(up, None) for up in follows if self.rows[up, None].children is None]
        else:
            rows = [(up, index) for up in follows]
        for up in self.awaited(call):
            count = self.rows[up, None].children
            rows.extend([(up, n) for n in range(count)] if count else [(up, None)])
        return rows

    def earlier(self, path: Path) -> News:
        """The news that had come when the rows upstream started, which this one therefore has too."""
        number, index = path
        call = self.program.calls[number]
        ups = [] if isinstance(call, ParameterSpec) else [*self.followed(call), *self.awaited(call)]
        rows = [*self.upstream(path), *((up, None) for up in ups), *([] if index is None else [(number, None)])]
        return frozenset().union(*(self.rows[row].known for row in rows))

    # -- may it run?

    def held_back(self, path: Path, task: TaskSpec, known: News) -> Row | None:
        """The end of a row that may not run."""
        ups = self.upstream(path)
        states = ["Success" if self.rows[up].late and up not in known else self.rows[up].state for up in ups]
        if not states:
            return None
        if task.skip_on_upstream_skip and "Skipped" in states:
            return Row("Skipped", "something upstream was skipped.", told=["Skipped"])
        if TRIGGERS[task.trigger](states):
            return None
        return Row("TriggerFailed", f"trigger {task.trigger} was not met", told=["TriggerFailed"])

    # -- running

    def row(self, path: Path, known: News) -> Row:
        """What comes of a row for which this news had come when it started."""
        number, index = path
        call = self.program.calls[number]
        if isinstance(call, ParameterSpec):
            row = self.kept(path, call, call.write, call.value)
            row.told.insert(0, "Running")
        elif call.mapped and index is None:
            row = self.expanded(path, call, known)
        else:
            task = self.program.tasks[call.task]
            row = self.held_back(path, task, known) or self.attempted(path, call, task)
        row.known = known
        return row

    def attempted(self, path: Path, call: CallSpec, task: TaskSpec) -> Row:
        """What comes of a row that may run: it is tried until it does not fail, once more for each retry."""
        number, index = path
        mood: Mood = task.moods[(index or 0) % len(task.moods)]
        slug = self.program.slug(number)
        name = slug if index is None else f"{slug}[{index}]"
        called, told, error = 0, [], Exception()
        for attempt in range(1, task.max_retries + 2):
            told += ["Running"] if attempt == 1 else ["Retrying", "Running"]
            try:
                values = self.arguments(path, call)
                called += 1
                if attempt <= mood.fails:
                    raise ValueError(f"{name} fails {attempt}")
            except (ValueError, LookupError, TypeError) as caught:
                error = caught
                continue
            if mood.skips:
                return Row("Skipped", f"{name} skips.", called=called, told=[*told, "Skipped"])
            first = len(values) - call.keywords
            kwargs = {f"k{n}": value for n, value in enumerate(values[first:])}
            value = returned(task, name, attempt, values[:first], kwargs)
            row = self.kept(path, task, task.writes[(index or 0) % len(task.writes)], value)
            row.called, row.told = called, [*told, *row.told]
            return row
        said = f"ValueError: {error}." if type(error) is ValueError else f"{type(error).__name__}: "
        return Row("Failed", said, error, called=called, told=[*told, "Failed"])

    def kept(self, path: Path, owner: TaskSpec | ParameterSpec, write: Write, value: object) -> Row:
        """What comes of a row that has computed its value."""
        program = self.program
        row = Row("Success", "", value, told=["Success"], outcome="stored")
        if not owner.checkpoint or not program.checkpointing:
            row.outcome = "off" if owner.checkpoint else "opted out"
            return row
        if owner.handler == "json":
            return row
        row.tries = 1 if write.refused else min(write.fails, program.write_retries) + 1
        if not write.refused and write.fails <= program.write_retries:
            return row
        row.outcome = "failed"
        error = AccessDenied if write.refused else StoreUnavailable
        row.message = f"computed, not kept: {error.__name__}: "
        if program.on_write_error == "fail":
            row.state, row.told = "Failed", ["Failed"]
            in_line = owner.handler in ("inline", "plain") or (owner.handler == "flow" and not program.writers)
            large = getattr(owner, "returns", "") == "large"
            there = self.remote and isinstance(owner, TaskSpec)
            row.late = not (in_line or large or there or getattr(owner, "watched", False))
        return row

    # -- mapped calls

    def expanded(self, path: Path, call: CallSpec, known: News) -> Row:
        """What comes of a mapped call as a whole.

        It is asked once as a whole, unless its trigger is to judge each child with the child that it follows.
        """
        task = self.program.tasks[call.task]
        follows = self.followed(call)
        child_by_child = follows and all(self.rows[up, None].children is not None for up in follows)
        if not child_by_child or task.trigger == "all_successful":
            held = self.held_back(path, task, known)
            if held is not None:
                return held
        try:
            columns = [self.column(arg) for arg in call.args if not isinstance(arg, Whole)]
            if len({length for length, _ in columns}) > 1:
                raise ConfigError("different lengths")
        except (ConfigError, LookupError, TypeError) as error:
            return Row("Failed", f"{type(error).__name__}: ", error, told=["Failed"])
        count = columns[0][0]
        message = "" if count else "mapped over nothing."
        return Row("Mapped", message, children=count, told=["Mapped"], columns=[element for _, element in columns])

    def column(self, over: Argument) -> tuple[int, Callable[[int], Any]]:
        """How many elements a mapped argument has, and how each is found."""
        if isinstance(over, Many):  # a list of calls: each element is found by its own child
            return len(over.parts), lambda n: self.value(over.parts[n])
        if isinstance(over, Const):
            return len(over.value), lambda n: over.value[n]
        root: Any = over
        while isinstance(root, Look):
            root = root.source
        source = self.rows[root.call, None]
        if source.children is None and source.outcome == "":
            raise ConfigError("nothing to map over")
        if isinstance(over, Ref) and source.children is not None:
            return source.children, lambda n: self.rows[over.call, n].value
        values = self.value(over)  # type: ignore[arg-type]
        if not isinstance(values, list):
            raise ConfigError("cannot map over it")
        return len(values), lambda n: values[n]

    # -- values

    def arguments(self, path: Path, call: CallSpec) -> list[Any]:
        """The values of a row's arguments."""
        number, index = path
        if index is None:
            return [self.value(arg) for arg in call.args]  # type: ignore[arg-type]
        elements = iter([element(index) for element in self.rows[number, None].columns])  # before the rest
        return [self.value(arg.value) if isinstance(arg, Whole) else next(elements) for arg in call.args]

    def value(self, given: Expression) -> Any:
        """The value of an expression; of a mapped call the list of its children's, of a failed one its exception."""
        match given:
            case Const(value):
                return value
            case Ref(call):
                row = self.rows[call, None]
                return row.value if row.children is None else [self.rows[call, n].value for n in range(row.children)]
            case Look(source, key):
                return self.value(source)[self.value(key) if isinstance(key, Ref) else key]
            case Many(kind, parts):
                return container(kind, [self.value(part) for part in parts])

    # -- the flow

    def verdict(self) -> str:
        """The state of the flow: as its reference tasks, and Failed if a value that was to be kept is not."""
        calls = [call for call in self.program.calls if isinstance(call, CallSpec)]
        used = {up for call in calls for up in chain(call.after, *(refs(arg) for arg in call.args))}
        chosen = self.program.references
        decide = set(range(len(self.program.calls))) - used if chosen is None else set(chosen)
        lost = self.program.on_write_error == "fail" and any(row.outcome == "failed" for row in self.rows.values())
        failed = any(bad(row.state) for (number, _), row in self.rows.items() if number in decide)
        return "Failed" if failed or lost else "Success"

    def dropped(self, number: int) -> bool:
        """Are the values of a call that succeeded forgotten in the end?"""
        calls = [call for call in self.program.calls if isinstance(call, CallSpec)]
        read = any(number in refs(arg) for call in calls for arg in call.args)
        return self.program.keep_values == "none" or (self.program.keep_values == "terminal" and read)


def order(program: Program) -> list[int]:
    """The calls, those upstream before those downstream."""
    done: dict[int, None] = {}

    def visit(number: int) -> None:
        call = program.calls[number]
        if number not in done and isinstance(call, CallSpec):
            for up in chain(call.after, *(refs(arg) for arg in call.args)):
                visit(up)
        done.setdefault(number)

    for number in range(len(program.calls)):
        visit(number)
    return list(done)


def news(candidates: Sequence[Path]) -> Iterator[News]:
    """Every set of news that may have come, smaller ones first."""
    sizes: Iterable[Iterable[Any]] = (combinations(candidates, size) for size in range(len(candidates) + 1))
    return (frozenset(each) for each in chain.from_iterable(sizes))
