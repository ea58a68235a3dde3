"""The kit on every handler that is broken. Run by `test_kit.py`, in a process of its own."""

from __future__ import annotations

import kit_broken_handlers
from kit_breakages import BROKEN
from kit_suites import Expected, HandlerTests, server, sockets

__all__ = ["server", "sockets"]

for _kind in BROKEN:
    if _kind.__module__ == kit_broken_handlers.__name__:
        _members = {"handler_class": _kind, "broken": _kind, "__module__": __name__}
        globals()[f"Test{_kind.__name__}"] = type(f"Test{_kind.__name__}", (Expected, HandlerTests), _members)
