"""The day's part of `make faults`: other faults each day, and the same for one seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("family", ["kills", "power", "refusals", "volumes", "damage", "links", "modes"])
def test_the_faults_of_the_day_break_no_promise_and_planted_bugs_are_found(family: str) -> None:
    command = [sys.executable, "faults/run.py", "--quick", "--only", family]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    print(done.stdout)  # noqa: T201  the seed, with the command that does the same again
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise held, and every planted bug was found" in done.stdout
