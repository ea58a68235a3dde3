"""Where a value is: keys, replacing, missing values, existence and deletion."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from ckpt.errors import CkptError, NotFound, Unsupported
from ckpt.handlers import JSON, ResultHandler
from ckpt.testing.odd_keys import ODD_KEYS, shown
from ckpt.testing.suites import Suite, asks

__all__ = ["HandlerKeys", "allocated_by"]


class HandlerKeys(Suite):
    """Keys."""

    @pytest.fixture
    def missing(self) -> JSON:
        """A location that holds nothing, where the handler's locations are not its keys. Optional."""
        return None

    def keyed(self, handler: ResultHandler, key: str) -> JSON:
        """The location of what is written under `key`; the end of the test where every value has another one."""
        location = handler.write("an old value", key=key)
        if handler.write("another value", key=key) != location:
            self.pointless("the location does not depend on the key alone, so nothing can be replaced")
        return location

    def nowhere(self, handler: ResultHandler, key: str, missing: JSON) -> JSON:
        """A location that holds nothing."""
        if missing is not None:
            return missing
        if self.keyed(handler, key) != key:
            self.given(None, "missing")
        return f"{key}-never-written"

    @asks("basic")
    def test_nothing_there_is_not_found(self, handler: ResultHandler, place: str, missing: JSON) -> None:
        location = self.nowhere(handler, place, missing)
        error = self.refusal(NotFound, "reading what was never written", handler.read, location)
        assert str(location) in str(error), "the message does not say where nothing was found"

    @asks("basic")
    def test_a_write_replaces(self, handler: ResultHandler, place: str) -> None:
        location = self.keyed(handler, place)
        values: list[JSON] = ["long " * 1000, None, {"new": True}, 0, "last"]
        for value in values:
            assert handler.write(value, key=place) == location
            assert handler.read(location) == value

    @asks("basic")
    def test_odd_keys_never_meet(self, handler: ResultHandler) -> None:
        accepted: dict[str, JSON] = {}
        for key in ODD_KEYS:
            try:
                accepted[key] = handler.write(["kept under", repr(key)], key=key)
            except CkptError as error:
                self.note("keys refused", shown(key), str(error))
        read = {key: handler.read(location) for key, location in accepted.items()}
        wrong = {key: value for key, value in read.items() if value != ["kept under", repr(key)]}
        assert not wrong, "keys that were accepted gave the values of others"
        for location in accepted.values():
            try:
                handler.delete(location)
            except Unsupported:
                return

    @asks("complete")
    def test_existence_is_told_without_reading(self, handler: ResultHandler, place: str, missing: JSON) -> None:
        try:
            assert handler.exists(handler.write(None, key=place)) is True
        except Unsupported:
            self.pointless("`exists` is not supported")
        location = self.nowhere(handler, place, missing)
        assert handler.exists(location) is False
        location = handler.write("x" * self.large, key=place)
        allocated = allocated_by(lambda: handler.exists(location))
        assert allocated < self.large // 2, (
            f"`exists` took {allocated} bytes of memory for a value of {self.large}: it must not read the value"
        )

    @asks("complete")
    def test_deletion_removes_one_value_and_is_harmless_twice(self, handler: ResultHandler, place: str) -> None:
        gone = handler.write("to be deleted", key=f"{place}/a")
        kept = handler.write("to be kept", key=f"{place}/a-b")
        try:
            handler.delete(gone)
        except Unsupported:
            self.pointless("`delete` is not supported")
        self.refusal(NotFound, "reading what was deleted", handler.read, gone)
        handler.delete(gone)
        assert handler.read(kept) == "to be kept"
        assert handler.read(handler.write("again", key=f"{place}/a")) == "again"


def allocated_by(action: Callable[[], object]) -> int:
    """How many bytes of Python's memory `action` held at most: a body that is downloaded passes through there."""
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()
