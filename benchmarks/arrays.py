"""One 256 MB array, written by one task and summed by the next, and read back: time, and peak memory in arrays.

Each round is a process of its own, since peak memory is a process's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from rows import Row, Took

__all__ = ["rows"]

ITEMS = (256 << 20) // 8
BYTES = ITEMS * 8


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    # Not getrusage's ru_maxrss: a process inherits that from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def report(start: float, base: int, end: float, **facts: object) -> None:
    print(json.dumps({"seconds": end - start, "extra": (peak() - base) / BYTES, **facts}))


def write(place: Path) -> None:
    """ckpt: a task returns the array, the next one sums it."""
    import logging

    import numpy as np

    from ckpt import Flow, task
    from ckpt_local import LocalResultHandler

    logging.getLogger("ckpt").setLevel(logging.ERROR)
    array = np.arange(ITEMS, dtype=np.float64)
    with Flow("large", result_handler=LocalResultHandler(dir=place)) as flow:
        kept = task(lambda: array, name="make")()
        task(lambda values: float(values.sum()), name="total")(kept)
    with Flow("small", result_handler=LocalResultHandler(dir=place)) as warm:
        task(lambda: 1, name="one")()
    warm.run(checkpointing=True)
    base = peak() - BYTES
    start = time.perf_counter()
    state = flow.run(checkpointing=True)
    end = time.perf_counter()
    if not state.is_successful():
        raise SystemExit(str(state))
    report(start, base, end, safe=state.result[kept].kept.safe_value.to_dict())


def write_by_hand(place: Path) -> None:
    import numpy as np

    array = np.arange(ITEMS, dtype=np.float64)
    place.mkdir()
    base = peak() - BYTES
    start = time.perf_counter()
    with open(place / "array", "wb", buffering=0) as file:  # noqa: PTH123  the floor is the quickest way by hand
        view = memoryview(array).cast("B")
        for offset in range(0, BYTES, 1 << 20):
            file.write(view[offset : offset + (1 << 20)])
        os.fsync(file.fileno())
    folder = os.open(place, os.O_RDONLY)
    os.fsync(folder)
    float(array.sum())
    report(start, base, time.perf_counter())


def read(place: Path) -> None:
    """ckpt: read the kept array, verified."""
    import numpy as np

    import ckpt

    safe = ckpt.SafeResult.from_dict(json.loads((place / "safe.json").read_text()))
    ckpt.SafeResult("warm", safe.result_handler)
    np.zeros(1)
    hashlib.sha256(b"").digest()
    base = peak()
    start = time.perf_counter()
    array = safe.read()
    end = time.perf_counter()
    if array[-1] != ITEMS - 1:  # type: ignore[index]  the array
        raise SystemExit("read something else than was written")
    report(start, base, end)


def read_by_hand(place: Path) -> None:
    import numpy as np

    np.zeros(1)
    base = peak()
    start = time.perf_counter()
    array = np.empty(ITEMS, dtype=np.float64)
    view = memoryview(array).cast("B")
    with open(place / "array", "rb", buffering=0) as file:  # noqa: PTH123  the floor is the quickest way by hand
        offset = 0
        while offset < BYTES:
            offset += file.readinto(view[offset : offset + (4 << 20)])
    hashlib.sha256(view).digest()
    report(start, base, time.perf_counter())


def child(work: str, place: Path) -> Took:
    """One round in a process of its own."""
    if work == "read":
        facts = run("write", place)
        (place / "safe.json").write_text(json.dumps(facts["safe"]))
    if work == "read_by_hand":
        run("write_by_hand", place)
    facts = run(work, place)
    return Took(facts["seconds"], facts["extra"])


def run(work: str, place: Path) -> dict[str, object]:
    done = subprocess.run([sys.executable, __file__, work, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def rows() -> list[Row]:
    write_floor, read_floor = partial(child, "write_by_hand"), partial(child, "read_by_hand")
    ours, back = partial(child, "write"), partial(child, "read")
    return [
        Row("array-write", "256 MB array kept, then summed", ours, write_floor, 1.25, "ratio", rounds=5),
        Row("array-write-peak", "256 MB array kept: peak memory", ours, None, 1.05, "extra", rounds=3),
        Row("array-read", "256 MB array read back, verified", back, read_floor, 1.1, "ratio", rounds=5),
        Row("array-read-peak", "256 MB array read back: peak memory", back, None, 1.05, "extra", rounds=3),
    ]


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
