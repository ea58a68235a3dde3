"""What an S3 handler is made from, what of it travels, and what never does."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import ckpt
from ckpt import Flow, SafeResult, Storage, task
from ckpt.errors import AccessDenied, CkptError, ConfigError, StoreUnavailable
from ckpt.handlers import Meta
from ckpt.testing.handler_trust import leaks
from ckpt_s3 import S3Connection, S3ResultHandler, S3Store
from tests.servers.running import free_ports
from tests.servers.s3 import BUCKET, KEY_ID, SECRET, S3Server

CREDENTIALS = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"]


def of(text: str, **table: object) -> S3ResultHandler:
    return S3ResultHandler.from_storage(Storage.parse(text).with_table(table, dict.fromkeys(table, "ckpt.toml")))


def test_a_url_names_bucket_prefix_and_options() -> None:
    handler = of("s3://results/team/a?region_name=eu-west-1&retry_seconds=5")
    assert (handler.bucket, handler.prefix, handler.retry_seconds) == ("results", "team/a", 5.0)
    assert handler.to_spec() == {
        "type": "s3", "bucket": "results", "prefix": "team/a", "region_name": "eu-west-1", "retry_seconds": 5.0
    }  # fmt: skip
    assert repr(S3ResultHandler.from_spec(handler.to_spec())) == repr(handler)


def test_a_table_gives_what_the_url_does_not() -> None:
    handler = of(
        "s3", bucket="results", boto3_kwargs={"use_ssl": False, "config": {"s3": {"addressing_style": "path"}}}
    )
    assert handler.bucket == "results"
    assert handler.to_spec()["boto3_kwargs"] == {"use_ssl": False, "config": {"s3": {"addressing_style": "path"}}}
    assert of("s3://here/x", bucket="there", prefix="y").to_spec() == {"type": "s3", "bucket": "here", "prefix": "x"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3", "names no bucket"),
        ("s3://localhost:9000/bucket", "endpoint_url"),
        ("s3://bucket?regoin_name=x", "region_name"),
        ("s3://bucket?bucket=other", "two of bucket"),
        ("s3://bucket?endpoint_url=localhost", "no scheme"),
        ("s3://bucket?aws_access_key_id=env:X", "aws_secret_access_key"),
        ("s3://bucket?retry_seconds=-1", "retry_seconds"),
        ("s3://bucket?request_timeout=0", "request_timeout"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        of(text)


def test_arguments_of_the_user_are_not_changed() -> None:
    given = {"config": {"s3": {"addressing_style": "path"}}, "use_ssl": False}
    before = copy.deepcopy(given)
    S3Connection(region_name="us-east-1", boto3_kwargs=given).client()
    assert given == before


@pytest.mark.parametrize("name", [*CREDENTIALS, "boto3_kwargs"])
def test_a_credential_given_as_a_value_goes_nowhere(name: str) -> None:
    options: dict[str, Any] = {"aws_access_key_id": "env:A", "aws_secret_access_key": "env:B"}
    options[name] = {"aws_session_token": "canary-secret"} if name == "boto3_kwargs" else "canary-secret"
    handler = S3ResultHandler("bucket", **options)
    for pickled in (pickle.dumps, cloudpickle.dumps):
        with pytest.raises(ConfigError, match="env:NAME") as caught:
            pickled(handler)
        assert "canary" not in str(caught.value)
    told = f"{handler!r} {handler.to_spec()} {handler.connection!r} {S3Store('bucket', handler.connection)!r}"
    told += repr(SafeResult("key", handler).to_dict())
    assert "canary" not in told
    assert copy.copy(handler).connection is handler.connection


def test_a_proxy_with_a_password_goes_nowhere() -> None:
    from botocore.config import Config

    proxies = {"https": "http://user:canary@proxy:80"}
    for config in (Config(proxies=proxies), {"proxies": proxies}):
        handler = S3ResultHandler("bucket", boto3_kwargs={"config": config})
        assert "canary" not in repr(handler)
        with pytest.raises(ConfigError):
            pickle.dumps(handler)


def test_references_travel_and_are_looked_up_where_they_are_used(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    options = {
        **moto.options,
        "aws_access_key_id": "env:CKPT_T",
        "aws_secret_access_key": f"file:{tmp_path / 'secret'}",
    }
    handler = pickle.loads(pickle.dumps(S3ResultHandler(BUCKET, **options)))
    with pytest.raises(ConfigError, match="CKPT_T"):
        handler.write(1)
    monkeypatch.setenv("CKPT_T", "an-id")
    credentials = handler.connection.client()[0]._request_signer._credentials
    assert (credentials.access_key, credentials.secret_key) == ("an-id", "from-a-file")
    assert handler.read(handler.write(1)) == 1
    assert S3ResultHandler.from_spec(json.loads(json.dumps(handler.to_spec()))).to_spec() == handler.to_spec()


@pytest.mark.parametrize("given", ["options", "boto3_kwargs", "environment"])
def test_no_credential_is_told_anywhere(
    given: str, moto: S3Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries = {name: f"canary-{given}-{name}" for name in CREDENTIALS}
    options = {name: value for name, value in moto.options.items() if name not in CREDENTIALS}
    if given == "environment":
        canaries = {"aws_session_token": canaries["aws_session_token"]}  # the id is no secret, and signs every request
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_SESSION_TOKEN", canaries["aws_session_token"])
    elif given == "options":
        options |= canaries
    else:
        options["boto3_kwargs"] = canaries
    caplog.set_level(logging.DEBUG, logger="")
    handler = S3ResultHandler(BUCKET, **options)
    stored = handler.store(["a", "value"], key=f"canary/{given}", meta=Meta())
    safe = SafeResult.of(stored, handler)
    told: dict[str, str | bytes] = {
        "safe": f"{safe!r} {safe.to_dict()} {pickle.dumps(safe)!r}",
        "stored": bytes(memoryview(handler.raw(stored.location))),
        "header": repr(handler.meta(stored.location)),
        "metadata": repr(moto.client().head_object(Bucket=BUCKET, Key=f"canary/{given}")),
    }
    with pytest.raises(CkptError) as caught:
        handler.read("never/written")
    told["error"] = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "x-amz-security-token" in caplog.text.lower(), "the SDK no longer logs what this test looks for"
    told["log"] = caplog.text
    for canary in canaries.values():
        assert leaks(canary, told) == []


def test_a_missing_bucket_is_found_before_any_task_runs(moto: S3Server) -> None:
    ran: list[int] = []
    one = task(lambda: ran.append(1))
    with Flow("f", result_handler=S3ResultHandler("no-such-bucket", **moto.options)) as flow:
        one()
    with pytest.raises(ConfigError, match="aws s3 mb s3://no-such-bucket"):
        flow.run(checkpointing=True)
    assert ran == []


def test_wrong_keys_are_found_before_any_task_runs(seaweedfs: S3Server) -> None:
    options = {**seaweedfs.options, "aws_secret_access_key": "another-secret"}
    with pytest.raises(AccessDenied, match="check the keys"):
        S3ResultHandler(BUCKET, **options).for_run()


def test_no_credentials_at_all_are_named(moto: S3Server) -> None:
    handler = S3ResultHandler(BUCKET, endpoint_url=moto.url, region_name="us-east-1")
    with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID"):
        handler.write(1)
    with pytest.raises(ConfigError, match="nobody"):
        S3ResultHandler(BUCKET, profile_name="nobody").write(1)


def test_a_plain_credential_is_refused_by_worker_processes_before_any_task_runs(moto: S3Server, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    one = task(lambda: mark.write_text("ran"))
    with Flow("f", result_handler=S3ResultHandler(BUCKET, **moto.options)) as flow:
        one()
    with pytest.raises(ConfigError, match="env:NAME"):
        flow.run(checkpointing=True, executor="processes")
    assert not mark.exists()


def test_a_dead_server_is_unavailable_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    [port] = free_ports(1)
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    handler = S3ResultHandler(BUCKET, endpoint_url=f"http://127.0.0.1:{port}", retry_seconds=3, **keys)
    slept: list[float] = []
    now = [time.monotonic()]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now.append(now[-1] + seconds)

    monkeypatch.setattr("ckpt.attempts.time.sleep", sleep)
    monkeypatch.setattr("ckpt.attempts.time.monotonic", lambda: now[-1])
    with pytest.raises(StoreUnavailable, match="retry_seconds"):
        handler.write(1)
    assert sum(slept) == pytest.approx(3)


@task
def numbers() -> list[int]:
    return list(range(100))


@task
def table(of: list[int]) -> dict[str, object]:
    return {"sum": sum(of), "text": "ż" * 70_000, "none": None}


@task
def large(of: dict[str, object]) -> bytes:
    return str(of["sum"]).encode() * 400_000


def test_one_flow_gives_the_same_digests_everywhere(
    moto: S3Server, seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.options.items():
        if name.startswith("aws_"):
            monkeypatch.setenv(name.upper(), value)
    urls = [f"s3://{BUCKET}/demo?endpoint_url={server.url}" for server in (moto, seaweedfs)]
    seen = []
    for storage in (tmp_path.as_uri(), *urls):
        with Flow("demo", storage=storage) as flow:
            calls = [numbers()]
            calls.append(table(calls[-1]))
            calls.append(large(calls[-1]))
        state = flow.run(executor="threads")
        assert state.is_successful(), state.message
        safes = [state.result[call].safe_value for call in calls]
        seen.append([(safe.digest, ckpt.read(safe.to_dict())) for safe in safes])
        if storage in urls:
            assert [safe.value.split("/")[0] for safe in safes] == ["demo"] * 3
            body = moto if storage == urls[0] else seaweedfs
            client = body.client()
            plain = [client.get_object(Bucket=BUCKET, Key=safe.value)["Body"].read() for safe in safes]
            assert [pickle.loads(data) for data in plain] == [value for _, value in seen[-1]]
    assert seen[0] == seen[1] == seen[2]
