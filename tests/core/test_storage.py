from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, Literal

import pytest

from ckpt.errors import ConfigError
from ckpt.handlers import JSON, ResultHandler
from ckpt.storage import Storage


class Bucket(ResultHandler):
    storage_type = "bucket"

    def __init__(
        self,
        name: str = "",
        *,
        port: int = 0,
        timeout: float = 1.0,
        use_ssl: bool = True,
        mode: Literal["fast", "safe"] = "safe",
        cache: str | os.PathLike[str] | None = None,
        folder: Path | None = None,
        limit: int | None = None,
        tags: tuple[str, ...] = (),
        types: list[type] | None = None,
        secret_key: str | None = None,
    ) -> None:
        self.options = {name: value for name, value in locals().items() if name != "self"}

    def write(self, value: object, *, key: str | None = None) -> JSON:
        return key

    def read(self, location: JSON) -> object:
        return location


class Prefixed(Bucket):
    def __init__(self, prefix: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.prefix = prefix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gcs", Storage("gcs")),
        (" local\n", Storage("local")),
        ("docker", Storage("docker")),
        ("gs://bucket", Storage("gs", "bucket")),
        ("S3://Bucket/Pre/", Storage("s3", "Bucket", "/Pre/")),
        ("az://container/a/b", Storage("az", "container", "/a/b")),
        ("file:///data/results", Storage("file", "", "/data/results")),
        ("s3://host:9000/pre", Storage("s3", "host:9000", "/pre")),
        ("s3://[::1]:9000/pre", Storage("s3", "[::1]:9000", "/pre")),
        ("s3://b/a%20b%3F%C3%A4+c", Storage("s3", "b", "/a b?ä+c")),
        ("s3://b?x=1&y=a%26b&z=", Storage("s3", "b", "", {"x": "1", "y": "a&b", "z": ""})),
        ("s3://b?api_key=env:KEY&pwd=file:/a", Storage("s3", "b", "", {"api_key": "env:KEY", "pwd": "file:/a"})),
        ("s3://b/joe@example.com", Storage("s3", "b", "/joe@example.com")),
    ],
)  # fmt: skip
def test_text_is_read_and_written_back(text: str, expected: Storage) -> None:
    storage = Storage.parse(text)
    assert storage == expected
    assert hash(storage) == hash(expected)
    assert Storage.parse(str(storage)) == storage
    assert pickle.loads(pickle.dumps(storage)) == storage


def test_a_url_without_anything_odd_is_given_back_as_it_was() -> None:
    for text in ("gcs", "s3://bucket/pre?region_name=eu-west-1", "file:///data/results", "az://container/a/"):
        assert str(Storage.parse(text)) == text
        assert repr(Storage.parse(text)) == f"Storage({text!r})"


def test_the_prefix_is_the_path_without_slashes() -> None:
    assert Storage.parse("s3://bucket//a/b//").prefix == "a/b"
    assert Storage.parse("s3://bucket").prefix == ""


def test_different_places_differ() -> None:
    assert Storage.parse("s3://b?x=1") != Storage.parse("s3://b?x=2")
    assert len({Storage.parse("s3://a"), Storage.parse("s3://b"), Storage.parse("s3://a")}) == 2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("/data/x", "file:///data/x"),
        ("~/x y", f"file://{Path.home().as_posix()}/x%20y"),
        ("./x", f"file://{Path.cwd().as_posix()}/x"),
        ("data/x", f"file://{Path.cwd().as_posix()}/data/x"),
        ("C:\\data\\x", "file:///C:/data/x"),
        ("$HOME/x", "file:///data/x"),
        ("s3:bucket/x", "s3://bucket/prefix"),
        ("s3:/bucket/x", "s3://bucket/prefix"),
        ("", "'local'"),
        ("two words", "'local'"),
        ("s3://b/a#x", "percent-encoded"),
        ("s3://b/a x", "percent-encoded"),
        ("s3://b/a\tx", "percent-encoded"),
        ("s3://b/100%", "%25"),
        ("s3://b/%00", "%25"),
        ("s3://b/%ff", "%25"),
        ("s3://b:99999/x", "port"),
        ("s3://b:x/x", "port"),
        ("s3://b?x=1&x=2", "'x' twice"),
        ("s3://b?anon", "name=value"),
        ("s3://b?=x", "name=value"),
    ],
)
def test_what_is_no_storage_is_refused_with_the_next_step(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Storage.parse(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "s3://user:hunter2@host/bucket",
        "s3://hunter2@bucket/x",
        "s3://user%3Ahunter2%40host/bucket",
        "s3://AKIA:hunter2/bucket",
        "s3://user:hun/ter2hunter2@host/b",
        "s3://user:hun#hunter2@host/b",
        "s3://b?aws_secret_access_key=hunter2",
        "s3://b?password=hunter2",
        "s3://b?PASSWORD=hunter2",
        "s3://b?pass%77ord=hunter2",
        "az://c?sas_token=hunter2",
        "az://c?account_key=hunter2&x=1&x=2",
        "az://c?x=1&x=2&account_key=hunter2",
        "az://c?connection_string=hunter2",
        "s3://b/%zz?api_key=hunter2",
    ],
)
def test_a_credential_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Storage.parse(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_refusal_of_a_credential_says_where_it_belongs() -> None:
    with pytest.raises(
        ConfigError, match=r"environment, profile, role.*\?api_key=env:NAME.*CKPT__STORAGE__S3__API_KEY"
    ):
        Storage.parse("s3://b?api_key=hunter2")
    with pytest.raises(ConfigError, match="user or password before '@' looks like a credential"):
        Storage.parse("s3://me:hunter2@host/bucket")


def test_a_credential_given_in_code_stays_in_its_process_and_out_of_sight() -> None:
    storage = Storage("bucket", options={"secret_key": "hunter2"})
    assert storage.options_for(Bucket) == {"secret_key": "hunter2"}
    assert "hunter2" not in str(storage) + repr(storage)
    with pytest.raises(ConfigError, match=r"'secret_key'.*env:NAME") as caught:
        pickle.dumps(storage)
    assert "hunter2" not in str(caught.value)
    assert (
        pickle.loads(pickle.dumps(Storage("bucket", options={"secret_key": "env:X"}))).options["secret_key"] == "env:X"
    )
    with pytest.raises(ConfigError) as caught:
        Storage("s3", "me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_a_storage_cannot_be_changed() -> None:
    mine = {"x": "1"}
    storage = Storage("s3", options=mine)
    mine["x"] = "2"
    assert storage.options["x"] == "1"
    with pytest.raises(TypeError):
        storage.options["x"] = "2"  # type: ignore[index]
    with pytest.raises(AttributeError):
        storage.type = "gcs"  # type: ignore[misc]


def test_options_of_a_url_become_what_the_handler_asks_for() -> None:
    url = "bucket://?name=b&port=9000&timeout=2.5&use_ssl=No&mode=fast&cache=/tmp/c&folder=~/f&limit=&tags=a,b"
    assert Storage.parse(url).options_for(Bucket) == {
        "name": "b",
        "port": 9000,
        "timeout": 2.5,
        "use_ssl": False,
        "mode": "fast",
        "cache": "/tmp/c",
        "folder": Path("~/f"),
        "limit": None,
        "tags": ("a", "b"),
    }


def test_typed_options_of_a_table_are_checked_and_kept() -> None:
    options = {"port": 9000, "timeout": 2, "use_ssl": False, "tags": ["a", "b"], "limit": 7}
    ready = Storage("bucket", options=options).options_for(Bucket)
    assert ready == {"port": 9000, "timeout": 2.0, "use_ssl": False, "tags": ("a", "b"), "limit": 7}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": "abc"}, "'port' of bucket storage must be a whole number, not 'abc'"),
        ({"port": 1.5}, "a whole number, not 1.5"),
        ({"port": True}, "a whole number, not True"),
        ({"timeout": "soon"}, "a number, not 'soon'"),
        ({"use_ssl": "maybe"}, "yes/no"),
        ({"use_ssl": 1}, "not 1"),
        ({"mode": "quick"}, "'fast' or 'safe', not 'quick'"),
        ({"name": 3}, "text, not 3"),
        ({"limit": "x"}, "a whole number, not 'x'"),
        ({"tags": [1]}, "a list of text, not [1]"),
        ({"types": ["int"]}, "only code can give"),
        ({"secret_key": 12345}, "must be text"),
    ],
)
def test_an_option_of_the_wrong_type_is_refused_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Storage("bucket", options=options).options_for(Bucket)
    assert said in str(caught.value)
    assert "12345" not in str(caught.value)


def test_an_unknown_option_is_refused_with_the_nearest_and_where_options_stand() -> None:
    with pytest.raises(ConfigError) as caught:
        Storage.parse("bucket://?use-sl=1").options_for(Bucket)
    message = str(caught.value)
    assert "'use-sl'" in message
    assert "did you mean 'use_ssl'" in message
    assert "[storage.bucket]" in message
    assert "CKPT__STORAGE__BUCKET__" in message


def test_a_handler_that_hands_options_on_takes_those_of_its_parent_and_no_others() -> None:
    assert Storage.parse("x://?prefix=p&port=1").options_for(Prefixed) == {"prefix": "p", "port": 1}
    with pytest.raises(ConfigError, match=r"'pport'.*did you mean 'port'"):
        Storage.parse("x://?pport=1").options_for(Prefixed)


def test_options_of_the_url_go_over_those_of_the_table_and_a_wrong_one_names_its_file() -> None:
    table = {"port": 1, "use_sl": True}
    storage = Storage.parse("bucket://?port=2").with_table(table, {"port": "/x/ckpt.toml", "use_sl": "/x/ckpt.toml"})
    assert storage.options == {"port": "2", "use_sl": True}
    with pytest.raises(ConfigError, match=r"'use_sl'.*'use_ssl'.*stands in /x/ckpt\.toml"):
        storage.options_for(Bucket)


def test_a_storage_with_a_place_is_refused_by_a_handler_that_takes_none() -> None:
    assert isinstance(Bucket.from_storage(Storage.parse("bucket")), Bucket)
    with pytest.raises(ConfigError, match="s3://place"):
        Bucket.from_storage(Storage.parse("s3://place"))
