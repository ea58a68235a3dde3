"""The text of one value, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from ckpt_json.declared import DeclaredTypes
from ckpt_json.numpy_scalars import is_numpy, numpy_payload
from ckpt_json.refusal import MAX_DEPTH, Refused, key_step, type_name
from ckpt_json.scalars import SCALARS, string

__all__ = ["TooLarge", "Writer"]


class TooLarge(Exception):
    """The text will have at least `size` bytes; private to this package and turned into `NotSerializable`."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Writer:
    """One pass over one value: `text` writes any part, the other methods one kind of container each.

    A container whose part is refused adds its own step to the path.
    """

    __slots__ = ("_declared", "_depth", "_left", "_limit")

    def __init__(self, declared: DeclaredTypes, limit: int) -> None:
        self._declared = declared
        self._depth = 0
        self._limit = limit
        self._left = limit

    def text(self, value: Any) -> str:
        kind = type(value)
        scalar = SCALARS.get(kind)
        if scalar is not None:
            if kind in _SIZED:
                self._spend(len(value))
                return scalar(value)
            text = scalar(value)
            self._spend(len(text))
            return text
        container = _CONTAINERS.get(kind)
        if container is None:
            container = self._other(value, kind)
        if self._depth == MAX_DEPTH:
            raise Refused(f"it lies deeper than {MAX_DEPTH} containers inside one another")
        self._depth += 1
        text = container(self, value)
        self._depth -= 1
        return text

    def _spend(self, size: int) -> None:
        """Count what the text will hold at least, so that a value far too large is refused before it is written out."""
        self._left -= size
        if self._left < 0:
            raise TooLarge(self._limit - self._left)

    def _other(self, value: object, kind: type) -> Callable[[Writer, Any], str]:
        if kind in self._declared.names:
            return Writer.member if issubclass(kind, Enum) else Writer.instance
        if is_numpy(value):
            return Writer.numpy
        reason = f"it is of type {type_name(kind)}"
        if issubclass(kind, Enum) or is_dataclass(kind):
            raise Refused(
                reason, f"give the type, JSONResultHandler(types=[{kind.__name__}]), or use a handler that pickles"
            )
        base = next((base for base in kind.__mro__ if base in SCALARS or base in _CONTAINERS), None)
        if base is not None:
            raise Refused(
                f"{reason}, which would come back as a plain {type_name(base)}",
                f"make it one, {base.__name__}(value), or use a handler that pickles, such as LocalResultHandler()",
            )
        raise Refused(reason)

    def _parts(self, values: Iterable[object], owner: object) -> list[str]:
        parts: list[str] = []
        try:
            for value in values:
                parts.append(self.text(value))  # noqa: PERF401  a comprehension would lose the index of the refused one
        except Refused as refused:
            refused.inside(f"[{len(parts)}]", owner)
            raise
        return parts

    def array(self, value: list[object]) -> str:
        self._spend(2 * len(value))
        return f"[{', '.join(self._parts(value, value))}]"

    def fixed(self, value: tuple[object, ...]) -> str:
        self._spend(2 * len(value))
        return f'{{"$tuple": [{", ".join(self._parts(value, value))}]}}'

    def unordered(self, value: set[object] | frozenset[object]) -> str:
        self._spend(2 * len(value))
        try:
            parts = sorted([self.text(item) for item in value])
        except Refused as refused:
            refused.inside("{…}", value)
            raise
        return f'{{"${type(value).__name__}": [{", ".join(parts)}]}}'

    def mapping(self, value: dict[object, object]) -> str:
        self._spend(4 * len(value))
        names = [string(key) if type(key) is str else "" for key in value]
        if not all(name.startswith('"') for name in names) or (len(names) == 1 and names[0].startswith('"$')):
            return self.pairs(value)
        self._spend(sum(map(len, names)))
        parts: list[str] = []
        try:
            for name, item in zip(names, value.values(), strict=True):
                parts.append(f"{name}: {self.text(item)}")
        except Refused as refused:
            refused.inside(key_step(list(value)[len(parts)]), value)
            raise
        return f"{{{', '.join(parts)}}}"

    def pairs(self, value: dict[object, object]) -> str:
        parts: list[str] = []
        for key, item in value.items():
            step = f".keys()[{len(parts)}]"
            try:
                text = self.text(key)
                step = key_step(key)
                parts.append(f"[{text}, {self.text(item)}]")
            except Refused as refused:
                refused.inside(step, value)
                raise
        return f'{{"$dict": [{", ".join(parts)}]}}'

    def instance(self, value: Any) -> str:
        parts: list[str] = []
        for name, item in self._declared.field_values(value).items():
            try:
                parts.append(f"{string(name)}: {self.text(item)}")
            except Refused as refused:
                refused.inside(f".{name}", value)
                raise
        return f'{{"$dataclass": [{string(self._declared.names[type(value)])}, {{{", ".join(parts)}}}]}}'

    def member(self, value: Enum) -> str:
        name, member = self._declared.enum_payload(value)
        return f'{{"$enum": [{self.text(name)}, {self.text(member)}]}}'

    def numpy(self, value: object) -> str:
        name, item = numpy_payload(value)
        return f'{{"$numpy": [{self.text(name)}, {self.text(item)}]}}'


_SIZED = frozenset((str, bytes, bytearray))
_CONTAINERS: dict[type, Callable[[Writer, Any], str]] = {
    list: Writer.array,
    tuple: Writer.fixed,
    set: Writer.unordered,
    frozenset: Writer.unordered,
    dict: Writer.mapping,
}
