"""S3 is a result handler and an object store as the kit understands them, on two servers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, cast

import pytest

from ckpt import JSON, ObjectStore, ResultHandler
from ckpt.testing import BackDoor, ObjectStoreTests, ResultHandlerTests
from ckpt_s3 import S3Connection, S3ResultHandler, S3Store
from tests.servers.running import free_ports
from tests.servers.s3 import BUCKET, KEY_ID, SECRET, S3Server

REFERENCES = {"aws_access_key_id": "env:CKPT_TESTS_KEY_ID", "aws_secret_access_key": "env:CKPT_TESTS_SECRET"}


class Bucket:
    """The bucket, by the SDK itself: what is there, and what is only begun."""

    def __init__(self, server: S3Server) -> None:
        self.client = server.client()

    def read(self, location: JSON) -> bytes:
        return cast("bytes", self.client.get_object(Bucket=BUCKET, Key=location)["Body"].read())

    def write(self, location: JSON, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=location, Body=data)

    def list(self) -> list[JSON]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        begun = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [
            *(each["Key"] for page in pages for each in page.get("Contents", [])),
            *(f"{each['Key']} (upload {each['UploadId']})" for each in begun),
        ]


class SmallPages(S3Store):
    """More than two pages without thousands of requests, and parts as small as S3 takes them."""

    page: ClassVar[int] = 100
    part: ClassVar[int] = 5 << 20


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT_TESTS_KEY_ID", KEY_ID)
    monkeypatch.setenv("CKPT_TESTS_SECRET", SECRET)


@pytest.fixture(autouse=True)
def _sdk_before_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit forks sixteen processes at once; each importing the SDK for itself would be most of the time."""
    (tmp_path / "sitecustomize.py").write_text("import boto3")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def connected(server: S3Server) -> S3Connection:
    return S3Connection(**{**server.options, **REFERENCES})


class _StoreTests(ObjectStoreTests):
    many: ClassVar[int] = 250
    kills = 3

    @pytest.fixture
    def store(self, server: S3Server) -> ObjectStore:
        return SmallPages(BUCKET, connected(server))

    @pytest.fixture
    def raw(self, server: S3Server) -> BackDoor:
        return Bucket(server)

    @pytest.fixture
    def opener(self, server: S3Server) -> Callable[[], ObjectStore]:
        return partial(SmallPages, BUCKET, connected(server))

    @pytest.fixture
    def unreachable(self, server: S3Server) -> ObjectStore:
        [port] = free_ports(1)
        options = {**server.options, "endpoint_url": f"http://127.0.0.1:{port}"}
        return S3Store(BUCKET, S3Connection(**options), retry_seconds=0.1)

    @pytest.fixture
    def secret(self) -> str:
        return SECRET


class _HandlerTests(ResultHandlerTests):
    kills = 3

    @pytest.fixture
    def handler(self, server: S3Server) -> ResultHandler:
        return S3ResultHandler(BUCKET, **{**server.options, **REFERENCES})

    @pytest.fixture
    def raw(self, server: S3Server) -> BackDoor:
        return Bucket(server)

    @pytest.fixture
    def unreachable(self, server: S3Server) -> ResultHandler:
        [port] = free_ports(1)
        options = {**server.options, "endpoint_url": f"http://127.0.0.1:{port}"}
        return S3ResultHandler(BUCKET, **options, retry_seconds=0.1)

    @pytest.fixture
    def secret(self) -> str:
        return SECRET


class OnMoto:
    does_not_apply: ClassVar[dict[str, str]] = {"refused": "moto accepts whatever one signs with"}

    @pytest.fixture
    def server(self, moto: S3Server) -> S3Server:
        return moto


class OnSeaweedFS:
    @pytest.fixture
    def server(self, seaweedfs: S3Server) -> S3Server:
        return seaweedfs


class TestS3StoreOnMoto(OnMoto, _StoreTests):
    pass


class TestS3ResultHandlerOnMoto(OnMoto, _HandlerTests):
    pass


class TestS3StoreOnSeaweedFS(OnSeaweedFS, _StoreTests):
    @pytest.fixture
    def refused(self, server: S3Server) -> ObjectStore:
        return S3Store(BUCKET, S3Connection(**{**server.options, "aws_secret_access_key": "another-secret"}))


class TestS3ResultHandlerOnSeaweedFS(OnSeaweedFS, _HandlerTests):
    @pytest.fixture
    def refused(self, server: S3Server) -> ResultHandler:
        return S3ResultHandler(BUCKET, **{**server.options, "aws_secret_access_key": "another-secret"})
