"""`ckpt check gs://…` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.servers.gcs import BUCKET, GCSServer


def check(place: Path, server: GCSServer, storage: str, *options: str, code: int = 0) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CKPT__", "COLUMNS"))}
    env |= {"STORAGE_EMULATOR_HOST": server.url, "HOME": str(place)}
    command = [Path(sys.executable).with_name("ckpt"), "check", storage, *options]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_bucket_that_is_well_is_said_to_be_so_and_stays_as_it_was(gcs: GCSServer, tmp_path: Path) -> None:
    told = json.loads(check(tmp_path, gcs, f"gs://{BUCKET}/well", "--json"))
    assert [step["id"] for step in told if step["outcome"] == "ok"] == [
        "open",
        "write",
        "head",
        "read",
        "list",
        "delete",
    ]
    assert list(gcs.client().list_blobs(BUCKET, prefix="well")) == []


def test_a_bucket_that_is_missing_is_named_with_how_to_make_it(gcs: GCSServer, tmp_path: Path) -> None:
    shown = check(tmp_path, gcs, "gs://no-such-bucket/x", code=1)
    assert "gcloud storage buckets create gs://no-such-bucket" in " ".join(shown.split())
