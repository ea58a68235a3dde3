"""A home that is nobody's, and the reader of documents, in a folder and a home of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Reader

_home = tempfile.TemporaryDirectory(prefix="ckpt-home-")


def pytest_configure() -> None:
    """Runs are recorded below the home folder: not below that of the person who runs the tests."""
    os.environ["HOME"] = _home.name


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith("CKPT__")]:
        monkeypatch.delenv(name)
    # A file that a document shows can be imported by the ones after it, and by no other test.
    monkeypatch.syspath_prepend(str(folder))
    yield Reader(folder, home)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]
