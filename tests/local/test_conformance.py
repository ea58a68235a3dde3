"""Files are a result handler and an object store as the kit understands them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from ckpt import JSON, ObjectStore, ResultHandler
from ckpt.testing import BackDoor, ObjectStoreTests, ResultHandlerTests
from ckpt_local import LocalResultHandler, LocalStore

FILES = {
    "secret": "files need no credentials",
    "unreachable": "a folder is there or is made; disks that fail are in test_faults.py",
}


class Folder:
    """The files below a folder, by plain file operations."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, location: JSON) -> bytes:
        return (self.root / cast("str", location)).read_bytes()

    def write(self, location: JSON, data: bytes) -> None:
        path = self.root / cast("str", location)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def list(self) -> list[JSON]:
        return [str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()]


@pytest.fixture
def shut(tmp_path: Path, place: str) -> Path:
    """A folder in which all that a test uses lies behind a symbolic link: root, too, is refused there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / place.partition("/")[0]).symlink_to(tmp_path / "elsewhere")
    return tmp_path / "shut"


class _LocalHandlerTests(ResultHandlerTests):
    does_not_apply = FILES

    @pytest.fixture
    def refused(self, shut: Path) -> ResultHandler:
        return LocalResultHandler(shut)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> BackDoor:
        return Folder(tmp_path / "kept")


class TestLocalResultHandler(_LocalHandlerTests):
    @pytest.fixture
    def handler(self, tmp_path: Path) -> ResultHandler:
        return LocalResultHandler(tmp_path / "kept")


class TestLocalResultHandlerThatDoesNotSync(_LocalHandlerTests):
    @pytest.fixture
    def handler(self, tmp_path: Path) -> ResultHandler:
        return LocalResultHandler(tmp_path / "kept", durability="os")


class TestLocalStore(ObjectStoreTests):
    does_not_apply = FILES

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return LocalStore(tmp_path / "kept")

    @pytest.fixture
    def raw(self, tmp_path: Path) -> BackDoor:
        return Folder(tmp_path / "kept")

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Callable[[], ObjectStore]:
        return partial(LocalStore, tmp_path / "kept")

    @pytest.fixture
    def refused(self, shut: Path) -> ObjectStore:
        return LocalStore(shut)
