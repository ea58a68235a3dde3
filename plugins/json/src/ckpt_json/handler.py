"""The handler whose location is the value itself, as JSON text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from ckpt import JSON, ResultHandler, Stored
from ckpt.errors import ConfigError, CorruptRecord, Unsupported
from ckpt_json.codec import Codec

if TYPE_CHECKING:
    from ckpt.handlers import Meta
    from ckpt.results import SafeResult

__all__ = ["JSONResultHandler"]

_MAX_BYTES = 65_536


class JSONResultHandler(ResultHandler):
    """Keeps small values as JSON text inside the safe value: nothing is written anywhere else.

    `types` are the Enum and dataclass types that values may hold. They travel in a pickle of the handler, but a
    spec cannot carry classes: a handler made from one reads everything else, and names the type that it lacks.
    `max_bytes` bounds the text in UTF-8, as it travels wherever the safe value goes. What comes back equal and of
    the same type is listed in `ckpt_json.codec`.
    """

    __module__ = "ckpt_json"  # its public path, for `repr` and pickles
    storage_type: ClassVar[str] = "json"

    def __init__(self, *, types: Sequence[type] = (), max_bytes: int = _MAX_BYTES) -> None:
        if type(max_bytes) is not int or max_bytes < 1:
            raise ConfigError(f"max_bytes of JSONResultHandler is a positive number of bytes, not {max_bytes!r}")
        self.max_bytes = max_bytes
        self._codec = Codec(types)

    @property
    def types(self) -> tuple[type, ...]:
        """The Enum and dataclass types that values may hold."""
        return self._codec.types

    def write(self, value: object, *, key: str | None = None) -> JSON:
        return self._codec.encode(value, self.max_bytes)

    def read(self, location: JSON) -> object:
        return self._codec.decode(location)

    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        text = self._codec.encode(value, self.max_bytes)
        data = text.encode()
        return Stored(text, hashlib.sha256(data).hexdigest(), len(data), "json")

    def fetch(self, safe: SafeResult) -> object:
        if safe.digest is not None and isinstance(safe.value, str):
            # Text that UTF-8 has no bytes for was never written; whatever stands in for it has another digest.
            found = hashlib.sha256(safe.value.encode(errors="backslashreplace")).hexdigest()
            if found != safe.digest:
                raise CorruptRecord(
                    f"the JSON text in the safe value is not what was written: its SHA-256 is {found}, not "
                    f"{safe.digest}; compute the value again"
                )
        return self._codec.decode(safe.value)

    def to_spec(self) -> dict[str, JSON]:
        spec = super().to_spec()
        if self.max_bytes != _MAX_BYTES:
            spec["max_bytes"] = self.max_bytes
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        if unknown := sorted(spec.keys() - {"type", "max_bytes"}):
            raise ConfigError(
                f"the spec of a JSON handler has 'max_bytes' at most, not {', '.join(map(repr, unknown))}"
            )
        max_bytes = spec.get("max_bytes", _MAX_BYTES)
        if not isinstance(max_bytes, int):
            raise ConfigError(f"'max_bytes' in the spec of a JSON handler is a number of bytes, not {max_bytes!r}")
        return cls(max_bytes=max_bytes)

    def exists(self, location: JSON) -> bool:
        """Is the location JSON text? It is all there is; whether it can be decoded is not asked."""
        try:
            json.loads(location if isinstance(location, str) else "")
        except (ValueError, RecursionError):
            return False
        return True

    def delete(self, location: JSON) -> None:
        raise Unsupported("a JSON value is its safe value and kept nowhere else: forget the safe value to delete it")

    def __repr__(self) -> str:
        options = [f"types=[{', '.join(kind.__qualname__ for kind in self.types)}]"] if self.types else []
        if self.max_bytes != _MAX_BYTES:
            options.append(f"max_bytes={self.max_bytes}")
        return f"{type(self).__name__}({', '.join(options)})"
