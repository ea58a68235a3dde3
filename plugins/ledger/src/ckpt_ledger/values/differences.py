"""How two values differ, told so that the place can be found and understood: `compare`.

Equality is decided here, by type and contents, not by `==` of a person's class, which may raise, lie, answer an array,
or be false for two copies of one class of `__main__`. Equal are: NaN and NaN; 0.0 and -0.0; dicts and sets in
another order; objects of classes of one qualified name with equal attributes. Not equal: 1 and 1.0, a list and a
tuple, moments in other time zones.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from ckpt.attributes import qualified_name
from ckpt.briefs import brief
from ckpt.summaries import as_text, summarize
from ckpt_ledger.values.array_differences import compare_arrays
from ckpt_ledger.values.changes import Change, Difference, PartChange, SetChange
from ckpt_ledger.values.findings import Findings, Place
from ckpt_ledger.values.fingerprints import key_of
from ckpt_ledger.values.frame_differences import compare_tables
from ckpt_ledger.values.parts import array_of, base_of, listed, named_parts, state_of
from ckpt_ledger.values.scalars import compare_scalars, is_scalar, same_scalar
from ckpt_ledger.values.sequences import runs
from ckpt_ledger.values.tables import table_of
from ckpt_ledger.values.text_differences import compare_bytes, compare_texts

__all__ = ["Difference", "compare"]

_EXAMPLES: Final = 4
_MANY: Final = 20
"""Keys of a dict that is a table by key rather than a record: its keys vary in a pattern."""
_FOUND: Final = object()
"""Stands for the left value where the right one is a change: it waits for its turn."""


def compare(left: object, right: object, *, most: int = 20) -> Difference | None:
    """Return how `right` differs from `left`, or None where they are equal by value; neither is changed.

    At most `most` groups of changes are told, the others counted. Takes O(n log n) and, for arrays, no copy; neither
    cycles nor depth matter.
    """
    found = Findings(most)
    _Comparison(found).run(left, right)
    if not found.total:
        return None
    return Difference(as_text(summarize(left)), as_text(summarize(right)), found.total, found.groups(), found.more)


class _Comparison:
    """Pairs that are still to be compared, in a stack of its own, so that depth is no matter."""

    def __init__(self, found: Findings) -> None:
        self.found = found
        self.waiting: list[tuple[Any, Any, Place]] = []
        self.seen: set[tuple[int, int]] = set()
        self.kept: list[object] = []
        """What was made on the way: as long as it lives, its id in `seen` is its own."""

    def run(self, left: object, right: object) -> None:
        self.waiting.append((left, right, Place()))
        while self.waiting:
            ours, theirs, place = self.waiting.pop()
            if ours is theirs:
                continue
            if ours is _FOUND:
                self.found.add(theirs, place)
                continue
            before = len(self.waiting)
            try:
                self.visit(ours, theirs, place)
            except Exception as error:  # noqa: BLE001  a foreign class may raise anything when it is looked into
                del self.waiting[before:]
                self.found.unlike(ours, theirs, place, f"cannot be compared: {type(error).__name__}")
            # The first part is to come first.
            self.waiting[before:] = self.waiting[before:][::-1]

    def visit(self, left: Any, right: Any, place: Place) -> None:
        ours, theirs = type(left), type(right)
        if is_scalar(left) and is_scalar(right):
            if (change := compare_scalars(left, right, *place.texts())) is not None:
                self.found.add(change, place)
            return
        base = base_of(ours)
        if base is not base_of(theirs) and not {base, base_of(theirs)} <= {list, tuple}:
            self.found.unlike(left, right, place)
            return
        if base in (str, bytes, bytearray):
            self.characters(left, right, base, place)
            if ours is base:
                return
        if (id(left), id(right)) in self.seen:
            return
        self.seen.add((id(left), id(right)))
        if base is None and self.foreign(left, right, place):
            return
        if ours is not theirs and qualified_name(ours) != qualified_name(theirs):
            self.found.unlike(left, right, place)
            if base is None:
                return
        if base is None:
            self.objects(left, right, place)
            return
        if base is dict:
            self.dicts(left, right, place)
        elif base in (set, frozenset):
            self.sets(left, right, base, place)
        elif base in (list, tuple, deque):
            self.sequences(left, right, place)
        elif base in (int, float, complex):
            # A person's own number: the number, and what it carries.
            number = getattr(base, f"__{base.__name__}__")
            self.push(number(left), number(right), place)
        if ours is not base:
            self.named(named_parts(left), named_parts(right), place)

    def characters(self, left: Any, right: Any, base: Any, place: Place) -> None:
        whole = slice(None)
        change: Change | None
        if base is str:
            change = compare_texts(str.__getitem__(left, whole), str.__getitem__(right, whole), *place.texts())
        else:
            change = compare_bytes(base.__getitem__(left, whole), base.__getitem__(right, whole), *place.texts())
        if change is not None:
            self.found.add(change, place)

    def foreign(self, left: Any, right: Any, place: Place) -> bool:
        """Compare arrays and frames; False for what is neither."""
        tables = table_of(left), table_of(right)
        if tables[0] is not None and tables[1] is not None:
            if type(left) is not type(right) and qualified_name(type(left)) != qualified_name(type(right)):
                self.found.unlike(left, right, place)
            change: Change | None = compare_tables(*tables, *place.texts(), _alike)  # type: ignore[arg-type]  # no None
            if change is not None:
                self.found.add(change, place)
            if hasattr(left, "attrs") and hasattr(right, "attrs"):
                self.push(left.attrs, right.attrs, place.attribute("attrs"))
            return True
        arrays = array_of(left), array_of(right)
        if arrays[0] is None or arrays[1] is None:
            return False
        if qualified_name(type(left)) != qualified_name(type(right)):
            self.found.unlike(left, right, place)
        self.arrays(*arrays, place)
        return True

    def arrays(self, left: Any, right: Any, place: Place) -> None:
        if hasattr(left, "mask") and hasattr(right, "mask") and left.shape == right.shape:
            import numpy as np  # they are numpy's masked arrays

            masks = np.ma.getmaskarray(left), np.ma.getmaskarray(right)
            self.push(*masks, place.attribute("mask"))
            both = masks[0] | masks[1]
            # What is masked is no part of the value.
            left, right = (np.where(both, np.zeros((), one.dtype), one.data) for one in (left, right))
        names = left.dtype.names, right.dtype.names
        if names[0] and names[1] and left.shape == right.shape:
            self.keyed({n: left[n] for n in names[0]}, {n: right[n] for n in names[1]}, place)
        elif (
            left.dtype.hasobject and right.dtype.hasobject and left.shape == right.shape and not (names[0] or names[1])
        ):
            import numpy as np

            for at in np.ndindex(left.shape):
                self.push_unlike(left[at], right[at], place, f"[{', '.join(map(str, at)) or '()'}]")
        elif (change := compare_arrays(left, right, *place.texts())) is not None:
            self.found.add(change, place)

    def objects(self, left: Any, right: Any, place: Place) -> None:
        if isinstance(left, type):
            if qualified_name(left) != qualified_name(right):
                self.found.unlike(left, right, place)
            return
        ours, theirs = named_parts(left), named_parts(right)
        if ours or theirs:
            self.named(ours, theirs, place)
            return
        states = state_of(left), state_of(right)
        self.kept.append(states)
        self.pairwise(*states, place.attribute("__reduce_ex__(4)"))

    def named(self, left: dict[str, Any], right: dict[str, Any], place: Place) -> None:
        for name, part in left.items():
            if name in right:
                self.push(part, right[name], place.attribute(name))
            else:
                self.alone("left", part, place.attribute(name))
        for name, part in right.items():
            if name not in left:
                self.alone("right", part, place.attribute(name))

    def dicts(self, left: Any, right: Any, place: Place) -> None:
        ours, theirs = ({key_of(key): (key, part) for key, part in listed(one, dict)} for one in (left, right))
        many = len(ours) > _MANY
        for found_by, (key, part) in ours.items():
            if found_by not in theirs:
                self.alone("left", part, place.key(key, varies=many))
            elif not (is_scalar(part) and same_scalar(part, theirs[found_by][1])):
                self.push(part, theirs[found_by][1], place.key(key, varies=many))
        for found_by, (key, part) in theirs.items():
            if found_by not in ours:
                self.alone("right", part, place.key(key, varies=many))

    def keyed(self, left: dict[str, Any], right: dict[str, Any], place: Place) -> None:
        self.kept += [left, right]
        self.dicts(left, right, place)

    def sets(self, left: Any, right: Any, base: Any, place: Place) -> None:
        ours, theirs = ({key_of(part): part for part in listed(one, base)} for one in (left, right))
        only = [ours[key] for key in ours if key not in theirs], [theirs[key] for key in theirs if key not in ours]
        if not only[0] and not only[1]:
            return
        # Sorted by what is shown, since the order in a set is another in each process.
        shown = [tuple(sorted(map(brief, parts[:1000]))[:_EXAMPLES]) for parts in only]
        sizes = len(ours), len(theirs)
        self.found.add(SetChange(*place.texts(), *sizes, len(only[0]), len(only[1]), *shown), place)

    def sequences(self, left: Any, right: Any, place: Place) -> None:
        bases = base_of(type(left)), base_of(type(right))
        ours, theirs = listed(left, bases[0]), listed(right, bases[1])
        fields = getattr(type(left), "_fields", None)
        if type(fields) is tuple and len(ours) == len(theirs) == len(fields):
            for name, one, other in zip(fields, ours, theirs, strict=True):
                self.push(one, other, place.attribute(name))
            return
        for a, b, c, d in runs(ours, theirs):
            if b - a == d - c:
                self.pairwise(ours[a:b], theirs[c:d], place, a, c)
            else:
                self.run_alone("left", ours, a, b, place)
                self.run_alone("right", theirs, c, d, place)

    def pairwise(self, left: Any, right: Any, place: Place, start: int = 0, right_start: int = 0) -> None:
        for at, (one, other) in enumerate(zip(left, right, strict=False)):
            if one is other or (is_scalar(one) and same_scalar(one, other)):
                continue
            self.push(one, other, place.element(start + at, right_start + at))
        self.run_alone("left", left, len(right), len(left), place)
        self.run_alone("right", right, len(left), len(right), place)

    def push(self, left: Any, right: Any, place: Place) -> None:
        self.waiting.append((left, right, place))

    def push_unlike(self, left: Any, right: Any, place: Place, step: str) -> None:
        if left is not right and not (is_scalar(left) and same_scalar(left, right)):
            self.push(left, right, place.step(step))

    def alone(self, side: str, part: Any, place: Place) -> None:
        self.push(_FOUND, PartChange(*place.texts(), side, brief(part, 80)), place)

    def run_alone(self, side: str, parts: Any, first: int, last: int, place: Place) -> None:
        if first >= last:
            return
        step = place.run(first, last)
        self.push(_FOUND, PartChange(*step.texts(), side, brief(parts[first], 80), last - first), step)


def _alike(left: object, right: object) -> bool:
    """Are two cells of a frame equal?"""
    if is_scalar(left) and is_scalar(right):
        return same_scalar(left, right)
    found = Findings(1)
    _Comparison(found).run(left, right)
    return not found.total
