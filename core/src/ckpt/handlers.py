"""The contract of a result handler: how one value comes to storage and back.

An author writes two methods, `write` and `read`. Everything else has a default that builds on these two.
A backend that holds bytes at keys starts from `ckpt.ObjectResultHandler` instead and gets all of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Self

from ckpt.errors import CkptError, ConfigError, NotFound, Unsupported

if TYPE_CHECKING:
    from ckpt.results import SafeResult
    from ckpt.storage import Storage

__all__ = ["DEFAULT_TEMPLATE", "JSON", "Meta", "ResultHandler", "Staged", "Stored", "unique_key"]

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]
"""Anything that the `json` module writes and reads back equal."""

DEFAULT_TEMPLATE = "{date:%Y/%m/%d}/{flow}/{run_id}/{call}{map}{suffix}"


@dataclass(frozen=True, slots=True)
class Meta:
    """Where a value comes from: goes into the header of its record."""

    run: str | None = None
    """Id of the run."""
    call: str | None = None
    """Call path inside the run: `add-1`, of a mapped child `add-1[7]`."""
    ledger: str | None = None
    """Id of the ledger that records the run; None without one."""
    identity: str | None = None
    """Identity of the task run (hex), None where it has none."""
    attempt: int = 1
    """1 for the first try."""
    created: str | None = None
    """When the value was computed, ISO 8601 in UTC; None: now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a value is kept, and what is known of its bytes."""

    location: JSON
    """What `read` needs to find it: a key, or for small data the value itself as text."""
    digest: str | None = None
    """Content digest, hex SHA-256; None from a handler that makes no bytes of its own."""
    size: int | None = None
    """Bytes of the whole object; None where that is not known."""
    serializer: str | None = None
    """Name of the serializer that made the bytes."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A value that is bytes already: no later change of the value can reach what will be kept."""

    stored: Stored
    """What holds once the bytes are durable."""
    data: bytes | None
    """The bytes that `send` must still bring to storage; None: already durable."""


class ResultHandler(ABC):
    """Keeps values in one kind of storage and reads them back.

    One instance is shared by all threads of a run and is pickled to other processes; make clients lazily and
    leave them out of the pickle. Credentials must never reach a pickle, a `repr`, a spec or an error.
    """

    storage_type: ClassVar[str]
    """The name in `flows.storage`, in specs and in errors: `"s3"`."""
    schemes: ClassVar[tuple[str, ...]] = ()
    """URL schemes that this handler serves: `("s3",)`."""

    template: str = DEFAULT_TEMPLATE
    """How the keys are made; see `ckpt.keys`."""
    prefix: str = ""
    """Goes before every key that the template makes."""
    suffix: str = ""
    """The `{suffix}` of the template."""
    writers: int = 0
    """How many threads may `send` at once behind the flow; 0: `stage` has always done all there is to do."""
    batch: int = 1
    """How many staged values one `send` takes at most."""

    @abstractmethod
    def write(self, value: object, *, key: str | None = None) -> JSON:
        """Keep `value` and return its location; durable when it returns.

        `key` is used as it is; without one the handler makes a unique one. A write to a key that is taken
        replaces atomically.

        Raises: `NotSerializable`, `AccessDenied`, `StoreUnavailable`.
        """

    @abstractmethod
    def read(self, location: JSON) -> object:
        """Return the value that `write` put at `location`.

        Raises: `NotFound`, `AccessDenied`, `StoreUnavailable`, `CorruptRecord`. Never returns a stand-in.
        """

    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        """Keep `value` under `key`; durable when it returns. What the runner calls; the default calls `write`."""
        return Stored(self.write(value, key=key))

    def stage(self, value: object, *, key: str, meta: Meta) -> Staged:
        """Turn `value` into bytes now; sending them may be left to `send`. The default stores at once."""
        return Staged(self.store(value, key=key, meta=meta), None)

    def send(self, staged: Sequence[Staged]) -> Sequence[CkptError | None]:
        """Make what `stage` left durable; answer for each, in order, None or what went wrong."""
        raise Unsupported(f"{self!r} stages nothing: override `send` together with `stage`")

    def fetch(self, safe: SafeResult) -> object:
        """Read the value behind a safe result, verifying what it pins; the default calls `read`."""
        return self.read(safe.value)

    def verify(self, safe: SafeResult) -> None:
        """Find out whether the value behind a safe result is there and whole, without making the value of it.

        The default asks `exists`, and takes the handler's word where it cannot tell.

        Raises: `NotFound`, `CorruptRecord`, and what `read` raises otherwise.
        """
        try:
            there = self.exists(safe.value)
        except Unsupported:
            return
        if not there:
            raise NotFound(f"nothing is kept at {safe.value!r}: run the task again")

    def for_run(self) -> Self:
        """Called once when a run starts, in the process of the flow: the handler to use for this run.

        The place to make what depends on this process absolute (a relative folder) and to find, before any
        task runs, that nothing could be kept (a read-only folder). The default returns the handler itself.
        """
        return self

    @classmethod
    def from_storage(cls, storage: Storage) -> Self:
        """Make the handler that matches a configured storage.

        The default passes the storage's options to `__init__` and refuses a storage that has a host or a path.

        Raises: `ConfigError` for an option that `__init__` does not know, by name.
        """
        if storage.netloc or storage.prefix:
            raise ConfigError(
                f"storage {storage} has a place, but {cls.__name__} takes none: "
                f"use {storage.type!r} alone, with its options in [storage.{cls.storage_type}]"
            )
        return cls(**storage.options_for(cls))

    def to_spec(self) -> dict[str, JSON]:
        """Describe the handler in plain JSON for another process; never a credential."""
        kind = getattr(self, "storage_type", None)
        if not isinstance(kind, str):
            name = type(self).__name__
            raise ConfigError(f'{name} has no storage_type, the name in its specs: write `storage_type = "…"` in it')
        return {"type": kind}

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        """Make the handler from what `to_spec` gave, here or in another process."""
        return cls(**{name: value for name, value in spec.items() if name != "type"})

    def exists(self, location: JSON) -> bool:
        """Is there something at `location`? Asks for the head only; refused is `AccessDenied`, not False."""
        raise Unsupported(f"{type(self).__name__} cannot tell whether a value exists")

    def delete(self, location: JSON) -> None:
        """Remove what is at `location`; nothing there is not an error."""
        raise Unsupported(f"{type(self).__name__} cannot delete values")

    def __repr__(self) -> str:
        if not hasattr(self, "storage_type"):
            return object.__repr__(self)
        spec = self.to_spec()
        options = ", ".join(f"{name}={value!r}" for name, value in spec.items() if name != "type")
        return f"{type(self).__name__}({options})"


def unique_key(handler: ResultHandler) -> str:
    """A key that nothing is kept under yet, for a value that belongs to no run: below the handler's prefix, by date."""
    import uuid

    parts = (handler.prefix, f"{datetime.now(UTC):%Y/%m/%d}", f"{uuid.uuid4().hex}{handler.suffix}")
    return "/".join(part for part in parts if part)
