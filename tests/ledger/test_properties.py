"""Random flows, changed, broken and spoiled between runs: going on gives what a run from nothing gives.

And nothing runs that need not: `reuse_programs` has the rule.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import DrawFn

from ckpt import CallPath, NoResult, State
from ckpt.errors import CorruptRecord, NotFound


def _neighbour(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


programs: Any = _neighbour("reuse_programs")

pytestmark = pytest.mark.timeout(0)
DEEP = int(os.environ.get("CKPT_EXAMPLES", "0"))


def examples(few: int) -> settings:
    """`few` examples, the same ones each time; or CKPT_EXAMPLES by chance."""
    return settings(
        max_examples=DEEP or few,
        derandomize=not DEEP,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    log = logging.getLogger("ckpt")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    yield
    log.setLevel(before)


# -- strategies


def often(*choices: tuple[int, Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([value for weight, value in choices for _ in range(weight)])


@st.composite
def tasks(draw: DrawFn, name: str) -> Any:
    return programs.TaskSpec(
        name,
        factor=draw(st.integers(1, 3)),
        width=draw(often((2, 0), (2, 2))),
        checkpoint=draw(often((3, True), (1, False))),
        cache=draw(often((3, False), (1, True))),
        trigger=draw(often((5, "all_successful"), (1, "all_finished"))),
        retries=draw(often((6, 0), (1, 1))),
        skips=draw(often((14, False), (1, True))),
    )


def gives_list(program_tasks: Any, calls: Any, number: int) -> bool:
    call = calls[number]
    return isinstance(call, programs.CallSpec) and (call.mapped or program_tasks[call.task].width > 0)


@st.composite
def parts(draw: DrawFn, specs: Any, calls: Any, *, deep: bool = True) -> Any:
    kind = draw(often((2, "const"), (6, "ref"), (2, "look"), (1 if deep else 0, "both")))
    lists = [number for number in range(len(calls)) if gives_list(specs, calls, number)]
    if kind == "both":
        return programs.Both(tuple(draw(parts(specs, calls, deep=False)) for _ in range(2)))
    if kind == "look" and lists:
        return programs.Look(draw(st.sampled_from(lists)), draw(st.integers(0, 1)))
    if kind == "ref" and calls:
        return programs.Ref(draw(st.integers(0, len(calls) - 1)))
    return programs.Const(draw(st.integers(0, 2)))


@st.composite
def calls_of(draw: DrawFn, specs: Any, calls: Any) -> Any:
    number = len(calls)
    if not draw(st.integers(0, 8)):
        return programs.ParameterSpec(f"p{number}", draw(st.integers(0, 2)))
    which = draw(st.integers(0, len(specs) - 1))
    after = (draw(st.integers(0, number - 1)),) if number and not draw(st.integers(0, 6)) else ()
    if draw(st.booleans()):
        return programs.CallSpec(
            which, tuple(draw(st.lists(parts(specs, calls), min_size=min(number, 1), max_size=2))), after=after
        )
    lists = [number for number in range(len(calls)) if gives_list(specs, calls, number)]
    over: Any = programs.Const([draw(st.integers(0, 2)), draw(st.integers(0, 2))])
    kind = draw(often((4, "ref"), (1, "const"), (1, "both")))
    if kind == "ref" and lists:
        over = programs.Ref(draw(st.sampled_from(lists)))
    elif kind == "both":
        over = programs.Both(tuple(draw(parts(specs, calls, deep=False)) for _ in range(2)))
    more = draw(st.lists(parts(specs, calls).map(programs.Whole), max_size=1))
    return programs.CallSpec(which, (over, *more), mapped=True, after=after)


@st.composite
def whole_programs(draw: DrawFn) -> Any:
    specs = tuple(draw(tasks(f"t{number}")) for number in range(draw(st.integers(1, 4))))
    calls: list[Any] = []
    for _ in range(draw(st.integers(1, 7))):
        calls.append(draw(calls_of(specs, calls)))
    return programs.Program(specs, tuple(calls))


@st.composite
def edited(draw: DrawFn, program: Any) -> Any:
    """The program with up to two changes."""
    for _ in range(draw(often((3, 1), (1, 0), (1, 2)))):
        specs, calls = list(program.tasks), list(program.calls)
        kind = draw(st.sampled_from(["code", "factor", "checkpoint", "cache", "constant", "add", "drop"]))
        which = draw(st.integers(0, len(specs) - 1))
        spec = specs[which]
        if kind == "code":
            specs[which] = replace(spec, version=spec.version + 1)
        elif kind == "factor":
            specs[which] = replace(spec, version=spec.version + 1, factor=spec.factor + 1)
        elif kind in ("checkpoint", "cache"):
            specs[which] = replace(spec, **{kind: not getattr(spec, kind)})
        elif kind == "add":
            calls.append(draw(calls_of(specs, calls)))
        elif kind == "drop" and len(calls) > 1:
            calls.pop()
        elif kind == "constant":
            number = draw(st.integers(0, len(calls) - 1))
            call = calls[number]
            if isinstance(call, programs.ParameterSpec):
                calls[number] = replace(call, value=call.value + 1)
            else:
                args = tuple(
                    programs.Const(9) if type(arg) is programs.Const and not call.mapped else arg for arg in call.args
                )
                calls[number] = replace(call, args=args)
        program = programs.Program(tuple(specs), tuple(calls))
    return program


@st.composite
def stories(draw: DrawFn) -> Any:
    """Runs of one program that changes; the last one goes well."""
    program = draw(whole_programs())
    turns = []
    count = draw(st.integers(2, 4))
    for number in range(count):
        names = [spec.name for spec in program.tasks]
        last = number == count - 1
        turns.append(
            programs.Turn(
                program,
                failing=frozenset() if last else frozenset(draw(st.lists(st.sampled_from(names), max_size=1))),
                damaged=draw(st.integers(0, 3)) if number and draw(st.booleans()) else 0,
                resume=bool(number) and draw(often((4, True), (1, False))),
            )
        )
        program = draw(edited(program))
    return turns


# -- the check


class Story:
    """Plays turns in a folder of its own."""

    def __init__(self, folder: Path, executor: str = "local") -> None:
        self.folder, self.executor = folder, executor
        self.storage = (folder / "values").as_uri()
        self.bench = programs.Bench()
        self.prior: dict[CallPath, Any] = {}
        self.index: dict[Any, Any] = {}
        self.spoiled: set[Any] = set()
        self.remembered: dict[Any, Any] = {}

    def play(self, turn: Any) -> State:
        """One run, held against the rule."""
        self.bench.failing = turn.failing
        self._damage(turn.damaged)
        flow = self.bench.flow(turn.program, self.storage)
        resume = "last" if turn.resume and self.prior else None
        # As a person who gives the parameters of the flow as it now stands.
        given = {call.name: call.value for call in turn.program.calls if isinstance(call, programs.ParameterSpec)}
        plan = flow.plan(given, resume=resume)
        assert not self.bench.called, "a plan runs nothing"
        state = flow.run(given, resume=resume, executor=self.executor)
        called, self.bench.called = {CallPath(*_path(text)) for text in self.bench.called}, type(self.bench.called)()
        rule = programs.Rule(
            turn.program,
            programs.seen(turn.program, state),
            self.prior if resume else {},
            dict(self.index),
            frozenset(self.spoiled),
            self.remembered,
        )
        rule.judge()
        self._compare(turn, rule, called, plan)
        self._remember(rule)
        return state

    def _compare(self, turn: Any, rule: Any, called: set[CallPath], plan: Any) -> None:
        ran = {path for path in called if rule.seen[path].state != "Failed"}
        told = f"\n{turn}\n{ {str(path): (one.state, one.value) for path, one in rule.seen.items()} }\n{plan}"
        twins: dict[Any, list[CallPath]] = {}
        for path, identity in rule.identities.items():
            twins.setdefault(repr(identity), []).append(path)
        missing = {path for path in rule.must - ran if len(twins[repr(rule.identities[path])]) == 1}
        assert not missing, f"not run, and had to: {missing}{told}"
        assert not ran - rule.may, f"run, and need not: {ran - rule.may}{told}"
        for path, one in rule.seen.items():
            if one.state == "Cached" and one.value not in (None, "NotFound", "CorruptRecord"):
                assert one.value == rule.values[path], f"{path} has the value of another{told}"
        for each, call in zip(plan.calls, turn.program.calls, strict=True):
            if isinstance(call, programs.ParameterSpec):
                continue
            mine = {path for path in called if path.slug == each.call.slug}
            if each.action in ("reuse", "leave"):
                assert not mine, f"{each} was run{told}"
            elif each.action == "run" and not turn.failing and not call.after:  # what it waits for may skip it
                assert mine, f"{each} was not run{told}"

    def _remember(self, rule: Any) -> None:
        self.prior = {}
        for path, known in rule.known.items():
            place = known.place = rule.seen[path].place
            self.prior[path] = known
            kept = known.kept and known.state in ("Success", "Cached") and known.identity is not None
            if kept and known.cache and place is not None:
                self.index[known.identity] = known

    def _damage(self, count: int) -> None:
        places = sorted({str(known.place) for known in self.prior.values() if known.place and known.kept})
        for place in places[:count]:
            file = self.folder / "values" / place
            if place.endswith(".ckpt") and file.exists():
                file.unlink()
                self.spoiled.add(place)


def _path(text: str) -> tuple[str, int | None]:
    slug, _, index = text.partition("[")
    return slug, int(index.removesuffix("]")) if index else None


def outcome(state: State) -> dict[str, Any]:
    """What came of a run, however it came about."""
    found: dict[str, Any] = {"": state.name}
    for call, its in state.result.items():
        for index, one in enumerate([its, *(its.map_states or ())]):
            name = "Success" if one.is_cached() else one.name
            found[f"{call.slug} {index}"] = (name, _readable(one) if name == "Success" else None)
    return found


def _readable(state: State) -> Any:
    """The value; None where it is not kept, needed by nobody, or spoiled."""
    try:
        return None if state.result is NoResult else state.result
    except (NotFound, CorruptRecord):
        return None


def play(turns: Any, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp(prefix="ckpt-story-"))
    try:
        monkeypatch.setenv("CKPT__LEDGER__URL", f"sqlite:///{folder}/ledger.db")
        monkeypatch.setenv("CKPT__LEDGER__ENABLED", "true")
        story = Story(folder, executor)
        for turn in turns:
            state = story.play(turn)
        monkeypatch.setenv("CKPT__LEDGER__ENABLED", "false")
        nothing = programs.Bench().flow(turns[-1].program, (folder / "fresh").as_uri()).run()
        fresh, resumed = outcome(nothing), outcome(state)
        assert fresh.keys() == resumed.keys()
        for call, right in fresh.items():
            found = resumed[call]
            if isinstance(found, tuple) and found[1] is None:
                found = (found[0], right[1])
            assert found == right, f"{call}: {found}, from nothing {right}\n{turns[-1]}"
    finally:
        shutil.rmtree(folder)


@examples(150)
@given(stories())
def test_in_this_thread(turns: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        play(turns, "local", patch)


@examples(50)
@given(stories())
def test_in_threads(turns: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        play(turns, "threads", patch)
