"""The `processes` executor: each of its threads owns one worker process and waits for it.

Values stay bytes on this side: what a worker returns goes to the workers downstream without being unpickled here,
unless a person asks for it. A worker that dies takes down the one attempt that it ran, which fails with `WorkerLost`;
its thread starts another. Functions of the main script travel by value, so a script needs no `__main__` guard.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, cast

from ckpt.arguments import resolve
from ckpt.engine.held import Filled
from ckpt.engine.plans import CallPart, Code, Outcome
from ckpt.engine.threads import ThreadsExecutor
from ckpt.errors import NotSerializable, WorkerLost
from ckpt.results import Held
from ckpt.serializers import pickled, unpickle

if TYPE_CHECKING:
    from ckpt.engine.graph import Graph
    from ckpt.engine.plans import Plan, RunFacts, Work

__all__ = ["Pickled", "ProcessesExecutor", "Reply"]

_LAST_WORDS = 5.0
"""Seconds that an idle worker gets to end by itself."""


class Pickled(Held):
    """A value as the bytes that a worker made of it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def load(self) -> object:
        return unpickle(self.data)

    def __reduce__(self) -> tuple[object, ...]:
        return Pickled, (self.data,)


Reply = tuple[Outcome, bool]
"""What a worker answers, and whether the fallback handler keeps the value: a handler stays where it is."""


class ProcessesExecutor(ThreadsExecutor):
    """Runs tasks in `workers` processes of this machine; by default as many as there are CPUs."""

    name = "processes"
    remote = True

    @property
    def size(self) -> int:
        return self.workers or os.cpu_count() or 1

    def check(self, graph: Graph, plans: Sequence[Plan], facts: RunFacts) -> None:
        """Pickle all calls with their plans, once for all workers.

        Raises: `NotSerializable` naming the task that cannot go to another process.
        """
        parts = [
            CallPart(i, call.slug, call.args, call.kwargs, graph.splits.get(i, ()), bool(graph.is_read[i]), plan)
            for i, (call, plan) in enumerate(zip(graph.calls, plans, strict=True))
        ]
        try:
            self._program = pickled((facts, parts))
        except NotSerializable:
            for part in parts:
                try:
                    pickled(part)
                except NotSerializable as error:
                    raise NotSerializable(
                        f"task {part.slug} cannot go to another process: {error}; run it with executor='threads'"
                    ) from error
            raise

    def start(self) -> None:
        super().start()
        self._workers: dict[threading.Thread, _Worker] = {}

    def _run(self, work: Work) -> Outcome:
        try:
            place = (work.row, work.index, work.width, work.attempt, work.identity)
            message = pickled((work.call.index, work.inputs, *place))
        except NotSerializable as error:
            stays = NotSerializable(f"an input of {work.path} cannot go to another process: {error}")
            return Outcome(Code.FAILED, stays)
        thread = threading.current_thread()
        worker = self._workers.get(thread)
        try:
            if worker is None or not worker.is_alive():
                worker = self._workers[thread] = _Worker()
                worker.learn(self._program)
            return worker.ask(message, work)
        except (EOFError, OSError):
            reason = worker.death() if worker is not None else "could not be started"
            self._workers.pop(thread, None)
            return Outcome(Code.FAILED, WorkerLost(f"the process that ran {work.path} {reason}"))

    def gather(self, values: Sequence[object]) -> object:
        return super().gather(values) if any(isinstance(value, Held) for value in values) else list(values)

    def fill(self, template: object, values: Sequence[object]) -> object:
        if any(isinstance(value, Held) for value in values):
            return Filled(template, values)
        return resolve(template, values)

    def cancel(self) -> Sequence[Work]:
        taken = super().cancel()
        for worker in list(self._workers.values()):
            worker.interrupt()
        return taken

    def close(self, *, kill: bool = False) -> None:
        if kill:
            for worker in list(self._workers.values()):
                worker.kill()
        super().close(kill=kill)
        for worker in list(self._workers.values()):
            worker.end()


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from ckpt.engine.worker import serve; "
            f"serve({theirs.fileno()}, {os.getpid()})"
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the worker unblocks it when it is ready
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and our own code
                [sys.executable, "-c", code], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def learn(self, program: bytes) -> None:
        """Give the process the calls that it will be asked for; `OSError` if it dies."""
        self._pipe.send_bytes(program)

    def ask(self, message: bytes, work: Work) -> Outcome:
        """Let the process run one attempt; `EOFError` or `OSError` if it dies."""
        self._pipe.send_bytes(message)
        reply = cast("Reply", unpickle(self._pipe.recv_bytes()))
        outcome, by_fallback = reply
        keep = work.plan.keep
        outcome.handler = keep.fallback.handler if by_fallback and keep and keep.fallback else None
        return outcome

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def death(self) -> str:
        """How the process ended, in words."""
        try:
            code = self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self._pipe.close()
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory, or killed by somebody)" if name == "SIGKILL" else ""
            how = f"was ended by {name}{hint}"
        else:
            how = f"ended by itself with exit code {code} (os._exit, or a crash)"
        return f"{how}; max_retries on the task would try it again"

    def interrupt(self) -> None:
        """Interrupt the function that runs there, if one does."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._pipe.close()
        try:
            self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def open_pipe(handle: int) -> Connection:
    """The worker's end of the pipe."""
    return Connection(handle)
