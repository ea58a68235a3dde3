"""`ckpt check s3://…` in a process of its own: what is missing is said in words, and nothing is left in the bucket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.proxy import Fault, Proxy
from tests.servers.running import free_ports
from tests.servers.s3 import BUCKET, KEY_ID, SECRET, S3Server

STEPS = ["open", "write", "head", "read", "list", "delete"]


def started(place: Path, storage: str, *options: str, url: str, secret: str = SECRET) -> subprocess.Popen[str]:
    foreign = ("CKPT__", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": secret}
    return subprocess.Popen(
        [Path(sys.executable).with_name("ckpt"), "check", storage, *options],
        cwd=place,
        env={**env, "AWS_DEFAULT_REGION": "us-east-1", "HOME": str(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(place: Path, storage: str, *options: str, url: str, code: int = 0, secret: str = SECRET) -> str:
    process = started(place, storage, *options, url=url, secret=secret)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    assert secret not in out + err
    return out


def keys(server: S3Server, prefix: str) -> list[str]:
    answer = server.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [each["Key"] for each in answer.get("Contents", [])]


@pytest.mark.parametrize("name", ["moto", "seaweedfs"])
def test_a_bucket_that_is_well_is_said_to_be_so_and_stays_as_it_was(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(name)
    told = json.loads(check(tmp_path, f"s3://{BUCKET}/well", "--json", url=server.url))
    assert [(step["id"], step["outcome"]) for step in told] == [(name, "ok") for name in STEPS]
    assert "nothing is missing" in check(tmp_path, f"s3://{BUCKET}/well", url=server.url)
    assert keys(server, "well") == []


def test_a_bucket_that_is_missing_is_named_with_how_to_make_it(moto: S3Server, tmp_path: Path) -> None:
    shown = check(tmp_path, "s3://no-such-bucket/x", url=moto.url, code=1)
    assert "aws s3 mb s3://no-such-bucket" in shown


def test_a_wrong_secret_is_refused_at_every_step(seaweedfs: S3Server, tmp_path: Path) -> None:
    shown = check(tmp_path, f"s3://{BUCKET}/x", url=seaweedfs.url, code=1, secret="not-the-secret")
    assert "no permission to open, write, head, read, list and delete" in shown
    assert "SignatureDoesNotMatch" in shown


def test_a_dead_port_is_unreachable_within_the_time_that_was_given(tmp_path: Path) -> None:
    [port] = free_ports(1)
    shown = check(tmp_path, f"s3://{BUCKET}/x?retry_seconds=0.2", url=f"http://127.0.0.1:{port}", code=1)
    assert "unreachable: 's3://" in shown or "unreachable: s3://" in shown
    assert "endpoint_url" in shown
    assert shown.count("not tried") == len(STEPS) - 1


class _Hangs(Proxy):
    """Answers no head."""

    def drawn(self, method: str) -> Fault | None:
        super().drawn(method)
        return "stalled" if method == "HEAD" else None


def test_ctrl_c_leaves_nothing_behind(moto: S3Server, tmp_path: Path) -> None:
    with _Hangs(moto.url) as proxy:
        process = started(tmp_path, f"s3://{BUCKET}/interrupted", url=proxy.url)
        end = time.monotonic() + 30
        while not proxy.broken["stalled"]:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        assert len(keys(moto, "interrupted/ckpt-check-")) == 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (130, False), out + err
    assert keys(moto, "interrupted") == []
