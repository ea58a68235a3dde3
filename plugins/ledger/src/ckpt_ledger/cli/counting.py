"""How far a command has come that looks at many objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckpt.cli.output import console

__all__ = ["counting"]

_STEP = 50
"""Objects from one figure to the next."""


@contextmanager
def counting(what: str) -> Iterator[Callable[[], None]]:
    """Count on a terminal what is called back for: `looked at 1,250`."""
    to = console(stderr=True)
    if not to.is_terminal:
        yield lambda: None
        return
    count = 0
    with to.status(what) as status:

        def seen() -> None:
            nonlocal count
            count += 1
            if not count % _STEP:
                status.update(f"{what} {count:,}")

        yield seen
