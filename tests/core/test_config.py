from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckpt import config
from ckpt.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".ckpt").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    return tmp_path / "home"


@pytest.fixture
def work(home: Path) -> Path:
    return home.parent / "work"


def load(work: Path, **variables: str) -> config.Settings:
    return config.load(work, {"HOME": str(work.parent / "home"), **variables})


def test_without_files_and_variables_the_defaults_hold(work: Path) -> None:
    settings = load(work)
    flows = settings.flows
    assert (flows.checkpointing, flows.storage, flows.result_handler, flows.executor) == ("auto", None, None, "local")
    assert flows.workers >= 1
    assert (flows.on_write_error, flows.write_retries, flows.write_retry_delay) == ("fail", 3, 0.2)
    assert flows.drain_seconds == 30
    assert (settings.plugins.only, settings.plugins.block) == (None, None)
    assert {each.source for each in settings.all()} == {"default"}


def test_the_working_folder_goes_over_home_and_variables_over_both_with_their_sources(home: Path, work: Path) -> None:
    (home / ".ckpt/config.toml").write_text('[flows]\nstorage = "s3"\nexecutor = "threads"\nworkers = 3\n')
    (work / "ckpt.toml").write_text('[flows]\nstorage = "gcs"\nworkers = 4\n')
    settings = load(work, CKPT__FLOWS__WORKERS="5")
    assert (settings.flows.storage, settings.flows.executor, settings.flows.workers) == ("gcs", "threads", 5)
    assert settings.setting("flows.storage").source == str(work / "ckpt.toml")
    assert settings.setting("flows.executor").source == str(home / ".ckpt/config.toml")
    assert settings.setting("flows.workers").source == "environment variable CKPT__FLOWS__WORKERS"
    assert settings.setting("flows.drain_seconds").source == "default"


def test_settings_are_read_anew_each_time(work: Path) -> None:
    assert load(work).flows.storage is None
    (work / "ckpt.toml").write_text('flows.storage = "gcs"')
    assert load(work).flows.storage == "gcs"


def test_the_process_itself_reads_its_own_folder_home_and_environment(home: Path, work: Path) -> None:
    (home / ".ckpt/config.toml").write_text("[flows]\nworkers = 3\n")
    (work / "ckpt.toml").write_text('[flows]\nstorage = "local"\n')
    code = (
        "import sys\nfrom ckpt import config\nflows = config.load().flows\n"
        "print(flows.workers, flows.storage, flows.executor)\n"
        "print(sorted({'pluggy', 'importlib_metadata'} & set(sys.modules)))"
    )
    env = {**os.environ, "HOME": str(home), "CKPT__FLOWS__EXECUTOR": "threads"}
    del env["CKPT__LEDGER__ENABLED"]  # a section of a plugin has the plugins looked for
    run = subprocess.run([sys.executable, "-c", code], cwd=work, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["3 local threads", "[]"]


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "Yes", "on", " ON "])
def test_words_for_on(work: Path, text: str) -> None:
    assert load(work, CKPT__FLOWS__CHECKPOINTING=text).flows.checkpointing is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "NO", "off"])
def test_words_for_off(work: Path, text: str) -> None:
    assert load(work, CKPT__FLOWS__CHECKPOINTING=text).flows.checkpointing is False


@pytest.mark.parametrize("text", ["maybe", "", "2", "truee"])
def test_garbage_in_a_switch_is_quoted(work: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(work, CKPT__FLOWS__CHECKPOINTING=text)
    message = str(caught.value)
    assert repr(text) in message
    assert "CKPT__FLOWS__CHECKPOINTING" in message
    assert "yes/no" in message
    assert "'auto'" in message


@pytest.mark.parametrize(
    "line",
    [
        "checkpointing = 2",
        "workers = 0",
        "workers = true",
        "workers = 1.5",
        'workers = "many"',
        "storage = 3",
        'on_write_error = "ignore"',
        "write_retries = -1",
        "write_retry_delay = nan",
        "drain_seconds = inf",
    ],
)
def test_a_value_of_the_wrong_type_names_key_and_file(work: Path, line: str) -> None:
    (work / "ckpt.toml").write_text(f"[flows]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load(work)
    assert f"flows.{line.split(maxsplit=1)[0]}" in str(caught.value)
    assert str(work / "ckpt.toml") in str(caught.value)


def test_a_list_is_comma_separated_in_the_environment(work: Path) -> None:
    (work / "ckpt.toml").write_text('[plugins]\nonly = ["json", "local"]\n')
    settings = load(work, CKPT__PLUGINS__BLOCK="s3, gcs,")
    assert settings.plugins.only == ("json", "local")
    assert settings.plugins.block == ("s3", "gcs")


def test_an_empty_variable_unsets_what_may_be_unset(work: Path) -> None:
    (work / "ckpt.toml").write_text('[flows]\nstorage = "gcs"\n[plugins]\nonly = []\n')
    assert load(work).plugins.only == ()
    settings = load(work, CKPT__FLOWS__STORAGE="", CKPT__PLUGINS__ONLY="")
    assert settings.flows.storage is None
    assert settings.plugins.only is None


def test_nested_variables_reach_the_storage_tables(work: Path) -> None:
    (work / "ckpt.toml").write_text('[storage.s3]\nregion_name = "us-east-1"\nuse_ssl = false\n')
    settings = load(work, CKPT__STORAGE__S3__REGION_NAME="eu-west-1")
    assert settings.section("storage", "s3") == {"region_name": "eu-west-1", "use_ssl": False}
    assert settings.sources("storage", "s3") == {
        "region_name": "environment variable CKPT__STORAGE__S3__REGION_NAME",
        "use_ssl": str(work / "ckpt.toml"),
    }


def test_an_empty_storage_table_in_one_file_and_options_in_another_agree(home: Path, work: Path) -> None:
    (home / ".ckpt/config.toml").write_text("[storage.local]\n")
    (work / "ckpt.toml").write_text('[storage.local]\ndir = "x"\n')
    assert load(work).section("storage", "local") == {"dir": "x"}


def test_a_misspelt_key_names_the_nearest_and_where_it_stands(work: Path) -> None:
    (work / "ckpt.toml").write_text('[flows]\nstorrage = "gcs"\n')
    with pytest.raises(ConfigError) as caught:
        load(work)
    assert "did you mean 'flows.storage'" in str(caught.value)
    assert str(work / "ckpt.toml") in str(caught.value)
    with pytest.raises(ConfigError, match=r"CKPT__FLOWS__CHEKPOINTING.*did you mean 'flows.checkpointing'"):
        load(work.parent, CKPT__FLOWS__CHEKPOINTING="1")


def test_a_misspelt_section_names_the_nearest_and_the_pip_line(work: Path) -> None:
    (work / "ckpt.toml").write_text('[flow]\nstorage = "gcs"\n')
    with pytest.raises(ConfigError) as caught:
        load(work)
    assert "[flow]" in str(caught.value)
    assert "did you mean [flows]" in str(caught.value)
    (work / "ckpt.toml").write_text("[zzz]\n")
    with pytest.raises(ConfigError, match=r"\[zzz\].*pip install ckpt-zzz"):
        load(work)
    with pytest.raises(ConfigError, match=r"variable CKPT__ZZZ__A.*pip install ckpt-zzz"):
        load(work.parent, CKPT__ZZZ__A="1")


@pytest.mark.parametrize("name", ["CKPT__FLOWS", "CKPT__", "CKPT____STORAGE", "CKPT__FLOWS__"])
def test_a_variable_that_names_no_setting_is_refused(work: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load(work, **{name: "x"})


def test_a_section_and_one_of_its_keys_cannot_both_be_variables(work: Path) -> None:
    with pytest.raises(ConfigError, match="CKPT__FLOWS "):
        load(work, CKPT__FLOWS="x", CKPT__FLOWS__STORAGE="gcs")
    with pytest.raises(ConfigError) as caught:
        load(work, CKPT__STORAGE__S3__CONFIG="x", CKPT__STORAGE__S3__CONFIG__RETRIES="3")
    assert "variable CKPT__STORAGE__S3__CONFIG and" in str(caught.value)
    assert "CKPT__STORAGE__S3__CONFIG__RETRIES" in str(caught.value)


def test_two_spellings_of_one_variable_are_refused(work: Path) -> None:
    with pytest.raises(ConfigError, match="CKPT__Flows__Storage"):
        load(work, CKPT__FLOWS__STORAGE="gcs", CKPT__Flows__Storage="s3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flows = 1", "flows"),
        ('storage = "gcs"', "[storage]"),
        ('[storage]\ns3 = "x"', "[storage.s3]"),
        ('[flows.storage]\ntype = "s3"', "flows.storage is one value"),
    ],
)
def test_a_value_where_a_table_belongs_and_the_reverse_are_refused(work: Path, text: str, said: str) -> None:
    (work / "ckpt.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(work)
    assert said in str(caught.value)
    assert str(work / "ckpt.toml") in str(caught.value)


def test_broken_toml_names_file_and_line(work: Path) -> None:
    (work / "ckpt.toml").write_text('[flows]\nstorage = "gcs"\nworkers = = 3\n')
    with pytest.raises(ConfigError) as caught:
        load(work)
    assert str(work / "ckpt.toml") in str(caught.value)
    assert "line 3" in str(caught.value)


def test_bytes_that_are_not_utf8_name_file_and_line_and_a_byte_order_mark_is_fine(work: Path) -> None:
    (work / "ckpt.toml").write_bytes(b'\xef\xbb\xbf[flows]\nstorage = "gcs"\n')
    assert load(work).flows.storage == "gcs"
    (work / "ckpt.toml").write_bytes(b'[flows]\nstorage = "\xff"\n')
    with pytest.raises(ConfigError, match=r"ckpt\.toml.*line 2"):
        load(work)


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_default(work: Path) -> None:
    (work / "ckpt.toml").mkdir()
    with pytest.raises(ConfigError, match=r"ckpt\.toml"):
        load(work)


def test_a_home_that_is_no_folder_has_no_settings(tmp_path: Path) -> None:
    assert config.load(tmp_path, {"HOME": "/dev/null"}).flows.storage is None


def test_credentials_are_hidden_wherever_settings_are_shown(work: Path) -> None:
    (work / "ckpt.toml").write_text(
        '[storage.s3]\naws_secret_access_key = "hunter2"\npassword = "env:HUNTER"\nregion_name = "eu"\n'
        '[storage.s3.extra]\nsession_token = "hunter3"\n'
    )
    settings = load(work, CKPT__FLOWS__STORAGE="s3://me:hunter4@host/b?api_key=hunter5")
    listed = repr(settings) + repr(settings.all()) + "".join(str(each.shown) for each in settings.all())
    assert "hunter" not in listed
    assert "***" in listed
    assert "env:HUNTER" in listed
    assert "'eu'" in listed
    assert settings.section("storage", "s3")["aws_secret_access_key"] == "hunter2"


def test_every_key_of_the_core_is_documented(work: Path) -> None:
    assert all(each.doc.endswith(".") for each in load(work).all())


def test_asking_for_a_setting_that_does_not_exist_names_the_nearest(work: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'flows\.workers'"):
        load(work).setting("flows.worker")
