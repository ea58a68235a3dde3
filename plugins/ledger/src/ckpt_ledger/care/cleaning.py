"""Deleting the values and rows of old runs, and what was left behind by others.

The order, and why a crash at any point leaves nothing that a kept run refers to without its object:

1. The runs that go are marked in one transaction (`going`). From here on nothing can begin to refer to what they keep:
   nobody can go on from them, and a value that another run may still reuse counts as referred to.
2. Their objects are deleted, in batches, each after asking once more whether a row that stays refers to any of it.
   What no row names is deleted only after the grace period, and if its own header says that it is ours.
3. Their rows are deleted. Until then they are the list of what is still to be deleted: the next gc goes on with it.

A run that stays and has ended loses what no row refers to. One that has not ended loses nothing, however long it has
been silent: its writer may wake and record what it has written, and `--resume` finds it until then.

What remains: between asking for a batch and deleting it, a second or so, somebody may begin to go on from a run that
has ended, and take a value of it that has no row and is older than the grace period. That takes a run whose record
could not be written while it ran. A writer that wakes after its run's mark is older than the grace period writes
objects that nobody knows of any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from ckpt.errors import CkptError, CorruptRecord, NotFound
from ckpt.objects import ObjectResultHandler
from ckpt.stores import ObjectInfo
from ckpt_ledger.care.places import Unreferenced, handler_of, objects_at, objects_of, unreferenced
from ckpt_ledger.ledger import SQLLedger
from ckpt_ledger.sql.going import Chosen, OwnRun, Policy
from ckpt_ledger.sql.rows import EPOCH

__all__ = ["Cleaned", "Cleaning", "Part", "Policy"]

_BATCH = 1000


@dataclass(slots=True)
class Part:
    """A number of objects, and their bytes."""

    objects: int = 0
    bytes: int = 0

    def add(self, info: ObjectInfo) -> None:
        """Count one more."""
        self.objects += 1
        self.bytes += info.size


@dataclass(slots=True)
class Cleaned:
    """What goes, or has gone."""

    runs: Sequence[OwnRun] = ()
    """Those that go; those that an earlier gc has left unfinished are marked."""
    named: int = 0
    """How many runs stay only since they have a name."""
    values: dict[str, Part] = field(default_factory=lambda: defaultdict(Part))
    """Per run that goes, by id, its objects."""
    orphans: dict[str, Part] = field(default_factory=lambda: defaultdict(Part))
    """Per run that stays the objects that no row refers to."""
    young: Part = field(default_factory=Part)
    """Objects without a row that are younger than the grace period, and so are left."""
    foreign: Part = field(default_factory=Part)
    """Objects that are no run's of this ledger, and so are left."""
    problems: list[str] = field(default_factory=list)
    """What could not be looked at or deleted, and why; it is left for the next time."""

    def of(self, run: str) -> Part:
        """What goes of the run with this id."""
        return self.values.get(run) or Part()

    @property
    def unreferred(self) -> Part:
        """What goes of runs that stay."""
        parts = self.orphans.values()
        return Part(sum(each.objects for each in parts), sum(each.bytes for each in parts))

    @property
    def total(self) -> Part:
        """All that goes."""
        parts = [*self.values.values(), *self.orphans.values()]
        return Part(sum(each.objects for each in parts), sum(each.bytes for each in parts))

    @property
    def is_nothing(self) -> bool:
        """Is there nothing to do?"""
        return not self.runs and not self.orphans


class Cleaning:
    """One cleaning of one ledger: `plan` says what would go, `clean` lets it go.

    `seen` is called for each object that is looked at.
    """

    def __init__(self, ledger: SQLLedger, policy: Policy, seen: Callable[[], None] = lambda: None) -> None:
        self._ledger, self._policy, self._seen = ledger, policy, seen

    def plan(self) -> Cleaned:
        """What would go; nothing is changed."""
        chosen = self._ledger.going.chosen(self._policy)
        plan = Cleaned(chosen.going, chosen.named)
        runs = self._reachable([*chosen.going, *self._swept(chosen)], plan)
        known = {run.id for run in (*chosen.going, *chosen.kept)}
        found = objects_at(runs, known, lambda where, error: plan.problems.append(f"{where}: {error}"))
        self._count(unreferenced(found, self._ledger.held, chosen.leaving), chosen, plan)
        return plan

    def clean(self, plan: Cleaned) -> Cleaned:
        """Let go what was planned, as far as it still may; what went is the answer."""
        wanted = {run.id for run in self._reachable(plan.runs, Cleaned()) if not run.is_marked}
        chosen = self._ledger.going.mark(self._policy, wanted)
        done = Cleaned(chosen.going, plan.named, young=plan.young, foreign=plan.foreign, problems=plan.problems)
        for run in self._reachable([*chosen.going, *self._swept(chosen)], Cleaned()):
            is_going = run.number in chosen.leaving.numbers
            if not is_going and run.id not in plan.orphans:
                continue
            try:
                is_empty = self._delete(run, chosen, done)
                if is_going:
                    self._ledger.going.finish(run, chosen, self._policy, is_empty=is_empty)
            except CkptError as error:
                done.problems.append(f"run {run.id}: {error}")
        self._ledger.going.forget_arguments()
        return done

    def _swept(self, chosen: Chosen) -> list[OwnRun]:
        """The runs that stay and may lose what no row refers to."""
        mine = [run for run in chosen.kept if self._policy.flow in (None, run.flow)]
        return [run for run in mine if run.has_ended and run.id not in chosen.resumed_from]

    def _reachable(self, runs: Iterable[OwnRun], told: Cleaned) -> list[OwnRun]:
        """Those at whose places one can look: the others keep their rows, or nobody would know of their objects."""
        reachable: list[OwnRun] = []
        for run in runs:
            try:
                for place in run.places:
                    handler_of(place.handler)
            except CkptError as error:
                told.problems.append(f"run {run.id}: {error}")
            else:
                reachable.append(run)
        return reachable

    def _count(self, found: Iterable[Unreferenced], chosen: Chosen, told: Cleaned) -> None:
        for each in found:
            if self._goes(each, chosen, told):
                self._part(each, chosen, told).add(each.info)

    def _part(self, each: Unreferenced, chosen: Chosen, told: Cleaned) -> Part:
        assert each.run is not None  # nothing else goes
        return (told.values if each.run.number in chosen.leaving.numbers else told.orphans)[each.run.id]

    def _delete(self, run: OwnRun, chosen: Chosen, told: Cleaned) -> bool:
        """Delete what nobody needs at the places of a run; is nothing left there that is its own?"""
        foreign: set[str] = set()
        found = unreferenced(objects_of(run), self._ledger.held, chosen.leaving)
        going = (each for each in found if self._goes(each, chosen, Cleaned(), foreign))
        while batch := list(islice(going, _BATCH)):
            # Between finding and deleting the headers of some have been read, which takes its time.
            held = self._ledger.held.held([each.info.key for each in batch], chosen.leaving)
            keys: dict[ObjectResultHandler, list[str]] = defaultdict(list)
            for each in batch:
                if each.info.key not in held:
                    keys[each.found.handler].append(each.info.key)
            for handler, mine in keys.items():
                handler.objects.delete_many(mine)
            for each in batch:
                if each.info.key not in held:
                    self._part(each, chosen, told).add(each.info)
        return all(each.info.key in foreign for each in objects_of(run))

    def _goes(self, each: Unreferenced, chosen: Chosen, told: Cleaned, foreign: set[str] | None = None) -> bool:
        """May this object be deleted? What is left is counted, or told of."""
        self._seen()
        if each.run is None:
            told.foreign.add(each.info)
            return False
        if each.is_recorded:
            return True
        modified, grace = each.info.modified, self._policy.grace
        if modified is None or modified > EPOCH + timedelta(microseconds=chosen.now) - grace:
            told.young.add(each.info)
            return False
        try:
            header = each.found.handler.meta(each.info.key)
        except NotFound:
            return False
        except CorruptRecord as error:
            told.problems.append(f"left alone, since nobody can tell whose it is: {error}")
            return False
        # What is no record has no header; then the row of the run, in whose own folder it is, is all there is.
        if "run" in header and (header["run"], header["ledger"]) not in {
            (each.run.id, self._ledger.id),
            (each.run.id, None),
        }:
            if foreign is not None:
                foreign.add(each.info.key)
            told.foreign.add(each.info)
            return False
        return True
