"""Python's cyclic garbage collector, which would walk new objects that stay again and again, and find nothing.

To go on from a large run, or to read its record, makes many of them: collecting meanwhile is up to a third of the time.
"""

from __future__ import annotations

import gc
from typing import Self

__all__ = ["Uncollected"]


class Uncollected:
    """Nothing is collected until `end`, which the process notices only by cycles that go a little later.

    Not for while a person's function runs: that may want to say itself whether there is a collector.
    """

    def __init__(self) -> None:
        self._is_ours = gc.isenabled()
        gc.disable()

    def end(self) -> None:
        """Collect again, unless somebody else had switched it off; once more does nothing."""
        if self._is_ours:
            self._is_ours = False
            gc.enable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()
