"""Whether the process of a run is gone for certain, so that nobody has to wait until its heartbeat is old.

A process is told from every other by its number and when it started, and by where these count: since which start of
the machine, and in which container. Linux says all of it, in `/proc`; elsewhere nothing is known, and nothing is gone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from ckpt.handlers import JSON

__all__ = ["is_gone", "this_process"]

_PROC: Final = Path("/proc")


def this_process() -> Mapping[str, JSON]:
    """What tells this process from all others, in plain JSON; empty where the system does not say it."""
    return _told(os.getpid())


def is_gone(process: JSON) -> bool:
    """Is there no such process any more? False as well where that cannot be seen from here, as from another host."""
    match process:
        case {"pid": int(pid), "started": str(started), **where} if where and where == _where():
            return _start(pid) != started
    return False


@lru_cache(maxsize=1)
def _told(pid: int) -> Mapping[str, JSON]:
    started, where = _start(pid), _where()
    return {"pid": pid, "started": started, **where} if started and where else {}


def _start(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; None where there is no such process."""
    try:
        facts = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *others = facts.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state in "ZX" else others[18]


def _where() -> dict[str, JSON]:
    """The start of this machine, and the space that numbers of processes count in; empty where nobody says."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return {"boot": boot, "space": str((_PROC / "self/ns/pid").readlink())}
    except OSError:
        return {}
