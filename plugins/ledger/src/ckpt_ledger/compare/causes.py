"""Why one task run differs from another, from what is recorded of both: `causes_of`.

What is recorded: the code version, where each argument came from, the constants, the parameters, and the environment.
Of the code there is a digest and no source, so it can be told that it changed, and not how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ckpt import JSON
from ckpt.briefs import brief, printable
from ckpt_ledger.compare.constants import UNKNOWN, Given, constants, elements, read_arguments
from ckpt_ledger.compare.lineage import NOT_RUN, VALUED
from ckpt_ledger.values.difference_text import lines
from ckpt_ledger.values.differences import compare

if TYPE_CHECKING:
    from ckpt.calls import CallPath
    from ckpt.task_records import CallArguments, RunRecord, Source, TaskRecord
    from ckpt_ledger.compare.lineage import Lineage

__all__ = ["Cause", "Causes", "changed_code", "changed_environment", "changed_parameters"]

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is another for the two task runs."""

    kind: str
    """`code`, `constant`, `parameter`, `input`, `element`, `identity`, `state`, `environment`, or `nothing`."""
    text: str
    """In words: `its code has changed`."""
    argument: str | None = None
    """The argument that it is about."""
    left: str | None = None
    """What it was in the left run, in short."""
    right: str | None = None

    def to_dict(self) -> dict[str, JSON]:
        """Plain JSON, without what there is not."""
        said: dict[str, JSON] = {"kind": self.kind, "text": self.text}
        for name in ("argument", "left", "right"):
            if (value := getattr(self, name)) is not None:
                said[name] = value
        return said


class Causes:
    """Finds the causes of pairs of one lineage; `ask` gives kept arguments by their digest."""

    def __init__(
        self, lineage: Lineage, left: RunRecord, right: RunRecord, ask: Callable[[str], CallArguments]
    ) -> None:
        self._lineage, self._left, self._right, self._ask = lineage, left, right, ask
        self._changed = changed_code(lineage)
        self._given: dict[str, Given | None] = {}

    def of(self, number: int) -> tuple[Cause, ...]:
        """Everything that is another for a pair of task runs; never nothing."""
        left, right = self._lineage.pairs[number].left, self._lineage.pairs[number].right
        if left is None or right is None:
            return ()
        found = [*self._code(left, right), *self._arguments(left, right)]
        if not found and left.identity != right.identity and left.call.map_index is not None:
            found += self._elements(left, right)
        if not found and None not in (left.identity, right.identity) and left.identity != right.identity:
            found += self._unkept(right)
            if not found:
                found.append(Cause("identity", "its settings, or a part of what it maps over, have changed"))
        if not found:
            found.append(self._nothing(left, right))
        return tuple(found)

    def _arguments_of(self, record: TaskRecord) -> Given | None:
        """What was given to the call; read once for all of its children."""
        key = record.arguments or ""
        if key not in self._given:
            self._given[key] = read_arguments(record, self._ask)
        return self._given[key]

    def _code(self, left: TaskRecord, right: TaskRecord) -> Iterable[Cause]:
        if left.task != right.task:
            yield Cause("code", f"another task: {left.task} → {right.task}", left=left.task, right=right.task)
        elif left.code is None or right.code is None:
            yield Cause("code", "whether its code has changed is not known: it holds what cannot be pickled")
        elif left.code != right.code:
            others = [name for name in self._changed if name != right.task]
            also = f"and that of {_some(others)}: perhaps a part that they share" if others else "that of no other task"
            yield Cause("code", f"its code has changed, {also}", left=left.code[:12], right=right.code[:12])

    def _arguments(self, left: TaskRecord, right: TaskRecord) -> Iterable[Cause]:
        names = dict.fromkeys([*right.inputs, *left.inputs])
        changed = [name for name in names if _constant(left, name) != _constant(right, name)]
        before, now = (constants(each, self._arguments_of(each)) if changed else {} for each in (left, right))
        for name in names:
            if name in changed:
                yield _changed_constant(name, before, now)
            yield from self._sources(name, left.inputs.get(name, ()), right.inputs.get(name, ()))

    def _sources(self, name: str, left: Sequence[Source], right: Sequence[Source]) -> Iterable[Cause]:
        find = self._lineage.find
        ours = [each.call for each in left if each.call is not None]
        theirs = [each.call for each in right if each.call is not None]
        if [find(call, left=True) for call in ours] != [find(call) for call in theirs]:
            before, now = _some(ours), _some(theirs)
            yield Cause("input", f"argument {name} comes from {now}, before from {before}", name, before, now)
        for call in theirs:
            number = find(call)
            if number is not None:
                yield from self._source(name, call, number)

    def _source(self, name: str, call: CallPath, number: int) -> Iterable[Cause]:
        pair, standing = self._lineage.pairs[number], self._lineage.standing[number]
        if pair.is_parameter:
            if standing in ("open", "different"):
                before, now = (brief_parameter(run.parameters.get(call.slug)) for run in (self._left, self._right))
                is_named = "" if name == call.slug else f" ({name})"
                yield Cause("parameter", f"parameter {call.slug}{is_named}: {before} → {now}", name, before, now)
        elif standing == "unknown":
            if _is_same_computation(pair.left, pair.right):
                return
            said = "and its code has changed" if _is_recoded(pair.left, pair.right) else "so it was not compared"
            why = "cannot be compared" if pair.left is not None and pair.left.safe is not None else "is not kept"
            yield Cause("input", f"argument {name}: the value of {call} {why}, {said}", name)
        elif standing not in ("same", "same value", "mapped"):
            states = [each.state for each in (pair.left, pair.right) if each is not None]
            is_other = len(set(states)) == 2 and not VALUED.issuperset(states)
            said = f"was {states[0]}, and is {states[1]}" if is_other else "differs"
            yield Cause("input", f"argument {name}: {call} {said}", name)
        elif standing == "mapped":
            children = self._lineage.children(number)
            unlike = [each for each in children if self._lineage.standing[each] not in ("same", "same value")]
            known = [each for each in unlike if self._lineage.standing[each] != "unknown"]
            if unlike:
                what = "differ" if known else "are not kept"
                if known and all((one := self._lineage.pairs[each].left) and one.state in NOT_RUN for each in known):
                    what = f"did not run in run {self._left.id}"
                said = f"argument {name}: {len(unlike):,} of {len(children):,} children of {call} {what}"
                yield Cause("input", said, name)

    def _unkept(self, right: TaskRecord) -> Iterable[Cause]:
        """The inputs that only one of the runs kept: it may well be the same value, but that could not be known."""
        for name, sources in right.inputs.items():
            for call in (source.call for source in sources):
                if call is None or (number := self._lineage.find(call)) is None:
                    continue
                for each in self._lineage.children(number) or (number,):
                    one, other = self._lineage.pairs[each].left, self._lineage.pairs[each].right
                    if one is None or other is None or not _is_same_computation(one, other):
                        continue
                    if {one.state, other.state} <= VALUED and (one.safe is None) != (other.safe is None):
                        run = self._left if one.safe is None else self._right
                        said = f"argument {name}: the value of {other.call} was not kept in run {run.id}"
                        yield Cause("input", f"{said}, so nothing tells whether it is the same", name)
                        break

    def _elements(self, left: TaskRecord, right: TaskRecord) -> Iterable[Cause]:
        """What is mapped over, where the flow gave it."""
        before, now = (elements(each, self._arguments_of(each)) for each in (left, right))
        for one, other in zip(before, now, strict=False):
            if one is not UNKNOWN and other is not UNKNOWN and (said := _difference(one, other)) is not None:
                yield Cause("element", f"the element that it maps over: {said}", None, brief(one), brief(other))

    def _nothing(self, left: TaskRecord, right: TaskRecord) -> Cause:
        """What to say where all that is recorded is the same."""
        unkept = [
            str(source.call)
            for sources in right.inputs.values()
            for source in sources
            if source.call is not None
            and (number := self._lineage.find(source.call)) is not None
            and self._lineage.standing[number] == "unknown"
        ]
        if unkept:
            said = f"or {_some(unkept)}, which it takes, gave something else: that is not kept"
            return Cause("nothing", f"its code and inputs are the same: it depends on something else, {said}")
        if left.origin != right.origin and (reused := right.origin or left.origin) is not None:
            which = "right" if right.origin is not None else "left"
            return Cause("nothing", f"its code and inputs are the same; the {which} value was reused from run {reused}")
        seen = changed_environment(self._left, self._right)
        if seen:
            said = "; ".join(cause.text for cause in seen)
            return Cause("environment", f"its code and inputs are the same, the environment is not: {said}")
        return Cause(
            "nothing",
            "its code and inputs are the same: it depends on something else, "
            "such as a file, a service, another package, the clock or chance",
        )


def changed_code(lineage: Lineage) -> list[str]:
    """The names of the tasks whose code is another in the right run."""
    return list(dict.fromkeys(p.right.task for p in lineage.pairs if p.right and _is_recoded(p.left, p.right)))


def changed_parameters(left: RunRecord, right: RunRecord) -> list[Cause]:
    """The parameters that differ, as they were written down."""
    found = []
    for name in dict.fromkeys([*left.parameters, *right.parameters]):
        if name in left.parameters and name in right.parameters and left.parameters[name] == right.parameters[name]:
            continue
        before, now = (
            brief_parameter(run.parameters[name]) if name in run.parameters else "(none)" for run in (left, right)
        )
        found.append(Cause("parameter", f"{name}: {before} → {now}", name, before, now))
    return found


def changed_environment(left: RunRecord, right: RunRecord) -> list[Cause]:
    """What differs of Python, packages and host, in words."""
    found: list[Cause] = []
    before, now = _facts(left.environment), _facts(right.environment)
    for name in [each for each in now if each in before]:
        # What only one of the processes had imported says nothing.
        one, other = before[name], now[name]
        if one != other:
            found.append(Cause("environment", f"{name} {one} → {other}", None, one, other))
    if left.executor != right.executor:
        texts = f"{left.executor or '(none)'} → {right.executor or '(none)'}"
        found.append(Cause("environment", f"executor {texts}", None, left.executor, right.executor))
    return found


def brief_parameter(value: JSON) -> str:
    """A parameter in short."""
    return brief(value, 80)


def _facts(environment: Mapping[str, JSON]) -> dict[str, str]:
    """One line each: Python's version, and that of every package; not the process, which is another each time."""
    flat: dict[str, str] = {}
    for name, value in environment.items():
        if name == "process":
            continue
        if name == "plugins" and isinstance(value, list):
            flat.update((str(each).partition(" ")[0], str(each).partition(" ")[2]) for each in value)
        elif isinstance(value, dict):
            flat.update((printable(str(inner)), printable(str(each))) for inner, each in value.items())
        else:
            flat[{"python": "Python"}.get(name, name)] = printable(str(value), 80)
    return flat


def _is_recoded(left: TaskRecord | None, right: TaskRecord | None) -> bool:
    return left is not None and right is not None and None not in (left.code, right.code) and left.code != right.code


def _is_same_computation(left: TaskRecord | None, right: TaskRecord | None) -> bool:
    return left is not None and right is not None and left.identity is not None and left.identity == right.identity


def _constant(record: TaskRecord, name: str) -> str | None:
    return next((source.digest for source in record.inputs.get(name, ()) if source.call is None), None)


def _some(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "") or "nothing"


def _changed_constant(name: str, before: Mapping[str, object], now: Mapping[str, object]) -> Cause:
    if name not in before or name not in now:
        value = now[name] if name in now else before[name]
        shown = None if value is UNKNOWN else brief(value, 80)
        value_text = "" if shown is None else f" ({shown})"
        if name in now:
            return Cause("constant", f"argument {name} is given{value_text}, before it was not", name, None, shown)
        return Cause("constant", f"argument {name} is no longer given{value_text}", name, shown, None)
    one, other = before[name], now[name]
    if one is UNKNOWN or other is UNKNOWN:
        return Cause("constant", f"argument {name} is given differently", name)
    said = _difference(one, other)
    if said is None:
        return Cause("constant", f"argument {name} has the same value in other bytes", name)
    return Cause("constant", f"argument {name}: {said}", name, brief(one, 80), brief(other, 80))


def _difference(one: object, other: object) -> str | None:
    found = compare(one, other)
    return None if found is None else lines(found)[0]
