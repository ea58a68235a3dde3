"""How fast ckpt is, against doing the same by hand on the same disk in the same run.

    python benchmarks/run.py [--quick] [--only TEXT] [--json FILE] [--folder DIR]

Each row is measured in rounds, the work of ckpt and its floor in turn, and the median of the rounds' ratios counts:
the machines are noisy, and only a ratio within one run means anything. Each round changes who begins, and nobody pays
for what the one before left to be written or collected. Folders are new for each round and are deleted at the end:
deleting in between makes the creation of later files several times slower. How ckpt compares with other libraries is
measured by `peers.py`, and what keeping values in a cloud costs by `clouds.py`, and
what the record of runs costs by `history.py`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import arrays
import files
import scheduling
import starting
from rows import Row, Seen, level


def measure(row: Row, folder: Path, rounds: int) -> Seen:
    """Run one row's work and floor in turn."""
    ours, floors, extras = [], [], []
    for number in range(-1, rounds):  # the first round warms up and does not count
        place = folder / f"{row.key}-{number}"
        place.mkdir()
        turns = {"ckpt": row.work, "floor": row.floor}
        took = {}
        for name in sorted(turns, reverse=number % 2 == 0):
            if (work := turns[name]) is not None:
                level()
                took[name] = work(place / name)
        if number >= 0:
            ours.append(took["ckpt"].seconds)
            extras.append(took["ckpt"].extra)
            if "floor" in took:
                floors.append(took["floor"].seconds)
    ratios = [mine / theirs for mine, theirs in zip(ours, floors, strict=True)] if floors else []
    return Seen(
        row,
        ours=statistics.median(ours),
        floor=statistics.median(floors) if floors else None,
        ratio=statistics.median(ratios) if ratios else None,
        extra=statistics.median(extras),
    )


def asked(told: str | None, results: str) -> argparse.Namespace:
    """The arguments of a program that measures rows."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds a row instead of nine, and no 100,000 tasks")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has TEXT in it")
    parser.add_argument("--json", type=Path, default=Path("benchmarks", results), metavar="FILE")
    parser.add_argument("--folder", type=Path, help="where files are written; default: the folder for temporary files")
    return parser.parse_args()


def told(rows: Sequence[Row], arguments: argparse.Namespace) -> int:
    """Measure the rows, print each, and write the figures."""
    logging.getLogger("ckpt").setLevel(logging.ERROR)
    rows = [row for row in rows if arguments.only in row.name and not (arguments.quick and row.slow)]
    folder = Path(tempfile.mkdtemp(prefix="ckpt-bench-", dir=arguments.folder))
    seen = []
    started = time.monotonic()
    try:
        print(f"{'work':<58} {'ckpt':>11} {'by hand':>11} {'reached':>10}   bar")
        for row in rows:
            result = measure(row, folder, 3 if arguments.quick else row.rounds)
            seen.append(result)
            print(result.line(), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    missed = [result.row.name for result in seen if result.verdict == "MISSED"]
    summary = f"{len(missed)} missed: {', '.join(missed)}" if missed else "none missed"
    print(f"\n{len(seen)} rows in {time.monotonic() - started:.0f} s; {summary}")
    facts = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rounds": "quick" if arguments.quick else "full",
        "rows": [result.to_dict() for result in seen],
    }
    arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    print(f"written to {arguments.json}")
    return 0


def main() -> int:
    os.environ["CKPT__LEDGER__ENABLED"] = "false"  # what recording costs, `history.py` measures
    arguments = asked(__doc__, "results.json")
    return told([*scheduling.rows(), *files.rows(), *arrays.rows(), *starting.rows()], arguments)


if __name__ == "__main__":
    sys.exit(main())
