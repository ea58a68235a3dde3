"""The reader of documents, in a folder and a home of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.documents import Reader


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith("CKPT__")]:
        monkeypatch.delenv(name)
    return Reader(folder, home)
