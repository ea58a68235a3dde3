"""The ready-made half of a result handler: values as objects in a store of bytes.

A backend writes an `ObjectStore` and a subclass of `ObjectResultHandler` that opens it; serializing, records,
verification, keys and streaming are here.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from ckpt.decoding import header, read_record, read_stream, stream_header
from ckpt.encoding import encode
from ckpt.errors import CkptError, ConfigError, CorruptRecord, NotFound, PluginNotFound
from ckpt.handlers import DEFAULT_TEMPLATE, JSON, Meta, ResultHandler, Staged, Stored, unique_key
from ckpt.keys import KeyTemplate
from ckpt.records import LARGE, PREFIX, corrupt, is_record
from ckpt.serializers import PickleSerializer, Serializer
from ckpt.stores import Buffer, ObjectStore

if TYPE_CHECKING:
    from ckpt.results import SafeResult

__all__ = ["ObjectResultHandler"]

_log = logging.getLogger("ckpt")

T = TypeVar("T")


class _Process:
    """What is of this process alone; a child of fork gets its own."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        # The thread that held the lock does not exist in the child.
        self.lock = threading.RLock()
        self.mark = object()


_here = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_here.renew)


class ObjectResultHandler(ResultHandler):
    """Keeps each value as one object: a subclass gives `storage_type` and `open_store`.

    `prefix` goes before every key that the template makes; the location of a value is its whole key.

    Raises: `ConfigError` for a template with an unknown field.
    """

    _store: ObjectStore | None = None
    _opened: object = None

    def __init__(self, *, prefix: str = "", template: str = DEFAULT_TEMPLATE, serializer: str = "pickle") -> None:
        self.prefix = prefix.strip("/")
        self.template = template
        self.serializer = serializer
        KeyTemplate(template, prefix=self.prefix)

    @abstractmethod
    def open_store(self) -> ObjectStore:
        """Make the store: called at first use, once in each process, by one thread at a time."""

    @property
    def objects(self) -> ObjectStore:
        """The store, opened at first use."""
        if self._store is None or self._opened is not _here.mark:
            with _here.lock:
                if self._store is None or self._opened is not _here.mark:
                    self._store = self.open_store()
                    self._opened = _here.mark
        return self._store

    @property
    def suffix(self) -> str:  # type: ignore[override]  # the contract lets a handler that has one compute it
        return self._chosen.suffix

    @property
    def writers(self) -> int:  # type: ignore[override]  # see `suffix`
        return self.objects.writers

    @property
    def batch(self) -> int:  # type: ignore[override]  # see `suffix`
        return self.objects.batch

    @cached_property
    def _chosen(self) -> Serializer:
        return _serializer(self.serializer)

    def write(self, value: object, *, key: str | None = None) -> JSON:
        if key is None:
            key = unique_key(self)
        return self.store(value, key=_key(key), meta=Meta()).location

    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        stored, data = self._made(value, key, meta)
        if data is not None:
            self.objects.put(key, data)
        return stored

    def stage(self, value: object, *, key: str, meta: Meta) -> Staged:
        stored, data = self._made(value, key, meta)
        if data is not None:
            objects = self.objects
            if not objects.writers or len(data) >= LARGE:
                objects.put(key, data)
                data = None
        return Staged(stored, data)

    def send(self, staged: Sequence[Staged]) -> Sequence[CkptError | None]:
        return self.objects.put_many([(str(each.stored.location), each.data or b"") for each in staged])

    def _made(self, value: object, key: str, meta: Meta) -> tuple[Stored, bytes | None]:
        """Turn the value into bytes; None instead of them where they are durable already."""
        serializer = self._chosen
        if serializer.framed:
            made = encode(value, serializer, meta, lambda: self.objects.open_write(key))
            return Stored(key, made.digest, made.size, serializer.name), made.data
        out = io.BytesIO()
        serializer.dump(value, out)
        data = out.getvalue()
        return Stored(key, hashlib.sha256(data).hexdigest(), len(data), serializer.name), data

    def read(self, location: JSON) -> object:
        return self._read(_key(location), None, None, None)

    def fetch(self, safe: SafeResult) -> object:
        return self._read(_key(safe.value), safe.digest, safe.size, safe.serializer)

    def _read(self, key: str, digest: str | None, size: int | None, name: str | None) -> object:
        return self._trusted(key, lambda: self._read_once(key, digest, size, name))

    def _trusted(self, key: str, read: Callable[[], T]) -> T:
        """Read again what arrived corrupt, as often as the store wants it: what is kept there may be whole."""
        for _ in range(self.objects.reads - 1):
            try:
                return read()
            except CorruptRecord:
                _log.debug("%s: what arrived is not what was written; reading it again", key)
        return read()

    def _read_once(self, key: str, digest: str | None, size: int | None, name: str | None) -> object:
        """Read by the serializer `name`; where that is not known, by what the bytes and the key say."""
        bare = self._bare(key) if name is None else _bare_or_none(_serializer(name))
        if bare is not None and (name is not None or not is_record(self._start(key))):
            return self._read_bare(key, bare, digest, size)
        known = self.objects.head(key).size if size is None else size
        try:
            return self._read_record(key, known, digest, pinned=size is not None)
        except CorruptRecord:
            # A small one was read at once, and a safe value says what has to be there.
            if known < LARGE or size is not None:
                raise
            # This one may have been replaced, and more than once, since the head was asked for: one request decides.
            return read_record(self.objects.get(key), key=key, digest=digest)

    def _read_record(self, key: str, size: int, digest: str | None, *, pinned: bool) -> object:
        if size >= LARGE:
            # A size that a safe value merely claims must not make this process allocate.
            if pinned and (found := self.objects.head(key).size) != size:
                raise corrupt(key, f"it has {found} bytes, not the {size} that were written")
            with self.objects.open_read(key) as source:
                return read_stream(source, size, key=key, digest=digest)
        data = self.objects.get(key)
        if pinned:
            _check_size(key, data, size)
        return read_record(data, key=key, digest=digest)

    def _start(self, key: str) -> bytes:
        with self.objects.open_read(key) as source:
            return source.read(len(PREFIX))

    def _read_bare(self, key: str, serializer: Serializer, digest: str | None, size: int | None) -> object:
        data = self.objects.get(key)
        _check_size(key, data, size)
        if digest is None:
            _log.info("%s: read, not verified: the digest of %s is in its safe value alone", key, serializer.name)
        elif (found := hashlib.sha256(data).hexdigest()) != digest:
            raise corrupt(key, f"it has the digest {found}, not {digest}")
        try:
            return serializer.load(io.BytesIO(data))
        except CkptError:
            raise
        except Exception as error:
            raise corrupt(key, f"{serializer.name} cannot read it ({type(error).__name__}: {error})") from error

    def _bare(self, key: str) -> Serializer | None:
        """The serializer of bytes at `key` that are no record; None where nothing but a record is expected."""
        suffix = PurePosixPath(key).suffix
        if suffix in ("", self.suffix):
            return _bare_or_none(self._chosen)
        if suffix == PickleSerializer.suffix:
            return None
        try:
            return _bare_or_none(_serializer(suffix[1:]))
        except PluginNotFound:
            # A key of a person's own may end in anything: a record says itself what it is.
            bare = _bare_or_none(self._chosen)
            if bare is None and not is_record(self._start(key)):
                raise
            return bare

    def verify(self, safe: SafeResult) -> None:
        key = _key(safe.value)
        self._trusted(key, lambda: self._verify_once(key, safe))

    def _verify_once(self, key: str, safe: SafeResult) -> None:
        if safe.serializer is not None and _bare_or_none(_serializer(safe.serializer)) is not None:
            data = self.objects.get(key)
            _check_size(key, data, safe.size)
            found: JSON = hashlib.sha256(data).hexdigest()
        else:
            if safe.size is not None and (size := self.objects.head(key).size) != safe.size:
                raise corrupt(key, f"it has {size} bytes, not the {safe.size} that were written")
            found = self._meta_once(key).get("content")
        if safe.digest is not None and found != safe.digest:
            raise corrupt(key, f"it has the digest {found}, not {safe.digest}")

    def exists(self, location: JSON) -> bool:
        try:
            self.objects.head(_key(location))
        except NotFound:
            return False
        return True

    def delete(self, location: JSON) -> None:
        self.objects.delete(_key(location))

    def raw(self, location: JSON) -> Buffer:
        """Return the bytes at `location` as they are, verified by nobody."""
        return self.objects.get(_key(location))

    def meta(self, location: JSON) -> dict[str, JSON]:
        """Return the header of the verified record at `location`; of other bytes what the store knows.

        Raises: `CorruptRecord`; what the store raises.
        """
        key = _key(location)
        return self._trusted(key, lambda: self._meta_once(key))

    def _meta_once(self, key: str) -> dict[str, JSON]:
        info = self.objects.head(key)
        bare = self._bare(key)
        if bare is not None and not is_record(self._start(key)):
            modified = info.modified.isoformat() if info.modified else None
            return {"serializer": bare.name, "size": info.size, "modified": modified}
        if info.size < LARGE:
            return header(self.objects.get(key), key=key)
        with self.objects.open_read(key) as source:
            return stream_header(source, info.size, key=key)

    def to_spec(self) -> dict[str, JSON]:
        spec = super().to_spec()
        if self.prefix:
            spec["prefix"] = self.prefix
        if self.template != DEFAULT_TEMPLATE:
            spec["template"] = self.template
        if self.serializer != "pickle":
            spec["serializer"] = self.serializer
        return spec

    def __getstate__(self) -> dict[str, Any]:
        # Clients, descriptors and locks are of one process.
        return {name: value for name, value in self.__dict__.items() if name not in ("_store", "_opened", "_chosen")}


def _serializer(name: str) -> Serializer:
    if name == PickleSerializer.name:
        return _PICKLE
    from ckpt.plugins import serializer_class

    return serializer_class(name)()


_PICKLE = PickleSerializer()


def _bare_or_none(serializer: Serializer) -> Serializer | None:
    return None if serializer.framed else serializer


def _key(location: JSON) -> str:
    if not isinstance(location, str) or not location:
        raise ConfigError(
            f"{location!r} is not a location here: values are kept under text keys, as in a safe value's `value`"
        )
    return location


def _check_size(key: str, data: Buffer, size: int | None) -> None:
    if size is not None and (found := memoryview(data).nbytes) != size:
        raise corrupt(key, f"it has {found} bytes, not the {size} that were written")
