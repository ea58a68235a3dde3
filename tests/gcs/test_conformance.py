"""Google Cloud Storage is a result handler and an object store as the kit understands them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from ckpt import JSON, ObjectStore, ResultHandler
from ckpt.testing import BackDoor, ObjectStoreTests, ResultHandlerTests
from ckpt_gcs import GCSConnection, GCSResultHandler, GCSStore
from tests.servers.gcs import BUCKET, GCSServer
from tests.servers.google import ACCOUNTS, Refusing, account
from tests.servers.running import free_ports


class Bucket:
    """The bucket, by the SDK itself."""

    def __init__(self, server: GCSServer) -> None:
        self.bucket = server.client().bucket(BUCKET)

    def read(self, location: JSON) -> bytes:
        return cast("bytes", self.bucket.blob(location).download_as_bytes())

    def write(self, location: JSON, data: bytes) -> None:
        self.bucket.blob(location).upload_from_string(data)

    def list(self) -> list[JSON]:
        return [blob.name for blob in self.bucket.list_blobs()]


class SmallPages(GCSStore):
    """More than two pages without thousands of requests, and parts that soon are many."""

    page: ClassVar[int] = 100
    part: ClassVar[int] = 1 << 20


@pytest.fixture(autouse=True)
def _sdk_before_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit forks sixteen processes at once; each importing the SDK for itself would be most of the time."""
    (tmp_path / "sitecustomize.py").write_text("import google.cloud.storage")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_TESTS_ACCOUNT", json.dumps(account()))


@pytest.fixture(scope="session")
def refusing() -> Iterator[Refusing]:
    with Refusing() as server:
        yield server


@pytest.fixture(scope="session")
def nowhere() -> str:
    [port] = free_ports(1)
    return f"http://127.0.0.1:{port}"


class _Given:
    @pytest.fixture
    def secret(self) -> str:
        """A line of the private key."""
        return account()["private_key"].splitlines()[3]

    @pytest.fixture
    def raw(self, gcs: GCSServer) -> BackDoor:
        return Bucket(gcs)


def connected(url: str) -> GCSConnection:
    return GCSConnection(**options(url))


def options(url: str) -> dict[str, Any]:
    return {"api_endpoint": url, "credentials": "env:CKPT_TESTS_ACCOUNT", "client_kwargs": ACCOUNTS}


class TestGCSStore(_Given, ObjectStoreTests):
    many: ClassVar[int] = 250
    kills = 3

    @pytest.fixture
    def store(self, gcs: GCSServer) -> ObjectStore:
        return SmallPages(BUCKET, connected(gcs.url))

    @pytest.fixture
    def opener(self, gcs: GCSServer) -> Callable[[], ObjectStore]:
        return partial(SmallPages, BUCKET, connected(gcs.url))

    @pytest.fixture
    def unreachable(self, nowhere: str) -> ObjectStore:
        return GCSStore(BUCKET, connected(nowhere), retry_seconds=0.1)

    @pytest.fixture
    def refused(self, refusing: Refusing) -> ObjectStore:
        return GCSStore(BUCKET, connected(refusing.url))


class TestGCSResultHandler(_Given, ResultHandlerTests):
    kills = 3

    @pytest.fixture
    def handler(self, gcs: GCSServer) -> ResultHandler:
        return GCSResultHandler(BUCKET, **options(gcs.url))

    @pytest.fixture
    def unreachable(self, nowhere: str) -> ResultHandler:
        return GCSResultHandler(BUCKET, **options(nowhere), retry_seconds=0.1)

    @pytest.fixture
    def refused(self, refusing: Refusing) -> ResultHandler:
        return GCSResultHandler(BUCKET, **options(refusing.url))
