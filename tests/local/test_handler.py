"""What `LocalResultHandler` promises beyond the store: folders, specs, pickles, storages."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckpt
import ckpt_local
from ckpt import SafeResult, Storage
from ckpt.errors import ConfigError, CorruptRecord, NotFound
from ckpt.handlers import Meta
from ckpt_local import LocalResultHandler


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    monkeypatch.delenv("NOT_SET", raising=False)


def test_a_value_is_one_file_that_plain_pickle_reads(tmp_path: Path) -> None:
    handler = LocalResultHandler(tmp_path / "kept")
    location = handler.write({"a": 1}, key="run/add-1.ckpt")
    assert location == "run/add-1.ckpt"
    assert list(tmp_path.rglob("*.ckpt")) == [tmp_path / "kept/run/add-1.ckpt"]
    with (tmp_path / "kept/run/add-1.ckpt").open("rb") as file:
        assert pickle.load(file) == {"a": 1}
    assert handler.read(location) == {"a": 1}
    assert handler.exists(location)
    handler.delete(location)
    assert not handler.exists(location)
    with pytest.raises(NotFound, match="run/add-1"):
        handler.read(location)


def test_without_a_folder_values_go_below_the_home_of_who_runs_it(tmp_path: Path) -> None:
    location = LocalResultHandler().write(1)
    assert (tmp_path / "home/.ckpt/results" / str(location)).is_file()


def test_a_large_array_is_streamed_and_comes_back(tmp_path: Path) -> None:
    handler = LocalResultHandler(tmp_path / "kept")
    array = np.arange(1_000_000.0)
    staged = handler.stage(array, key="array.ckpt", meta=Meta())
    assert staged.data is None
    assert (tmp_path / "kept/array.ckpt").stat().st_size == staged.stored.size
    assert np.array_equal(handler.fetch(SafeResult.of(staged.stored, handler)), array)  # type: ignore[arg-type]


def test_small_values_travel_behind_the_flow_only_where_the_disk_is_waited_for(tmp_path: Path) -> None:
    behind, inline = LocalResultHandler(tmp_path), LocalResultHandler(tmp_path, durability="os")
    assert (behind.writers, behind.batch, inline.writers) == (4, 64, 0)
    staged = [behind.stage(number, key=f"{number}.ckpt", meta=Meta()) for number in range(3)]
    assert list(tmp_path.glob("*.ckpt")) == []
    assert behind.send(staged) == [None] * 3
    assert [inline.read(f"{number}.ckpt") for number in range(3)] == [0, 1, 2]
    assert inline.stage(3, key="3.ckpt", meta=Meta()).data is None
    assert behind.read("3.ckpt") == 3


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    handler = LocalResultHandler(tmp_path)
    handler.write("value", key="key.ckpt")
    data = bytearray((tmp_path / "key.ckpt").read_bytes())
    data[20] ^= 1
    (tmp_path / "key.ckpt").write_bytes(data)
    with pytest.raises(CorruptRecord, match=r"key\.ckpt"):
        handler.read("key.ckpt")


@pytest.mark.parametrize("folder", ["~/kept", "$DATA/kept", "${DATA}/kept"])
def test_home_and_variables_are_expanded_where_the_handler_is_used(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = LocalResultHandler(folder).for_run()
    assert handler.to_spec()["dir"] == folder
    assert str(tmp_path).encode() not in pickle.dumps(handler)
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    monkeypatch.setenv("DATA", str(tmp_path / "other"))
    elsewhere = pickle.loads(pickle.dumps(handler))
    elsewhere.write(1, key="key")
    assert (tmp_path / "other/kept/key").is_file()


def test_a_handler_that_was_not_used_carries_no_path_of_this_machine() -> None:
    assert os.fsencode(Path.cwd()) not in pickle.dumps(LocalResultHandler("results"))


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("$NOT_SET/kept", "NOT_SET"),
        ("/tmp/${NOT_SET}", "NOT_SET"),
        ("$RELATIVE/kept", "relative"),
        ("~nobody-here/x", "full"),
    ],
)
def test_a_folder_that_cannot_be_expanded_is_refused_before_the_run(
    folder: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELATIVE", "data")
    with pytest.raises(ConfigError, match=said):
        LocalResultHandler(folder).for_run()


def test_a_relative_folder_is_made_absolute_when_a_run_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = LocalResultHandler("results")
    run = handler.for_run()
    assert (handler.dir, run.dir) == ("results", str(tmp_path / "work/results"))
    location = run.write("value")
    safe = SafeResult(location, run)
    monkeypatch.chdir(tmp_path)
    assert SafeResult.from_dict(json.loads(json.dumps(safe.to_dict()))).read() == "value"
    assert pickle.loads(pickle.dumps(run)).read(location) == "value"


def test_starting_a_run_proves_that_values_can_be_kept_and_leaves_nothing(tmp_path: Path) -> None:
    LocalResultHandler("a/b").for_run()
    assert list((tmp_path / "work").rglob("*")) == [tmp_path / "work/a", tmp_path / "work/a/b"]
    (tmp_path / "work/file").write_bytes(b"")
    with pytest.raises(ConfigError, match="file"):
        LocalResultHandler("file").for_run()


def test_another_process_reads_from_the_safe_value_alone(tmp_path: Path) -> None:
    handler = LocalResultHandler("results", durability="os", prefix="pre").for_run()
    stored = handler.store([1, "zwei"], key="a/b.ckpt", meta=Meta())
    text = json.dumps(SafeResult.of(stored, handler).to_dict())
    program = "import sys, json, ckpt; print(json.dumps(ckpt.SafeResult.from_dict(json.loads(sys.argv[1])).read()))"
    done = subprocess.run([sys.executable, "-c", program, text], check=True, capture_output=True, cwd=tmp_path)
    assert json.loads(done.stdout) == [1, "zwei"]
    assert ckpt.read(tmp_path / "work/results/a/b.ckpt") == [1, "zwei"]


def test_a_spec_makes_the_same_handler(tmp_path: Path) -> None:
    handler = LocalResultHandler(tmp_path, durability="os", prefix="a/b", template="{run_id}/{call}{map}")
    spec = handler.to_spec()
    assert spec == {
        "type": "local", "dir": str(tmp_path), "durability": "os", "prefix": "a/b", "template": "{run_id}/{call}{map}",
    }  # fmt: skip
    assert LocalResultHandler.from_spec(spec).to_spec() == spec
    assert LocalResultHandler(tmp_path).to_spec() == {"type": "local", "dir": str(tmp_path)}
    with pytest.raises(ConfigError, match="'durable'"):
        LocalResultHandler.from_spec({**spec, "durable": True})
    assert repr(LocalResultHandler(tmp_path)) == f"LocalResultHandler(dir={str(tmp_path)!r})"


def test_a_file_url_names_the_folder(tmp_path: Path) -> None:
    for url in ("file:///data/results", "file:///data/results/", "file://localhost/data/results"):
        made = LocalResultHandler.from_storage(Storage.parse(url))
        assert made.to_spec() == {"type": "local", "dir": "/data/results"}
    handler = LocalResultHandler.from_storage(Storage.parse("file:///data/a%20b?durability=os&prefix=x"))
    assert (handler.dir, handler.durability, handler.prefix) == ("/data/a b", "os", "x")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file://results", r"file:///results.*LocalResultHandler\(dir='results'\)"),
        ("file://data/results", r"file:///data/results.*LocalResultHandler\(dir='data/results'\)"),
        ("file://", "names no folder"),
        ("file:///", "names no folder"),
        ("file:///data?dir=/other", "two folders"),
        ("file:///data?durability=maybe", "durability"),
        ("file:///data?durable=yes", "unknown option 'durable'"),
    ],
)
def test_a_url_that_names_no_folder_or_an_unknown_option_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LocalResultHandler.from_storage(Storage.parse(url))


def test_the_type_name_takes_its_options_from_the_table() -> None:
    table = {"dir": "$DATA/kept", "durability": "os"}
    handler = LocalResultHandler.from_storage(Storage("local").with_table(table))
    assert (handler.dir, handler.durability) == ("$DATA/kept", "os")
    assert LocalResultHandler.from_storage(Storage("local")).dir == "~/.ckpt/results"
    url = Storage.parse("file:///data/results").with_table(table, dict.fromkeys(table, "ckpt.toml"))
    assert LocalResultHandler.from_storage(url).dir == "/data/results"


@pytest.mark.parametrize("wrong", [{"dir": ""}, {"dir": 3}, {"dir": b"x"}, {"dir": "a\0b"}, {"durability": "Disk"}])
def test_an_option_that_cannot_be_right_is_refused_where_it_is_given(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LocalResultHandler(**wrong)  # type: ignore[arg-type]


def test_the_plugin_gives_its_handler_through_the_hook() -> None:
    assert ckpt_local.ckpt_result_handlers() == [LocalResultHandler]
    assert LocalResultHandler.__module__ == "ckpt_local"
