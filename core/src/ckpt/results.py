"""A task's value beside the small thing that is left in its place.

`Result` is a value that this process has or can read; `SafeResult` is what may travel: plain JSON that says
where the value is and how to make the handler that reads it. `NoResult` stands for a value that was never
produced or never kept, since None is a value like any other.
"""

from __future__ import annotations

import pickle
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Self, cast

from ckpt.errors import ConfigError, NotSerializable, Unsupported
from ckpt.handlers import JSON, Meta, ResultHandler, Stored, unique_key
from ckpt.serializers import pickled, unpickle

__all__ = ["Held", "NoResult", "NoResultType", "Result", "SafeResult"]


class NoResultType:
    """The type of `NoResult`: one instance a process, also after copy and pickle; false in a condition."""

    _only: NoResultType | None = None

    def __new__(cls) -> NoResultType:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __reduce__(self) -> tuple[type[NoResultType], tuple[()]]:
        return NoResultType, ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<NoResult>"


NoResult: Final = NoResultType()


class Held(ABC):
    """A value that this process can have when somebody asks: bytes from a worker, a future of a cluster."""

    @abstractmethod
    def load(self) -> object:
        """The value, in this process."""


class SafeResult:
    """Where one value is kept: a location, its digest and size, and the handler that reads it.

    Equal when the location, the digest and the handler's spec are equal. Pickling, `repr`, `==` and `to_dict`
    carry the handler's spec and never read the value.
    """

    __slots__ = ("_handler", "_spec", "digest", "serializer", "size", "value")

    def __init__(
        self,
        value: JSON,
        result_handler: ResultHandler | Mapping[str, JSON],
        *,
        digest: str | None = None,
        size: int | None = None,
        serializer: str | None = None,
    ) -> None:
        self.value = value
        self.digest = digest
        self.size = size
        self.serializer = serializer
        self._handler: ResultHandler | None
        self._spec: dict[str, JSON] | None
        if isinstance(result_handler, ResultHandler):
            self._handler, self._spec = result_handler, None
        else:
            self._handler, self._spec = None, dict(result_handler)

    @classmethod
    def of(cls, stored: Stored, result_handler: ResultHandler) -> Self:
        """The safe result of what a handler answered to `store`."""
        made = object.__new__(cls)
        made.value, made.digest, made.size, made.serializer = (
            stored.location, stored.digest, stored.size, stored.serializer,
        )  # fmt: skip
        made._handler, made._spec = result_handler, None
        return made

    @property
    def result_handler(self) -> ResultHandler:
        """The handler that reads the value, made from its spec where it came from another process.

        Raises: `PluginNotFound` with the pip line where no installed plugin serves the spec's type.
        """
        if self._handler is None:
            from ckpt import plugins  # loaded when a handler is looked up

            self._handler = plugins.handler_from_spec(cast("dict[str, JSON]", self._spec))
        return self._handler

    @property
    def kept_by(self) -> ResultHandler | Mapping[str, JSON]:
        """The handler, or the spec of one that nobody has made yet: one object for all values that share it."""
        return self._handler if self._handler is not None else cast("dict[str, JSON]", self._spec)

    def beside(
        self, value: JSON, *, digest: str | None = None, size: int | None = None, serializer: str | None = None
    ) -> Self:
        """Where another value is kept by the same handler, which both share."""
        other = object.__new__(type(self))
        other.value, other.digest, other.size, other.serializer = value, digest, size, serializer
        other._handler, other._spec = self._handler, self._spec
        return other

    @property
    def spec(self) -> dict[str, JSON]:
        """The handler in plain JSON; needs no plugin."""
        return dict(self._spec) if self._spec is not None else self.result_handler.to_spec()

    def read(self) -> object:
        """Read the value, verified against `digest` where there is one."""
        return self.result_handler.fetch(self)

    def to_result(self) -> Result:
        """A `Result` that reads its value when it is asked for."""
        return Result(safe_value=self)

    def to_dict(self) -> dict[str, JSON]:
        """Plain JSON that `from_dict` reads in any process; never a credential."""
        return {
            "value": self.value,
            "handler": self.spec,
            "digest": self.digest,
            "size": self.size,
            "serializer": self.serializer,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """Undo `to_dict`; no plugin is needed before the value is read.

        Raises: `ConfigError` naming the key that is missing, unknown or of the wrong type.
        """
        fields = {"value", "handler", "digest", "size", "serializer"}
        if wrong := sorted((data.keys() - fields) | ({"value", "handler"} - data.keys())):
            raise ConfigError(f"not a safe result: {', '.join(map(repr, wrong))} missing or unknown in {sorted(data)}")
        handler, digest, size, serializer = (data.get(name) for name in ("handler", "digest", "size", "serializer"))
        if not isinstance(handler, dict) or not isinstance(handler.get("type"), str):
            raise ConfigError("not a safe result: 'handler' must be an object with a 'type'")
        if not isinstance(digest, str | None) or not isinstance(serializer, str | None):
            raise ConfigError("not a safe result: 'digest' and 'serializer' are text or null")
        if not isinstance(size, int | None):
            raise ConfigError("not a safe result: 'size' is a number of bytes or null")
        return cls(data["value"], handler, digest=digest, size=size, serializer=serializer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SafeResult):
            return NotImplemented
        return (self.value, self.digest, self.spec) == (other.value, other.digest, other.spec)

    def __hash__(self) -> int:
        return hash((str(self.value), self.digest))

    def __reduce__(self) -> tuple[object, ...]:
        return _safe_from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"<SafeResult: {self.value!r}>"


def _safe_from_dict(data: dict[str, JSON]) -> SafeResult:
    return SafeResult.from_dict(data)


class Result:
    """A value and the safe value it is kept as, either of which may come first.

    `value` is read when it is asked for; `repr`, `==`, copy and pickling never read. A pickled `Result` takes a
    value that it has along, unless the value is kept: then the safe value travels alone.
    """

    __slots__ = ("_value", "result_handler", "safe_value")

    def __init__(
        self,
        value: object = NoResult,
        safe_value: SafeResult | NoResultType = NoResult,
        result_handler: ResultHandler | None = None,
    ) -> None:
        self._value = value
        self.safe_value = safe_value
        self.result_handler = result_handler
        if result_handler is None and isinstance(safe_value, SafeResult):
            self.result_handler = safe_value._handler  # noqa: SLF001  one module; made from its spec only when read

    @property
    def is_loaded(self) -> bool:
        """Is the value in this process already?"""
        return self._value is not NoResult and not isinstance(self._value, Held)

    @property
    def value(self) -> object:
        """The value, read once through the handler if it is not here; `NoResult` where there is none."""
        if isinstance(self._value, Held):
            self._value = self._value.load()
        elif self._value is NoResult and isinstance(self.safe_value, SafeResult):
            # A handler that came along in a pickle may know what its spec cannot say, such as classes.
            self._value = (self.result_handler or self.safe_value.result_handler).fetch(self.safe_value)
        return self._value

    def store_safe_value(self, *, key: str | None = None) -> SafeResult:
        """Keep the value through `result_handler` now, once, and return the safe value.

        Raises: `Unsupported` without a handler; whatever the handler's `write` raises.
        """
        if isinstance(self.safe_value, SafeResult):
            return self.safe_value
        if self.result_handler is None:
            raise Unsupported("this result has no handler to store with: Result(value, result_handler=…)")
        if self._value is NoResult:
            raise Unsupported("this result was never produced, so there is nothing to store")
        handler = self.result_handler
        stored = handler.store(self.value, key=key or unique_key(handler), meta=Meta())
        self.safe_value = SafeResult.of(stored, handler)
        return self.safe_value

    def to_result(self) -> Result:
        """Itself: a `Result` and a `SafeResult` answer alike."""
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        if isinstance(self.safe_value, SafeResult) or isinstance(other.safe_value, SafeResult):
            return self.safe_value == other.safe_value
        mine, theirs = self._value, other._value
        return mine is theirs or (not isinstance(mine, Held) and not isinstance(theirs, Held) and _equal(mine, theirs))

    def __hash__(self) -> int:
        return hash(self.safe_value) if isinstance(self.safe_value, SafeResult) else id(self)

    def __reduce__(self) -> tuple[object, ...]:
        value = NoResult if isinstance(self.safe_value, SafeResult) else self._value
        if isinstance(value, BaseException):
            value = _travelling(value)
        return Result, (value, self.safe_value, self.result_handler)

    def __repr__(self) -> str:
        if isinstance(self.safe_value, SafeResult):
            return f"<Result: {self.safe_value.value!r}>"
        return f"<Result: {self._value!r}>" if self.is_loaded else "<Result: never produced>"


def _equal(mine: object, theirs: object) -> bool:
    try:
        return bool(mine == theirs)
    except ValueError:
        pass  # arrays and frames answer where they are equal, not whether
    try:
        return pickled(mine) == pickled(theirs)
    except NotSerializable:
        return False


def _travelling(error: BaseException) -> BaseException:
    """The exception, or one with its text if it could not be made again in another process."""
    try:
        if type(unpickle(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # noqa: BLE001, S110  a person's exception may raise anything; its text travels
        pass
    return RuntimeError("".join(traceback.format_exception_only(error)).strip())
