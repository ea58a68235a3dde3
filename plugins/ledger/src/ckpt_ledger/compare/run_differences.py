"""How two runs differ: what is equal by digest is not looked at, and of the rest only where it began: `diff_runs`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, get_args

from ckpt import JSON
from ckpt.errors import CkptError, NotFound
from ckpt.suggestions import did_you_mean
from ckpt_ledger.compare.causes import Cause, Causes, changed_code, changed_environment, changed_parameters
from ckpt_ledger.compare.lineage import VALUED, Lineage
from ckpt_ledger.compare.pair_values import read_pairs
from ckpt_ledger.compare.pairs import Pair, pair_up
from ckpt_ledger.values.differences import compare

if TYPE_CHECKING:
    from ckpt_ledger.ledger import SQLLedger
    from ckpt_ledger.sql.run_rows import RunRow
    from ckpt_ledger.values.changes import Difference

__all__ = ["DIFFERING", "Compared", "Progress", "RunDifference", "Verdict", "diff_runs"]

Verdict = Literal["same", "same value", "different", "not compared", "only left", "only right"]
DIFFERING: Final = frozenset({"different", "only left", "only right"})

_ENOUGH: Final = 20
"""Task runs of one call that differ in their values; those after them tell nothing new."""

Progress = Callable[[Pair], None]
"""Called for each pair whose values are read, before that."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What has come of one pair of task runs."""

    pair: Pair
    verdict: Verdict
    is_first: bool = False
    """Did a difference begin here, as far as the inputs tell?"""
    note: str = ""
    """What else there is to say, as why it was not compared."""
    difference: Difference | None = None
    """How the values differ, where they were compared."""
    causes: tuple[Cause, ...] = ()
    """What is another for the two, of what is recorded."""
    error: str | None = None
    """Why a value could not be read."""

    is_unlike: bool = False
    """Do the digests differ, without the values having been compared?"""

    def to_dict(self) -> dict[str, JSON]:
        """Plain JSON."""
        left, right = self.pair.left, self.pair.right
        said: dict[str, JSON] = {
            "id": str(self.pair.call),
            "call": str(self.pair.call),
            "verdict": self.verdict,
            "left_call": None if left is None else str(left.call),
            "right_call": None if right is None else str(right.call),
        }
        if self.verdict in DIFFERING:
            said["first"] = self.is_first
        if self.verdict == "different" and left is not None and right is not None and left.state != right.state:
            said |= {"left_state": left.state, "right_state": right.state}
        if self.note:
            said["note"] = self.note
        if self.difference is not None:
            said["difference"] = self.difference.to_dict()
        if self.causes:
            said["causes"] = [cause.to_dict() for cause in self.causes]
        if self.error is not None:
            said["error"] = self.error
        return said


@dataclass(frozen=True, slots=True)
class RunDifference:
    """Two runs, side by side."""

    left: RunRow
    right: RunRow
    items: Sequence[Compared]
    """In run order."""
    parameters: Sequence[Cause]
    environment: Sequence[Cause]
    code: Sequence[str]
    """The names of the tasks whose code is another."""

    @property
    def firsts(self) -> list[Compared]:
        """Where the runs begin to differ."""
        return [each for each in self.items if each.is_first]

    @property
    def differing(self) -> list[Compared]:
        """Everything known to differ."""
        return [each for each in self.items if each.verdict in DIFFERING]

    @property
    def same(self) -> list[Compared]:
        """What is known to be the same; children of mapped calls instead of these."""
        return [each for each in self.items if not each.pair.is_mapped and each.verdict in ("same", "same value")]

    @property
    def is_unknown(self) -> bool:
        """Is there something that could not be read, or nothing that could be compared?"""
        return bool(self.errors) or bool(self.items and not self.same and not self.differing)

    @property
    def errors(self) -> list[Compared]:
        """What could not be read."""
        return [each for each in self.items if each.error is not None]


def diff_runs(
    ledger: SQLLedger,
    left: RunRow,
    right: RunRow,
    *,
    everything: bool = False,
    task: str | None = None,
    progress: Progress = lambda pair: None,
) -> RunDifference:
    """Compare two runs: by digest, and by value where a difference may have begun.

    `everything` compares all values whose digests differ; `task` only those of one task or call, wherever they are.

    Raises: `NotFound` for a task that neither run has.
    """
    ended = left.ended is not None, right.ended is not None
    lineage = Lineage(pair_up(*(ledger.tasks(run.id, summaries=False) for run in (left, right))), ended)
    if not lineage.is_all_same:
        # Where values came from is needed only now, and takes most of the time to read.
        lineage = Lineage(pair_up(*(ledger.tasks(run.id) for run in (left, right))), ended)
    wanted = None if task is None else _named(lineage.pairs, task)
    comparison = _Comparison(lineage, everything or task is not None, wanted, progress)
    comparison.run()
    causes = Causes(lineage, left.record, right.record, ledger.arguments)
    items = [comparison.result(number, causes, (left, right)) for number in range(len(lineage.pairs))]
    if wanted is not None:
        items = [items[number] for number in sorted(wanted)]
    elif not any(each.is_first for each in items):
        items = _earliest(items)
    environment = changed_environment(left.record, right.record)
    parameters = changed_parameters(left.record, right.record)
    return RunDifference(left, right, items, parameters, environment, changed_code(lineage))


class _Comparison:
    def __init__(self, lineage: Lineage, everything: bool, wanted: set[int] | None, progress: Progress) -> None:
        self.lineage, self.everything, self.wanted, self.progress = lineage, everything, wanted, progress
        self.differences: dict[int, Difference] = {}
        self.errors: dict[int, str] = {}
        self.firsts: set[int] = set()
        self.enough: Counter[str] = Counter()
        self.batch: list[int] = []

    def run(self) -> None:
        """Go through both runs in order; what depends on a comparison waits for it."""
        lineage = self.lineage
        for number in lineage.order():
            tainted = lineage.taint(number)
            if tainted is None:
                self._compare()
                tainted = lineage.taint(number)
            lineage.tainted[number] = bool(tainted)
            if not tainted and lineage.standing[number] not in ("same", "mapped", "unknown"):
                self.firsts.add(number)
            if lineage.standing[number] == "open" and self._is_wanted(number):
                self.batch.append(number)
                lineage.pending.add(number)
        self._compare()

    def _is_wanted(self, number: int) -> bool:
        if self.wanted is not None:
            return number in self.wanted
        return self.everything or number in self.firsts

    def _compare(self) -> None:
        lineage = self.lineage
        batch, self.batch = self.batch, []
        lineage.pending.difference_update(batch)
        for number, values in read_pairs(lineage.pairs, batch, self._begin):
            if isinstance(values, CkptError):
                lineage.standing[number] = "unknown"
                self.errors[number] = str(values)
                continue
            difference = compare(*values)
            if difference is None:
                lineage.standing[number] = "same value"
            else:
                lineage.standing[number] = "different"
                self.differences[number] = difference
                self.enough[lineage.pairs[number].call.slug] += 1

    def _begin(self, number: int) -> bool:
        """Say that these values are read next; False where enough of their kind were."""
        pair = self.lineage.pairs[number]
        if not self.everything and self.enough[pair.call.slug] >= _ENOUGH:
            return False
        self.progress(pair)
        return True

    def result(self, number: int, causes: Causes, runs: tuple[RunRow, RunRow]) -> Compared:
        pair, standing = self.lineage.pairs[number], self.lineage.standing[number]
        verdict = self._verdict(number)
        is_first = (
            number in self.firsts
            and verdict in DIFFERING
            and not pair.is_parameter
            and not self.lineage.is_consequence(number)
        )
        note = ""
        if standing == "unknown" and number not in self.errors:
            note = _unknown(pair, runs)
        elif standing == "open":
            more = f"{_ENOUGH} others of {pair.call.slug} differ in their values"
            note = f"their digests differ; {'what it takes differs' if number not in self.firsts else more}"
        elif standing == "same" and pair.record.state not in VALUED:
            note = f"{pair.record.state} in both"
        has_causes = (is_first or number in self.differences) and not pair.is_parameter
        told = causes.of(number) if has_causes else ()
        difference, error = self.differences.get(number), self.errors.get(number)
        return Compared(pair, verdict, is_first, note, difference, told, error, standing == "open")

    def _verdict(self, number: int) -> Verdict:
        standing = self.lineage.standing[number]
        if standing == "mapped":
            there = {self._verdict(child) for child in self.lineage.children(number)}
            if there & DIFFERING:
                return "different"
            return "not compared" if "not compared" in there else "same value" if "same value" in there else "same"
        return standing if standing in get_args(Verdict) else "not compared"  # type: ignore[return-value]  # one of them


def _unknown(pair: Pair, runs: tuple[RunRow, RunRow]) -> str:
    """Why there is nothing to compare, and what is known all the same."""
    left, right = pair.left, pair.right
    if left is None or right is None:
        run = runs[0] if left is None else runs[1]
        return f"run {run.id} ({run.state}) has not got to it"
    outcomes = {each.outcome or "no handler" for each in (left, right) if each.safe is None}
    said = f"its value is not kept ({', '.join(sorted(outcomes))})"
    if left.identity is None or right.identity is None:
        return f"{said}, and its code or an argument cannot be compared"
    if left.identity == right.identity:
        return f"{said}, its code and inputs are the same"
    return f"{said}, {'its code has changed' if left.code != right.code else 'what it takes differs'}"


def _named(pairs: Sequence[Pair], text: str) -> set[int]:
    """The pairs that a call slug or a task name means, with `[i]` those of the children, in either run."""
    known: set[str] = set()
    found: set[int] = set()
    for number, pair in enumerate(pairs):
        names = {
            name
            for each in (pair.left, pair.right)
            if each is not None
            for name in (str(each.call), each.call.slug, each.task, str(each.call._replace(slug=each.task)))
        }
        known |= names
        if text in names:
            found.add(number)
    if not found:
        raise NotFound(f"neither run has a task run {text!r}: {did_you_mean(text, known)}")
    return found


def _earliest(items: list[Compared]) -> list[Compared]:
    """Where nothing else is to blame, what did not run or was given another value is where it began."""
    for number, each in enumerate(items):
        if each.verdict in DIFFERING and not each.pair.is_mapped:
            items[number] = replace(each, is_first=True)
            break
    return items
