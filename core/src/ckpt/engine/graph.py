"""The wiring of a flow's calls, in flat columns: who waits for whom, made once for a run.

Flat lists of numbers, not an object for each call: what a run adds to the heap must not grow with the number of
calls, or Python's cyclic garbage collector walks it again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from ckpt.engine.maps import follows
from ckpt.errors import ConfigError

if TYPE_CHECKING:
    from ckpt.calls import Call

__all__ = ["Graph"]


class Graph:
    """Who waits for whom among `calls`, each named by its number.

    Raises: `ConfigError` naming the calls of a cycle in their order.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.waits = [0] * len(calls)
        """Per call, how many calls it waits for."""
        self.followed: dict[int, list[int]] = {}
        """Per mapped call, the mapped calls whose children its own children follow, one by one."""
        self.followers: dict[int, list[int]] = {}
        """Per mapped call, the mapped calls that follow it: they wait until it is expanded."""
        self.is_read = bytearray(len(calls))
        """Per call: does another call take its value?"""
        self.splits: dict[int, list[object]] = {}
        """Per call, templates for the parts of its value that others map over."""
        self._starts, self._down = self._wired()
        check_order(calls)

    def _wired(self) -> tuple[list[int], list[int]]:
        counts = [0] * (len(self.calls) + 1)
        edges: list[int] = []
        for number, call in enumerate(self.calls):
            if call.each is None and not call.after:
                for up in call.inputs:
                    counts[up.index] += 1
                    self.is_read[up.index] = 1
                    edges.append(up.index)
                self.waits[number] = len(call.inputs)
                continue
            self._wire_mapped(number, call)
            awaited = self.awaited(number)
            for before in awaited:
                counts[before] += 1
            edges.extend(awaited)
            self.waits[number] = len(awaited) + len(self.followed.get(number, ()))
        starts = list(accumulate(counts, initial=0))
        down = [0] * len(edges)
        places = starts[:]
        edge = iter(edges)
        for number, waits in enumerate(self.waits):
            for _ in range(waits - len(self.followed.get(number, ()))):
                before = next(edge)
                down[places[before]] = number
                places[before] += 1
        return starts, down

    def _wire_mapped(self, number: int, call: Call) -> None:
        for up in call.inputs:
            self.is_read[up.index] = 1
        for each in call.each or ():
            if each.call is None:
                continue
            source = each.call.index
            self.is_read[source] = 1
            if not follows(each):
                if not each.call.is_mapped:
                    self.splits.setdefault(source, []).append(each.look)
            elif source not in self.followed.setdefault(number, []):
                self.followed[number].append(source)
                self.followers.setdefault(source, []).append(number)

    def awaited(self, number: int) -> list[int]:
        """The calls that must be computed before this one starts or expands, each once."""
        call = self.calls[number]
        mapped = [each.call.index for each in call.each or () if each.call is not None and not follows(each)]
        return list(dict.fromkeys([*(up.index for up in call.inputs), *mapped, *(up.index for up in call.after)]))

    def down(self, number: int) -> list[int]:
        """The calls that wait until this one is computed."""
        return self._down[self._starts[number] : self._starts[number + 1]]

    def sources(self, number: int) -> list[int]:
        """The calls whose values this one takes, each once."""
        return [up.index for up in self.calls[number].sources]

    def readers(self) -> list[int]:
        """Per call, how many calls take its value."""
        readers = [0] * len(self.calls)
        for number in range(len(self.calls)):
            for source in self.sources(number):
                readers[source] += 1
        return readers


def check_order(calls: Sequence[Call]) -> None:
    """Look for a cycle. A call's inputs are older than the call, so only `set_upstream` can have closed one.

    Raises: `ConfigError` naming the calls of a cycle in their order.
    """
    if all(up.index < call.index for call in calls if call.after for up in call.after):
        return
    waits = {call: len(call.upstream) for call in calls}
    down: dict[Call, list[Call]] = {call: [] for call in calls}
    for call in calls:
        for up in call.upstream:
            down[up].append(call)
    ready = [call for call, waiting in waits.items() if not waiting]
    while ready:
        for call in down[ready.pop()]:
            waits[call] -= 1
            if not waits[call]:
                ready.append(call)
    stuck = [call for call, waiting in waits.items() if waiting]
    if stuck:
        path = [stuck[0]]
        while path[-1] not in path[:-1]:
            path.append(next(up for up in path[-1].upstream if waits[up]))
        cycle = path[path.index(path[-1]) :][::-1]
        raise ConfigError(f"the flow has a cycle: {' → '.join(call.slug for call in cycle)}; remove one set_upstream")
