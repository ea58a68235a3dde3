"""A loss of power at every moment of a series of writes, by a model of the disk: what was acknowledged reads whole.

SIGKILL cannot show a missing fsync, since the kernel's cache survives the process. The model can: it is given the
system calls that were really made, and each state that it says may be left is made real and read by the real handler.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from children import Ended, Report, traced
from disk import Disk, State
from rows import Row, Scope
from writes import GONE, WAYS, Way, delete, large, send, small, store

from ckpt.errors import CkptError, CorruptRecord, NotFound
from ckpt_local import LocalResultHandler, drafts
from ckpt_local.drafts import Draft, NamedDraft, NamelessDraft

__all__ = ["rows"]

_KEYS = ("2026/11/22/a/1", "2026/11/22/a/2", "2026/11/22/b/1", "2026/11/23/a", "latest")
_STATES = {"disk": 2500, "os": 1000}
"""That must be left by one way of writing, of `durability`; what reads them is quick."""

Plant = Callable[[], None]
"""Puts a bug into the process that writes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One write of a series; the program reports after each."""

    act: Callable[[LocalResultHandler, Mapping[str, object]], None]
    values: Mapping[str, object]


FIXED: tuple[Step, ...] = (
    Step(store, {_KEYS[0]: small(1)}),
    Step(store, {_KEYS[1]: small(2)}),
    Step(store, {_KEYS[0]: small(3)}),
    Step(send, {_KEYS[1]: small(4), _KEYS[2]: small(5), _KEYS[3]: small(6)}),
    Step(store, {_KEYS[4]: large(7)}),
)
"""Everything that needs a sync, once: new folders, a new name, one replaced, a batch over folders, a stream."""


def rows(scope: Scope) -> Iterator[Row]:
    for way in WAYS:
        chosen = scope.random(f"power {way}")
        states, found, series = 0, [], FIXED
        while states < (60 if scope.quick else _STATES[way.durability]):
            trial = _Trial(scope, way, series)
            trial.lose_power(chosen, most=60 if scope.quick else None)
            states += trial.states
            found += trial.found
            series = _series(chosen)
        if way.durability == "disk":
            control, (planted, missed) = "each sync left out, named before synced", _mutants(scope, way)
        else:
            control, (planted, missed) = "asked for what disk promises", _claimed(scope, way)
        yield Row(
            injected=f"power lost, states left by writes ({way})",
            fired=states,
            least=scope.at_least(_STATES[way.durability]),
            found=tuple(found),
            control=control,
            planted=planted,
            caught=planted - missed,
        )


def _series(chosen: random.Random) -> tuple[Step, ...]:
    """Some writes over few keys, so that they replace and delete each other's values."""
    steps, numbers = [], iter(range(10, 100))
    for _ in range(chosen.randrange(3, 7)):
        act = chosen.choice((store, store, store, send, send, delete))
        keys = chosen.sample(_KEYS, 1 if act is store else chosen.randrange(1, 4))
        make = large if act is store and chosen.random() < 0.15 else small
        steps.append(Step(act, {key: GONE if act is delete else make(next(numbers)) for key in keys}))
    return tuple(steps)


def _mutants(scope: Scope, way: Way) -> tuple[int, int]:
    """How many bugs were planted, and how many were not found."""
    calls = _Trial(scope, way, FIXED).run().calls
    disk = Disk(str(_base(scope)))
    for _ in disk.states(calls, scope.random("mutants")):
        pass
    plants: list[Plant] = [_without(number) for number, inside in enumerate(disk.synced) if inside]
    plants.append(_named_before_synced)
    plants = scope.some(plants, f"mutants {way}", quick=3)
    missed = 0
    for plant in plants:
        trial = _Trial(scope, way, FIXED, plant)
        trial.lose_power(scope.random("mutants"), enough=1)
        missed += not trial.found
    return len(plants), missed


def _claimed(scope: Scope, way: Way) -> tuple[int, int]:
    """What `durability="os"` leaves would not pass for what `"disk"` promises."""
    trial = _Trial(scope, way, FIXED)
    trial.claims = True
    trial.lose_power(scope.random("claimed"), enough=1)
    return 1, int(not trial.found)


def _without(number: int) -> Plant:
    """Leave out one sync, by its place among all."""

    def plant() -> None:
        count = iter(range(1_000_000))

        def unless(real: Callable[[int], None]) -> Callable[[int], None]:
            return lambda fd: None if next(count) == number else real(fd)

        mock.patch.object(os, "fsync", unless(os.fsync)).start()
        mock.patch.object(drafts, "_to_disk", unless(drafts._to_disk)).start()

    return plant


def _named_before_synced() -> None:
    def patched(kind: type[Draft]) -> None:
        publish, sync = kind.publish, Draft.sync

        def early(draft: Draft, *arguments: object, **options: object) -> None:
            publish(draft, *arguments, **options)  # type: ignore[arg-type]
            sync(draft)

        mock.patch.object(kind, "publish", early).start()
        mock.patch.object(kind, "sync").start()

    patched(NamelessDraft)
    patched(NamedDraft)


def _base(scope: Scope) -> Path:
    return scope.memory / "power"


class _Trial:
    """One series of writes, watched once, and the states that it may leave."""

    def __init__(self, scope: Scope, way: Way, series: tuple[Step, ...], plant: Plant | None = None) -> None:
        self._way, self._series, self._plant = way, series, plant
        self._base, self._left, self._pool = _base(scope), scope.memory / "left", scope.memory / "pool"
        self._pooled: dict[bytes, Path] = {}
        self.claims = way.durability == "disk"
        self.states = 0
        self.found: list[str] = []

    def run(self) -> Ended:
        shutil.rmtree(self._base, ignore_errors=True)
        self._base.mkdir()
        ended = traced(self._work, "-e", "trace=%file,%desc", "-xx", "-s", "4000000")
        assert ended.code == 0, ended.code
        return ended

    def _work(self, report: Report) -> None:
        if self._plant is not None:
            self._plant()
        handler = self._way.handler(self._base / "top" / "root")
        for step in self._series:
            step.act(handler, step.values)
            report(b".")

    def lose_power(self, chosen: random.Random, *, most: int | None = None, enough: int | None = None) -> None:
        """Look at the states, at `most` so many of them by chance, until `enough` broken promises are found."""
        states: Iterator[State] = Disk(str(self._base)).states(self.run().calls, chosen)
        if most is not None:
            every = list(states)
            states = iter(chosen.sample(every, min(most, len(every))))
        self._pool.mkdir()
        try:
            for state in states:
                self.states += 1
                self._left.mkdir()
                self._make(state)
                self.found += self._broken(state)
                shutil.rmtree(self._left)
                if enough is not None and len(self.found) >= enough:
                    break
        finally:
            shutil.rmtree(self._pool)
            self._pooled.clear()

    def _make(self, state: State) -> None:
        for name, data in state.files:
            source = self._pooled.get(data)
            if source is None:
                source = self._pooled[data] = self._pool / str(len(self._pooled))
                source.write_bytes(data)
            path = self._left / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(source)

    def _broken(self, state: State) -> list[str]:
        handler = LocalResultHandler(self._left / "top" / "root", durability="os")
        wrong = []
        for key in _KEYS:
            try:
                value = handler.read(key)
            except NotFound:
                value = GONE
            except CorruptRecord as error:
                if self.claims:
                    wrong.append(f"torn after {state.reports} reports: {error}")
                continue
            except CkptError as error:
                wrong.append(f"{type(error).__name__}: {error}")
                continue
            if value not in self._allowed(key, state.reports):
                what = "lost" if value == GONE else "an old or a foreign value"
                wrong.append(f"{key} after {state.reports} reports: {what}")
        wrong += [f"{info.key} is listed" for info in handler.objects.list() if info.key not in _KEYS]
        return [f"({self._way}) {each}" for each in wrong]

    def _allowed(self, key: str, reports: int) -> list[object]:
        """The last value that was acknowledged, or any later one; a deletion is no promise that it stays deleted."""
        allowed: list[object] = [GONE]
        for number, step in enumerate(self._series[: reports + 1]):
            if key in step.values:
                value = step.values[key]
                if self.claims and number < reports and value != GONE:
                    allowed.clear()
                allowed.append(value)
        return allowed
