"""Azure is a result handler and an object store as the kit understands them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, cast

import pytest

from ckpt import JSON, ObjectStore, ResultHandler
from ckpt.testing import BackDoor, ObjectStoreTests, ResultHandlerTests
from ckpt_azure import AzureConnection, AzureResultHandler, AzureStore
from tests.servers.azure import CONTAINER, KEY, AzureServer
from tests.servers.running import free_ports

ANOTHER = base64.b64encode(b"another key").decode()


class Container:
    """The container, by the SDK itself."""

    def __init__(self, server: AzureServer) -> None:
        self.client = server.client()

    def read(self, location: JSON) -> bytes:
        return cast("bytes", self.client.download_blob(location).readall())

    def write(self, location: JSON, data: bytes) -> None:
        self.client.upload_blob(location, data, overwrite=True)

    def list(self) -> list[JSON]:
        return list(self.client.list_blob_names())


class SmallPages(AzureStore):
    """More than two pages without thousands of requests, and more than one block without many bytes."""

    page: ClassVar[int] = 100
    batch_delete: ClassVar[int] = 100
    part: ClassVar[int] = 3 << 19


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_TESTS_KEY", KEY)


@pytest.fixture(autouse=True)
def _sdk_before_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit forks sixteen processes at once; each importing the SDK for itself would be most of the time."""
    (tmp_path / "sitecustomize.py").write_text("import azure.storage.blob")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def connected(server: AzureServer) -> AzureConnection:
    return AzureConnection(**{**server.options, "credential": "env:CKPT_TESTS_KEY"})


def nowhere() -> AzureConnection:
    [port] = free_ports(1)
    return AzureConnection(account_url=f"http://127.0.0.1:{port}/nobody", credential=KEY)


class TestAzureStore(ObjectStoreTests):
    many: ClassVar[int] = 250
    kills = 3

    @pytest.fixture
    def store(self, azurite: AzureServer) -> ObjectStore:
        return SmallPages(CONTAINER, connected(azurite))

    @pytest.fixture
    def raw(self, azurite: AzureServer) -> BackDoor:
        return Container(azurite)

    @pytest.fixture
    def opener(self, azurite: AzureServer) -> Callable[[], ObjectStore]:
        return partial(SmallPages, CONTAINER, connected(azurite))

    @pytest.fixture
    def unreachable(self) -> ObjectStore:
        return AzureStore(CONTAINER, nowhere(), retry_seconds=0.1)

    @pytest.fixture
    def refused(self, azurite: AzureServer) -> ObjectStore:
        return AzureStore(CONTAINER, AzureConnection(**{**azurite.options, "credential": ANOTHER}))

    @pytest.fixture
    def secret(self) -> str:
        return KEY


class TestAzureResultHandler(ResultHandlerTests):
    kills = 3

    @pytest.fixture
    def handler(self, azurite: AzureServer) -> ResultHandler:
        return AzureResultHandler(CONTAINER, **{**azurite.options, "credential": "env:CKPT_TESTS_KEY"})

    @pytest.fixture
    def raw(self, azurite: AzureServer) -> BackDoor:
        return Container(azurite)

    @pytest.fixture
    def unreachable(self) -> ResultHandler:
        [port] = free_ports(1)
        url = f"http://127.0.0.1:{port}/nobody"
        return AzureResultHandler(CONTAINER, account_url=url, credential=KEY, retry_seconds=0.1)

    @pytest.fixture
    def refused(self, azurite: AzureServer) -> ResultHandler:
        return AzureResultHandler(CONTAINER, **{**azurite.options, "credential": ANOTHER})

    @pytest.fixture
    def secret(self) -> str:
        return KEY
