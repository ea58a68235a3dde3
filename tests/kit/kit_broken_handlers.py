"""Handlers that are each broken in one way, with the tests of the kit that must go red for it, and no others."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Self

from kit_breakages import caught_by
from kit_broken_stores import VisibleBeforeCommit, WritesBehind
from kit_remote import RemoteHandler, RemoteStore

from ckpt import JSON, SafeResult, Stored
from ckpt.errors import CkptError, NotFound, NotSerializable
from ckpt.handlers import Meta, Staged

TRIPS = ("a_value_comes_back_the_same", "a_value_that_a_task_returned_comes_back_the_same")


class Changed(RemoteHandler):
    """Changes what it reads."""

    def changed(self, value: object) -> object:
        raise NotImplementedError

    def read(self, location: JSON) -> object:
        return self.changed(super().read(location))

    def fetch(self, safe: SafeResult) -> object:
        return self.changed(super().fetch(safe))


@caught_by(*TRIPS, "a_write_replaces")
class LosesFalsyValues(Changed):
    def changed(self, value: object) -> object:
        import numpy as np

        return value if isinstance(value, np.ndarray) else (value or None)


@caught_by(*TRIPS)
class TuplesBecomeLists(Changed):
    def changed(self, value: object) -> object:
        return list(value) if type(value) is tuple else value


@caught_by(*TRIPS)
class ArraysBecomeContiguous(Changed):
    def changed(self, value: object) -> object:
        import numpy as np

        return value.astype(value.dtype.newbyteorder("=")) if type(value) is np.ndarray else value


@caught_by(
    "an_unserializable_value_is_refused_as_such",
    "a_failed_write_leaves_the_old_value",
    "a_failed_write_of_a_new_key_leaves_nothing",
)
class KeepsTheTextOfWhatItCannotKeep(RemoteHandler):
    def _made(self, value: object, key: str, meta: Meta) -> Any:
        try:
            return super()._made(value, key, meta)
        except NotSerializable:
            return super()._made(repr(value), key, meta)


@caught_by(*TRIPS, "a_write_replaces")
class ChangesWhatItIsGiven(RemoteHandler):
    def _made(self, value: object, key: str, meta: Meta) -> Any:
        made = super()._made(value, key, meta)
        if type(value) is dict:
            value["kept"] = key
        return made


@caught_by(
    "nothing_there_is_not_found",
    "deletion_removes_one_value_and_is_harmless_twice",
    "a_failed_write_of_a_new_key_leaves_nothing",
)
class NoneForMissing(RemoteHandler):
    def read(self, location: JSON) -> object:
        try:
            return super().read(location)
        except NotFound:
            return None


@caught_by("nothing_there_is_not_found")
class MessageWithoutPlace(RemoteHandler):
    def read(self, location: JSON) -> object:
        try:
            return super().read(location)
        except NotFound as error:
            raise NotFound("nothing there") from error


@caught_by("refused_is_not_absent", "unreachable_is_worth_another_try")
class FalseForRefused(RemoteHandler):
    def exists(self, location: JSON) -> bool:
        try:
            return super().exists(location)
        except CkptError:
            return False


@caught_by("refused_is_not_absent", "unreachable_is_worth_another_try")
class SwallowsErrorsOfWrites(RemoteHandler):
    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        try:
            return super().store(value, key=key, meta=meta)
        except (PermissionError, ConnectionError):
            return Stored(key)


@caught_by("refused_is_not_absent", "unreachable_is_worth_another_try")
class RaisesForeignErrors(RemoteHandler):
    def read(self, location: JSON) -> object:
        try:
            return super().read(location)
        except (PermissionError, ConnectionError) as error:
            raise RuntimeError("something with the SDK") from error


@caught_by("existence_is_told_without_reading")
class ExistsReads(RemoteHandler):
    def exists(self, location: JSON) -> bool:
        try:
            self.read(location)
        except NotFound:
            return False
        return True


@caught_by("existence_is_told_without_reading")
class EverythingExists(RemoteHandler):
    def exists(self, location: JSON) -> bool:
        super().exists(location)
        return True


@caught_by("deletion_removes_one_value_and_is_harmless_twice")
class DeletesNothing(RemoteHandler):
    def delete(self, location: JSON) -> None:
        super().exists(location)


class Tells(RemoteHandler):
    """Knows the token itself from the start."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self.known = os.environ["REFERENCE_TOKEN"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, known=os.environ["REFERENCE_TOKEN"])


@caught_by("a_secret_is_not_told")
class SecretInPickle(Tells):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "known": self.known}


@caught_by("a_secret_is_not_told")
class SecretCodedInPickle(Tells):
    def __getstate__(self) -> dict[str, Any]:
        import base64

        return {**super().__getstate__(), "auth": base64.b64encode(self.known.encode())}


@caught_by("a_secret_is_not_told")
class SecretInRepr(Tells):
    def __repr__(self) -> str:
        return f"RemoteHandler({self.known})"


@caught_by("a_secret_is_not_told")
class SecretInSpec(Tells):
    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "token": self.known}


@caught_by("a_secret_is_not_told")
class SecretInLog(Tells):
    def read(self, location: JSON) -> object:
        logging.getLogger("sdk").debug("with %s", self.known)
        return super().read(location)


@caught_by("a_secret_is_not_told")
class SecretInStoredBytes(Tells):
    def _made(self, value: object, key: str, meta: Meta) -> Any:
        return super()._made(value, key, replace(meta, ledger=self.known))


class Session:
    """What an SDK calls a client; it could be pickled."""


@caught_by("a_used_handler_pickles_nothing_that_an_unused_one_does_not")
class KeepsItsClientInPickles(RemoteHandler):
    def open_store(self) -> Any:
        self.session = Session()
        return super().open_store()


@caught_by("a_pickled_handler_reads_and_writes_the_same_place", "a_secret_is_not_told")
class CannotBePickledOnceUsed(RemoteHandler):
    def open_store(self) -> Any:
        self.lock = threading.Lock()
        return super().open_store()


@caught_by("a_pickled_handler_reads_and_writes_the_same_place", "a_copied_handler_works")
class ForgetsInPickles(RemoteHandler):
    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "path": "/nowhere"}


@caught_by(
    "a_spec_is_plain_json_and_makes_an_equal_handler",
    "a_handler_for_a_run_keeps_values_in_the_same_place",
    "another_process_reads_the_value_by_pickle_and_by_spec",
)
class SpecWithoutPath(RemoteHandler):
    def to_spec(self) -> dict[str, Any]:
        return {"type": self.storage_type}


@caught_by(
    "a_spec_is_plain_json_and_makes_an_equal_handler",
    "a_safe_result_travels_as_json",
    "a_secret_is_not_told",
    "a_handler_for_a_run_keeps_values_in_the_same_place",
)
class SpecThatIsNotJSON(RemoteHandler):
    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "path": PurePosixPath(self.path)}


@caught_by("a_spec_is_plain_json_and_makes_an_equal_handler")
class SpecOfAnotherType(RemoteHandler):
    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "type": "remotest"}


@caught_by("a_spec_is_plain_json_and_makes_an_equal_handler")
class FromSpecDropsOptions(RemoteHandler):
    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "template": self.template + "x"}

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        made = cls(str(spec["path"]))
        made.template = str(spec["template"])
        return made


@caught_by(
    "readers_do_not_share_what_they_read",
    "a_later_change_of_the_value_does_not_reach_what_is_kept",
    "bytes_that_were_changed_are_refused",
    "a_whole_value_in_the_place_of_another_is_refused",
    "nothing_foreign_is_unpickled",
)
class RemembersObjects(RemoteHandler):
    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self._memory: dict[Any, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_memory": {}}

    def _made(self, value: object, key: str, meta: Meta) -> Any:
        made = super()._made(value, key, meta)
        if isinstance(value, list):
            self._memory[key] = value
        else:
            self._memory.pop(key, None)
        return made

    def delete(self, location: JSON) -> None:
        self._memory.pop(location, None)
        super().delete(location)

    def read(self, location: JSON) -> object:
        return self._memory[location] if location in self._memory else super().read(location)

    def fetch(self, safe: SafeResult) -> object:
        return self._memory[safe.value] if safe.value in self._memory else super().fetch(safe)


@caught_by("a_later_change_of_the_value_does_not_reach_what_is_kept")
class StagesLate(RemoteHandler):
    """Serializes when it sends."""

    def stage(self, value: object, *, key: str, meta: Meta) -> Staged:
        staged = super().stage(value, key=key, meta=meta)
        if staged.data is None or type(value) is not list:
            return staged
        self.late = getattr(self, "late", {})
        self.late[key] = value
        return staged

    def send(self, staged: Sequence[Staged]) -> Sequence[CkptError | None]:
        late = self.__dict__.pop("late", {})
        return super().send(
            [
                super(StagesLate, self).stage(late[each.stored.location], key=str(each.stored.location), meta=Meta())
                if each.stored.location in late
                else each
                for each in staged
            ]
        )


@caught_by(
    "a_failed_write_leaves_the_old_value",
    "a_failed_write_of_a_new_key_leaves_nothing",
    "a_reader_during_a_write_sees_the_old_value",
    "readers_and_writers_in_threads_meet_whole_values_only",
    "a_write_killed_in_the_middle_leaves_the_old_value",
    "sixteen_processes_meet_whole_values_only",
)
class WritesInPlace(RemoteHandler):
    store_class = VisibleBeforeCommit


@caught_by(
    "a_failed_write_leaves_the_old_value",
    "a_reader_during_a_write_sees_the_old_value",
    "readers_and_writers_in_threads_meet_whole_values_only",
)
class DeletesBeforeItWrites(RemoteHandler):
    def _made(self, value: object, key: str, meta: Meta) -> Any:
        self.objects.delete(key)
        return super()._made(value, key, meta)


@caught_by("a_failed_write_of_a_new_key_leaves_nothing")
class LeavesRubbish(RemoteHandler):
    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        self.objects.put(f"rubbish/{hash(key)}", b"")
        stored = super().store(value, key=key, meta=meta)
        self.objects.delete(f"rubbish/{hash(key)}")
        return stored


@caught_by(
    "a_value_is_durable_when_write_returns",
    "another_process_reads_the_value_by_pickle_and_by_spec",
    "a_pickled_handler_reads_and_writes_the_same_place",
    "a_spec_is_plain_json_and_makes_an_equal_handler",
    "a_copied_handler_works",
    "stored_facts_are_those_of_the_storage",
    "refused_is_not_absent",
    "unreachable_is_worth_another_try",
    perhaps=(
        "a_handler_for_a_run_keeps_values_in_the_same_place",
        "a_whole_value_in_the_place_of_another_is_refused",
        "bytes_that_were_changed_are_refused",
        "existence_is_told_without_reading",
        "nothing_foreign_is_unpickled",
    ),
)
class WritesLate(RemoteHandler):
    store_class = WritesBehind


@caught_by(
    "bytes_that_were_changed_are_refused",
    "a_whole_value_in_the_place_of_another_is_refused",
    "nothing_foreign_is_unpickled",
)
class DoesNotVerify(RemoteHandler):
    def read(self, location: JSON) -> object:
        return pickle.loads(self.raw(location))

    def fetch(self, safe: SafeResult) -> object:
        return self.read(safe.value)


@caught_by("a_whole_value_in_the_place_of_another_is_refused")
class DoesNotPin(RemoteHandler):
    """Verifies that a record is whole, not that it is the right one."""

    def fetch(self, safe: SafeResult) -> object:
        return self.read(safe.value)


@caught_by("stored_facts_are_those_of_the_storage")
class TellsAnotherSize(RemoteHandler):
    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        stored = super().store(value, key=key, meta=meta)
        return replace(stored, size=None) if isinstance(value, list | dict) else replace(stored, size=7)


@caught_by(
    "equal_digests_mean_equal_values",
    "a_whole_value_in_the_place_of_another_is_refused",
    "odd_keys_never_meet",
)
class DigestOfTheKey(RemoteHandler):
    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        import hashlib

        return replace(super().store(value, key=key, meta=meta), digest=hashlib.sha256(key.encode()).hexdigest())

    def fetch(self, safe: SafeResult) -> object:
        return super().fetch(SafeResult(safe.value, self, size=safe.size, serializer=safe.serializer))


class Keyed(RemoteHandler):
    def renamed(self, key: str) -> str:
        raise NotImplementedError

    def _made(self, value: object, key: str, meta: Meta) -> Any:
        return super()._made(value, self.renamed(key), meta)

    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        return super().store(value, key=self.renamed(key), meta=meta)


@caught_by("odd_keys_never_meet")
class SlashesBecomeUnderscores(Keyed):
    def renamed(self, key: str) -> str:
        return key.replace("/", "_")


@caught_by("odd_keys_never_meet")
class ShortensKeys(Keyed):
    def renamed(self, key: str) -> str:
        return key[:100]


@caught_by("odd_keys_never_meet")
class ForeignErrorsForOddKeys(RemoteHandler):
    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        if ".." in key:
            raise ValueError(f"no such place: {key}")
        return super().store(value, key=key, meta=meta)


@caught_by("values_written_without_a_key_do_not_meet")
class OneKeyForAllWithout(RemoteHandler):
    def write(self, value: object, *, key: str | None = None) -> JSON:
        return super().write(value, key=key or "value")


@caught_by(
    "a_location_is_plain_json",
    perhaps=(
        "deletion_removes_one_value_and_is_harmless_twice",
        "existence_is_told_without_reading",
        "odd_keys_never_meet",
    ),
)
class LocationIsNoJSON(RemoteHandler):
    def write(self, value: object, *, key: str | None = None) -> JSON:
        return Place(str(super().write(value, key=key)))  # type: ignore[return-value]

    def read(self, location: Any) -> object:
        return super().read(location.text if isinstance(location, Place) else location)


class Place:
    """A location of a class of its own."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return self.text == (other.text if isinstance(other, Place) else other)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.text


@caught_by(
    "an_unserializable_value_is_refused_as_such",
    "a_failed_write_leaves_the_old_value",
    "a_failed_write_of_a_new_key_leaves_nothing",
)
class ForeignErrorForUnserializable(RemoteHandler):
    def _made(self, value: object, key: str, meta: Meta) -> Any:
        try:
            return super()._made(value, key, meta)
        except NotSerializable as error:
            raise TypeError(str(error)) from error


@caught_by(
    "a_batch_is_sent_and_answered_in_order",
    "a_value_that_a_task_returned_comes_back_the_same",
    "a_later_change_of_the_value_does_not_reach_what_is_kept",
)
class SendsNothing(RemoteHandler):
    def send(self, staged: Sequence[Staged]) -> Sequence[CkptError | None]:
        return [None] * len(staged)


@caught_by("a_batch_is_sent_and_answered_in_order")
class SendsEachTenth(RemoteHandler):
    batch = 16

    def send(self, staged: Sequence[Staged]) -> Sequence[CkptError | None]:
        super().send(staged[:10])
        return [None] * len(staged)


class _Unforkable(RemoteStore):
    def client(self) -> Any:
        if self._pid != os.getpid():
            raise RuntimeError("the client of another process")
        return super().client()


@caught_by("a_used_handler_works_on_both_sides_of_a_fork")
class DoesNotBearForks(RemoteHandler):
    store_class = _Unforkable

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self._opened_here: Any = None

    @property
    def objects(self) -> Any:
        if self._opened_here is None:
            self._opened_here = self.open_store()
        return self._opened_here

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_opened_here": None}

    def __copy__(self) -> Self:
        return copy.deepcopy(self)


@caught_by("threads_share_a_handler_from_its_first_use")
class FirstUseIsForOne(RemoteHandler):
    def open_store(self) -> Any:
        import time

        if threading.current_thread() is not threading.main_thread() and not hasattr(self, "_made_by"):
            self._made_by = threading.current_thread().name
            time.sleep(0.01)
            raise RuntimeError("a client that only the main thread may make")
        return super().open_store()


@caught_by("a_handler_for_a_run_keeps_values_in_the_same_place")
class RunsElsewhere(RemoteHandler):
    def for_run(self) -> Self:
        elsewhere = copy.copy(self)
        elsewhere.path = "/nowhere"
        return elsewhere


@caught_by(*TRIPS, "a_write_replaces", "equal_digests_mean_equal_values", "existence_is_told_without_reading")
class RefusesPlainValues(RemoteHandler):
    def _made(self, value: object, key: str, meta: Meta) -> Any:
        if value is None:
            raise NotSerializable("None is nothing")
        return super()._made(value, key, meta)
