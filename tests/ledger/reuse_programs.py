"""Flows as plain data that change from run to run, and the rule that says which of their tasks need to run.

The rule is that of the architecture (identity of a task run), over the values themselves instead of digests: a task
run is its task's code with, for each argument, the value where that is kept, and else the task run that made it. One
needs to run if no earlier one serves: none of the same call path (resume) or, with `cache`, of any has this identity;
or if it serves, its value cannot be read, and something that runs takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ckpt import SKIP, CallPath, Flow, NoResult, Parameter, State, Task, context, task, triggers, unmapped
from ckpt.results import SafeResult

# -- programs


@dataclass(frozen=True)
class Const:
    value: Any


@dataclass(frozen=True)
class Ref:
    """The value of the call of that number."""

    call: int


@dataclass(frozen=True)
class Look:
    """`call[key]`, of a call that gives a list."""

    call: int
    key: int


@dataclass(frozen=True)
class Both:
    """`[one, other]`"""

    parts: tuple[Const | Ref | Look, ...]


@dataclass(frozen=True)
class Whole:
    """`unmapped(…)`"""

    part: Const | Ref | Look | Both


Argument = Const | Ref | Look | Both | Whole


class Short:
    """Tells only what is not as usual with it."""

    def __repr__(self) -> str:
        told = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        ]  # type: ignore[arg-type]  # a dataclass
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class TaskSpec(Short):
    name: str
    version: int = 0
    factor: int = 1
    """What it computes, so this changes with the version."""
    width: int = 0
    """Elements of the list that it returns; 0: it returns a number."""
    checkpoint: bool = True
    cache: bool = False
    trigger: str = "all_successful"
    retries: int = 0
    skips: bool = False


@dataclass(frozen=True, repr=False)
class CallSpec(Short):
    task: int
    args: tuple[Argument, ...] = ()
    mapped: bool = False
    after: tuple[int, ...] = ()


@dataclass(frozen=True, repr=False)
class ParameterSpec(Short):
    name: str
    value: int


@dataclass(frozen=True)
class Program:
    tasks: tuple[TaskSpec, ...]
    calls: tuple[CallSpec | ParameterSpec, ...]


@dataclass(frozen=True, repr=False)
class Turn(Short):
    """One run of a program, and what befalls it."""

    program: Program
    failing: frozenset[str] = frozenset()
    """Names of tasks that raise in this run."""
    damaged: int = 0
    """How many kept values are spoiled before this run."""
    resume: bool = True


# -- built


class Bench:
    """Runs the functions of programs and counts them."""

    def __init__(self) -> None:
        self.called: Counter[str] = Counter()
        self.failing: frozenset[str] = frozenset()

    def task(self, spec: TaskSpec) -> Task:
        def run(*args: Any) -> Any:
            path = str(context.call)
            self.called[path] += 1
            if spec.name in self.failing:
                raise ValueError("broken today")
            if context.attempt <= spec.retries:
                raise ValueError("once more")
            if spec.skips:
                raise SKIP("not today")
            number = spec.factor * (1 + total(args))
            return [number + n for n in range(spec.width)] if spec.width else number

        return task(
            name=spec.name,
            version=f"{spec.name} {spec.version}",
            checkpoint=spec.checkpoint,
            cache=spec.cache,
            trigger=getattr(triggers, spec.trigger),
            max_retries=spec.retries,
        )(run)

    def flow(self, program: Program, storage: str) -> Flow:
        with Flow("random", storage=storage) as flow:
            tasks = [self.task(spec) for spec in program.tasks]
            calls: list[Any] = []
            for spec in program.calls:
                if isinstance(spec, ParameterSpec):
                    calls.append(Parameter(spec.name, spec.value))
                    continue
                given = [_given(arg, calls) for arg in spec.args]
                upstream = [calls[number] for number in spec.after]
                made = tasks[spec.task]
                call = (made.map if spec.mapped else made)(*given, upstream_tasks=upstream)
                calls.append(call)
        return flow


def total(value: Any) -> int:
    """A number that depends on all there is in a value."""
    if isinstance(value, list | tuple):
        return sum((place + 2) * total(part) for place, part in enumerate(value)) + len(value)
    return value if isinstance(value, int) else 7


def _given(arg: Argument, calls: Sequence[Any]) -> Any:
    match arg:
        case Const(value):
            return value
        case Ref(call):
            return calls[call]
        case Look(call, key):
            return calls[call][key]
        case Both(parts):
            return [_given(part, calls) for part in parts]
        case Whole(part):
            return unmapped(_given(part, calls))


# -- the rule


@dataclass
class Known:
    """What is known of one task run."""

    identity: Any
    state: str
    kept: bool
    cache: bool
    place: Any = None


@dataclass
class Seen:
    """One task run as it was seen."""

    state: str
    value: Any
    place: Any


def seen(program: Program, state: State) -> dict[CallPath, Seen]:
    """What became of each task run, a mapped call with its children."""
    found: dict[CallPath, Seen] = {}
    for call, its in state.result.items():
        path = CallPath(call.slug)
        found[path] = _seen(its)
        for index, child in enumerate(its.map_states or ()):
            found[path._replace(map_index=index)] = _seen(child)
    return found


def _seen(state: State) -> Seen:
    safe = state.safe_value
    place = safe.value if isinstance(safe, SafeResult) else None
    value = None
    if state.is_successful() and not state.is_mapped() and not state.is_skipped():
        try:
            value = state.result
        except Exception as error:  # noqa: BLE001  what is spoiled and needed by nobody cannot be read
            value = type(error).__name__
    return Seen(state.name, None if value is NoResult else value, place)


@dataclass
class Rule:
    """Holds one run against the rule."""

    program: Program
    seen: Mapping[CallPath, Seen]
    prior: Mapping[CallPath, Known]
    index: Mapping[Any, Known]
    spoiled: frozenset[Any]
    remembered: dict[Any, Any]
    """The value of each identity that was ever run."""
    values: dict[CallPath, Any] = field(default_factory=dict)
    identities: dict[CallPath, Any] = field(default_factory=dict)
    known: dict[CallPath, Known] = field(default_factory=dict)
    must: set[CallPath] = field(default_factory=set)
    may: set[CallPath] = field(default_factory=set)
    maybe: set[CallPath] = field(default_factory=set)
    """Those that were to run, before something upstream failed or was skipped."""

    def slug(self, number: int) -> str:
        call = self.program.calls[number]
        if isinstance(call, ParameterSpec):
            return call.name
        name = self.program.tasks[call.task].name
        before = sum(
            isinstance(other, CallSpec) and self.program.tasks[other.task].name == name
            for other in self.program.calls[:number]
        )
        return f"{name}-{before + 1}"

    def children(self, number: int) -> list[CallPath] | None:
        """The children of a mapped call that was expanded."""
        slug = self.slug(number)
        call = self.program.calls[number]
        if not isinstance(call, CallSpec) or not call.mapped or self.seen[CallPath(slug)].state != "Mapped":
            return None
        return sorted((path for path in self.seen if path.slug == slug and path.map_index is not None), key=str)

    def rows(self, number: int) -> list[CallPath]:
        found = self.children(number)
        return [CallPath(self.slug(number))] if found is None else sorted(found, key=lambda path: path.map_index or 0)

    def judge(self) -> None:
        """Find the identity of each task run, which have to run, and which may besides."""
        demands: dict[CallPath, set[CallPath]] = {}
        unread: set[CallPath] = set()
        taken = {up for call in self.program.calls if isinstance(call, CallSpec) for up in self.takes(call)}
        for number, call in enumerate(self.program.calls):
            if isinstance(call, ParameterSpec):
                path = CallPath(call.name)
                self.identities[path] = ("parameter", call.value)
                self.known[path] = Known(self.identities[path], "Success", True, False)
                self.values[path] = call.value
                continue
            spec = self.program.tasks[call.task]
            for path in self.rows(number):
                state = self.seen[path].state
                identity = self.identity(call, spec, path)
                self.identities[path] = identity
                if state == "Success":
                    self.values[path] = self.remembered[identity] = self.seen[path].value
                elif state == "Cached":
                    self.values[path] = self.remembered.get(identity, "never run")
                demands[path] = {up for up_number in self.takes(call) for up in self.rows(up_number)}
                if call.mapped and path.map_index is None:
                    self.known[path] = Known(identity, state, False, False)
                    continue
                served = self.serving(path, spec, identity)
                if state in ("TriggerFailed", "Failed", "Skipped") or served is None:
                    if state == "Success":
                        self.must.add(path)
                    elif state in ("TriggerFailed", "Skipped"):
                        self.maybe.add(path)
                    if state == "Failed" or (state == "Skipped" and spec.skips and served is None):
                        self.may.add(path)
                    self.known[path] = Known(identity, state, state == "Success" and spec.checkpoint, spec.cache)
                    continue
                self.known[path] = Known(identity, state, served.kept, spec.cache)
                if not served.kept or served.place in self.spoiled:
                    unread.add(path)
                if served.kept and served.place in self.spoiled and number not in taken:
                    self.may.add(path)  # an answer that is gone is computed again
        self._demand(self.must, demands, unread)
        self.may |= self.must
        self._may(demands, unread)

    def _demand(self, running: set[CallPath], demands: Mapping[CallPath, set[CallPath]], unread: set[CallPath]) -> None:
        todo = list(running)
        while todo:
            for up in demands.get(todo.pop(), ()):
                if up in unread and up not in running:
                    running.add(up)
                    todo.append(up)

    def _may(self, demands: Mapping[CallPath, set[CallPath]], unread: set[CallPath]) -> None:
        """What is spoiled is found before it is known whether what takes it will run."""
        may = self.may | self.maybe
        while True:
            more = {path for path, ups in demands.items() if path not in may and ups & may}
            more |= {path for path in demands if path not in may and path.map_index is None and self._expands(path)}
            if not more:
                break
            may |= more
        self._demand(may, demands, unread)
        self.may |= may & unread

    def _expands(self, path: CallPath) -> bool:
        return self.seen[path].state == "Mapped"

    def takes(self, call: CallSpec) -> Iterator[int]:
        """The numbers of the calls whose values a call takes."""
        for arg in call.args:
            yield from _refs(arg)

    def serving(self, path: CallPath, spec: TaskSpec, identity: Any) -> Known | None:
        if identity is None:
            return None
        known = self.prior.get(path)
        if known is not None and known.identity == identity:
            if known.state == "Skipped":
                return known
            if known.state in ("Success", "Cached") and (known.kept or not spec.checkpoint):
                return known
        return self.index.get(identity) if spec.cache else None

    def identity(self, call: CallSpec, spec: TaskSpec, path: CallPath) -> Any:
        index = path.map_index
        parts = [self.argument(arg, index if call.mapped else None, call.mapped) for arg in call.args]
        return None if None in parts else (spec.name, spec.version, *parts)

    def argument(self, arg: Argument, index: int | None, mapped: bool) -> Any:
        if isinstance(arg, Whole) or not mapped:
            return self.whole(arg.part if isinstance(arg, Whole) else arg)
        if index is None:
            return "all"
        match arg:
            case Const(value):
                return ("constant", value[index])
            case Both(parts):
                return self.whole(parts[index])
            case Ref(number):
                children = self.children(number)
                if children is not None:
                    return self.standing(CallPath(self.slug(number), index))
                path = CallPath(self.slug(number))
                standing = self.standing(path)
                if standing is None or standing == "skipped":
                    return None
                return ("element", self.values[path][index]) if self.known[path].kept else (index, standing)
        raise AssertionError(arg)

    def whole(self, part: Any) -> Any:
        match part:
            case Const(value):
                return ("constant", repr(value))
            case Ref(number):
                return self.called(number)
            case Look(number, key):
                found = self.called(number)
                return None if found is None else ("look", key, found)
            case Both(parts):
                found = tuple(self.whole(inner) for inner in parts)
                return None if None in found else found
        raise AssertionError(part)

    def called(self, number: int) -> Any:
        children = self.children(number)
        if children is None:
            return self.standing(CallPath(self.slug(number)))
        found = tuple(self.standing(path) for path in self.rows(number))
        return None if None in found else ("list", found)

    def standing(self, path: CallPath) -> Any:
        """What stands for the value of a task run."""
        state = self.seen[path].state
        if state == "Skipped":
            return "skipped"
        if state not in ("Success", "Cached"):
            return None
        if self.known[path].kept:
            return ("value", repr(self.values[path]))
        return None if self.identities[path] is None else ("of", self.identities[path])


def _refs(arg: Argument) -> Iterator[int]:
    match arg:
        case Ref(call) | Look(call, _):
            yield call
        case Both(parts):
            for part in parts:
                yield from _refs(part)
        case Whole(part):
            yield from _refs(part)
