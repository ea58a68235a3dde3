"""What each distribution says of itself, and what must never get into the repository."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import ckpt

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
CORE, *PLUGINS = PROJECTS


def stated(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text())


def package(project: Path) -> Path:
    [found] = (path.parent for path in project.glob("src/*/__init__.py"))
    return found


each_project = pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
each_plugin = pytest.mark.parametrize("project", PLUGINS, ids=lambda project: project.name)


@each_project
def test_every_distribution_states_version_python_and_licence_alike(project: Path) -> None:
    mine, core = stated(project)["project"], stated(CORE)["project"]
    for field in ("version", "requires-python", "license", "license-files", "classifiers"):
        assert mine[field] == core[field], field
    assert (project / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@each_project
def test_every_distribution_says_what_it_is(project: Path) -> None:
    mine = stated(project)["project"]
    assert mine["description"].endswith(".")
    assert (project / "README.md").read_text().startswith(f"# {mine['name']}\n")


@each_project
def test_every_package_is_typed(project: Path) -> None:
    assert (package(project) / "py.typed").read_bytes() == b""


@each_project
def test_what_is_installed_is_this_version(project: Path) -> None:
    mine = stated(project)["project"]
    assert metadata.version(mine["name"]) == mine["version"], "the environment is old: run `make dist` or `make test`"


def test_ckpt_tells_the_version_of_its_distribution() -> None:
    assert ckpt.__version__ == stated(CORE)["project"]["version"]


def test_core_requires_little_and_no_plugin() -> None:
    names = {re.split(r"[<>=!~\[; ]", line)[0] for line in stated(CORE)["project"]["dependencies"]}
    assert names == {"cloudpickle", "importlib-metadata", "pluggy"}


@each_plugin
def test_a_plugin_is_found_by_its_entry_point(project: Path) -> None:
    name = stated(project)["project"]["name"]
    [found] = (point for point in metadata.distribution(name).entry_points if point.group == "ckpt")
    assert (found.name, found.value) == (name.removeprefix("ckpt-"), package(project).name)


@each_plugin
def test_a_plugin_requires_the_core(project: Path) -> None:
    assert any(line.startswith("ckpt-core") for line in stated(project)["project"]["dependencies"])


@each_plugin
def test_the_import_arrows_know_the_plugin(project: Path) -> None:
    assert package(project).name in stated(ROOT)["tool"]["importlinter"]["root_packages"]


def committed() -> list[Path]:
    """The files that git has or would take; without git, those of the source folders."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if listing.returncode == 0:
        return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    folders = ("core", "plugins", "tests", "benchmarks", "examples", "docs", ".ci")
    return [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"
    ]


def test_no_lock_file_is_committed() -> None:
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "package-lock.json"}
    assert [path for path in committed() if path.name in locks] == []


def test_no_path_of_a_machine_and_no_package_index_is_committed() -> None:
    wrong = re.compile(rb"/(?:root|home/\w+)/|index-url|default-index|pythonhosted|https?://[^\s\"']*/simple\b")
    found = [
        (str(path.relative_to(ROOT)), match[0])
        for path in committed()
        if path != Path(__file__) and (match := wrong.search(path.read_bytes()))
    ]
    assert found == []
