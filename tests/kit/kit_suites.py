"""The kit on the made-up storage: what a plugin's author would write. Run by `test_kit.py`, in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit_breakages import BROKEN
from kit_remote import TOKEN, Door, RemoteHandler, RemoteStore, Server, TwoMethodHandler

from ckpt import ObjectStore, ResultHandler
from ckpt.testing import BackDoor, ObjectStoreTests, ResultHandlerTests
from ckpt.testing.suites import Suite


@pytest.fixture(scope="session")
def sockets() -> Iterator[Iterator[str]]:
    """Paths for sockets, which may not be long."""
    with tempfile.TemporaryDirectory() as folder:
        yield (f"{folder}/{number}" for number in count())


@pytest.fixture
def server(sockets: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("REFERENCE_TOKEN", TOKEN)
    server = Server(next(sockets))
    yield server
    server.close()


class StoreTests(ObjectStoreTests):
    store_class: ClassVar[Any] = RemoteStore
    many = 60
    large = 1 << 20
    kills = 4

    @pytest.fixture
    def store(self, server: Server) -> ObjectStore:
        return self.store_class(server.path)  # type: ignore[no-any-return]

    @pytest.fixture
    def raw(self, server: Server) -> BackDoor:
        return Door(server)

    @pytest.fixture
    def opener(self, server: Server) -> Callable[[], ObjectStore] | None:
        return partial(self.store_class, server.path)

    @pytest.fixture
    def refused(self, server: Server) -> ObjectStore:
        return self.store_class(server.path, "wrong token")  # type: ignore[no-any-return]

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> ObjectStore:
        return self.store_class(str(tmp_path / "nothing"))  # type: ignore[no-any-return]

    @pytest.fixture
    def secret(self) -> str:
        return TOKEN

    @pytest.fixture
    def downloads(self, server: Server) -> Callable[[], int]:
        return lambda: server.downloaded


class HandlerTests(ResultHandlerTests):
    handler_class: ClassVar[Any] = RemoteHandler
    large = 1 << 20
    kills = 4

    @pytest.fixture
    def handler(self, server: Server) -> ResultHandler:
        return self.handler_class(server.path)  # type: ignore[no-any-return]

    @pytest.fixture
    def raw(self, server: Server) -> BackDoor:
        return Door(server)

    @pytest.fixture
    def refused(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> ResultHandler:
        monkeypatch.setenv("REFERENCE_TOKEN", "wrong token")
        return self.handler_class(server.path)  # type: ignore[no-any-return]

    @pytest.fixture
    def unreachable(self, server: Server, tmp_path: Path) -> ResultHandler:
        return self.handler_class(str(tmp_path / "nothing"))  # type: ignore[no-any-return]

    @pytest.fixture
    def secret(self) -> str:
        return TOKEN


class Expected(Suite):
    """What takes its time, as all with several processes does, is asked only where it must find the breakage."""

    broken: ClassVar[type]
    slow: ClassVar[set[str]] = {
        "test_a_reader_during_a_write_sees_the_old_value",
        "test_large_objects_come_back_the_same",
        "test_large_values_come_back_the_same",
        "test_of_threads_that_create_one_key_one_wins",
        "test_readers_and_writers_in_threads_meet_whole_values_only",
        "test_threads_meet_whole_objects_only",
        "test_threads_share_a_handler_from_its_first_use",
    }

    @pytest.fixture(autouse=True)
    def _quick(self, _reported: None) -> None:
        if self._facts["test"] in self.slow:
            self._expected()

    def shipped(self, subject: object) -> bytes:
        self._expected()
        return super().shipped(subject)

    def _expected(self) -> None:
        if self._facts["test"] not in BROKEN[self.broken][0]:
            self.unasked("it takes its time, and has nothing to find here")


class TestRemoteStore(StoreTests):
    pass


class TestRemoteHandler(HandlerTests):
    pass


class TestTwoMethods(ResultHandlerTests):
    """Only what is needed: the one fixture."""

    large = 1 << 20
    kills = 4

    @pytest.fixture
    def handler(self, server: Server) -> ResultHandler:
        return TwoMethodHandler(server.path)
