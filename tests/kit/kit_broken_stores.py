"""Stores that are each broken in one way, with the tests of the kit that must go red for it, and no others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from kit_breakages import caught_by
from kit_remote import PAGE, RemoteStore, SDKError

from ckpt import ObjectInfo, ObjectWriter
from ckpt.errors import CkptError, ConfigError, NotFound
from ckpt.stores import Buffer


@caught_by("threads_meet_whole_objects_only")
class Torn(RemoteStore):
    """Puts in two steps."""

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        data = memoryview(data).tobytes()
        self.call("put", key, data[: len(data) // 2], overwrite)
        time.sleep(0.001)
        self.call("append", key, data[len(data) // 2 :])
        return ObjectInfo(key, len(data))


@caught_by(
    "sixteen_processes_meet_whole_objects_only",
)
class TornBetweenProcesses(RemoteStore):
    """Puts in two steps, which threads of one process do not notice."""

    _lock = threading.Lock()

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        data = memoryview(data).tobytes()
        with self._lock:
            self.call("put", key, data[: len(data) // 2], overwrite)
            time.sleep(0.002)
            self.call("append", key, data[len(data) // 2 :])
        return ObjectInfo(key, len(data))

    def get(self, key: str) -> bytes:
        with self._lock:
            return super().get(key)

    def head(self, key: str) -> ObjectInfo:
        with self._lock:
            return super().head(key)


@caught_by(
    "nothing_there_is_not_found",
    "deletion_removes_one_object_and_is_harmless_twice",
    "nothing_is_seen_before_the_commit",
    "an_aborted_write_leaves_the_old_value",
    "odd_keys_never_meet",
)
class EmptyForMissing(RemoteStore):
    def get(self, key: str) -> bytes:
        try:
            return super().get(key)
        except NotFound:
            return b""


@caught_by("refused_is_not_absent")
class NotFoundForRefused(RemoteStore):
    @contextmanager
    def mapped(self, key: str) -> Iterator[None]:
        try:
            with super().mapped(key):
                yield
        except PermissionError as error:
            raise NotFound(str(error)) from error


@caught_by("refused_is_not_absent")
class RaisesWhatTheSDKRaises(RemoteStore):
    @contextmanager
    def mapped(self, key: str) -> Iterator[None]:
        try:
            with super().mapped(key):
                yield
        except PermissionError as error:
            raise SDKError(403, str(error)) from None


@caught_by("unreachable_is_worth_another_try")
class RaisesOSErrors(RemoteStore):
    @contextmanager
    def mapped(self, key: str) -> Iterator[None]:
        try:
            with super().mapped(key):
                yield
        except ConnectionError as error:
            raise OSError(str(error)) from error


@caught_by("refused_is_not_absent", "unreachable_is_worth_another_try")
class HidesCauses(RemoteStore):
    @contextmanager
    def mapped(self, key: str) -> Iterator[None]:
        found = None
        try:
            with super().mapped(key):
                yield
        except CkptError as error:
            found = error
        if found is not None:
            try:
                raise SDKError(500, "what really happened")
            except SDKError:
                raise type(found)(str(found)) from None


@caught_by("a_list_is_lazy_and_bears_deletion")
class EagerList(RemoteStore):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from list(super().list(prefix))


@caught_by("a_list_is_lazy_and_bears_deletion", "refused_is_not_absent", "unreachable_is_worth_another_try")
class ListWithoutErrors(RemoteStore):
    """Gives a list, and an empty one where it could not look."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        try:
            return list(super().list(prefix))  # type: ignore[return-value]
        except CkptError:
            return iter(())


@caught_by("a_list_has_what_begins_with_the_prefix", "nothing_is_remembered_of_an_object", "odd_keys_never_meet")
class PrefixOfFolders(RemoteStore):
    """Takes a prefix for a folder."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        return (info for info in super().list(folder) if prefix or "//" not in info.key)


@caught_by("thousands_are_listed_each_once", "odd_keys_never_meet")
class OnePage(RemoteStore):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return islice(super().list(prefix), PAGE)


@caught_by("thousands_are_listed_each_once")
class PagesOverlap(RemoteStore):
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for number, info in enumerate(super().list(prefix)):
            yield info
            if number == 30:
                yield info


@caught_by(
    "create_only_keeps_what_is_there",
    "a_create_only_writer_keeps_what_is_there",
    "of_two_create_only_writers_one_wins",
    "of_threads_that_create_one_key_one_wins",
)
class AlwaysOverwrites(RemoteStore):
    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        return super().put(key, data)


@caught_by(
    "of_threads_that_create_one_key_one_wins",
    "of_sixteen_processes_that_create_one_key_one_wins",
)
class LooksBeforeItCreates(RemoteStore):
    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        if not overwrite:
            try:
                self.head(key)
            except NotFound:
                time.sleep(0.1)
            else:
                return super().put(key, data, overwrite=False)
        return super().put(key, data)


@caught_by("of_two_create_only_writers_one_wins", "a_create_only_writer_keeps_what_is_there")
class WriterOverwrites(RemoteStore):
    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        return super().open_write(key)


@caught_by("a_head_does_not_read_the_object")
class HeadGets(RemoteStore):
    def head(self, key: str) -> ObjectInfo:
        size = len(self.get(key))
        return replace(super().head(key), size=size)


@caught_by("a_head_does_not_read_the_object")
class HeadDownloads(RemoteStore):
    def head(self, key: str) -> ObjectInfo:
        self.call("get", key)
        return super().head(key)


@caught_by("a_secret_is_not_told")
class SecretInRepr(RemoteStore):
    def __repr__(self) -> str:
        return f"RemoteStore(token={self._token!r})"


@caught_by("a_secret_is_not_told")
class SecretInErrors(RemoteStore):
    @contextmanager
    def mapped(self, key: str) -> Iterator[None]:
        try:
            with super().mapped(key):
                yield
        except CkptError as error:
            raise type(error)(f"{error} (as {self._token})") from error


@caught_by("a_secret_is_not_told")
class SecretInLog(RemoteStore):
    def get(self, key: str) -> bytes:
        import logging

        logging.getLogger("sdk").debug("get with %s", self._token)
        return super().get(key)


class Renamed(RemoteStore):
    """Keeps objects under other names than their keys."""

    def renamed(self, key: str) -> str:
        raise NotImplementedError

    def call(self, verb: str, key: str, *arguments: object) -> Any:
        return super().call(verb, self.renamed(key), *arguments)


@caught_by("odd_keys_never_meet")
class FoldsCase(Renamed):
    def renamed(self, key: str) -> str:
        return key.swapcase().swapcase() if key.isascii() and not key.isupper() else key.lower()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return super().list(prefix)


@caught_by("odd_keys_never_meet")
class Strips(Renamed):
    def renamed(self, key: str) -> str:
        return key.strip() or key


@caught_by("odd_keys_never_meet")
class Truncates(Renamed):
    def renamed(self, key: str) -> str:
        return key[:200]


@caught_by("odd_keys_never_meet")
class NormalizesUnicode(Renamed):
    def renamed(self, key: str) -> str:
        import unicodedata

        return unicodedata.normalize("NFKC", key)


@caught_by("odd_keys_never_meet")
class NormalizesPaths(Renamed):
    def renamed(self, key: str) -> str:
        return os.path.normpath(key).lstrip("/") or key


@caught_by("a_key_that_is_refused_is_refused_everywhere")
class ReadsWhatItRefusesToPut(RemoteStore):
    def get(self, key: str) -> bytes:
        return b"" if len(key) > 900 else super().get(key)


@caught_by(
    "a_buffer_may_be_reused_after_a_put",
    "another_process_sees_an_object_at_once",
    "an_object_is_durable_when_it_is_acknowledged",
    "the_bytes_are_stored_as_they_are",
    "refused_is_not_absent",
    "unreachable_is_worth_another_try",
    perhaps=(
        "a_head_does_not_read_the_object",
        "an_aborted_write_leaves_the_old_value",
    ),
)
class WritesBehind(RemoteStore):
    """Acknowledges what it has not put: that happens before whatever it is asked next."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._behind: list[tuple[str, Buffer]] = []
        self._lock = threading.RLock()

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        self.checked(key)
        with self._lock:
            self._flush()
            if not overwrite:
                return super().put(key, data, overwrite=False)
            self.client()
            self._behind.append((key, data))
        return ObjectInfo(key, memoryview(data).nbytes)

    def _flush(self) -> None:
        with self._lock:
            behind, self._behind = self._behind, []
            for key, data in behind:
                super().put(key, data)

    def client(self) -> Any:
        client = super().client()
        if self._behind:
            self._flush()
        return client


@caught_by(
    "nothing_is_seen_before_the_commit",
    "an_aborted_write_leaves_the_old_value",
    "of_two_create_only_writers_one_wins",
    "threads_meet_whole_objects_only",
    "a_write_killed_in_the_middle_leaves_the_old_value",
)
class VisibleBeforeCommit(RemoteStore):
    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        return _Appends(self, key, overwrite)


class _Appends(ObjectWriter):
    def __init__(self, store: RemoteStore, key: str, overwrite: bool) -> None:
        self.store, self.key, self.size = store, key, 0
        self.store.put(key, b"", overwrite=overwrite)

    def write(self, data: Buffer) -> None:
        self.size += memoryview(data).nbytes
        self.store.call("append", self.key, memoryview(data).tobytes())

    def commit(self) -> ObjectInfo:
        return ObjectInfo(self.key, self.size)

    def abort(self) -> None:
        pass


class Wrapped(RemoteStore):
    """Its writers gather, as is right, but for one method."""

    writer: type[_Gathers]

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        return type(self).writer(self, key, overwrite)


class _Gathers(ObjectWriter):
    def __init__(self, store: RemoteStore, key: str, overwrite: bool) -> None:
        self.store, self.key, self.overwrite = store, key, overwrite
        self.data: list[Buffer] = []

    def write(self, data: Buffer) -> None:
        self.data.append(memoryview(data).tobytes())

    def commit(self) -> ObjectInfo:
        return self.store.put(self.key, b"".join(self.data), overwrite=self.overwrite)

    def abort(self) -> None:
        pass


class _CommittingAbort(_Gathers):
    def abort(self) -> None:
        self.store.put(self.key, b"".join(self.data))

    def commit(self) -> ObjectInfo:
        info = super().commit()
        self.abort = lambda: None  # type: ignore[method-assign]
        return info


@caught_by(
    "an_aborted_write_leaves_the_old_value",
    "nothing_is_seen_before_the_commit",
    "a_create_only_writer_keeps_what_is_there",
    "of_two_create_only_writers_one_wins",
)
class CommitsWhatIsAborted(Wrapped):
    writer = _CommittingAbort


class _DeletingAbort(_Gathers):
    def abort(self) -> None:
        self.store.delete(self.key)

    def commit(self) -> ObjectInfo:
        info = super().commit()
        self.abort = lambda: None  # type: ignore[method-assign]
        return info


@caught_by(
    "an_aborted_write_leaves_the_old_value",
    "nothing_is_seen_before_the_commit",
    "a_create_only_writer_keeps_what_is_there",
    "of_two_create_only_writers_one_wins",
)
class AbortDeletes(Wrapped):
    writer = _DeletingAbort


class _RemovingAbort(_Gathers):
    done = 0

    def commit(self) -> ObjectInfo:
        self.done = 1
        return super().commit()

    def abort(self) -> None:
        self.done += 1
        if self.done == 3:
            self.store.delete(self.key)


@caught_by("an_abort_after_the_commit_is_harmless")
class AbortRemovesWhatIsCommitted(Wrapped):
    writer = _RemovingAbort


class _FailingAbort(_Gathers):
    aborted = False

    def abort(self) -> None:
        if self.aborted and self.data and len(self.data[0]) > 1 << 20:  # type: ignore[arg-type]
            raise RuntimeError("aborted already")
        self.aborted = True


@caught_by("an_aborted_write_leaves_the_old_value")
class SecondAbortFails(Wrapped):
    writer = _FailingAbort


class _Keeping(_Gathers):
    def write(self, data: Buffer) -> None:
        self.data.append(data)


@caught_by("a_buffer_may_be_reused_after_a_write")
class WriterKeepsBuffers(Wrapped):
    writer = _Keeping


@caught_by("deletion_removes_one_object_and_is_harmless_twice", "many_are_deleted_at_once", "odd_keys_never_meet")
class DeletionOfNothingFails(RemoteStore):
    def delete(self, key: str) -> None:
        self.head(key)
        super().delete(key)


@caught_by(
    "deletion_removes_one_object_and_is_harmless_twice",
    "many_are_deleted_at_once",
    "odd_keys_never_meet",
)
class DeletesByPrefix(RemoteStore):
    def delete(self, key: str) -> None:
        for info in list(self.list(key)):
            super().delete(info.key)
        super().delete(key)


@caught_by("many_are_put_at_once_and_answered_in_order", "a_key_that_is_refused_is_refused_everywhere")
class PutManyRaises(RemoteStore):
    def put_many(self, objects: Sequence[tuple[str, Buffer]]) -> Sequence[CkptError | None]:
        for key, _ in objects:
            if not key:
                raise ConfigError("an empty key")
        return super().put_many(objects)


@caught_by("many_are_put_at_once_and_answered_in_order")
class PutManyAnswersBackwards(RemoteStore):
    def put_many(self, objects: Sequence[tuple[str, Buffer]]) -> Sequence[CkptError | None]:
        return list(super().put_many(objects))[::-1]


@caught_by("many_are_deleted_at_once", "odd_keys_never_meet")
class DeletesTenAtMost(RemoteStore):
    def delete_many(self, keys: Iterable[str]) -> None:
        super().delete_many(list(keys)[:10])


@caught_by("a_head_describes_the_object")
class TimeWithoutZone(RemoteStore):
    def head(self, key: str) -> ObjectInfo:
        info = super().head(key)
        assert info.modified is not None
        return replace(info, modified=info.modified.replace(tzinfo=None))


@caught_by("bytes_come_back_the_same", "create_only_keeps_what_is_there", "every_kind_of_buffer_is_taken")
class TellsNoSize(RemoteStore):
    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        return replace(super().put(key, data, overwrite=overwrite), size=0)

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        return _Sized(self, key, overwrite)


class _Sized(_Gathers):
    def commit(self) -> ObjectInfo:
        return replace(super().commit(), size=sum(memoryview(data).nbytes for data in self.data))


@caught_by("every_kind_of_buffer_is_taken", "a_buffer_may_be_reused_after_a_put")
class TakesBytesOnly(RemoteStore):
    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        if not isinstance(data, bytes):
            raise TypeError("bytes, please")
        return super().put(key, data, overwrite=overwrite)

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:
        return _Gathers(self, key, overwrite)


@caught_by("nothing_there_is_not_found")
class StreamsNothing(RemoteStore):
    def open_read(self, key: str) -> Any:
        import io

        try:
            return super().open_read(key)
        except NotFound:
            return io.BytesIO()


@caught_by("an_object_can_be_read_in_pieces")
class StreamStops(RemoteStore):
    def open_read(self, key: str) -> Any:
        import io

        return io.BytesIO(self.get(key)[:100_000])


@caught_by("the_bytes_are_stored_as_they_are", "nothing_is_remembered_of_an_object")
class Reverses(RemoteStore):
    """Keeps other bytes than it was given, and gives them back right."""

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        return super().put(key, memoryview(data).tobytes()[::-1], overwrite=overwrite)

    def get(self, key: str) -> bytes:
        return super().get(key)[::-1]


@caught_by("nothing_is_remembered_of_an_object")
class Remembers(RemoteStore):
    _memory: dict[str, bytes]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._memory = {}

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        self._memory.pop(key, None)
        return super().put(key, data, overwrite=overwrite)

    def delete(self, key: str) -> None:
        self._memory.pop(key, None)
        super().delete(key)

    def get(self, key: str) -> bytes:
        if len(self._memory.get(key, b"")) != 3:
            self._memory[key] = super().get(key)
        return self._memory[key]


@caught_by(
    "a_put_replaces",
    "bytes_come_back_the_same",
    "create_only_keeps_what_is_there",
    "a_commit_replaces",
    "the_bytes_are_stored_as_they_are",
)
class LosesEmptyObjects(RemoteStore):
    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        if not memoryview(data).nbytes and self.checked(key) and not key.isspace():
            self.delete(key)
            return ObjectInfo(key, 0)
        return super().put(key, data, overwrite=overwrite)
