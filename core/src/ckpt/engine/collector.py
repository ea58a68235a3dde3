"""Python's cyclic garbage collector, which would walk everything that is there again and again, and find nothing.

To go on from a large run makes many objects that stay: while they are made, that is a third of the time. They and what
was there before are set aside meanwhile, which the process notices only by cycles that are collected a little later.
"""

from __future__ import annotations

import gc

__all__ = ["SetAside"]


class SetAside:
    """What is there now stands aside until `end`; unless somebody in this process has frozen objects for themselves."""

    def __init__(self) -> None:
        self._is_ours = not gc.get_freeze_count()
        if self._is_ours:
            gc.freeze()

    def end(self) -> None:
        """Look at it again; once more does nothing."""
        if self._is_ours:
            self._is_ours = False
            gc.unfreeze()
