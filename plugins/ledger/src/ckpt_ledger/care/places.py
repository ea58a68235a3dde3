"""What is kept at the places of runs, and is referred to by no row."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from ckpt import plugins
from ckpt.errors import CkptError
from ckpt.handlers import JSON
from ckpt.objects import ObjectResultHandler
from ckpt.stores import ObjectInfo
from ckpt_ledger.sql.going import OwnRun
from ckpt_ledger.sql.references import Leaving, References

__all__ = ["Found", "Unreferenced", "handler_of", "objects_at", "objects_of", "unreferenced"]

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """One object at a place of a run, or beside such places."""

    run: OwnRun | None
    """Whose place it is; None for what is no run of this ledger."""
    handler: ObjectResultHandler
    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """One of them that no row refers to which stays."""

    found: Found
    is_recorded: bool
    """Does a row of its run refer to it, which goes?"""

    @property
    def run(self) -> OwnRun | None:
        """Whose place it is at."""
        return self.found.run

    @property
    def info(self) -> ObjectInfo:
        """What the store says of it."""
        return self.found.info


def handler_of(spec: Mapping[str, JSON]) -> ObjectResultHandler | None:
    """The handler with that spec; None for one that keeps no objects.

    Raises: `PluginNotFound`, `ConfigError`.
    """
    handler = plugins.handler_from_spec(dict(spec))
    return handler if isinstance(handler, ObjectResultHandler) else None


def objects_of(run: OwnRun) -> Iterator[Found]:
    """Every object at the places of one run."""
    for place in run.places:
        handler = handler_of(place.handler)
        if handler is not None and f"/{run.id}/" in f"/{place.prefix}":
            for info in handler.objects.list(place.prefix):
                yield Found(run, handler, info)


def objects_at(
    runs: Iterable[OwnRun], known: Collection[str], problem: Callable[[str, CkptError], None]
) -> Iterator[Found]:
    """Every object at the places of these runs, and what stands beside them and belongs to none of the known runs.

    Runs of one flow and day are neighbours, and one listing serves for all of them. Where one fails `problem` is told.
    """
    roots: dict[tuple[str, str], dict[str, OwnRun]] = {}
    handlers: dict[str, ObjectResultHandler] = {}
    for run in runs:
        for place in run.places:
            before, found, _ = f"/{place.prefix}".partition(f"/{run.id}/")
            spec = json.dumps(dict(place.handler), sort_keys=True)
            try:
                handler = handler_of(place.handler)
            except CkptError as error:
                problem(run.id, error)
                continue
            if found and handler is not None:
                handlers[spec] = handler
                roots.setdefault((spec, f"{before[1:]}/" if before else ""), {})[run.id] = run
    for (spec, root), owners in roots.items():
        # Without a folder above them the neighbours are everything that there is.
        for listing in [root] if root else [f"{each}/" for each in owners]:
            try:
                for info in handlers[spec].objects.list(listing):
                    first = info.key[len(root) :].partition("/")[0]
                    if first in owners:
                        yield Found(owners[first], handlers[spec], info)
                    elif first not in known:
                        yield Found(None, handlers[spec], info)
            except CkptError as error:
                problem(listing, error)


def unreferenced(found: Iterable[Found], references: References, leaving: Leaving) -> Iterator[Unreferenced]:
    """Those that no row refers to, but for rows of the runs that are leaving."""
    rest = iter(found)
    recorded = lru_cache(maxsize=8)(references.recorded)
    while batch := list(islice(rest, _BATCH)):
        mine = [Unreferenced(each, each.info.key in recorded(each.run.number)) for each in batch if each.run]
        asked = [each for each in mine if not each.is_recorded or (each.run and each.run.number in leaving.numbers)]
        held = references.held([each.info.key for each in asked], leaving) if asked else set()
        yield from (each for each in asked if each.info.key not in held)
        yield from (Unreferenced(each, is_recorded=False) for each in batch if each.run is None)
