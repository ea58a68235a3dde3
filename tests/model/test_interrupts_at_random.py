"""Ctrl-C at random moments: real signals to real processes lose nothing that was kept, and leave no process behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from model_runs import processes_of
from model_strategies import DEEP

HERE = Path(__file__).parent
ROUNDS = max(5, min(DEEP // 10, 200)) if DEEP else 5


@pytest.mark.timeout(0)
@pytest.mark.parametrize("executor", ["local", "threads", "processes"])
def test_ctrl_c_at_any_moment_leaves_every_kept_value_whole(executor: str, quiet: Path) -> None:
    seed = int(os.environ.get("CKPT_SEED", random.randrange(10**6) if DEEP else 1))
    print(f"CKPT_SEED={seed}")  # noqa: T201  shown when the test fails
    chance = random.Random(f"{seed} {executor}")
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import model_interrupted; model_interrupted.main()"
    with (quiet / "stderr").open("w") as errors:
        program = subprocess.Popen(
            [sys.executable, "-c", code, executor, str(ROUNDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=quiet,
            env={**os.environ, "CKPT__FLOWS__WORKERS": "2"},
            start_new_session=True,
        )
    assert program.stdin is not None
    assert program.stdout is not None
    reports: list[dict[str, Any]] = []
    try:
        usual = float(program.stdout.readline())
        for _ in range(ROUNDS):
            said = program.stdout.readline()
            assert said == "go\n", said + (quiet / "stderr").read_text()
            time.sleep(chance.uniform(0, usual))
            if chance.random() < 0.5:
                os.killpg(program.pid, signal.SIGINT)  # as a terminal does
            else:
                os.kill(program.pid, signal.SIGINT)
            time.sleep(0.1)  # the signal is there before the line that tells of it
            program.stdin.write("sent\n")
            program.stdin.flush()
            said = program.stdout.readline()
            assert said, (quiet / "stderr").read_text()
            reports.append(json.loads(said))
        program.stdin.close()
        assert program.wait(20) == 0, (quiet / "stderr").read_text()
        end = time.monotonic() + 5
        while processes_of(program.pid) and time.monotonic() < end:
            time.sleep(0.02)
        assert processes_of(program.pid) == []
    finally:
        for process in processes_of(program.pid):
            os.kill(process, signal.SIGKILL)
        program.wait()
        program.stdout.close()
    assert (quiet / "stderr").read_text() == ""
    assert [report["wrong"] for report in reports if report["wrong"]] == []
    assert max(report["took"] for report in reports) < 10
    landed = sum(report["landed"] == "while it ran" for report in reports)
    print(f"{executor}: {landed} of {ROUNDS} interrupts came while the flow ran")  # noqa: T201  shown when the test fails
    assert landed * 3 >= ROUNDS
