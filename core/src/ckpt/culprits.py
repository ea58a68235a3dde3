"""Which part of a value cannot be pickled: a search that runs only after pickling has failed.

At each level the parts are bisected by pickling them into nothing, so one level costs about two picklings of
the value however many parts it has; the number of levels is bounded.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import BinaryIO, Final, cast

__all__ = ["find_culprit"]

_LEVELS: Final = 30
"""How deep the search goes; deeper parts are reported as the part at this depth."""

Part = tuple[str, object]
"""How to get at a part of a value, as Python would write it behind the value's name, and the part."""


class _Nowhere:
    def write(self, data: object) -> int:
        del data
        return 0


_NOWHERE: Final = cast("BinaryIO", _Nowhere())


def find_culprit(
    value: object, error: Exception, pickle_to: Callable[[object, BinaryIO], None]
) -> tuple[str, object, Exception]:
    """Return the path to the innermost part that fails, the part, and the error that it gives alone.

    The path is empty where the value fails although each of its parts can be pickled.
    """

    def failure(candidate: object) -> Exception | None:
        try:
            pickle_to(candidate, _NOWHERE)
        except Exception as trouble:  # noqa: BLE001  a user's __reduce__ may raise anything
            return trouble
        return None

    path = ""
    for _ in range(_LEVELS):
        try:
            found = _first_failing(_parts(value), failure)
        except Exception:  # noqa: BLE001  a user's attributes may raise anything; the way so far is found all the same
            break
        if found is None:
            break
        (step, value), error = found
        path += step
    return path, value, error


def _first_failing(
    parts: Sequence[Part], failure: Callable[[object], Exception | None]
) -> tuple[Part, Exception] | None:
    while parts:
        if len(parts) == 1:
            trouble = failure(parts[0][1])
            return None if trouble is None else (parts[0], trouble)
        half = len(parts) // 2
        in_first = failure([part for _, part in parts[:half]]) is not None
        parts = parts[:half] if in_first else parts[half:]
    return None


def _parts(value: object) -> list[Part]:
    if isinstance(value, dict):
        keys: list[Part] = [(f" key {_short(key)}", key) for key in value]
        return keys + [(f"[{_short(key)}]", item) for key, item in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f".{name}", item) for name, item in zip(value._fields, value, strict=False)]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(f" item {_short(item)}", item) for item in value]
    if isinstance(value, FunctionType):
        # A function that cannot be imported is pickled by value, with what it refers to.
        code, known = value.__code__, value.__globals__
        cells = zip(code.co_freevars, value.__closure__ or (), strict=True)
        captured: list[Part] = [(f" variable {name}", cell.cell_contents) for name, cell in cells if _is_filled(cell)]
        return captured + [(f" global {name}", known[name]) for name in code.co_names if name in known]
    if isinstance(value, type):
        return []
    names: dict[str, None] = {}
    if is_dataclass(value):
        names.update((field.name, None) for field in fields(value))
    names.update(dict.fromkeys(getattr(value, "__dict__", ())))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
    names = {name: None for name in names if name not in ("__dict__", "__weakref__")}
    return [(f".{name}", getattr(value, name)) for name in names if hasattr(value, name)]


def _is_filled(cell: object) -> bool:
    try:
        cell.cell_contents  # type: ignore[attr-defined]  # noqa: B018  an empty cell raises
    except ValueError:
        return False
    return True


def _short(key: object) -> str:
    # The repr of a foreign type may be long, slow or wrong; its type says enough.
    return reprlib.repr(key) if isinstance(key, str | bytes | int | float | tuple | None) else f"<{type(key).__name__}>"
