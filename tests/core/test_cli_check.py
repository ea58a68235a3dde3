"""`ckpt check`: says whether values can be kept in a storage and what is missing, and leaves nothing there."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

CKPT = str(Path(sys.executable).with_name("ckpt"))
STEPS = ["open", "write", "head", "read", "list", "delete"]

PLUGIN = """
    import os
    from datetime import UTC, datetime, timedelta
    from ckpt import ObjectInfo, ObjectResultHandler, ObjectStore, ResultHandler, hookimpl
    from ckpt.errors import AccessDenied, NotFound, StoreUnavailable

    class Notes(ResultHandler):
        storage_type = "notes"
        kept = {}
        def write(self, value, *, key=None):
            self.kept[key] = value
            return key
        def read(self, location):
            return self.kept[location]

    class Forgetful(Notes):
        storage_type = "forgetful"
        def read(self, location):
            return "another value"

    class Rude(Notes):
        storage_type = "rude"
        def write(self, value, *, key=None):
            raise ZeroDivisionError("of its own")

    class Store(ObjectStore):
        def __init__(self, refuses, late):
            self.refuses, self.late, self.objects = refuses, late, {}
        def allow(self, what):
            with open("asked", "a") as file:
                file.write(what + " ")
            if what in self.refuses:
                raise AccessDenied(f"the policy refuses to {what}: allow it")
        def put(self, key, data, *, overwrite=True):
            if "interrupt" in self.refuses:
                self.objects[key] = bytes(data)
                raise KeyboardInterrupt
            if "answer" in self.refuses:
                raise StoreUnavailable("the answer was lost: run again")
            self.allow("write")
            self.objects[key] = bytes(data)
            return ObjectInfo(key, len(data))
        def get(self, key):
            self.allow("read")
            self.there(key)
            return self.objects[key]
        def head(self, key):
            self.allow("head")
            self.there(key)
            return ObjectInfo(key, len(self.objects[key]), datetime.now(UTC) + timedelta(seconds=self.late))
        def there(self, key):
            if key not in self.objects:
                raise NotFound(f"no {key}")
        def list(self, prefix=""):
            self.allow("list")
            return iter([ObjectInfo(key, 1, None) for key in self.objects if key.startswith(prefix)])
        def delete(self, key):
            self.allow("delete")
            self.objects.pop(key, None)

    class Strict(ObjectResultHandler):
        storage_type = "strict"
        def __init__(self, *, refuses: str = "", late: float = 0.0, prefix: str = ""):
            super().__init__(prefix=prefix)
            self.refuses, self.late = refuses, late
        def open_store(self):
            return Store(self.refuses.split(), self.late)

    @hookimpl
    def ckpt_result_handlers():
        return [Notes, Forgetful, Rude, Strict]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to work in, with a stranger's plugin on the path."""
    (tmp_path / "stranger.py").write_text(dedent(PLUGIN))
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ckpt]\nstranger = stranger\n")
    return tmp_path


def check(
    place: Path, *arguments: str, code: int = 0, mortal: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    foreign = ("CKPT__", "PYTHON", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ran = subprocess.run(
        [CKPT, "check", *arguments],
        cwd=place,
        env={**env, "HOME": str(place), "PYTHONPATH": str(place), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=_obey_modes if mortal else None,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran


def _obey_modes() -> None:
    """Take from root what lets it write anywhere, in the program that is started; others never had it."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def outcomes(place: Path, *arguments: str, code: int = 0, **variables: str) -> dict[str, str]:
    told = json.loads(check(place, *arguments, "--json", code=code, **variables).stdout)
    assert [step["id"] for step in told] == STEPS
    assert all(isinstance(step["milliseconds"], float) for step in told)
    return {step["id"]: step["outcome"] for step in told}


def test_a_folder_is_well_and_nothing_stays_in_it(place: Path) -> None:
    shown = check(place, (place / "kept").as_uri()).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:7]] == STEPS
    assert all(line.split()[2:] == ["ms", "ok"] for line in shown.splitlines()[1:7])
    assert "nothing is missing" in shown
    assert list((place / "kept").rglob("*")) == []


def test_the_configured_storage_is_the_default(place: Path) -> None:
    assert set(outcomes(place, CKPT__FLOWS__STORAGE=(place / "kept").as_uri()).values()) == {"ok"}
    assert "ckpt check s3://bucket/prefix" in check(place, code=2).stderr


def test_a_folder_that_is_read_only_is_refused_by_name(place: Path) -> None:
    (place / "kept").mkdir(mode=0o500)
    shown = check(place, (place / "kept").as_uri(), code=1, mortal=True).stdout
    assert "no permission to open and write" in shown
    assert str(place / "kept") in shown.splitlines()[-1]


def test_a_storage_without_its_package_gets_the_pip_line(place: Path) -> None:
    shown = check(place, "hdfs://host/path", code=1).stdout
    assert "pip install ckpt-hdfs" in shown
    assert outcomes(place, "hdfs://host/path", code=1) == {
        "open": "no package", **dict.fromkeys(STEPS[1:], "not tried")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--jsno"], "--json"),
        (["./kept"], "is a path, not a storage"),
        (["file:///x?durabilty=os"], "durability"),
        (["docker"], "holds no values"),
    ],
)
def test_what_cannot_be_right_is_a_question_of_usage(place: Path, arguments: list[str], said: str) -> None:
    assert said in check(place, *arguments, code=2).stderr


@pytest.mark.parametrize("refused", [["head", "read", "list", "delete"], ["list"], ["delete"], ["write"]])
def test_every_step_is_tried_although_another_is_refused(place: Path, refused: list[str]) -> None:
    found = outcomes(place, "strict", code=1, CKPT__STORAGE__STRICT__REFUSES=" ".join(refused))
    assert [name for name, outcome in found.items() if outcome == "refused"] == refused
    assert set(found.values()) == {"ok", "refused"}
    shown = check(place, "strict", code=1, CKPT__STORAGE__STRICT__REFUSES=" ".join(refused)).stdout
    assert f"no permission to {refused[0]}" in shown
    assert f"the policy refuses to {refused[0]}: allow it" in shown


def test_a_handler_of_two_methods_is_asked_for_no_more(place: Path) -> None:
    assert outcomes(place, "notes") == {
        "open": "ok", "write": "ok", "head": "not offered", "read": "ok", "list": "not offered", "delete": "not offered"
    }  # fmt: skip
    assert "nothing is missing" in check(place, "notes").stdout


def test_another_value_than_was_written_is_a_failure(place: Path) -> None:
    assert outcomes(place, "forgetful", code=1)["read"] == "failed"


def test_an_error_of_a_strangers_own_is_told_and_ends_it(place: Path) -> None:
    found = outcomes(place, "rude", code=1)
    assert (found["write"], found["read"]) == ("failed", "not tried")
    assert "ZeroDivisionError: of its own" in check(place, "rude", code=1).stdout


@pytest.mark.parametrize(("late", "said"), [(300, "300 s behind"), (-300, "300 s ahead of"), (30, "")])
def test_a_clock_that_is_wrong_is_a_warning(place: Path, late: int, said: str) -> None:
    shown = check(place, "strict", CKPT__STORAGE__STRICT__LATE=str(late)).stdout
    assert said in shown
    assert ("the clock of this machine" in shown) == bool(said)


@pytest.mark.parametrize(("how", "code"), [("answer", 1), ("interrupt", 130)])
def test_what_may_have_been_written_is_deleted(place: Path, how: str, code: int) -> None:
    check(place, "strict", code=code, CKPT__STORAGE__STRICT__REFUSES=how)
    assert (place / "asked").read_text().split() == ["delete"]


def test_a_shell_completes_the_storage(place: Path) -> None:
    ran = check(place, _CKPT_COMPLETE="zsh_complete", COMP_WORDS="ckpt check loc", COMP_CWORD="2")
    assert ran.stdout.splitlines()[1] == "local"
