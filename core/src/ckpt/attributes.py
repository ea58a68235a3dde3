"""What an object holds, read without running any code of its class.

A property, `__getattr__`, `__dict__` or metaclass that somebody wrote may raise, hang, or load what is lazy. Here
only the interpreter's own descriptors are asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final

__all__ = ["attributes", "base_classes", "class_space", "qualified_name"]

_BASES: Final[Any] = type.__dict__["__mro__"].__get__
_SPACE: Final[Any] = type.__dict__["__dict__"].__get__
_MODULE: Final[Any] = type.__dict__["__module__"].__get__
_QUALNAME: Final[Any] = type.__dict__["__qualname__"].__get__
_SLOTTED: Final = (tuple, list, dict, set, frozenset)


def base_classes(kind: type) -> tuple[type, ...]:
    """The class and those that it derives from, nearest first."""
    return _BASES(kind)  # type: ignore[no-any-return]


def class_space(kind: type) -> Mapping[str, object]:
    """What the class itself defines, by name."""
    return _SPACE(kind)  # type: ignore[no-any-return]


def qualified_name(kind: type) -> str:
    """`module.Class`; without the module for a builtin."""
    module, name = _MODULE(kind), _QUALNAME(kind)
    return f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)


def attributes(value: object) -> dict[str, object]:
    """What is in the slots and the `__dict__` of an object, by name; what is unset is left out."""
    kind = type(value)
    found: dict[str, object] = {}
    bases = base_classes(kind)
    for owner in reversed(bases):
        space = class_space(owner)
        names = space.get("__slots__", ())
        if type(names) is str:
            names = (names,)
        if type(names) not in _SLOTTED:
            continue
        for name in names:  # type: ignore[attr-defined]  # one of the above
            member = space.get(_mangled(name, owner))
            if type(member) is MemberDescriptorType:
                try:
                    found[_mangled(name, owner)] = member.__get__(value, kind)
                except AttributeError:
                    continue
    for owner in bases:
        member = class_space(owner).get("__dict__")
        if type(member) is GetSetDescriptorType:
            # A copy: it may be changed while somebody looks at it.
            found.update((name, part) for name, part in dict(member.__get__(value, kind)).items() if type(name) is str)
            break
    return found


def _mangled(name: object, owner: type) -> str:
    if type(name) is not str:
        return ""
    if not name.startswith("__") or name.endswith("__"):
        return name
    return f"_{_QUALNAME(owner).rpartition('.')[2].lstrip('_')}{name}"
