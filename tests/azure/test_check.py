"""`ckpt check az://…` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.servers.azure import CONTAINER, KEY, AzureServer


def check(place: Path, server: AzureServer, storage: str, *options: str, key: str = KEY, code: int = 0) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CKPT__", "COLUMNS"))}
    env |= {"AZURE_STORAGE_CONNECTION_STRING": server.connection_string.replace(KEY, key), "HOME": str(place)}
    command = [Path(sys.executable).with_name("ckpt"), "check", storage, *options]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert key not in done.stdout + done.stderr
    return done.stdout


def test_a_container_that_is_well_is_said_to_be_so_and_stays_as_it_was(azurite: AzureServer, tmp_path: Path) -> None:
    told = json.loads(check(tmp_path, azurite, f"az://{CONTAINER}/well", "--json"))
    assert [step["id"] for step in told if step["outcome"] == "ok"] == [
        "open",
        "write",
        "head",
        "read",
        "list",
        "delete",
    ]
    assert list(azurite.client().list_blobs(name_starts_with="well")) == []


def test_a_container_that_is_missing_is_named_with_how_to_make_it(azurite: AzureServer, tmp_path: Path) -> None:
    shown = check(tmp_path, azurite, "az://no-such-container/x", code=1)
    assert "az storage container create --name no-such-container" in " ".join(shown.split())


def test_a_wrong_key_is_refused_at_every_step(azurite: AzureServer, tmp_path: Path) -> None:
    wrong = KEY[:10] + ("A" if KEY[10] != "A" else "B") + KEY[11:]
    shown = check(tmp_path, azurite, f"az://{CONTAINER}/x", key=wrong, code=1)
    assert "no permission to open, write, head, read, list and delete" in " ".join(shown.split())
