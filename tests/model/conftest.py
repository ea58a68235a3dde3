"""The engine against a model: where its modules are found, and quiet settings."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # worker processes get it too, and find the modules of the tasks there


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings of nobody in an empty home and working folder, and no messages of thousands of runs."""
    for name in [name for name in os.environ if name.startswith("CKPT__")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CKPT__FLOWS__WRITE_RETRY_DELAY", "0")
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("ckpt")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    yield tmp_path
    log.setLevel(before)
