"""Values that are not here, as inputs of work: kept by an earlier run, or to be put together from such ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ckpt.arguments import resolve
from ckpt.errors import CorruptRecord, NotFound
from ckpt.results import Held, SafeResult

__all__ = ["Filled", "Kept", "Unreadable", "loaded"]

_READERS = 16


class Unreadable(Exception):
    """What an earlier run kept cannot be read; its arguments are the reason and the location."""

    def __str__(self) -> str:
        return str(self.args[0])


class Kept(Held):
    """A value that an earlier run kept: read, and verified, at most once in a process, when something needs it."""

    __slots__ = ("_lock", "_value", "safe")

    def __init__(self, safe: SafeResult) -> None:
        self.safe = safe
        self._lock = threading.Lock()
        self._value: list[object] = []

    def load(self) -> object:
        with self._lock:
            if not self._value:
                try:
                    self._value.append(self.safe.read())
                except (NotFound, CorruptRecord) as error:
                    raise Unreadable(f"{type(error).__name__}: {error}", self.safe.value) from error
            return self._value[0]

    def __reduce__(self) -> tuple[object, ...]:
        return Kept, (self.safe,)


class Filled(Held):
    """A template over values that are not here: filled where it is used."""

    __slots__ = ("template", "values")

    def __init__(self, template: object, values: Sequence[object]) -> None:
        self.template, self.values = template, list(values)

    def load(self) -> object:
        return resolve(self.template, loaded(self.values))

    def __reduce__(self) -> tuple[object, ...]:
        return Filled, (self.template, self.values)


def loaded(values: Sequence[object]) -> list[object]:
    """`values` with those that are elsewhere brought here; what is kept is read by several threads at once."""
    waiting = [value for value in values if isinstance(value, Kept)]
    if len(waiting) > 1:
        with ThreadPoolExecutor(min(_READERS, len(waiting)), thread_name_prefix="ckpt-reader") as readers:
            list(readers.map(Kept.load, waiting))
    return [value.load() if isinstance(value, Held) else value for value in values]
