"""`ckpt new-plugin`: what it makes is installed, asked all promises, type-checked and linted, and serves a flow.

The environment is thrown away; it sees what is installed here, so nothing is fetched. What the packages keep lies in
memory where the system has a folder for that: the kit waits for the disk most of its time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

import ckpt
from ckpt.cli.skeleton import _COMMON, _OF_KIND, Kind, check_is_free, skeleton
from ckpt.errors import AccessDenied, ConfigError, StoreUnavailable
from tests.documents import ROOT, blocks_of

KINDS: list[Kind] = ["objects", "two_methods"]
NAMES: Mapping[Kind, str] = {"objects": "tape", "two_methods": "company-store-of-ours"}
MEMORY = Path("/dev/shm")
GUIDE = ROOT / "docs/how-to/write-a-plugin.md"

pytestmark = pytest.mark.timeout(600)  # one test waits for the kit, in packages that run beside each other

each_kind = pytest.mark.parametrize("kind", KINDS)


def environment(**more: str) -> dict[str, str]:
    foreign = ("CKPT__", "PYTHON", "VIRTUAL_ENV", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


def new_plugin(folder: Path, *arguments: str, python: Path | str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "ckpt", "new-plugin", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


# The command.


@each_kind
def test_the_command_makes_a_package_and_says_what_to_type_next(tmp_path: Path, kind: Kind) -> None:
    option = f"--{kind.replace('_', '-')}"
    made = new_plugin(tmp_path, "company-store", option)
    assert (made.returncode, made.stderr) == (0, "")
    folder = tmp_path / "ckpt-company-store"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "README.md", ".gitignore", "src/ckpt_company_store/py.typed"} < files
    assert all(name in made.stdout for name in files)
    assert made.stdout.endswith("  cd ckpt-company-store\n  pip install -e '.[dev]'\n  pytest\n")


def test_the_folder_can_be_chosen(tmp_path: Path) -> None:
    assert new_plugin(tmp_path, "tape", "--folder", "a b/c").stdout.count("cd 'a b/c'\n") == 1
    assert (tmp_path / "a b/c/pyproject.toml").is_file()


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    for name in ("empty", "file", "link", "file/below"):
        refused = new_plugin(tmp_path, "tape", "--folder", name)
        assert refused.returncode == 2, refused.stdout
        assert "--folder" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error_of_ckpt(tmp_path: Path) -> None:
    # Nobody may make a folder there, root neither.
    for place in (Path("/proc/self/tape"), tmp_path / ("x" * 300)):
        with pytest.raises((AccessDenied, StoreUnavailable), match="--folder"):
            skeleton("tape", "objects").write(place)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Tape", "did you mean 'tape'?"),
        ("company_store", "did you mean 'company-store'?"),
        ("my store", "did you mean 'my-store'?"),
        ("ckpt_tape", "did you mean 'tape'?"),
        ("ckpt-tape", "leave out ckpt-, as in 'tape'"),
        ("3d", "did you mean 'd'?"),
        ("a--b", "did you mean 'a-b'?"),
        ("../up", "did you mean 'up'?"),
        ("", "a letter first"),
        ("ż", "a letter first"),
        ("tape\n", "did you mean 'tape'?"),
        ("x" * 25, "24 characters"),
        *((name, "is taken") for name in ("core", "docker", "object", "flows", "plugins", "storage")),
    ],
)
def test_a_name_that_can_be_none_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        skeleton(name, "objects")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json", "ckpt_json.JSONResultHandler"),
        ("local", "ckpt_local.LocalResultHandler"),
        ("file", "ckpt_local.LocalResultHandler"),
        ("ray", "ckpt's own ckpt-ray"),
    ],
)
def test_a_storage_that_is_served_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_is_free(name)
    assert said in str(refused.value)


def test_a_name_that_is_free_is_taken() -> None:
    check_is_free("tape")


# The templates.


@each_kind
@pytest.mark.parametrize("name", ["x", "a23456789-123456789-1234"], ids=["short", "long"])
def test_a_package_of_any_name_is_in_good_shape(tmp_path: Path, kind: Kind, name: str) -> None:
    made = skeleton(name, kind)
    made.write(tmp_path / "made")
    for command in (["check"], ["format", "--check", "--diff"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache"],
            cwd=tmp_path / "made", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f'{name} = "{made.package}"' in made.files["pyproject.toml"]
    assert f">={ckpt.__version__}" in made.files["pyproject.toml"]


def test_every_template_is_used_and_none_is_a_module() -> None:
    folder = ROOT / "core/src/ckpt/templates"
    used = {name for table in (_COMMON, *_OF_KIND.values()) for name in table.values()}
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {f"{name}.template" for name in used}


# The packages, installed.


@dataclass
class Workshop:
    """An environment with a package of each kind, and what was found out about them."""

    folder: Path
    python: Path
    found: dict[str, Future[subprocess.CompletedProcess[str]]]

    def run(self, *command: str | Path, where: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *command], cwd=where or self.folder, env=environment(HOME=str(self.folder), **more),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def package(self, kind: Kind) -> Path:
        return self.folder / f"ckpt-{NAMES[kind]}"

    def outcome(self, what: str) -> str:
        ran = self.found[what].result()
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def asked(workshop: Workshop, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run all tests in `folder`, and write what the kit found to report.json there."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as place:
        report = ["-p", "ckpt.testing.plugin", "--ckpt-report=report.json"]
        options = ["-q", "-W", "error", "-p", "no:cacheprovider", f"--basetemp={place}/kept"]
        return workshop.run("-m", "pytest", *options, *report, where=folder, TMPDIR=place)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    venv.create(folder / "env", with_pip=False)
    made = Workshop(folder, folder / "env/bin/python", {})
    here = sysconfig.get_path("purelib")
    [site] = (folder / "env/lib").glob("python*/site-packages")
    (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    for kind in KINDS:
        skeleton(NAMES[kind], kind).write(made.package(kind))
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    installed = made.run("-m", "pip", "install", "-q", *offline, *map(made.package, KINDS))
    assert installed.returncode == 0, installed.stderr
    guide = folder / "guide"
    guide.mkdir()
    for block in blocks_of(GUIDE.read_text()):
        first = block.text.partition("\n")[0]
        if block.language == "python" and first.startswith("# ") and first.endswith(".py"):
            (guide / first[2:]).write_text(block.text)
    with ThreadPoolExecutor(3) as pool:
        for kind in KINDS:
            made.found[f"tests of {kind}"] = pool.submit(asked, made, made.package(kind))
        made.found["tests of the guide"] = pool.submit(asked, made, guide)
        for kind in KINDS:
            mypy = ["-m", "mypy", "--cache-dir", str(folder / "types")]
            made.found[f"types of {kind}"] = pool.submit(made.run, *mypy, where=made.package(kind))
        yield made


def levels(folder: Path) -> dict[str, Literal["none", "basic", "complete", "proven"]]:
    report = json.loads((folder / "report.json").read_text())
    return {name.rpartition("::")[2]: suite["level"] for name, suite in report["suites"].items()}


def test_a_package_that_holds_bytes_keeps_every_promise(workshop: Workshop) -> None:
    workshop.outcome("tests of objects")
    assert levels(workshop.package("objects")) == {"TestTapeStore": "proven", "TestTapeResultHandler": "proven"}


def test_a_package_of_two_methods_keeps_every_promise(workshop: Workshop) -> None:
    workshop.outcome("tests of two_methods")
    assert levels(workshop.package("two_methods")) == {"TestCompanyStoreOfOursResultHandler": "proven"}


@each_kind
def test_a_package_is_typed_strictly(workshop: Workshop, kind: Kind) -> None:
    assert "Success: no issues found" in workshop.outcome(f"types of {kind}")


def test_the_plugins_of_the_guide_keep_their_promises(workshop: Workshop) -> None:
    workshop.outcome("tests of the guide")
    assert levels(workshop.folder / "guide") == {
        "TestShelfResultHandler": "complete",
        "TestVaultResultHandler": "complete",
        "TestVaultStore": "complete",
    }


@each_kind
def test_a_flow_that_is_configured_for_its_storage_keeps_its_values_there(workshop: Workshop, kind: Kind) -> None:
    name = NAMES[kind]
    (workshop.folder / "flow.py").write_text(
        "from ckpt import Flow, task\n\n@task\ndef double(x):\n    return 2 * x\n\n"
        "with Flow('doubled') as flow:\n    double(21)\n"
    )
    storage = f"{name}://{workshop.folder}/{kind}.db"
    ran = workshop.run("-m", "ckpt", "run", "flow.py", "--json", CKPT__FLOWS__STORAGE=storage)
    assert ran.returncode == 0, ran.stderr
    [task] = json.loads(ran.stdout)["tasks"]
    assert task["safe_value"]["handler"] == {"type": name, "path": f"{workshop.folder}/{kind}.db"}
    read = workshop.run("-m", "ckpt", "read", json.dumps(task["safe_value"]))
    assert (read.stdout, read.stderr) == ("42\n", "")
    nowhere = workshop.run("-m", "ckpt", "run", "flow.py", CKPT__FLOWS__STORAGE=f"{name}:///nowhere/kept.db")
    assert nowhere.returncode != 0
    assert "/nowhere/kept.db" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


def test_what_is_installed_is_seen_and_its_storage_is_taken(workshop: Workshop) -> None:
    checked = workshop.run("-m", "ckpt", "plugins", "check", "tape")
    assert checked.returncode == 0, checked.stdout
    assert "handler tape (tape://): ckpt_tape.handler.TapeResultHandler" in checked.stdout
    again = new_plugin(workshop.folder, "tape", "--folder", "another", python=workshop.python)
    assert again.returncode == 2
    assert "is served by ckpt_tape.handler.TapeResultHandler" in again.stderr
    assert not (workshop.folder / "another").exists()
