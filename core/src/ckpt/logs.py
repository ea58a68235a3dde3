"""Shows ckpt's messages on stderr unless the program has configured logging; stdout is the user's."""

from __future__ import annotations

import logging
import sys

__all__ = ["show_messages"]


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Writes to whatever `sys.stderr` is when a message comes."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers:
            return  # the program has configured logging since: its handlers show the message
        if getattr(sys.stderr, "closed", False):
            return  # where logging, too, would raise: it says on stderr that it cannot write to stderr
        self.stream = sys.stderr
        super().emit(record)


def show_messages() -> None:
    """Show messages from INFO on, if nobody has said where they go. Called when a run starts."""
    logger = logging.getLogger("ckpt")
    if logger.hasHandlers():
        return
    logger.addHandler(_Stderr())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
