"""What runs in a worker process of the `processes` executor: takes work, runs it, keeps the value, then reports.

Here the write is part of the work: the bytes are durable before the outcome is sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ckpt.contexts import context
from ckpt.engine.held import loaded
from ckpt.engine.maps import elements
from ckpt.engine.plans import CallPart, Code, Outcome, RunFacts, Work
from ckpt.engine.processes import Pickled, Reply, open_pipe
from ckpt.engine.runs import DROPPED
from ckpt.engine.task_runner import run_call
from ckpt.engine.writers import send
from ckpt.errors import NotSerializable
from ckpt.handlers import Staged
from ckpt.logs import show_messages
from ckpt.serializers import pickled, unpickle, unpickle_flow

__all__ = ["serve"]


def serve(handle: int, parent: int) -> None:
    """Serve the process `parent` over the pipe `handle` until it closes the pipe or is gone."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    show_messages()
    pipe = open_pipe(handle)
    try:
        facts, calls = cast("tuple[RunFacts, Sequence[CallPart]]", unpickle_flow(pipe.recv_bytes()))
        while True:
            answer = _answer(pipe.recv_bytes(), calls, facts)
            _show()
            pipe.send_bytes(answer)
    except (EOFError, OSError):
        logging.shutdown()
        _show()
        os._exit(0)  # a task that was dropped at its timeout may still run in a thread


def _interrupt(signum: int, frame: object) -> None:
    """Interrupt the function of a task, and nothing else: a write that has begun comes to its end."""
    if context:
        raise KeyboardInterrupt


def _show() -> None:
    """Let what tasks have printed be seen now: `os._exit` flushes nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed by a task, or the reader is gone
            stream.flush()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _answer(message: bytes, calls: Sequence[CallPart], facts: RunFacts) -> bytes:
    try:
        number, inputs, row, index, width, attempt, identity = cast("tuple[Any, ...]", unpickle(message))
        values = loaded(inputs)
    except Exception as error:  # noqa: BLE001  unpickling a person's value may raise anything
        return pickled((Outcome(Code.FAILED, _travelling(error)), False))
    call = calls[number]
    work = Work(call.plan, call, facts, values, row, index, width, attempt, identity)
    return pickled(_reply(work, call, _delivered(work, run_call(work))))


def _delivered(work: Work, outcome: Outcome) -> Outcome:
    """Bring the bytes to storage, now."""
    staged, keep = outcome.staged, work.plan.keep
    if staged is None or staged.data is None or keep is None:
        return outcome
    errors: list[Exception | None] = []
    send(
        outcome.handler or keep.handler,
        [(work.row, staged)],
        lambda row, size, error: errors.append(error),
        retries=work.facts.write_retries,
        delay=work.facts.write_retry_delay,
    )
    outcome.write_error = errors[0]
    if errors[0] is not None:
        outcome.staged = None
    return outcome


def _reply(work: Work, call: CallPart, outcome: Outcome) -> Reply:
    if outcome.code != Code.SUCCESS:
        value = _travelling(outcome.value) if isinstance(outcome.value, BaseException) else outcome.value
        return Outcome(outcome.code, value, span=outcome.span), False
    staged = None if outcome.staged is None else Staged(outcome.staged.stored, None)
    write_error = None if outcome.write_error is None else _travelling(outcome.write_error)
    reply = replace(outcome, value=DROPPED, staged=staged, handler=None, write_error=write_error)
    by_fallback = outcome.handler is not None
    if staged is not None and not call.is_read:
        return reply, by_fallback
    try:
        reply.value = Pickled(pickled(outcome.value))
    except NotSerializable as error:
        away = NotSerializable(f"the value of {work.path} cannot go to another process: {error}")
        return Outcome(Code.FAILED, away, span=outcome.span), False
    reply.parts = [_split(look, outcome.value) for look in call.splits]
    return reply, by_fallback


def _split(look: object, value: object) -> Sequence[object] | Exception:
    try:
        return [Pickled(pickled(element)) for element in elements(look, value)]
    except Exception as error:  # noqa: BLE001  iterating a person's value may raise anything
        return _travelling(error)


def _travelling(error: BaseException) -> Exception:
    """The exception as one that reaches the other side, with its traceback as a note."""
    note = "in a worker process:\n" + "".join(traceback.format_exception(error)).rstrip()
    bare = error.with_traceback(None)
    bare.__cause__ = bare.__context__ = None
    try:
        bare.add_note(note)
        again = unpickle(pickled(bare))
        if isinstance(again, Exception) and type(again) is type(bare):
            return again
    except Exception:  # noqa: BLE001, S110  it does not travel; its text does
        pass
    stand_in = RuntimeError(f"{type(error).__name__}: {error}")
    stand_in.add_note(note)
    return stand_in
