"""Work in a forked child: it may be killed, starved of memory or refused by the system without harm to us.

A child that is to be watched waits until strace holds it. So the calls of the work alone are traced and counted, the
same each time, and a run costs 5 ms instead of the start of a Python.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Call", "Ended", "Report", "forked", "traced"]

Report = Callable[[bytes], object]
"""Says something to the parent; one write to a pipe, so that it stands between the other calls of a trace."""

_LINE = re.compile(r"^(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)$")
_RESULT = re.compile(r"\)\s+= (?P<result>-?\d+|0x[0-9a-f]+|\?)(?P<said>.*)$")
_UNFINISHED = " <unfinished ...>"
_PR_SET_PTRACER, _ANYBODY = 0x59616D61, ctypes.c_ulong(-1)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call, where it ended."""

    name: str
    arguments: str
    result: int
    """-1 where it failed or did not return."""
    is_report: bool
    is_injected: bool

    @property
    def fd(self) -> int:
        """The first argument, of a call that takes a descriptor first."""
        return int(self.arguments.partition(",")[0])


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known of a child that is gone."""

    code: int
    """Exit code, or the negative number of the signal that ended it."""
    said: bytes
    """Its reports, one after another."""
    calls: tuple[Call, ...] = ()
    """Its system calls, in the order in which they ended."""
    begun: tuple[tuple[str, bool], ...] = ()
    """Of its main thread, the names of the calls in the order in which they began, and whether each is a report."""


def forked(work: Callable[[Report], object]) -> Ended:
    """Run `work` in a child."""
    return _run(work, None)


def traced(work: Callable[[Report], object], *options: str) -> Ended:
    """Run `work` in a child under strace with `options`."""
    program = shutil.which("strace")
    if program is None:
        raise SystemExit("strace is missing, and it injects the faults: apt-get install strace")
    return _run(work, (program, "-f", *options))


def _run(work: Callable[[Report], object], strace: tuple[str, ...] | None) -> Ended:
    go, start = os.pipe()
    said, report = os.pipe()
    waits, ready = os.pipe()
    child = os.fork()
    if not child:
        _work(work, go, start, report, ready)
    for fd in (go, report, ready):
        os.close(fd)
    # The calls of its beginning must not be counted once and missed another time.
    os.read(waits, 1)
    os.close(waits)
    if strace is None:
        os.close(start)
        heard = _drained(said)
        return Ended(_code(child), heard)
    with tempfile.NamedTemporaryFile(prefix="ckpt-trace-") as log:
        # --seccomp-bpf would be quicker, and with it strace 6.1 injects nothing and says nothing.
        command = (*strace, "-o", log.name, "-p", str(child))
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            first = tracer.stderr.readline()
            if "attached" not in first:
                os.kill(child, 9)
                os.waitpid(child, 0)
                raise SystemExit(f"strace cannot watch a process here: {first}{tracer.stderr.read()}")
            os.close(start)
            heard = _drained(said)
            code = _code(child)
        lines = Path(log.name).read_text(encoding="ascii", errors="replace").splitlines()
    return Ended(code, heard, tuple(_ended(lines, report)), tuple(_begun(lines, child, report)))


def _work(work: Callable[[Report], object], go: int, start: int, report: int, ready: int) -> None:
    """What the child does; does not return."""
    code = 1
    faulthandler.enable()
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY)  # strace is no parent of ours, which Ubuntu asks for
        os.close(start)
        os.write(ready, b".")
        os.read(go, 1)
        work(lambda text: os.write(report, text))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _drained(said: int) -> bytes:
    with os.fdopen(said, "rb") as pipe:
        return pipe.read()


def _ended(lines: list[str], report: int) -> Iterator[Call]:
    unfinished: dict[str, str] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        thread, name, rest = match["thread"], match["resumed"] or match["name"], match["rest"]
        if rest.endswith(_UNFINISHED):
            unfinished[thread] = rest.removesuffix(_UNFINISHED)
            continue
        if match["resumed"]:
            rest = unfinished.pop(thread) + rest
        end = _RESULT.search(rest)
        if end is None:
            continue
        arguments = rest[: end.start()]
        yield Call(
            name,
            arguments,
            -1 if end["result"] == "?" else int(end["result"], 0),
            is_report=name == "write" and arguments.startswith(f"{report},"),
            is_injected=end["said"].endswith("(INJECTED)"),
        )


def _begun(lines: list[str], child: int, report: int) -> Iterator[tuple[str, bool]]:
    for line in lines:
        match = _LINE.match(line)
        if match and match["name"] and int(match["thread"]) == child:
            yield match["name"], match["name"] == "write" and match["rest"].startswith(f"{report},")
