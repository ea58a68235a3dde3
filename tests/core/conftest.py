"""What the tests of flows share: executors, quiet settings, and a store in memory that can be slow, fail and block."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckpt import ObjectInfo, ObjectResultHandler, ObjectStore, ResultHandler, hookimpl, plugins
from ckpt.errors import NotFound

EXECUTORS = ["local", "threads", "processes"]
IN_THIS_PROCESS = ["local", "threads"]


@pytest.fixture(autouse=True)
def no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked here holds without the record of runs; tests/ledger asks what holds with it."""
    monkeypatch.setenv("CKPT__LEDGER__ENABLED", "false")


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> str:
    """Each executor in turn; what tasks tell such a test goes through files, since they may be in other processes."""
    return str(request.param)


@pytest.fixture(params=IN_THIS_PROCESS)
def here(request: pytest.FixtureRequest) -> str:
    """Each executor whose tasks share the memory of the test."""
    return str(request.param)


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of nobody: an empty home and working folder, no variables, and writes retried without a pause."""
    for name in [name for name in os.environ if name.startswith("CKPT__") and name != "CKPT__LEDGER__ENABLED"]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CKPT__FLOWS__WRITE_RETRY_DELAY", "0")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


class Notes:
    """Remembers across threads and processes what tasks did: one line for each."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, text: object) -> int:
        """Write a line; answer how many equal ones there are now."""
        with self.file.open("a") as out:
            out.write(f"{text}\n")
        return self.all().count(str(text))

    def all(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def wait_for(self, text: object, seconds: float = 10) -> None:
        """Return once the line is there; fail the task after `seconds`."""
        end = time.monotonic() + seconds
        while str(text) not in self.all():
            if time.monotonic() > end:
                raise AssertionError(f"nobody wrote {text!r}")
            time.sleep(0.002)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes.txt")


class MemoryStore(ObjectStore):
    """Objects in a dict. `before` is called with each key before its bytes become visible: to sleep, block or raise."""

    writers = 16

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.before: Callable[[str], object] = lambda key: None
        self.tries: Counter[str] = Counter()
        """Per key, how often it was put, with or without success."""
        self.active = self.most_active = self.active_bytes = self.most_bytes = 0
        self._lock = threading.Lock()

    def put(self, key: str, data: Any, *, overwrite: bool = True) -> ObjectInfo:
        data = bytes(data)
        with self._lock:
            self.tries[key] += 1
            self.active += 1
            self.active_bytes += len(data)
            self.most_active = max(self.most_active, self.active)
            self.most_bytes = max(self.most_bytes, self.active_bytes)
        try:
            self.before(key)
            self.objects[key] = data
        finally:
            with self._lock:
                self.active -= 1
                self.active_bytes -= len(data)
        return self.head(key)

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"there is no {key}")
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key)))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self.head(key) for key in list(self.objects) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def calls(self) -> list[str]:
        """The calls whose values are here: `add-1`, or of mapped children `add-1/0000`."""
        return sorted(key.split("/", 5)[5].removesuffix(".ckpt") for key in self.objects)


class MemoryHandler(ObjectResultHandler):
    """Keeps values in a `MemoryStore` of this process; a pickle finds the store again by its name."""

    storage_type = "memory"
    stores: dict[str, MemoryStore] = {}  # noqa: RUF012  of the class: how a pickle finds the store again

    def __init__(self, store: str = "default", **options: Any) -> None:
        super().__init__(**options)
        self.store_name = store

    def open_store(self) -> MemoryStore:
        return self.stores.setdefault(self.store_name, MemoryStore())

    @property
    def memory(self) -> MemoryStore:
        return self.objects  # type: ignore[return-value]  # what `open_store` gave

    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "store": self.store_name}


class TwoMethodHandler(ResultHandler):
    """What a stranger writes: two methods. `before` as in `MemoryStore`."""

    storage_type = "plain"

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.before: Callable[[str], object] = lambda key: None
        self.tries: Counter[str] = Counter()

    def write(self, value: object, *, key: str | None = None) -> str:
        assert key is not None
        self.tries[key] += 1
        self.before(key)
        self.values[key] = value
        return key

    def read(self, location: Any) -> object:
        return self.values[location]

    def __repr__(self) -> str:
        return "TwoMethodHandler()"


@pytest.fixture
def memory() -> Iterator[MemoryHandler]:
    """A handler over a new store in memory; `memory.memory` is the store."""
    MemoryHandler.stores.clear()
    yield MemoryHandler()
    MemoryHandler.stores.clear()


@pytest.fixture
def two_methods() -> TwoMethodHandler:
    return TwoMethodHandler()


@pytest.fixture
def installed(memory: MemoryHandler) -> Iterator[None]:
    """The storage types `memory` and `plain` as a plugin would bring them."""

    class Plugin:
        @hookimpl
        def ckpt_result_handlers(self) -> list[type[ResultHandler]]:
            return [MemoryHandler, TwoMethodHandler]

    plugin = Plugin()
    plugins.register(plugin)
    yield
    plugins.unregister(plugin)


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """Every record that listeners are told while the test runs."""
    records: list[Any] = []

    class Listener:
        @hookimpl
        def ckpt_task_changed(self, run: Any, record: Any) -> None:
            records.append(record)

    listener = Listener()
    plugins.register(listener)
    yield records
    plugins.unregister(listener)


@pytest.fixture
def failing() -> Callable[..., Callable[[str], None]]:
    """`failing(times, error, part)`: a `before` that raises at the first `times` tries of each key that has `part`."""

    def make(times: float, error: type[Exception] = ConnectionError, part: str = "") -> Callable[[str], None]:
        seen: Counter[str] = Counter()
        lock = threading.Lock()

        def before(key: str) -> None:
            with lock:
                seen[key] += 1
                again = part in key and seen[key] <= times
            if again:
                raise error("the test says no")

        return before

    return make
