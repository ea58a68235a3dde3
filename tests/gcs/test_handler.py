"""What a GCS handler is made from, what of it travels, and what never does."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import ckpt
from ckpt import Flow, SafeResult, Storage, task
from ckpt.errors import AccessDenied, CkptError, ConfigError, StoreUnavailable
from ckpt.handlers import Meta
from ckpt.plugins import handler_class
from ckpt.testing.handler_trust import leaks
from ckpt_gcs import GCSConnection, GCSResultHandler, GCSStore
from tests.servers.gcs import BUCKET, GCSServer
from tests.servers.google import ACCOUNTS, Refusing, account
from tests.servers.running import free_ports


def of(text: str, **table: object) -> GCSResultHandler:
    return GCSResultHandler.from_storage(Storage.parse(text).with_table(table, dict.fromkeys(table, "ckpt.toml")))


def token(text: str) -> Any:
    """Credentials of the SDK that are this token."""
    from google.oauth2.credentials import Credentials

    return Credentials(text)


def test_a_url_names_bucket_prefix_and_options() -> None:
    handler = of("gs://results/team/a?project=research&retry_seconds=5")
    assert (handler.bucket, handler.prefix, handler.retry_seconds) == ("results", "team/a", 5.0)
    assert handler.to_spec() == {
        "type": "gcs", "bucket": "results", "prefix": "team/a", "project": "research", "retry_seconds": 5.0
    }  # fmt: skip
    assert repr(GCSResultHandler.from_spec(handler.to_spec())) == repr(handler)


def test_a_table_gives_what_the_url_does_not() -> None:
    kwargs = {"client_options": {"quota_project_id": "pays"}, "use_auth_w_custom_endpoint": False}
    handler = of("gcs", bucket="results", client_kwargs=kwargs, credentials="file:/run/secrets/account")
    assert handler.bucket == "results"
    assert handler.to_spec()["client_kwargs"] == kwargs
    assert handler.to_spec()["credentials"] == "file:/run/secrets/account"
    assert of("gs://here/x", bucket="there", prefix="y").to_spec() == {"type": "gcs", "bucket": "here", "prefix": "x"}


@pytest.mark.parametrize("url", ["gs://results/a", "gcs://results/a"])
def test_both_schemes_lead_here(url: str) -> None:
    storage = Storage.parse(url)
    assert handler_class(storage.type) is GCSResultHandler
    handler = GCSResultHandler.from_storage(storage)
    assert (handler.bucket, handler.prefix) == ("results", "a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gs", "names no bucket"),
        ("gs://localhost:9000/bucket", "api_endpoint"),
        ("gs://bucket?porject=x", "project"),
        ("gs://bucket?bucket=other", "two of bucket"),
        ("gs://bucket?api_endpoint=localhost", "no scheme"),
        ("gs://bucket?retry_seconds=-1", "retry_seconds"),
        ("gs://bucket?request_timeout=0", "request_timeout"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        of(text)


@pytest.mark.parametrize("text", ["no json", "[]", '{"type": "external_account"}', '{"type": "service_account"}'])
def test_what_a_reference_leads_to_has_to_be_an_account(text: str, tmp_path: Path) -> None:
    (tmp_path / "account").write_text(text)
    with pytest.raises(ConfigError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        GCSResultHandler("bucket", credentials=f"file:{tmp_path / 'account'}").write(1)
    with pytest.raises(ConfigError, match="leads nowhere"):
        GCSResultHandler("bucket", credentials=f"file:{tmp_path / 'none'}").write(1)


def test_the_text_of_an_account_is_no_reference() -> None:
    with pytest.raises(ConfigError, match="file:PATH") as caught:
        GCSResultHandler("bucket", credentials='{"private_key": "canary"}')
    assert "canary" not in str(caught.value)


def test_the_sdk_finds_credentials_as_it_always_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "account").write_text(json.dumps({**account(), "universe_domain": "googleapis.com"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account"))
    client, _ = GCSConnection().client()
    assert client._credentials.service_account_email == account()["client_email"]
    assert client.api_endpoint == "https://storage.googleapis.com"


def test_an_emulator_is_found_as_the_sdk_finds_it(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    handler = of(f"gs://{BUCKET}/emulated")
    assert handler.read(handler.write("x")) == "x"


def test_arguments_of_the_user_are_not_changed() -> None:
    given = {"client_options": {"scopes": ["a-scope"]}, "use_auth_w_custom_endpoint": False, "api_key": None}
    before = copy.deepcopy(given)
    client, _ = GCSConnection(api_endpoint="http://127.0.0.1:1", client_kwargs=given).client()
    assert given == before
    assert client.api_endpoint == "http://127.0.0.1:1"


PLAIN: list[dict[str, Any]] = [
    {"credentials": token("canary-secret")},
    {"client_kwargs": {"api_key": "canary-secret"}},
    {"client_kwargs": {"client_options": {"api_key": "canary-secret"}}},
    {"client_kwargs": {"extra_headers": {"Authorization": "canary-secret"}}},
]


@pytest.mark.parametrize("options", PLAIN)
def test_a_credential_given_as_a_value_goes_nowhere(options: dict[str, Any]) -> None:
    handler = GCSResultHandler("bucket", **options)
    for pickled in (pickle.dumps, cloudpickle.dumps):
        with pytest.raises(ConfigError, match="env:NAME") as caught:
            pickled(handler)
        assert "canary" not in str(caught.value)
    told = f"{handler!r} {handler.to_spec()} {handler.connection!r} {GCSStore('bucket', handler.connection)!r}"
    told += repr(SafeResult("key", handler).to_dict())
    assert "canary" not in told
    assert copy.copy(handler).connection is handler.connection


def test_an_object_of_options_with_a_key_goes_nowhere() -> None:
    from google.api_core.client_options import ClientOptions

    handler = GCSResultHandler("bucket", client_kwargs={"client_options": ClientOptions(api_key="canary")})
    assert "canary" not in f"{handler!r} {handler.to_spec()}"
    with pytest.raises(ConfigError):
        pickle.dumps(handler)


def test_references_travel_and_are_looked_up_where_they_are_used(
    gcs: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"api_endpoint": gcs.url, "client_kwargs": ACCOUNTS, "credentials": "env:CKPT_T"}
    handler = pickle.loads(pickle.dumps(GCSResultHandler(BUCKET, **options)))
    with pytest.raises(ConfigError, match="CKPT_T"):
        handler.write(1)
    monkeypatch.setenv("CKPT_T", json.dumps(account()))
    assert handler.connection.client()[0]._credentials.service_account_email == account()["client_email"]
    assert handler.read(handler.write(1)) == 1
    assert GCSResultHandler.from_spec(json.loads(json.dumps(handler.to_spec()))).to_spec() == handler.to_spec()


class Records(logging.Handler):
    """All that is logged, with what hangs on the records, as a formatter to JSON would show it."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()} {record.__dict__}\n"


@pytest.fixture
def records() -> Any:
    """What the SDK says at DEBUG: google-auth says nothing unless its own logger is set up."""
    handler = Records()
    loggers = [logging.getLogger(name) for name in ("", "google")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield handler
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.mark.parametrize("given", ["token", "account", "header"])
def test_no_credential_is_told_anywhere(
    given: str, gcs: GCSServer, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPT_T", json.dumps(account()))
    options, secrets = {
        "token": ({"credentials": token("canary-token")}, ["canary-token"]),
        "account": (
            {"credentials": "env:CKPT_T", "client_kwargs": ACCOUNTS},
            [account()["private_key"].splitlines()[3], account()["private_key_id"]],
        ),
        "header": (
            {"client_kwargs": {**gcs.options["client_kwargs"], "extra_headers": {"Authorization": "canary-header"}}},
            ["canary-header"],
        ),
    }[given]
    handler = GCSResultHandler(BUCKET, api_endpoint=gcs.url, **options)
    stored = handler.store(["a", "value"], key=f"canary/{given}", meta=Meta())
    large = handler.store(bytes(9 << 20), key=f"canary/{given}-large", meta=Meta())
    handler.fetch(SafeResult.of(large, handler))
    safe = SafeResult.of(stored, handler)
    told: dict[str, str | bytes] = {
        "safe": f"{safe!r} {safe.to_dict()} {pickle.dumps(safe)!r}",
        "stored": bytes(memoryview(handler.raw(stored.location))),
        "header": repr(handler.meta(stored.location)),
        "metadata": repr(gcs.client().bucket(BUCKET).get_blob(f"canary/{given}")._properties),
    }
    with pytest.raises(CkptError) as caught:
        handler.read("never/written")
    told["error"] = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "Making request" in records.text, "the SDK no longer logs what this test looks for"
    assert "upload_id=***" in records.text, "the SDK no longer logs the sessions of uploads"
    used = handler.objects._client[0]._credentials.token  # type: ignore[attr-defined]
    told["log"] = records.text
    for secret in [*secrets, *([used] if used else [])]:
        assert leaks(secret, told) == []


def test_the_session_of_an_upload_is_in_no_error(gcs: GCSServer) -> None:
    [port] = free_ports(1)
    made = GCSStore(BUCKET, GCSConnection(**gcs.options), retry_seconds=0)
    writer = made.open_write("session")
    writer.write(bytes(8 << 20))
    writer._sent[0].result()  # type: ignore[attr-defined]
    upload = writer._upload  # type: ignore[attr-defined]
    name = upload._url.partition("upload_id=")[2]
    upload._url = f"http://127.0.0.1:{port}/upload?upload_id={name}"
    with pytest.raises(StoreUnavailable) as caught:
        writer.commit()
    assert "upload_id=***" in str(caught.value)
    assert name not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_a_missing_bucket_is_found_before_any_task_runs(gcs: GCSServer) -> None:
    ran: list[int] = []
    one = task(lambda: ran.append(1))
    with Flow("f", result_handler=GCSResultHandler("no-such-bucket", **gcs.options)) as flow:
        one()
    with pytest.raises(ConfigError, match="gcloud storage buckets create gs://no-such-bucket"):
        flow.run(checkpointing=True)
    assert ran == []


def test_refused_credentials_are_found_before_any_task_runs() -> None:
    with Refusing() as server, pytest.raises(AccessDenied, match="gcloud auth application-default login"):
        GCSResultHandler(BUCKET, api_endpoint=server.url, credentials=token("no-good")).for_run()


def test_no_credentials_at_all_are_named() -> None:
    with pytest.raises(AccessDenied, match="gcloud auth application-default login"):
        GCSResultHandler(BUCKET).write(1)


def test_a_plain_credential_is_refused_by_worker_processes_before_any_task_runs(gcs: GCSServer, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    one = task(lambda: mark.write_text("ran"))
    handler = GCSResultHandler(BUCKET, api_endpoint=gcs.url, credentials=token("a-token"))
    with Flow("f", result_handler=handler) as flow:
        one()
    with pytest.raises(ConfigError, match="env:NAME"):
        flow.run(checkpointing=True, executor="processes")
    assert not mark.exists()


def test_a_dead_server_is_unavailable_in_bounded_time(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    options = {**gcs.options, "api_endpoint": f"http://127.0.0.1:{port}"}
    handler = GCSResultHandler(BUCKET, retry_seconds=3, **options)
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
    gcs: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    seen = []
    for storage in (tmp_path.as_uri(), f"gs://{BUCKET}/demo"):
        with Flow("demo", storage=storage) as flow:
            calls = [numbers()]
            calls.append(table(calls[-1]))
            calls.append(large(calls[-1]))
        state = flow.run(executor="threads")
        assert state.is_successful(), state.message
        safes = [state.result[call].safe_value for call in calls]
        seen.append([(safe.digest, ckpt.read(safe.to_dict())) for safe in safes])
    assert seen[0] == seen[1]
    assert [safe.value.split("/")[0] for safe in safes] == ["demo"] * 3
    bucket = gcs.client().bucket(BUCKET)
    plain = [bucket.blob(safe.value).download_as_bytes() for safe in safes]
    assert [pickle.loads(data) for data in plain] == [value for _, value in seen[1]]
