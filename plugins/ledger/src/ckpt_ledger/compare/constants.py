"""The constants that a flow gave to a call, by argument, from what the ledger keeps of them: `constants`.

Kept are the arguments as they were written, without the names of those that have none; a record has a digest for each
name. Where both fit, name and constant belong together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ckpt.arguments import Build, Fetch, Look, Slot
from ckpt.errors import CkptError
from ckpt.identities import shape
from ckpt.serializers import unpickle

if TYPE_CHECKING:
    from ckpt.task_records import CallArguments, TaskRecord

__all__ = ["UNKNOWN", "Given", "constants", "elements", "read_arguments"]

Given = tuple[Sequence[object], Mapping[str, object], Sequence[Sequence[object]]]
"""Positional arguments, those by name, and each list that is mapped over, all as templates."""

UNKNOWN: Final = object()
"""A constant that cannot be told: it was not kept, holds a secret, or values of other calls."""


def read_arguments(record: TaskRecord, ask: Callable[[str], CallArguments]) -> Given | None:
    """What the flow gave to the call of a task run; None where that cannot be read."""
    if record.arguments is None:
        return None
    try:
        kept = ask(record.arguments)
        data: Any = kept.data if kept.data is not None else kept.safe.read() if kept.safe is not None else None
        given: Given | None = None if data is None else unpickle(data)  # type: ignore[assignment]  # the core made it
    except CkptError:
        return None
    except Exception:  # noqa: BLE001  a person's class may have gone, or raise anything; then it is not told
        return None
    return given


def constants(record: TaskRecord, given: Given | None) -> dict[str, object]:
    """Per argument that holds a constant its value; `UNKNOWN` where it cannot be told."""
    digests = {
        name: source.digest for name, sources in record.inputs.items() for source in sources if source.call is None
    }
    found: dict[str, object] = dict.fromkeys(digests, UNKNOWN)
    if given is None:
        return found
    args, kwargs, _ = given
    parts = [part for part in (*args, *kwargs.values()) if not isinstance(part, Slot)]
    shapes = [shape(part) for part in parts]
    for name, digest in digests.items():
        if name in kwargs:
            found[name] = _plain(kwargs[name])
        elif (run := _fitting(shapes, digest)) is not None:
            values = [_plain(part) for part in parts[slice(*run)]]
            if all(value is not UNKNOWN for value in values):
                found[name] = values[0] if len(values) == 1 else tuple(values)
        elif len(digests) == len(parts) == 1:
            found[name] = _plain(parts[0])
    return found


def elements(record: TaskRecord, given: Given | None) -> list[object]:
    """What a mapped child got of each list that the flow gave."""
    index = record.call.map_index
    if given is None or index is None:
        return []
    return [_plain(each[index]) for each in given[2] if index < len(each)]


def _fitting(shapes: Sequence[bytes | None], digest: str | None) -> tuple[int, int] | None:
    """The constants whose digest that is: one, or several in a row where the function gathers them."""
    for start in range(len(shapes)):
        joined = ""
        for end in range(start, len(shapes)):
            form = shapes[end]
            if form is None:
                break
            joined = hashlib.sha256(joined.encode() + form).hexdigest()
            if joined == digest:
                return start, end + 1
    return None


def _plain(template: object) -> object:
    return UNKNOWN if isinstance(template, Build | Fetch | Look | Slot) else template
