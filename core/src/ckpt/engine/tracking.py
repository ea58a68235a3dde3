"""What each task run is, and whether a value of an earlier run serves for it.

A task run serves if its record has the same identity: found by call path in the run that this one goes on from, or,
where the task has `cache`, by identity alone in any run. Identities are known only once the inputs are, so a task is
looked at when it is about to start: what is upstream may have been run again and have given the same value.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from ckpt.arguments import slots_in
from ckpt.engine.maps import Column, follows
from ckpt.engine.plans import Code
from ckpt.identities import ArgumentId, Identities, Signature, argument_of, arguments_of, constant, content, shape
from ckpt.results import Held
from ckpt.task_records import FOREVER, CallArguments, Identity, TaskRecord

if TYPE_CHECKING:
    from ckpt.calls import Call, CallPath
    from ckpt.engine.runs import Rows
    from ckpt.tasks import Task

__all__ = ["Tracker", "serves"]

_KEPT = frozenset({"Success", "Cached"})

Lookup = Callable[[Sequence[Identity]], Mapping[Identity, TaskRecord]]


def serves(record: TaskRecord, task: Task) -> bool:
    """Does what is known of a finished task run do instead of running it again, if it is the same computation?"""
    if record.state in _KEPT:
        return record.safe is not None or not task.checkpoint
    return record.state == "Skipped"


class Tracker:
    """The identities of the rows of one run, and the records that may serve for them."""

    def __init__(
        self,
        identities: Identities,
        *,
        prior: Mapping[CallPath, TaskRecord] | None = None,
        lookup: Lookup | None = None,
        hints: Iterable[TaskRecord] = (),
        again: Collection[int] = (),
        refresh: Collection[int] = (),
        keep: Callable[[bytes], CallArguments],
    ) -> None:
        self.rows: Rows
        """Set by the loop."""
        self.planned: list[Identity | None] = []
        """Per call its identity, as far as a plan has found it."""
        self._keep = keep
        self._arguments: dict[int, CallArguments | None] = {}
        """Per signature what was given, by its id; of mapped calls per call, below zero."""
        self._identities = identities
        self._prior = prior or {}
        self._lookup = lookup
        self._again = again
        """Calls that are run whatever is kept of them."""
        self._refresh = refresh
        """Calls for which no other run's value is taken."""
        self._found: dict[Identity, TaskRecord | None] = {
            hint.identity: hint for hint in hints if hint.identity is not None
        }
        self._bad: dict[CallPath, str] = {}
        self._signatures: dict[int, Signature] = {}
        self.has_records = bool(self._prior) or lookup is not None
        """May a record serve for any row at all?"""

    # -- identities

    def signature(self, call: Call) -> Signature:
        """What all task runs of a call have in common."""
        found = self._signatures.get(call.index)
        if found is None:
            # The first one counts, whichever thread made it: it is known by its id.
            found = self._signatures.setdefault(call.index, self._identities.signature(call))
        return found

    def arguments(self, call: Call) -> CallArguments | None:
        """What the flow gives to a call; None if that is nothing, or cannot be kept."""
        signature = self.signature(call)
        key = id(signature) if call.each is None else -1 - call.index
        if key not in self._arguments:
            self._arguments[key] = arguments_of(call, signature, self._keep)
        return self._arguments[key]

    def argument(self, row: int) -> ArgumentId:
        """What stands for the value of a row in the identity of what takes it."""
        rows = self.rows
        if row in rows.children:
            return _joined(map(self.argument, rows.children[row]))
        digest = rows.digest(row)
        if digest is not None:
            return f"value {digest}"
        code = rows.code[row]
        if code == Code.SKIPPED:
            return "skipped"
        return None if code >= Code.FAILED else argument_of(None, rows.identity[row])

    def identify(self, row: int, columns: Sequence[Column] | None = None) -> None:
        """Find the identity of a row whose inputs are there; of a mapped child with what it gets one element of."""
        rows = self.rows
        number = rows.call_of[row]
        call = rows.calls[number]
        signature = self.signature(call)
        if call.each is None and not call.is_parameter:
            argument, calls = self.argument, call.inputs
            rows.identity[row] = signature.identity([argument(calls[slot].index) for slot in signature.slots])
            return
        if call.is_parameter:
            kept = constant(rows.parameter(call)) if call.task.checkpoint else None  # nothing is left of its value
            rows.identity[row] = None if kept is None else Identity(hashlib.sha256(kept.encode()).hexdigest())
            return
        inputs: list[ArgumentId]
        if row == number:
            inputs = [self._whole(call, slot) for slot in signature.slots]
        elif columns is None:
            return  # it has what an equal parent gave it
        else:
            inputs = [self._part(call, slot, columns, rows.index(row) or 0) for slot in signature.slots]
        rows.identity[row] = signature.identity(inputs)

    def _whole(self, call: Call, slot: int) -> ArgumentId:
        """An input of the parent of mapped children: for each of them, or all their elements together."""
        if slot < call.shared:
            return self.argument(call.inputs[slot].index)
        each = (call.each or ())[slot - call.shared]
        if each.call is not None:
            look = shape(each.look)
            return None if look is None else _joined([look.hex(), self.argument(each.call.index)])
        return _joined(self._given(call, element) for element in each.elements)

    def _part(self, call: Call, slot: int, columns: Sequence[Column], index: int) -> ArgumentId:
        """An input of one mapped child."""
        if slot < call.shared:
            return self.argument(call.inputs[slot].index)
        place = slot - call.shared
        each, column = (call.each or ())[place], columns[place]
        if isinstance(column, range):
            return self.argument(column[index])
        if each.call is None:
            return self._given(call, each.elements[index])
        source = each.call.index
        if any(self.rows.digest(row) is None for row in self.rows.children.get(source, (source,))):
            look = shape(each.look)
            return None if look is None else _joined([f"element {index}", look.hex(), self.argument(source)])
        element = column[index]
        if isinstance(element, Held):
            data = getattr(element, "data", None)
            return None if data is None else f"element {hashlib.sha256(data).hexdigest()}"
        digest = content(element)
        return None if digest is None else f"element {digest}"

    def _given(self, call: Call, element: object) -> ArgumentId:
        """An element of a list given in the flow, with calls in it."""
        form = shape(element)
        if form is None:
            return None
        return _joined([form.hex(), *(self.argument(call.inputs[slot].index) for slot in slots_in(element))])

    # -- what serves

    def earlier(self, row: int) -> TaskRecord | None:
        """The record that serves for a row, None if it has to be run."""
        rows = self.rows
        identity, number = rows.identity[row], rows.call_of[row]
        if identity is None or number in self._again or number in self._refresh:
            return None
        if self._bad and rows.path(row) in self._bad:
            return None
        task = rows.calls[number].task
        record = self._prior.get(rows.path(row)) if self._prior else None
        if record is not None and record.identity == identity and serves(record, task):
            return record
        if not task.cache:
            return None
        return self._found.get(identity)

    def adoptable(self, parent: int) -> int | None:
        """How many children an equal mapped call had, all of which serve; None if there is no such.

        Then nothing needs to be read to know what the children are, and they have the identities of those.
        """
        rows = self.rows
        call = rows.calls[parent]
        record = self._prior.get(rows.path(parent)) if self._prior else None
        identity = rows.identity[parent]
        if record is None or identity is None or record.identity != identity or record.children is None:
            return None
        if parent in self._again or parent in self._refresh or any(follows(each) for each in call.each or ()):
            return None
        path = rows.path(parent)
        paths = [path._replace(map_index=index) for index in range(record.children)]
        children = [None if each in self._bad else self._prior.get(each) for each in paths]
        whole = all(child is not None and child.identity and serves(child, call.task) for child in children)
        return record.children if whole else None

    def kept_children(self, call: Call) -> int:
        """How many children of a mapped call the earlier run has kept; which of them are alike its elements tell."""
        if call.index in self._again or call.index in self._refresh:
            return 0
        return self._children[call.slug, self.signature(call).code]

    @cached_property
    def _children(self) -> Counter[tuple[str, str | None]]:
        """Per mapped call and code version, how many of its children have a kept value."""
        kept = ((path, record) for path, record in self._prior.items() if record.state in _KEPT and record.safe)
        return Counter((path.slug, record.code) for path, record in kept if path.map_index is not None)

    def adopt(self, parent: int, children: range) -> None:
        """Give the children of an adopted parent the identities that they had."""
        path = self.rows.path(parent)
        for index, row in enumerate(children):
            self.rows.identity[row] = self._prior[path._replace(map_index=index)].identity

    def distrust(self, path: CallPath, why: str) -> None:
        """What was kept for this task run cannot be read, so it has to be run."""
        self._bad[path] = why

    def reason(self, row: int) -> str:
        """Why no record serves for a row, in words."""
        rows = self.rows
        path, number = rows.path(row), rows.call_of[row]
        if number in self._again:
            return "asked for by --from"
        if number in self._refresh:
            return "asked for by refresh"
        if path in self._bad:
            return f"what was kept of it cannot be read: {self._bad[path]}"
        record = self._prior.get(path)
        if rows.identity[row] is None:
            return "its code or an argument cannot be pickled, so nothing can be compared"
        if record is None:
            has_looked = self._prior or rows.calls[number].task.cache
            return "no earlier run has it" if has_looked else "this run goes on from no other"
        if record.identity == rows.identity[row]:
            return "its value was not kept" if record.state in _KEPT else f"{record.state} in run {record.run}"
        if record.code != self.signature(rows.calls[number]).code:
            return "its code has changed"
        return "an argument has changed"

    def unknown(self, row: int) -> bool:
        """Is it still to be asked whether another run has this row's value?"""
        identity, call = self.rows.identity[row], self.rows.call_of[row]
        return (
            self._lookup is not None
            and identity is not None
            and bool(self.rows.calls[call].task.cache)
            and call not in self._refresh
            and identity not in self._found
        )

    def ask(self, rows: Iterable[int]) -> None:
        """Ask once for all these rows whether other runs have their values."""
        wanted = list(dict.fromkeys(identity for row in rows if (identity := self.rows.identity[row]) is not None))
        if self._lookup is None or not wanted:
            return
        found = self._lookup(wanted)
        self._found.update((identity, found.get(identity)) for identity in wanted)

    def reusable_until(self, row: int) -> datetime | None:
        """Until when other runs may take the value of this row; None where they may not."""
        cache = self.rows.calls[self.rows.call_of[row]].task.cache
        if cache is False or self.rows.identity[row] is None:
            return None
        if (record := self.rows.earlier.get(row)) is not None and record.reusable_until is not None:
            return record.reusable_until
        if cache is True:
            return FOREVER
        return datetime.now(UTC) + (cache if isinstance(cache, timedelta) else timedelta(seconds=cache))


def _joined(parts: Iterable[ArgumentId]) -> ArgumentId:
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            return None
        digest.update(f"{len(part)}:{part}".encode())
    return f"all {digest.hexdigest()}"
