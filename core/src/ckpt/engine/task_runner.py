"""Runs one attempt of one task where it is: fills in the arguments, calls the function, turns the value into bytes.

The only place that decides that a value is kept: right after the function returned, before anybody else has the
value, so that nothing done to it later can reach what is kept (architecture: computed and kept).
"""

from __future__ import annotations

import contextvars
import logging
import random
import threading
import time
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any

from ckpt.arguments import Slot, resolve
from ckpt.contexts import entered
from ckpt.engine.held import loaded
from ckpt.engine.plans import Code, Keep, Outcome, Work
from ckpt.errors import CkptError, NotSerializable, StoreUnavailable, Unsupported
from ckpt.handlers import Meta, Staged
from ckpt.states import SKIP
from ckpt.summaries import summarize

__all__ = ["as_exception", "is_passing", "pause_before", "run_call"]

log = logging.getLogger("ckpt")


def run_call(work: Work) -> Outcome:
    """Run one attempt; never raises, except for what ends the process."""
    if work.facts.ledger is None:
        return _attempt(work)
    started = time.time()
    outcome = _attempt(work)
    outcome.span = started, time.time()
    return outcome


def _attempt(work: Work) -> Outcome:
    plan = work.plan
    inputs = work.inputs
    token = entered.set(work)
    try:
        if work.held:
            inputs = loaded(inputs)
        args = [inputs[a.number] if type(a) is Slot else resolve(a, inputs) for a in work.call.args]
        given = work.call.kwargs
        kwargs = {name: resolve(a, inputs) for name, a in given.items()} if given else {}
        if plan.timeout is None and not plan.is_async:
            value = plan.run(*args, **kwargs)
            if type(value) is CoroutineType:
                value = _drive(value)
        else:
            value = _call(plan.run, args, kwargs, is_async=plan.is_async, timeout=plan.timeout)
    except SKIP as skip:
        return Outcome(Code.SKIPPED, SKIP(*skip.args))  # without the frames, which hold the inputs
    except _TimedOut as late:
        return Outcome(Code.TIMED_OUT, TimeoutError(str(late)))
    except KeyboardInterrupt as interrupt:
        return Outcome(Code.CANCELLED, interrupt)
    except BaseException as error:  # noqa: BLE001  a person's function may raise anything, CancelledError for one
        # The frames of ckpt itself tell a person nothing about their task.
        return Outcome(Code.FAILED, error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
    finally:
        entered.reset(token)
    if plan.keep is None:
        return Outcome(Code.SUCCESS, value)
    return _keep(value, work, plan.keep)


def _keep(value: object, work: Work, keep: Keep) -> Outcome:
    fallback = None
    try:
        try:
            staged = _stage(value, work, keep)
        except NotSerializable as error:
            if keep.fallback is None:
                raise NotSerializable(f"task {work.path}: {error}") from error
            log.info("parameter %s is kept by %r, since %s", work.plan.name, keep.fallback.handler, error)
            fallback = keep.fallback.handler
            staged = _stage(value, work, keep.fallback)
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; it is recorded with the task
        return Outcome(Code.SUCCESS, value, write_error=as_exception(error))
    summary = None if work.facts.ledger is None else summarize(value)
    return Outcome(Code.SUCCESS, value, staged, fallback, summary=summary)


def _stage(value: object, work: Work, keep: Keep) -> Staged:
    """Stage, trying again for a passing failure: the write alone, never the task."""
    slug = work.call.slug
    path = slug if work.index is None else f"{slug}[{work.index}]"
    facts = work.facts
    meta = Meta(facts.id, path, facts.ledger, work.identity, work.attempt)
    key = keep.key(work)
    attempt = 0
    while True:
        try:
            staged = keep.handler.stage(value, key=key, meta=meta)
            return _checked(staged, keep)
        except Exception as error:
            attempt += 1
            if attempt > work.facts.write_retries or not is_passing(error):
                raise
        time.sleep(pause_before(attempt, work.facts.write_retry_delay))


def _checked(staged: object, keep: Keep) -> Staged:
    """Refuse an answer of a plugin that says nothing of where the value is."""
    if type(staged) is Staged and type(staged.stored.location) in _LOCATIONS:
        return staged
    raise Unsupported(f"{keep.handler!r} answered {staged!r}, not where the value is kept in plain JSON")


_LOCATIONS = (str, dict, list, int, float, bool, type(None))
"""What a location in plain JSON is made of."""


def is_passing(error: BaseException) -> bool:
    """Is a failed write worth another try? Of our own errors only `StoreUnavailable`; a plugin's unknown ones are."""
    return isinstance(error, StoreUnavailable) or not isinstance(error, CkptError)


def as_exception(error: BaseException) -> Exception:
    """What a handler raised, as an outcome of its write: its `sys.exit` must not end a thread that others wait for."""
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


def pause_before(attempt: int, delay: float) -> float:
    """Seconds to wait before attempt `attempt + 1` of a write: doubling, varied by half."""
    return float(delay * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311  spreads load, hides nothing


class _TimedOut(Exception):
    pass


def _call(
    run: Callable[..., Any],
    args: list[object],
    kwargs: dict[str, object],
    *,
    is_async: bool,
    timeout: float | None,
) -> object:
    if is_async:
        return _drive(run(*args, **kwargs), timeout)
    if timeout is None:
        return run(*args, **kwargs)
    value = _in_thread(lambda: run(*args, **kwargs), timeout)
    return _drive(value, timeout) if type(value) is CoroutineType else value


def _in_thread(compute: Callable[[], object], timeout: float | None) -> object:
    """Compute in a thread of its own; what comes after the timeout is dropped."""
    answer: list[object] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()

    def body() -> None:
        try:
            answer.append(context.run(compute))
        except BaseException as error:  # noqa: BLE001  handed to the thread that waits
            failure.append(error)

    thread = threading.Thread(target=body, name="ckpt-task", daemon=True)
    thread.start()
    thread.join(timeout)
    if failure:
        raise failure[0]
    if not answer:
        raise _TimedOut(f"still running after {timeout:g} s, its timeout; what it returns later is dropped")
    return answer[0]


def _drive(coroutine: Coroutine[Any, Any, object], timeout: float | None = None) -> object:
    """Run a coroutine to its end, also where this thread has a running loop already (a notebook)."""
    import asyncio

    async def bounded() -> object:
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                value = await coroutine
                end = limit.when()
        except TimeoutError:
            if limit.expired():
                raise _TimedOut(f"still running after {timeout:g} s, its timeout; it was cancelled") from None
            raise
        # It may have swallowed the cancellation, or never given the loop a chance to cancel it.
        if end is not None and asyncio.get_running_loop().time() > end:
            raise _TimedOut(f"still running after {timeout:g} s, its timeout; what it returned later is dropped")
        return value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(bounded())
    return _in_thread(lambda: asyncio.run(bounded()), None)
