"""A value of 300 MB goes up in parts and comes back in ranges: in a process that has hardly more memory than it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ckpt
from ckpt import SafeResult
from ckpt.handlers import Meta
from ckpt_s3 import S3ResultHandler
from tests.servers.proxy import Proxy
from tests.servers.s3 import BUCKET, KEY_ID, SECRET, S3Server

BYTES = 300_000_000
ROOM = 96_000_000
"""Bytes of memory that may be taken beside the value."""

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from ckpt import SafeResult
from ckpt.handlers import Meta
from ckpt_s3 import S3ResultHandler

what, bucket, size = sys.argv[1], sys.argv[2], int(sys.argv[3])

def peak():
    # Not getrusage's ru_maxrss: a process inherits that from the one that started it.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10

handler = S3ResultHandler(bucket, prefix="large")
handler.read(handler.write(np.zeros(1)))
if what == "write":
    value = np.arange(size // 8)
    before = peak()
    stored = handler.store(value, key="large/value", meta=Meta())
    answer = SafeResult.of(stored, handler).to_dict()
else:
    before = peak() + size
    value = SafeResult.from_dict(json.loads(sys.argv[4])).read()
    answer = bool((value == np.arange(size // 8)).all()) if what == "read and compare" else None
print(json.dumps([peak() - before, answer]))
"""


@pytest.fixture
def here(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return seaweedfs


def child(what: str, *given: str) -> tuple[int, Any]:
    command = [sys.executable, "-c", PROGRAM, what, BUCKET, str(BYTES), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    more, answer = json.loads(done.stdout)
    return more, answer


def test_a_large_value_takes_little_memory_beside_itself_up_and_down(here: S3Server) -> None:
    more, safe = child("write")
    assert more <= ROOM
    client = here.client()
    assert client.head_object(Bucket=BUCKET, Key="large/value")["ContentLength"] == safe["size"] > BYTES
    more, _ = child("read", json.dumps(safe))
    assert more <= ROOM
    _, equal = child("read and compare", json.dumps(safe))
    assert equal
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    client.delete_object(Bucket=BUCKET, Key="large/value")


def test_reading_by_the_key_alone_costs_a_head_and_a_get(
    here: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = S3ResultHandler(BUCKET)
    key = handler.store("small", key="by-key/small.ckpt", meta=Meta()).location
    monkeypatch.setenv("CKPT__FLOWS__STORAGE", f"s3://{BUCKET}/by-key")
    monkeypatch.chdir(tmp_path)
    with Proxy(here.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert ckpt.read(str(key)) == "small"
        assert proxy.methods == {"HEAD": 1, "GET": 1}
        read = [Path(sys.executable).with_name("ckpt"), "read", str(key)]
        assert subprocess.run(read, capture_output=True, text=True, check=True).stdout == "'small'\n"
        assert proxy.methods == {"HEAD": 2, "GET": 2}
        pinned = SafeResult(key, S3ResultHandler(BUCKET), size=handler.objects.head(str(key)).size)
        assert pinned.read() == "small"
        assert proxy.methods == {"HEAD": 2, "GET": 3}, "a safe value says the size, so no head is needed"
