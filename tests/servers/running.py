"""Starting a server as a process of its own, on a free port of the loopback, and ending it again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["free_ports", "running"]

HOST = "127.0.0.1"
_SECONDS = 60
"""After this a server counts as one that cannot start."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def running(
    command: Sequence[str | Path],
    ready: Callable[[], object],
    log: Path,
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """A server from the moment `ready` no longer raises; it is ended with the block.

    Raises: `RuntimeError` with the end of its log where it does not start.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(variables or {})},
            start_new_session=True,  # Ctrl-C is for the tests, which then end the server
        )
    try:
        _wait(process, ready, log)
        yield
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], object], log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            ready()
        except Exception as error:
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{process.args!r} does not start ({error!r}):\n{said}") from error
            time.sleep(0.1)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind, seconds in ((signal.SIGINT, 3), (signal.SIGTERM, 2), (signal.SIGKILL, 10)):
        if process.poll() is None:
            process.send_signal(kind)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        return
