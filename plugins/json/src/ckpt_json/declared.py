"""Enum and dataclass types, kept by name and only when given: reading never imports or looks up a class."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from typing import Any

from ckpt.errors import ConfigError
from ckpt_json.refusal import Refused, type_name

__all__ = ["DeclaredTypes"]


class DeclaredTypes:
    """What `types=[…]` holds, checked once."""

    __slots__ = ("_by_name", "names", "types")

    def __init__(self, types: Iterable[type]) -> None:
        self.types = tuple(types)
        """The types, in the order given."""
        self.names: dict[type, str] = {}
        """Each type's name in the text: `package.module:Qualified.name`."""
        self._by_name: dict[str, type] = {}
        for kind in self.types:
            _check(kind)
            name = f"{kind.__module__}:{kind.__qualname__}"
            if self._by_name.setdefault(name, kind) is not kind:
                raise ConfigError(f"types= has two types with the name {name!r}: rename one")
            self.names[kind] = name

    def enum_payload(self, value: Enum) -> list[object]:
        """Type name, and the member's name; of a Flag, whose combinations have none, its number."""
        member: object = value.value if isinstance(value, Flag) else value.name
        return [self.names[type(value)], member]

    def field_values(self, value: Any) -> dict[str, object]:
        """What a dataclass instance holds, by field.

        Raises: `Refused` where it holds more, or less, than its fields say.
        """
        kept: dict[str, object] = {}
        for field in fields(value):
            try:
                kept[field.name] = getattr(value, field.name)
            except AttributeError:
                raise Refused(f"the field {field.name!r} of this {type_name(type(value))} is not set") from None
        for name in getattr(value, "__dict__", ()):
            # A cached property is computed again, and `typing` leaves `__orig_class__`: neither is state.
            cached = isinstance(getattr(type(value), name, None), functools.cached_property)
            if name not in kept and not cached and not name.startswith("__"):
                raise Refused(f"this {type_name(type(value))} has an attribute {name!r} that is not a field")
        return kept

    def read_enum(self, payload: object) -> Enum:
        """Undo `enum_payload`; what is wrong with the text raises a builtin error.

        Raises: `ConfigError` where the type is not given or has no such member.
        """
        name, member = _pair(payload)
        kind = self._find(name)
        if not issubclass(kind, Enum):
            raise TypeError(kind)
        if issubclass(kind, Flag):
            if type(member) is not int:
                raise TypeError(member)
            value: object = kind(member)
            if isinstance(value, kind) and value.value == member:
                return value
        elif member in kind.__members__:
            return kind.__members__[str(member)]
        raise ConfigError(f"{name} has no member {member!r} any more: read the value with the class as it was")

    def read_dataclass(self, payload: object) -> object:
        """Undo `field_values` without running `__init__`; what is wrong with the text raises a builtin error.

        Raises: `ConfigError` where the type is not given or has other fields now.
        """
        name, values = _pair(payload)
        kind = self._find(name)
        if not is_dataclass(kind) or issubclass(kind, Enum) or not isinstance(values, dict):
            raise TypeError(kind)
        now = [field.name for field in fields(kind)]
        if now != list(values):
            raise ConfigError(
                f"{name} was written with the fields {list(values)} and has {now} now: "
                "read the value with the class as it was"
            )
        instance = object.__new__(kind)
        for field, value in values.items():
            object.__setattr__(instance, field, value)
        return instance

    def _find(self, name: str) -> type:
        if kind := self._by_name.get(name):
            return kind
        # A script's classes live in `__main__` when it is run and in a module when it is imported.
        module, _, qualname = name.partition(":")
        alike = [
            kind for kind in self.types if kind.__qualname__ == qualname and "__main__" in (module, kind.__module__)
        ]
        if len(alike) == 1:
            return alike[0]
        if not module or not qualname:
            raise ValueError(name)
        raise ConfigError(
            f"the value holds a {name}, which is not among the types= given ({sorted(self._by_name)}): "
            f"read it with JSONResultHandler(types=[{qualname.rpartition('.')[2]}])"
        )


def _pair(payload: object) -> tuple[str, object]:
    if not isinstance(payload, list) or len(payload) != 2 or not isinstance(payload[0], str):
        raise TypeError(payload)
    return payload[0], payload[1]


def _check(kind: type) -> None:
    if not isinstance(kind, type):
        raise ConfigError(f"types= takes classes, not {kind!r}")
    if issubclass(kind, Enum):
        return
    if not is_dataclass(kind):
        raise ConfigError(f"types= takes Enum and dataclass types; {type_name(kind)} is neither")
    try:
        object.__new__(kind)
    except TypeError as error:
        raise ConfigError(
            f"types= cannot take {type_name(kind)}: its fields are not all that its instances hold ({error})"
        ) from None
