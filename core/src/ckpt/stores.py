"""Bytes at keys: the contract of an object store, and what crosses its border.

A backend that holds bytes implements `ObjectStore` (five methods) and gets a complete result handler from
`ckpt.ObjectResultHandler`. The shape follows the Rust crate `object_store`: a small required core whose
guarantees are written on each method, comfort outside it.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pickle import PickleBuffer
from types import TracebackType
from typing import BinaryIO, Self

from ckpt.errors import CkptError

__all__ = ["Buffer", "ObjectInfo", "ObjectStore", "ObjectWriter", "flat"]

Buffer = bytes | bytearray | memoryview | PickleBuffer


def flat(data: Buffer) -> bytes | bytearray | memoryview:
    """`data` as bytes in a row, not copied where they lie in a row already."""
    if type(data) is bytes or isinstance(data, bytes | bytearray):  # the exact type first: it is the common one
        return data
    try:
        return PickleBuffer(data).raw()
    except BufferError:  # strided: nothing but a copy puts it in a row
        return memoryview(data).tobytes()


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of one object without reading it."""

    key: str
    size: int
    """Bytes of the whole object."""
    modified: datetime | None = None
    """Time of the last completed write, UTC; None where the store did not say (after a put, for one)."""
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectWriter(ABC):
    """One object on its way: nothing is visible under the key before `commit` returns.

    As a context manager it aborts when it is left without a commit.
    """

    @abstractmethod
    def write(self, data: Buffer) -> None:
        """Append `data`; the buffer may be reused by the caller once this returns."""

    @abstractmethod
    def commit(self) -> ObjectInfo:
        """Make the object visible whole; durable when it returns."""

    @abstractmethod
    def abort(self) -> None:
        """Leave no trace; harmless after `commit` and when called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.abort()


class ObjectStore(ABC):
    """Objects, whole, at keys: `/`-separated text as `ckpt` makes it, or any other text a user gives.

    All methods may be called from many threads at once. Errors are those of `ckpt.errors`, never an SDK's.
    """

    writers: int = 16
    """How many threads may put at once behind a flow. 0: a put is as quick as handing it over, and is made in line."""
    batch: int = 1
    """How many puts one thread takes at once into `put_many`; more than 1 only where a batch shares a cost."""
    reads: int = 1
    """How often a record is read before its bytes count as corrupt; more than 1 where a network may change them."""

    @abstractmethod
    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        """Write the whole object, all or nothing; durable when it returns.

        It replaces atomically: the last completed put wins, whole, and a reader sees the old bytes or the new.
        With `overwrite=False` a taken key raises `AlreadyExists` and what is there stays.
        """

    @abstractmethod
    def get(self, key: str) -> Buffer:
        """Return all bytes of the object; `NotFound` if there is none."""

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Describe the object without downloading it; `NotFound` if there is none, `AccessDenied` if refused."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in any order, lazily and in pages."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; a missing key is not an error."""

    def put_many(self, objects: Sequence[tuple[str, Buffer]]) -> Sequence[CkptError | None]:
        """Put each `(key, data)`, overwriting; answer for each, in order, None (durable) or what went wrong."""
        answers: list[CkptError | None] = []
        for key, data in objects:
            try:
                self.put(key, data)
            except CkptError as error:
                answers.append(error)
            else:
                answers.append(None)
        return answers

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove each object; missing keys are not errors."""
        for key in keys:
            self.delete(key)

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        """Begin an object whose bytes come piece by piece; the default gathers them and puts once."""
        return _GatheringWriter(self, key, overwrite)

    def open_read(self, key: str) -> BinaryIO:
        """Open the object for one pass from the start; `readinto` is the fast path. The default calls `get`."""
        return io.BytesIO(self.get(key))


class _GatheringWriter(ObjectWriter):
    """What `ObjectStore.open_write` gives where the backend has nothing better: one put at the end."""

    def __init__(self, store: ObjectStore, key: str, overwrite: bool) -> None:
        self._store, self._key, self._overwrite = store, key, overwrite
        self._data = bytearray()

    def write(self, data: Buffer) -> None:
        self._data += data

    def commit(self) -> ObjectInfo:
        return self._store.put(self._key, self._data, overwrite=self._overwrite)

    def abort(self) -> None:
        self._data = bytearray()
