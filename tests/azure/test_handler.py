"""What an Azure handler is made from, what of it travels, and what never does."""

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
from ckpt.errors import AccessDenied, CkptError, ConfigError, NotFound, StoreUnavailable
from ckpt.handlers import Meta
from ckpt.testing.handler_trust import leaks
from ckpt_azure import AzureConnection, AzureResultHandler, AzureStore
from tests.servers.azure import ACCOUNT, CONTAINER, KEY, AzureServer
from tests.servers.running import free_ports

URL = "https://account.blob.core.windows.net"
CANARY = "canary0secret0canary"


class Token:
    """A credential as azure-identity's are, with something to hide."""

    secret = CANARY

    def get_token(self, *_: object, **__: object) -> object:
        from azure.core.credentials import AccessToken

        return AccessToken(self.secret, int(time.time()) + 3600)


def plain_ones() -> dict[str, dict[str, Any]]:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    return {
        "account key": {"account_url": URL, "credential": CANARY},
        "SAS": {"account_url": URL, "credential": f"sv=2022-11-02&sig={CANARY}"},
        "SAS in account_url": {"account_url": f"{URL}/?sv=2022-11-02&sig={CANARY}"},
        "connection string": {"connection_string": f"AccountName=a;AccountKey={CANARY}"},
        "connection string with a SAS": {
            "connection_string": f"BlobEndpoint={URL};SharedAccessSignature=sv=1&sig={CANARY}"
        },
        "token": {"account_url": URL, "credential": Token()},
        "named key": {"account_url": URL, "credential": AzureNamedKeyCredential("account", CANARY)},
        "SAS object": {"account_url": URL, "credential": AzureSasCredential(f"sv=1&sig={CANARY}")},
        "table": {"account_url": URL, "credential": {"account_name": "account", "account_key": CANARY}},
        "proxy": {
            "connection_string": "env:NOWHERE",
            "client_kwargs": {"proxies": {"https": f"http://user:{CANARY}@proxy:80"}},
        },
    }


def of(text: str, **table: object) -> AzureResultHandler:
    return AzureResultHandler.from_storage(Storage.parse(text).with_table(table, dict.fromkeys(table, "ckpt.toml")))


def test_a_url_names_container_prefix_and_options() -> None:
    handler = of(f"az://results/team/a?account_url={URL}&retry_seconds=5")
    assert (handler.container, handler.prefix, handler.retry_seconds) == ("results", "team/a", 5.0)
    assert handler.to_spec() == {
        "type": "azure", "container": "results", "prefix": "team/a", "account_url": URL, "retry_seconds": 5.0
    }  # fmt: skip
    assert repr(AzureResultHandler.from_spec(handler.to_spec())) == repr(handler)


def test_a_table_gives_what_the_url_does_not() -> None:
    handler = of("azure", container="results", account_url=URL, client_kwargs={"api_version": "2024-11-04"})
    assert handler.container == "results"
    assert handler.to_spec()["client_kwargs"] == {"api_version": "2024-11-04"}
    assert of("az://here/x", container="there", prefix="y").to_spec() == {
        "type": "azure", "container": "here", "prefix": "x"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("azure", "names no container"),
        ("az://localhost:9000/container", "account_url"),
        ("az://Container", "is no container"),
        ("az://results?acount_url=x", "account_url"),
        ("az://results?container=other", "two of container"),
        ("az://results?account_url=account.blob.core.windows.net", "no scheme"),
        ("az://results?credential=env:X", "without account_url"),
        (f"az://results?account_url={URL}&connection_string=env:X", "one of them"),
        ("az://results?retry_seconds=-1", "retry_seconds"),
        ("az://results?request_timeout=0", "request_timeout"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        of(text)


def test_arguments_of_the_user_are_not_changed_and_win() -> None:
    given = {"api_version": "2024-11-04", "proxies": {"https": "http://proxy:80"}, "retry_total": 2}
    before = copy.deepcopy(given)
    client, _ = AzureConnection(account_url=URL, credential=KEY, client_kwargs=given).client("container")
    assert given == before
    assert (client.api_version, client._config.retry_policy.total_retries) == ("2024-11-04", 2)


@pytest.mark.parametrize("name", plain_ones())
def test_a_credential_given_as_a_value_goes_nowhere(name: str) -> None:
    handler = AzureResultHandler("container", **plain_ones()[name])
    for pickled in (pickle.dumps, cloudpickle.dumps):
        with pytest.raises(ConfigError, match="env:NAME") as caught:
            pickled(handler)
        assert "canary" not in str(caught.value)
    told = f"{handler!r} {handler.to_spec()} {handler.connection!r} {AzureStore('container', handler.connection)!r}"
    told += repr(SafeResult("key", handler).to_dict())
    assert "canary" not in told
    if "account_url" in plain_ones()[name]:
        assert handler.to_spec()["account_url"].rstrip("/") == URL, "the account is no secret"  # type: ignore[union-attr]
    assert copy.copy(handler).connection is handler.connection


def test_a_connection_string_without_a_key_is_no_credential() -> None:
    handler = AzureResultHandler("container", connection_string=f"BlobEndpoint={URL}", credential="env:KEY")
    assert repr(pickle.loads(pickle.dumps(handler))) == repr(handler)
    assert URL in repr(handler)


@pytest.mark.parametrize("option", ["credential", "account_url", "connection_string", "table"])
def test_references_travel_and_are_looked_up_where_they_are_used(
    option: str, azurite: AzureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "credential": KEY,
        "account_url": f"{azurite.url}/{ACCOUNT}?{azurite.sas()}",
        "connection_string": azurite.connection_string,
        "table": KEY,
    }
    given: dict[str, Any] = {option: "env:CKPT_T"}
    if option == "credential":
        given["account_url"] = azurite.options["account_url"]
    elif option == "table":
        table = {"account_name": ACCOUNT, "account_key": "env:CKPT_T"}
        given = {"account_url": azurite.options["account_url"], "credential": table}
    handler = pickle.loads(pickle.dumps(AzureResultHandler(CONTAINER, **given)))
    with pytest.raises(ConfigError, match="CKPT_T"):
        handler.write(1)
    monkeypatch.setenv("CKPT_T", values[option])
    assert handler.read(handler.write(1)) == 1
    assert AzureResultHandler.from_spec(json.loads(json.dumps(handler.to_spec()))).to_spec() == handler.to_spec()
    (tmp_path / "secret").write_text(values[option] + "\n")
    if option != "table":
        by_file = AzureResultHandler(CONTAINER, **{**given, option: f"file:{tmp_path / 'secret'}"})
        assert by_file.read(by_file.write(2)) == 2


def test_the_environment_names_an_account_as_for_the_az_command(
    azurite: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = AzureResultHandler(CONTAINER)
    with pytest.raises(ConfigError, match="AZURE_STORAGE_CONNECTION_STRING"):
        handler.write(1)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    assert handler.read(handler.write(1)) == 1
    assert handler.to_spec() == {"type": "azure", "container": CONTAINER}


@pytest.mark.parametrize("given", ["key", "sas", "url", "string", "environment"])
def test_no_credential_is_told_anywhere(
    given: str, azurite: AzureServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import unquote

    sas = azurite.sas()
    signature = sas.partition("sig=")[2].partition("&")[0]
    secrets = [signature, unquote(signature)] if given in ("sas", "url") else [KEY]
    url = azurite.options["account_url"]
    options: dict[str, Any] = {
        "key": {"account_url": url, "credential": KEY},
        "sas": {"account_url": url, "credential": sas},
        "url": {"account_url": f"{url}?{sas}"},
        "string": {"connection_string": azurite.connection_string},
        "environment": {},
    }[given]
    if given == "environment":
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    caplog.set_level(logging.DEBUG, logger="")
    handler = AzureResultHandler(CONTAINER, client_kwargs={"logging_enable": True}, retry_seconds=0, **options)
    stored = handler.store(["a", "value"], key=f"canary/{given}", meta=Meta())
    safe = SafeResult.of(stored, handler)
    told: dict[str, str | bytes] = {
        "safe": f"{safe!r} {safe.to_dict()} {pickle.dumps(safe)!r}",
        "stored": bytes(memoryview(handler.raw(stored.location))),
        "header": repr(handler.meta(stored.location)),
        "metadata": repr(azurite.client().get_blob_client(f"canary/{given}").get_blob_properties()),
    }
    with pytest.raises(NotFound) as missing:
        handler.read("never/written")
    [port] = free_ports(1)
    nowhere = {name: text.replace(azurite.host, f"127.0.0.1:{port}") for name, text in options.items()}
    if nowhere:
        with pytest.raises(StoreUnavailable) as dead:
            AzureResultHandler(CONTAINER, retry_seconds=0, **nowhere).write(1)
        told["dead"] = f"{dead.value!r} {dead.value.__cause__!r} {dead.value.__context__!r}"
    error: CkptError = missing.value
    told["error"] = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    if "sas" in options.get("credential", "") or given == "url":
        assert "sig=" in caplog.text, "the SDK no longer logs what this test looks for"
    assert "GET /" in caplog.text
    told["log"] = caplog.text
    for secret in secrets:
        assert leaks(secret, told) == []


def test_a_missing_container_is_found_before_any_task_runs(azurite: AzureServer) -> None:
    ran: list[int] = []
    one = task(lambda: ran.append(1))
    with Flow("f", result_handler=AzureResultHandler("no-such-container", **azurite.options)) as flow:
        one()
    with pytest.raises(ConfigError, match="az storage container create --name no-such-container"):
        flow.run(checkpointing=True)
    assert ran == []


@pytest.mark.parametrize("credential", ["YW5vdGhlciBrZXk=", "no base64", "sv=2022-11-02&sig=YQ%3D%3D"])
def test_wrong_keys_are_found_before_any_task_runs(azurite: AzureServer, credential: str) -> None:
    with pytest.raises(AccessDenied) as caught:
        AzureResultHandler(CONTAINER, **{**azurite.options, "credential": credential}).for_run()
    assert credential not in str(caught.value)


def test_a_sas_that_may_only_write_is_good_for_writing(azurite: AzureServer) -> None:
    from azure.storage.blob import AccountSasPermissions

    sas = azurite.sas(permission=AccountSasPermissions(write=True, create=True))
    handler = AzureResultHandler(CONTAINER, **{**azurite.options, "credential": sas}).for_run()
    location = handler.write("kept")
    with pytest.raises(AccessDenied, match="role"):
        handler.read(location)


def test_no_credentials_at_all_are_named(azurite: AzureServer) -> None:
    handler = AzureResultHandler(CONTAINER, account_url=azurite.options["account_url"])
    with pytest.raises(ConfigError, match="pip install azure-identity"):
        handler.write(1)


def test_a_plain_credential_is_refused_by_worker_processes_before_any_task_runs(
    azurite: AzureServer, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    one = task(lambda: mark.write_text("ran"))
    with Flow("f", result_handler=AzureResultHandler(CONTAINER, **azurite.options)) as flow:
        one()
    with pytest.raises(ConfigError, match="env:NAME"):
        flow.run(checkpointing=True, executor="processes")
    assert not mark.exists()


def test_a_dead_server_is_unavailable_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/nobody"
    handler = AzureResultHandler("container", account_url=url, credential=KEY, retry_seconds=3)
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


def test_the_folders_of_an_account_that_has_them_are_no_values(azurite: AzureServer) -> None:
    azurite.client().upload_blob("folders/a", b"", metadata={"hdi_isfolder": "true"}, overwrite=True)
    store = AzureStore(CONTAINER, AzureConnection(**azurite.options))
    store.put("folders/a/b", b"x")
    assert [info.key for info in store.list("folders")] == ["folders/a/b"]


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
    azurite: AzureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    seen = []
    for storage in (tmp_path.as_uri(), f"az://{CONTAINER}/demo"):
        with Flow("demo", storage=storage) as flow:
            calls = [numbers()]
            calls.append(table(calls[-1]))
            calls.append(large(calls[-1]))
        state = flow.run(executor="threads")
        assert state.is_successful(), state.message
        safes = [state.result[call].safe_value for call in calls]
        seen.append([(safe.digest, ckpt.read(safe.to_dict())) for safe in safes])
    assert [safe.value.split("/")[0] for safe in safes] == ["demo"] * 3
    client = azurite.client()
    plain = [client.download_blob(safe.value).readall() for safe in safes]
    assert [pickle.loads(data) for data in plain] == [value for _, value in seen[-1]]
    assert seen[0] == seen[1]
