"""Runs killed at every step and gone on from: the value is right, and nothing acknowledged or durable is redone."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("kills_program.py")
EXPECTED = [14 + 8 + ord("d"), -(14 + 8 + ord("n"))]
PATHS = [
    "numbers-1",
    *(f"square-1[{i}]" for i in range(4)),
    "hidden-1",
    "large-1",
    "total-1",
    "after-1[0]",
    "after-1[1]",
]
NOT_KEPT = {"hidden-1"}


class Chain:
    """One flow, run and killed and gone on from, with a ledger, a storage and notes of its own."""

    def __init__(self, nursery: subprocess.Popen[str], folder: Path, executor: str, url: str | None = None) -> None:
        self.nursery, self.folder, self.executor = nursery, folder, executor
        self.url = url or f"sqlite:///{folder}/ledger.db"
        self.kills = 0
        folder.mkdir()

    def run(self, kill: int = 0) -> bool:
        """One more run, killed at that step; was it killed?"""
        steps = self.folder / "steps"
        steps.write_text("")
        environment = {
            "HOME": str(self.folder),
            "CKPT__LEDGER__URL": self.url,
            "CKPT__FLOWS__WORKERS": "2",
            "KILLS_AT": str(kill),
            "KILLS_STEPS": str(steps),
            "KILLS_NOTES": str(self.folder / "notes"),
            "KILLS_REMOTE": "yes" if self.executor == "processes" else "",
        }
        job = {
            "env": environment,
            "storage": (self.folder / "values").as_uri(),
            "executor": self.executor,
            "answer": str(self.folder / "answer"),
            "log": str(self.folder / "log"),
        }
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write(json.dumps(job) + "\n")
        self.nursery.stdin.flush()
        status = int(self.nursery.stdout.readline())
        assert status in (0, -9), f"{self.told()}\nended with {status}"
        self.kills += status == -9
        return status == -9

    @property
    def steps(self) -> int:
        """How many steps the last run took."""
        return (self.folder / "steps").stat().st_size

    def told(self) -> str:
        return "\n".join((self.folder / name).read_text() for name in ("log", "notes") if (self.folder / name).exists())

    def check(self) -> None:
        """Nothing lost, nothing that was acknowledged or durable done twice."""
        assert json.loads((self.folder / "answer").read_text()) == EXPECTED, self.told()
        done: set[str] = set()
        told: Counter[str] = Counter()
        began: set[str] = set()
        for line in (self.folder / "notes").read_text().splitlines():
            what, call = line.split(maxsplit=1)
            if what == "began":
                began.add(call)
                assert call not in done, f"{self.told()}\n{call} was done again"
            elif what in ("kept", "told") and call not in NOT_KEPT:
                done.add(call)
                told[call] += what == "told"
        assert began == set(PATHS)
        assert set(told.values()) <= {0, 1}, f"{self.told()}\nacknowledged twice: {told}"


Chains = Callable[..., Chain]


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[Chains]:
    """`chains(executor)` begins one more chain of runs."""
    numbers = itertools.count()
    nursery = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with nursery:
        yield lambda executor, url=None: Chain(nursery, tmp_path / str(next(numbers)), executor, url)
        assert nursery.stdin is not None
        nursery.stdin.close()


def whole(chain: Chain) -> int:
    """How many steps a run takes that nobody kills."""
    assert not chain.run()
    chain.check()
    return chain.steps


@pytest.mark.parametrize(("executor", "stride"), [("local", 2), ("threads", 2), ("processes", 26)])
def test_a_run_killed_at_any_step_is_gone_on_from(executor: str, stride: int, chains: Chains) -> None:
    steps = whole(chains(executor))
    kills = 0
    for at in range(1, steps, stride):
        chain = chains(executor)
        chain.run(at)
        assert not chain.run()
        chain.check()
        kills += chain.kills
    assert kills >= steps // stride // 2, "how many steps a run takes depends on how its writes share a sync"


@pytest.mark.parametrize(("executor", "count"), [("local", 30), ("threads", 30), ("processes", 2)])
def test_a_run_killed_again_and_again_comes_to_its_end(executor: str, count: int, chains: Chains) -> None:
    chance = random.Random(executor)
    kills = 0
    for _ in range(count):
        chain = chains(executor)
        while chain.run(chance.randrange(1, 120)):
            assert chain.kills < 100
        chain.check()
        kills += chain.kills
    assert kills >= 2 * count


def test_runs_recorded_on_a_server_are_gone_on_from(chains: Chains, server_url: str) -> None:
    """A database serves one chain, since `last` is the newest run of the flow."""
    chance = random.Random(1)
    chain = chains("threads", server_url)
    while chain.run(chance.randrange(1, 60)):
        assert chain.kills < 200
    chain.check()
    assert chain.kills >= 3
