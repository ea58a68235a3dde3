"""The kit on every store that is broken. Run by `test_kit.py`, in a process of its own."""

from __future__ import annotations

import kit_broken_stores
from kit_breakages import BROKEN
from kit_suites import Expected, StoreTests, server, sockets

__all__ = ["server", "sockets"]

for _kind in BROKEN:
    if _kind.__module__ == kit_broken_stores.__name__:
        _members = {"store_class": _kind, "broken": _kind, "__module__": __name__}
        globals()[f"Test{_kind.__name__}"] = type(f"Test{_kind.__name__}", (Expected, StoreTests), _members)
