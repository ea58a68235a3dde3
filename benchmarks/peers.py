"""ckpt beside other libraries: what a trivial task costs when its value is kept in a file, in one run on one disk.

    make peers [ARGS="--rounds N --only KEY,KEY --json FILE --chart FILE --folder DIR"]

In each round every contender does the same work in a process of its own, each round beginning with another one. A
ratio is to the loop by hand of the same round that promises the same; medians count. `contenders.py` is the work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chart import Line, drawn
from contenders import CONTENDERS, SHAPES, Contender

LIMIT = 300
"""Seconds for one contender in one round."""

Round = dict[str, dict[str, float]]
"""Per contender, per shape, the seconds a task."""


def turn(contender: Contender, folder: Path) -> dict[str, object]:
    """One contender in a process of its own; whatever it starts ends with it."""
    folder.mkdir(parents=True)
    command = [sys.executable, str(Path(__file__).with_name("contenders.py"))]
    process = subprocess.Popen(
        [*command, contender.key, str(folder), str(contender.tasks)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise SystemExit(f"{contender.name} failed:\n{err}")
    return json.loads(out.splitlines()[-1])


def compare(chosen: list[Contender], rounds: int, folder: Path) -> list[Line]:
    """Let all take turns, and take the medians."""
    seen: list[Round] = []
    versions: dict[str, str] = {}
    for number in range(rounds):
        this: Round = {}
        for place in range(len(chosen)):
            contender = chosen[(place + number) % len(chosen)]
            facts = turn(contender, folder / f"{number}-{contender.key}")
            versions[contender.key] = str(facts["version"])
            this[contender.key] = {shape: float(str(facts[shape])) / contender.tasks for shape in SHAPES}
            print(".", end="", flush=True, file=sys.stderr)
        seen.append(this)
    print(file=sys.stderr)
    return [
        Line(
            contender.name,
            versions[contender.key],
            contender.durable,
            contender.tasks,
            {shape: statistics.median(this[contender.key][shape] for this in seen) * 1e6 for shape in SHAPES},
            {
                shape: statistics.median(this[contender.key][shape] / this[floor(contender)][shape] for this in seen)
                for shape in SHAPES
            },
        )
        for contender in chosen
    ]


def floor(contender: Contender) -> str:
    return "hand-durable" if contender.durable else "hand"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(CONTENDERS), metavar="KEY,KEY", help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results-peers.json"), metavar="FILE")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the result as SVG")
    parser.add_argument("--folder", type=Path, help="where files are written; default: the folder for temporary files")
    arguments = parser.parse_args()
    keys = set(arguments.only.split(","))
    if unknown := keys - CONTENDERS.keys():
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}")
    keys |= {floor(CONTENDERS[key]) for key in keys}

    folder = Path(tempfile.mkdtemp(prefix="ckpt-peers-", dir=arguments.folder))
    started = time.monotonic()
    try:
        lines = compare([each for key, each in CONTENDERS.items() if key in keys], arguments.rounds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'a task whose value is kept in a file':<40} {'tasks':>6}" + "".join(f"{shape:>22}" for shape in SHAPES))
    for line in lines:
        figures = "".join(f"{line.micros[shape]:>10,.1f} us {line.ratios[shape]:>6.2f} x" for shape in SHAPES)
        print(f"{line.promise:<14} {line.name} {line.version}".ljust(40) + f" {line.tasks:>6,}{figures}")
    python = platform.python_version()
    print(f"\nmedians of {arguments.rounds} rounds in {time.monotonic() - started:.0f} s, Python {python}")
    facts = {"python": python, "machine": platform.machine(), "rounds": arguments.rounds}
    arguments.json.write_text(json.dumps({**facts, "lines": [line.to_dict() for line in lines]}, indent=2) + "\n")
    print(f"written to {arguments.json}")
    if arguments.chart:
        arguments.chart.write_text(drawn(lines), encoding="utf-8")
        print(f"drawn to {arguments.chart}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
