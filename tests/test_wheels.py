"""The wheels in dist/, as a stranger gets them: in an environment of their own, far from the source tree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

pytestmark = [pytest.mark.wheels, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
WHEELS = sorted((ROOT / "dist").glob("ckpt_*.whl"))
PROJECTS = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]

FLOW = """
from ckpt import Flow, task
from ckpt.result_handlers import JSONResultHandler

@task
def add(x, y=1):
    return x + y

with Flow("my handled flow!", result_handler=JSONResultHandler()) as flow:
    first_result = add(1, y=2)
    second_result = add(x=first_result, y=100)

if __name__ == "__main__":
    import json
    state = flow.run(checkpointing=True)
    kept = state.result[first_result]._result
    print(json.dumps([kept.value, repr(kept.safe_value), kept.safe_value.to_dict()]))
"""


class Environment:
    """A new environment with these wheels, an empty folder to work in, and an empty home."""

    def __init__(self, folder: Path, *what: str | Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.scripts = folder / "venv" / "bin"
        venv.create(self.scripts.parent, with_pip=True)
        pip = [self.scripts / "python", "-m", "pip", "--disable-pip-version-check", "install", "-qq", *what]
        subprocess.run(pip, check=True, cwd=self.folder)
        foreign = ("CKPT__", "PYTHON", "VIRTUAL_ENV")
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.variables["HOME"] = str(folder)

    def run(self, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.scripts / command, *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def output(self, command: str, *arguments: str | Path) -> str:
        ran = self.run(command, *arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """All wheels with what they require, no extra."""
    return Environment(tmp_path_factory.mktemp("bare"), *WHEELS)


@pytest.fixture(scope="module")
def with_command(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """All wheels, the core's with the extra `cli`."""
    wheels = [f"{wheel}[cli]" if wheel.name.startswith("ckpt_core-") else wheel for wheel in WHEELS]
    return Environment(tmp_path_factory.mktemp("command"), *wheels)


def test_every_distribution_has_one_wheel() -> None:
    assert len(WHEELS) == len(PROJECTS), "dist/ is not what this tree builds: run `make wheels`"


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name.split("-")[0])
def test_a_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    [information, package] = sorted({name.split("/")[0] for name in content}, key=lambda name: "." not in name)
    metadata = HeaderParser().parsestr(content[f"{information}/METADATA"].decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload(), "no description: the README is missing"
    assert content[f"{information}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert f"{package}/py.typed" in content
    assert [name for name in content if re.search(r"(^|/)tests?/|\.pyc$|~$|/\.", name)] == []
    assert [name for name, data in content.items() if str(ROOT).encode() in data] == []


def test_the_command_without_its_extra_prints_the_pip_line(bare: Environment) -> None:
    ran = bare.run("ckpt", "--version")
    assert ran.returncode != 0
    assert "pip install 'ckpt-core[cli]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_flow_runs_and_its_values_are_read_elsewhere(bare: Environment) -> None:
    (bare.folder / "flow.py").write_text(FLOW)
    value, shown, safe = json.loads(bare.output("python", "flow.py"))
    assert (value, shown) == (3, "<SafeResult: '3'>")
    program = "import ckpt, json, sys; print(ckpt.SafeResult.from_dict(json.loads(sys.argv[1])).to_result().value)"
    assert bare.output("python", "-c", program, json.dumps(safe)) == "3\n"


def test_values_in_files_are_read_by_another_process(bare: Environment) -> None:
    handled = FLOW.replace("JSONResultHandler()", "LocalResultHandler(dir='kept')").replace("JSONR", "LocalR")
    (bare.folder / "in_files.py").write_text(handled)
    value, _, safe = json.loads(bare.output("python", "in_files.py"))
    assert value == 3
    [first, second] = sorted((bare.folder / "kept").rglob("*.ckpt"))
    program = "import pickle, sys; print(*(pickle.load(open(path, 'rb')) for path in sys.argv[1:]))"
    assert bare.output("python", "-c", program, first, second) == "3 103\n"
    program = "import ckpt, json, sys; print(ckpt.read(ckpt.SafeResult.from_dict(json.loads(sys.argv[1]))))"
    assert bare.output("python", "-c", program, json.dumps(safe)) == "3\n"


def test_the_command_says_its_version_and_its_plugins(with_command: Environment) -> None:
    version = re.search(r"ckpt_core-([^-]+)-", str(WHEELS))
    assert version
    assert version[1] in with_command.output("ckpt", "--version")
    plugins = with_command.output("ckpt", "plugins")
    assert "ckpt-local" in plugins
    assert "ckpt-json" in plugins


def test_the_command_runs_a_flow(with_command: Environment) -> None:
    (with_command.folder / "flow.py").write_text(FLOW)
    with_command.output("ckpt", "run", "flow.py", "--storage", f"file://{with_command.folder}/kept")


def test_the_command_makes_the_package_of_a_plugin(with_command: Environment) -> None:
    for option in ("--objects", "--two-methods"):
        with_command.output("ckpt", "new-plugin", "tape", option, "--folder", f"tape{option}")
        assert "ckpt_tape" in (with_command.folder / f"tape{option}" / "pyproject.toml").read_text()
