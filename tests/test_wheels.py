"""The wheels in dist/, as a stranger gets them: in an environment of their own, far from the source tree."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.documents import blocks_of
from tests.servers.s3 import BUCKET, KEY_ID, SECRET, S3Server, moto_server

pytestmark = [pytest.mark.wheels, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
WHEELS = sorted((ROOT / "dist").glob("ckpt_*.whl"))
PROJECTS = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]

FROM_DIST = ("--find-links", ROOT / "dist")
CLOUDS = sorted({path.name for path in PROJECTS} & {"azure", "gcs", "s3"})

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
        foreign = ("AWS_", "CKPT__", "PYTHON", "VIRTUAL_ENV")
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.variables["HOME"] = str(folder)

    def run(self, command: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.scripts / command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**self.variables, **variables},
            stdin=subprocess.DEVNULL,
        )

    def output(self, command: str, *arguments: str | Path, **variables: str) -> str:
        ran = self.run(command, *arguments, **variables)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """All wheels with what they require, no extra; without the ledger, which brings the command."""
    return Environment(tmp_path_factory.mktemp("bare"), *(wheel for wheel in WHEELS if "ckpt_ledger" not in wheel.name))


@pytest.fixture(scope="module")
def with_command(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """All wheels, the core's with the extra `cli`."""
    return Environment(tmp_path_factory.mktemp("command"), *FROM_DIST, "ckpt-core[cli]", *WHEELS)


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


@pytest.fixture(scope="module", params=CLOUDS)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One cloud package by its name, as `pip install` finds it and what it requires in dist/."""
    folder = tmp_path_factory.mktemp(request.param)
    return Environment(folder, *FROM_DIST, f"ckpt-{request.param}")


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


def weather() -> str:
    """The flow of the README, its storage left to the settings, and what it prints."""
    blocks = [block.text for block in blocks_of((ROOT / "README.md").read_text()) if block.language == "python"]
    flow, shown = blocks[:2]
    assert flow.startswith("# weather.py")
    assert 'storage="local"' in flow
    return flow.replace(', storage="local"', "") + shown


def test_a_cloud_package_brings_the_core_and_json_and_loads_no_sdk(cloud: Environment) -> None:
    listed = {each["name"] for each in json.loads(cloud.output("python", "-m", "pip", "list", "--format=json"))}
    assert {"ckpt-core", "ckpt-json"} <= listed
    assert "ckpt-local" not in listed
    program = "import sys; from ckpt import plugins; print(*plugins.handler_classes()); print(*sys.modules)"
    found, loaded = cloud.output("python", "-c", program).splitlines()
    assert set(found.split()) & set(CLOUDS)
    assert {"azure", "boto3", "botocore", "google.cloud"} & set(loaded.split()) == set()


@pytest.mark.parametrize("cloud", ["s3"], indirect=True)
def test_the_flow_of_the_readme_keeps_its_values_in_s3_by_one_setting(cloud: Environment, s3_server: S3Server) -> None:
    (cloud.folder / "weather.py").write_text(weather())
    variables = {
        "CKPT__FLOWS__STORAGE": f"s3://{BUCKET}/wheels",
        "AWS_ENDPOINT_URL": s3_server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    average, cleaned, _ = cloud.output("python", "weather.py", **variables).splitlines()
    assert (average, cleaned) == ("21.3", "[20.5, 21.0, 22.5]")
    client = s3_server.client()
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET, Prefix="wheels/")["Contents"]]
    assert [key.rpartition("/")[2] for key in keys] == ["average-1.ckpt", "clean-1.ckpt", "measure-1.ckpt"]
    body = client.get_object(Bucket=BUCKET, Key=keys[1])["Body"].read()
    assert pickle.loads(body) == [20.5, 21.0, 22.5]
    read = "import ckpt, sys; print(ckpt.read(sys.argv[1]))"
    assert cloud.output("python", "-c", read, keys[1], **variables) == f"{cleaned}\n"


def test_a_flow_whose_cloud_package_is_not_installed_gets_the_pip_line(tmp_path: Path) -> None:
    plain = Environment(tmp_path, *FROM_DIST, "ckpt-json")
    (plain.folder / "weather.py").write_text(weather())
    for name, scheme in (("azure", "az"), ("gcs", "gs"), ("s3", "s3")):
        ran = plain.run("python", "weather.py", CKPT__FLOWS__STORAGE=f"{scheme}://bucket/x")
        assert ran.returncode != 0
        assert f"pip install ckpt-{name}" in ran.stderr.splitlines()[-1]
