"""`ckpt plugins check`: each plugin is imported in a process of its own, and harms nobody there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
import wave

import ckpt
import ckpt_tape_reels

class TapeHandler(ckpt.ResultHandler):
    storage_type = "tape"
    schemes = ("tape",)

    def write(self, value, *, key=None):
        return "here"

    def read(self, location):
        return None

@ckpt.hookimpl
def ckpt_result_handlers():
    return [TapeHandler]

@ckpt.hookimpl
def ckpt_run_ended(state):
    pass
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "ckpt_tape_reels.py").write_text("")
    return tmp_path


def install(site: Path, name: str, code: str) -> None:
    (site / f"ckpt_{name}.py").write_text(code)
    info = site / f"ckpt_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ckpt-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ckpt]\n{name} = ckpt_{name}\n")


def check(site: Path, *arguments: str) -> tuple[int, dict[str, dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-m", "ckpt", "plugins", "check", "--json", *arguments],
        capture_output=True,
        text=True,
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site), "HOME": str(site)},
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, {each["id"]: each for each in json.loads(done.stdout)}


def test_a_good_plugin_shows_what_it_brings_and_pulls_in(site: Path) -> None:
    install(site, "tape", GOOD)
    code, trials = check(site)
    assert code == 0
    assert set(trials) >= {"json", "local", "tape"}
    tape = trials["tape"]
    assert tape["problem"] == ""
    assert tape["brings"] == ["handler tape (tape://): ckpt_tape.TapeHandler", "listens to ckpt_run_ended"]
    assert tape["pulls_in"] == ["ckpt_tape", "ckpt_tape_reels"]  # not wave, which is Python's own
    assert float(str(tape["seconds"])) > 0
    assert "ckpt_json.JSONResultHandler" in str(trials["json"]["brings"])


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise OSError('no tape')", "OSError: no tape"),
        ("import ckpt_that_is_not_there", "ModuleNotFoundError"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exit code -11"),
        ("import sys; sys.exit('go away')", "go away"),
        ("print('{}'); import time; time.sleep(60)", "had not ended after 2 s"),
        ("import ckpt\n@ckpt.hookimpl\ndef ckpt_result_handlers():\n    return [int]\n", "ResultHandler"),
        ("import ckpt\n@ckpt.hookimpl\ndef ckpt_result_handler():\n    return []\n", "ckpt_result_handler"),
    ],
)
def test_a_bad_plugin_is_named_with_its_cause_and_the_others_are_still_checked(
    site: Path, code: str, problem: str
) -> None:
    install(site, "tape", code)
    exit_code, trials = check(site, "--seconds", "2")
    assert exit_code == 1
    assert problem in str(trials["tape"]["problem"])
    assert trials["local"]["problem"] == ""


def test_what_a_plugin_prints_while_it_is_imported_confuses_nobody(site: Path) -> None:
    install(site, "tape", "print('{\"entry_point\": \"mine\"}', end='')\n" + GOOD)
    assert check(site, "tape")[1]["tape"]["problem"] == ""


def test_the_process_that_asks_imports_nothing_of_the_plugin(site: Path) -> None:
    install(site, "tape", "import pathlib, os\npathlib.Path('pids').open('a').write(f'{os.getppid()}\\n')\n" + GOOD)
    check(site, "tape")
    assert len((site / "pids").read_text().split()) == 1


def test_a_name_that_is_not_installed_is_refused(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ckpt", "plugins", "check", "nope"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert {"json", "local"} <= set(done.stderr.strip().partition("installed: ")[2].split(", "))
