"""Inject faults into ckpt and ckpt-local, count those that fired, and look for a broken promise.

    python faults/run.py [--quick] [--seed N] [--only TEXT] [--folder DIR]

Each row plants a bug as well and puts it to the same check, which must fail: a check that cannot fail proves nothing.
Faults are chosen by the seed, by default the date. --quick takes a small part of everything, another one each day.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import damage
import kills
import links
import modes
import power
import refusals
import volumes
from rows import Row, Scope
from writes import WAYS, WRITES

FAMILIES: dict[str, Callable[[Scope], Iterator[Row]]] = {
    "kills": kills.rows,
    "power": power.rows,
    "refusals": refusals.rows,
    "volumes": volumes.rows,
    "damage": damage.rows,
    "links": links.rows,
    "modes": modes.rows,
}
MEMORY = next((path for path in [Path("/dev/shm")] if os.access(path, os.W_OK)), None)
"""For what needs no real disk, which is most."""
SHOWN = 10
"""Broken promises that are printed for each row."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of everything, in seconds")
    parser.add_argument("--seed", type=int, default=int(f"{datetime.now(UTC):%Y%m%d}"), help="default: the date")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help=f"those with TEXT in the name: {', '.join(FAMILIES)}"
    )
    parser.add_argument("--folder", type=Path, help="where files are written; default: the folder for temporary files")
    arguments = parser.parse_args()
    logging.getLogger("ckpt").setLevel(logging.ERROR)
    options = " --quick" * arguments.quick + f" --only {arguments.only}" * bool(arguments.only)
    print(f"seed {arguments.seed}; the same again: python faults/run.py --seed {arguments.seed}{options}\n")

    began = time.monotonic()
    seen: list[Row] = []
    print(f"{'injected':<76}{'fired':>7}{'broken':>8}{'caught':>9}   planted")
    names = [name for name in FAMILIES if arguments.only in name]
    run = partial(rows_of, seed=arguments.seed, quick=arguments.quick, where=arguments.folder)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for rows in pool.map(run, names):
            seen += rows
            for row in rows:
                show(row)
    fired, failed = sum(row.fired for row in seen), [row for row in seen if not row.holds]
    verdict = f"{len(failed)} rows do not hold" if failed else "every promise held, and every planted bug was found"
    print(f"\n{fired} faults fired in {time.monotonic() - began:.0f} s: {verdict}")
    return 1 if failed or not seen else 0


def rows_of(name: str, *, seed: int, quick: bool, where: Path | None) -> list[Row]:
    """All rows of a family, in a process that may be any."""
    with a_folder(where) as folder, a_folder(where or MEMORY) as memory:
        warm_up(memory)
        return list(FAMILIES[name](Scope(seed, quick, folder, memory)))


@contextmanager
def a_folder(where: Path | None) -> Iterator[Path]:
    """A new folder in `where`, or in that for temporary files; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="ckpt-faults-", dir=where) as made:
        yield Path(made).resolve()


def warm_up(folder: Path) -> None:
    """Write once, so that what is imported at first use is no part of a traced write."""
    root = folder / "warm"
    for write in WRITES:
        for way in WAYS:
            write.prepare(root)
            write.run(way.handler(root))
    shutil.rmtree(root)


def show(row: Row) -> None:
    caught = f"{row.caught} of {row.planted}"
    print(f"{row.injected:<76}{row.fired:>7}{len(row.found):>8}{caught:>9}   {row.control}", flush=True)
    for text in row.found[:SHOWN]:
        print(f"    BROKEN  {text}")
    if len(row.found) > SHOWN:
        print(f"    BROKEN  … and {len(row.found) - SHOWN} more")
    if row.fired < row.least:
        print(f"    TOO FEW FIRED  {row.least} would prove something")
    if row.caught < row.planted:
        print("    BLIND  a planted bug was not found, so the check proves nothing")


if __name__ == "__main__":
    sys.exit(main())
