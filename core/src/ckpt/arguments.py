"""What an argument of a call may be, and how calls inside it are found and filled in.

An argument may hold calls inside lists, tuples, dicts and dataclasses. `abstract` takes them out when the flow
is built and leaves a template with numbered slots; `resolve` fills the slots when the task runs, in the process
where it runs. What holds no call stays the very object that the user gave.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ckpt.errors import ConfigError, NotFound

__all__ = [
    "Build",
    "Fetch",
    "Later",
    "Look",
    "Secret",
    "Slot",
    "abstract",
    "fetched",
    "holds",
    "resolve",
    "slots_in",
    "unmapped",
]


class unmapped:  # noqa: N801  a marker that reads as a verb in a call: f.map(xs, y=unmapped(3))
    """Marks an argument of `.map` that every child gets whole."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"unmapped({self.value!r})"


class Secret:
    """A value that is fetched where it is needed, each time, and never kept, logged or pickled.

    `Secret("env:NAME")` reads an environment variable, `Secret("file:PATH")` a file (without the line end at its
    end). Given as an argument of a call it is replaced by the text when the task runs, in the process where the
    task runs; only the reference travels.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        kind, colon, name = reference.partition(":")
        if kind not in ("env", "file") or not colon or not name:
            raise ConfigError(
                'a Secret is a reference, not the secret itself: write Secret("env:NAME") or Secret("file:PATH")'
            )
        self.reference = reference

    def get(self) -> str:
        """Fetch the secret now.

        Raises: `NotFound` naming the variable or file, never its content.
        """
        kind, _, name = self.reference.partition(":")
        if kind == "env":
            value = os.environ.get(name)
            if value is None:
                raise NotFound(f"{self!r}: the environment variable {name} is not set where this task runs: set it")
            return value
        path = Path(os.path.expandvars(name)).expanduser()
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise NotFound(f"{self!r}: cannot be read where this task runs: {why}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"


def fetched(value: object) -> object:
    """The text of a secret; anything else as it is. For a task that is called outside a flow."""
    return value.get() if isinstance(value, Secret) else value


class Slot:
    """The place of the `number`-th input in a template."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Later(Slot):
    """The place of an input that may itself be a template, with secrets to fetch: an element of what is mapped over."""

    __slots__ = ()


class Fetch:
    """The place of a secret in a template."""

    __slots__ = ("secret",)

    def __init__(self, secret: Secret) -> None:
        self.secret = secret


class Look:
    """`source[key]`, both templates."""

    __slots__ = ("key", "source")

    def __init__(self, source: object, key: object) -> None:
        self.source, self.key = source, key


class Build:
    """A container whose parts are templates: `kind` is list, tuple, dict (parts: keys, values) or a dataclass."""

    __slots__ = ("kind", "names", "parts")

    def __init__(self, kind: type, parts: Sequence[object], names: Sequence[object] = ()) -> None:
        self.kind, self.parts, self.names = kind, parts, names


def abstract(value: object, find: Callable[[object], object | None], inside: frozenset[int] = frozenset()) -> object:
    """Return the template of `value`: `find` answers the template of a node, or None for anything else.

    Looks into exact lists, tuples, dicts, named tuples and dataclass instances, and returns `value` itself, not a
    copy, where there is nothing to fill in. `inside`: ids of the containers that are being looked into.

    Raises: `TypeError` for a call in another collection, where it could not be filled in.
    """
    found = find(value)
    if found is not None:
        return found
    kind = type(value)
    if kind is Secret:
        return Fetch(value)  # type: ignore[arg-type]
    opened = _opened(value, find)
    if opened is None or id(value) in inside:
        return value
    names, values = opened
    inside |= {id(value)}
    parts = [abstract(part, find, inside) for part in values]
    return Build(kind, parts, names) if any(p is not v for p, v in zip(parts, values, strict=True)) else value


def _opened(value: object, find: Callable[[object], object | None]) -> tuple[Sequence[object], Sequence[object]] | None:
    """The names and values of the parts of `value`; None if calls are not looked for in it."""
    if isinstance(value, list | tuple | dict | set | frozenset):
        kind = type(value)
        if kind is list or kind is tuple:
            return (), value  # type: ignore[return-value]  # a list or tuple
        if kind is dict:
            if any(find(key) is not None for key in value):
                raise TypeError("a call cannot be a key of a dict in an argument: its value is known only once it ran")
            return list(value), list(value.values())  # type: ignore[union-attr]  # a dict
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return value._fields, value
        if any(find(part) is not None for part in (value.values() if isinstance(value, dict) else value)):
            raise TypeError(f"a call in a {kind.__name__} is not replaced by its value: use a list, tuple or dict")
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
        names = list(dict.fromkeys([*fields, *getattr(value, "__dict__", ())]))
        return names, [getattr(value, name) for name in names]
    return None


def resolve(template: object, inputs: Sequence[object]) -> object:
    """Fill the slots of a template; a `Secret` is fetched here."""
    kind = type(template)
    if kind is Slot:
        return inputs[template.number]  # type: ignore[attr-defined]
    if kind is Look:
        return resolve(template.source, inputs)[resolve(template.key, inputs)]  # type: ignore[attr-defined,index]
    if kind is Fetch:
        return template.secret.get()  # type: ignore[attr-defined]
    if kind is Build:
        return _rebuild(template, inputs)  # type: ignore[arg-type]
    if kind is Later:
        return resolve(inputs[template.number], ())  # type: ignore[attr-defined]
    return template


def holds(template: object, *kinds: type) -> bool:
    """Is there a node of one of these kinds in the template?"""
    if type(template) is Look:
        return holds(template.source, *kinds)
    return type(template) in kinds or (type(template) is Build and any(holds(part, *kinds) for part in template.parts))


def slots_in(template: object) -> Iterator[int]:
    """The numbers of the slots in a template, in order, each as often as it stands there."""
    if isinstance(template, Slot):
        yield template.number
    elif isinstance(template, Look):
        yield from slots_in(template.source)
        yield from slots_in(template.key)
    elif isinstance(template, Build):
        for part in template.parts:
            yield from slots_in(part)


def _rebuild(build: Build, inputs: Sequence[object]) -> object:
    parts = [resolve(part, inputs) for part in build.parts]
    if build.kind is list:
        return parts
    if build.kind is dict:
        return dict(zip(build.names, parts, strict=True))
    if build.kind is tuple:
        return tuple(parts)
    if issubclass(build.kind, tuple):
        named: Any = build.kind
        return named(*parts)
    # Not through __init__: it may take other arguments, or have run its checks on the calls' place.
    rebuilt = object.__new__(build.kind)
    for name, part in zip(build.names, parts, strict=True):
        object.__setattr__(rebuilt, str(name), part)
    return rebuilt
