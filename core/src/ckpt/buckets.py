"""What handlers of objects in a bucket of a cloud share: a connection, and a store that can be asked for a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

from ckpt.errors import ConfigError
from ckpt.handlers import JSON
from ckpt.objects import ObjectResultHandler
from ckpt.options import checked
from ckpt.stores import ObjectStore

if TYPE_CHECKING:
    from ckpt.storage import Storage

__all__ = ["BucketResultHandler", "BucketStore", "Connection"]

_RETRY_SECONDS = 30.0


class Connection(Protocol):
    """How a cloud is reached, and with which credentials."""

    def to_spec(self) -> dict[str, JSON]:
        """What was given, in plain JSON: references as they are, without credentials."""


class BucketStore(ObjectStore):
    """A store that finds out before a run whether it will do."""

    @abstractmethod
    def check(self, prefix: str = "") -> None:
        """Find out whether the bucket and the credentials are good, as far as that can be told without writing.

        Raises: `ConfigError`, `AccessDenied`, `StoreUnavailable`.
        """


class BucketResultHandler(ObjectResultHandler):
    """Keeps each value as one object in a bucket.

    A subclass gives `storage_type`, `schemes`, `kind` and `open_store`, and sets in `__init__`, whose first argument is
    the bucket, that very attribute, `connection` and `retry_seconds`.
    """

    kind: ClassVar[str]
    """What the handler is called in messages: `"an S3 handler"`."""
    holder: ClassVar[str] = "bucket"
    """The cloud's word for a bucket, and the name of the argument and attribute that hold its name."""
    connection: Connection
    retry_seconds: float

    @abstractmethod
    def open_store(self) -> BucketStore: ...

    def for_run(self) -> Self:
        """This handler, after one request that finds a missing bucket or bad credentials before any task runs.

        Raises: `ConfigError`, `AccessDenied`, `StoreUnavailable`.
        """
        cast("BucketStore", self.objects).check(self.prefix)
        return self

    @classmethod
    def from_storage(cls, storage: Storage) -> Self:
        options = storage.options_for(cls)
        for name, part in ((cls.holder, storage.netloc), ("prefix", storage.prefix)):
            if part and name in options and name not in storage.sources:
                raise ConfigError(f"storage {storage} names two of {name}: leave out ?{name}=")
            if part:
                options[name] = part
        if cls.holder not in options:
            raise ConfigError(
                f"storage {storage} names no {cls.holder}: write {cls.schemes[0]}://{cls.holder}/prefix, or "
                f"{cls.holder} = '…' in [storage.{cls.storage_type}]"
            )
        return cls._from_options(options)

    def to_spec(self) -> dict[str, JSON]:
        spec = {**super().to_spec(), self.holder: getattr(self, self.holder), **self.connection.to_spec()}
        if self.retry_seconds != _RETRY_SECONDS:
            spec["retry_seconds"] = self.retry_seconds
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        given = {name: value for name, value in spec.items() if name != "type"}
        return cls._from_options(checked(cls, given, what=f"the spec of {cls.kind}", stand="the safe value"))

    @classmethod
    def _from_options(cls, options: Mapping[str, object]) -> Self:
        return cls(**cast("dict[str, Any]", options))
