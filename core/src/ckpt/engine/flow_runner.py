"""One run from its first line to its last: what is decided before any task runs, Ctrl-C, and the flow's final state."""

from __future__ import annotations

import copy
import logging
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ckpt import config, installed, plugins
from ckpt.contexts import context
from ckpt.engine.choices import Choice, Decision, decide
from ckpt.engine.facts import TaskFacts
from ckpt.engine.graph import Graph
from ckpt.engine.history import History, open_history
from ckpt.engine.loop import KeepValues, Loop, OnWriteError
from ckpt.engine.observers import Observers, handled
from ckpt.engine.planning import RunPlan
from ckpt.engine.plans import Code, Keep, Plan, RunFacts
from ckpt.engine.recorded import RecordedLoop
from ckpt.engine.recorder import Recorder
from ckpt.engine.runs import FlowResults, Rows
from ckpt.engine.threads import LocalExecutor, ThreadsExecutor
from ckpt.engine.tracked import TrackedLoop
from ckpt.errors import FlowInterrupted, PluginNotFound
from ckpt.executors import Executor, check_executor
from ckpt.handlers import ResultHandler
from ckpt.keys import KeyTemplate, map_part
from ckpt.states import Cancelled, Failed, Pending, Running, State, Success
from ckpt.suggestions import did_you_mean
from ckpt.task_records import Wish

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.flows import Flow
    from ckpt.settings import Settings
    from ckpt.tasks import Task

__all__ = ["make_executor", "run_flow"]

log = logging.getLogger("ckpt")

_NOTHING = Wish()


def run_flow(
    flow: Flow,
    parameters: Mapping[str, object],
    *,
    executor: Executor | str | None = None,
    checkpointing: bool | None = None,
    keep_values: KeepValues = "all",
    wish: Wish = _NOTHING,
) -> State:
    """Run every call of `flow` and return the flow's state, whose `result` is the state of each call.

    `parameters` are those that were given; `wish` is what is wanted of earlier runs.

    Raises: `ConfigError`, `PluginNotFound`, `AccessDenied` before any task has run, `FlowInterrupted` after Ctrl-C.
    """
    settings = config.load()
    decision = decide(flow, settings, checkpointing)
    chosen = executor or flow.executor or settings.flows.executor
    check_executor(f"flow {flow.name!r}", chosen)
    # A copy, since the object may be in use by another run at the same time.
    runs_on = make_executor(chosen, settings.flows.workers) if isinstance(chosen, str) else copy.copy(chosen)
    history = open_history(flow, settings, wish)
    values = flow.fill_parameters(history.parameters(flow, parameters) if history else parameters)
    facts = make_facts(flow, values, settings, runs_on.name, history)
    calls = list(flow.calls)  # the flow may grow while its results are in use
    graph = Graph(calls)
    plans = make_plans(calls, decision, facts)
    runs_on.check(graph, plans, facts)
    tracker = history.tracker(graph, plans, facts) if history else None
    records = TaskFacts(facts, tracker)
    observers = Observers(facts, records)
    log.info("flow %r, run %s: %s", flow.name, facts.id, decision.headline())
    on_write_error: OnWriteError = settings.flows.on_write_error
    parts = (graph, plans, facts, runs_on, observers, keep_values, on_write_error, settings.flows.drain_seconds)
    if history is not None and tracker is not None:
        recorder = Recorder(history.ledger, history.record(flow, plans, facts))
        kind = TrackedLoop if tracker.has_records else RecordedLoop
        loop: Loop = kind(*parts, tracker=tracker, recorder=recorder, records=records)
    else:
        loop = Loop(*parts)
    loop.begin()
    try:
        state = _ran(flow, loop, observers, runs_on)
    except BaseException as error:  # a second Ctrl-C, or a fault of ckpt: it is heard of all the same
        loop.end(Cancelled(f"given up: {type(error).__name__}"))
        raise
    loop.end(state)
    level = logging.INFO if state.is_successful() else logging.ERROR
    log.log(level, "flow %r: %s: %s", flow.name, state.name, state.message)
    if loop.interrupted:
        raise FlowInterrupted(f"flow {flow.name!r} was interrupted; {state.message}", state)
    return state


def _ran(flow: Flow, loop: Loop, observers: Observers, runs_on: Executor) -> State:
    """Bring the loop to its end, and tell everybody."""
    observers.run_started()
    started = handled(flow.state_handlers, flow, Pending(), Running())
    if started.is_finished():  # a handler has decided before anything ran
        state = type(started)(started.message, FlowResults(loop.rows))
        observers.run_ended(state)
        return state
    orderly = False
    try:
        runs_on.start()
        with interruptible(loop, in_thread=isinstance(runs_on, LocalExecutor)):
            rows = loop.run()
        orderly = not loop.running
    except BaseException as error:  # a second Ctrl-C, or a fault of ckpt: listeners hear of the end all the same
        loop.collect()
        observers.run_ended(Cancelled(f"given up: {type(error).__name__}"))
        raise
    finally:
        runs_on.close(kill=not orderly)
    if flow.state_handlers or observers.tell_of_ends:
        loop.collect()
    state = verdict(flow, rows, loop.interrupted, loop.on_write_error)
    results = state.kept
    state = handled(flow.state_handlers, flow, Running(), state)
    if state.kept is not results:  # whatever a handler makes of the state, the states of the calls belong to it
        state = type(state)(state.message, kept=results)
    observers.run_ended(state)
    return state


def make_facts(
    flow: Flow, parameters: Mapping[str, object], settings: Settings, executor: str, history: History | None
) -> RunFacts:
    """What holds for a whole run."""
    return RunFacts(
        id=new_run_id(),
        flow=flow.name,
        started=datetime.now(UTC),
        parameters=dict(parameters),
        executor=executor,
        calls=len(flow.calls),
        write_retries=settings.flows.write_retries,
        write_retry_delay=settings.flows.write_retry_delay,
        ledger=history.ledger.id if history is not None else None,
    )


def plan_flow(flow: Flow, parameters: Mapping[str, object], wish: Wish) -> RunPlan:
    """What a run would take from earlier ones, and what it would run.

    Raises: as `run_flow` before any task has run; `PluginNotFound` without a ledger.
    """
    settings = config.load()
    history = open_history(flow, settings, wish)
    if history is None:
        raise PluginNotFound(f"a plan needs the record of runs: {installed.pip_line('ckpt-ledger')}")
    values = flow.fill_parameters(history.parameters(flow, parameters))
    facts = make_facts(flow, values, settings, "local", history)
    calls = list(flow.calls)
    plans = make_plans(calls, decide(flow, settings), facts)
    try:
        return history.plan(Graph(calls), plans, facts)
    finally:
        history.ledger.close()


def make_executor(name: str, workers: int | None) -> Executor:
    """The executor of that name, ours or a plugin's.

    Raises: `PluginNotFound` naming those there are, with the pip line for the known ones.
    """
    if name in ("local", "threads"):
        return LocalExecutor() if name == "local" else ThreadsExecutor(workers)
    if name == "processes":
        from ckpt.engine.processes import ProcessesExecutor

        return ProcessesExecutor(workers)
    try:
        kind = plugins.executor_class(name)
    except PluginNotFound as error:
        near = did_you_mean(name, ("local", "threads", "processes"))
        raise PluginNotFound(f"there is no executor {name!r} in ckpt-core ({near}), and {error}") from None
    return kind(workers)


def new_run_id() -> str:
    """An id that sorts by time: `20261122-171623-481-9f3ac1`, the start in UTC to the millisecond and chance."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(3)}"


def make_plans(calls: Sequence[Call], decision: Decision, facts: RunFacts) -> list[Plan]:
    """The plan of each call; calls of one task share one.

    Raises: what a handler's `for_run` finds; `ConfigError` for a key template that needs a parameter the flow lacks.
    """
    ready: dict[int, tuple[ResultHandler, KeyTemplate]] = {}

    def keep(task: Task, handler: ResultHandler | None, level: str, fallback: Keep | None = None) -> Keep | None:
        if handler is None:
            return None
        found = ready.get(id(handler))
        if found is None:
            template = KeyTemplate(handler.template, prefix=handler.prefix).bind(
                date=facts.started, flow=facts.flow, run_id=facts.id, parameters=facts.parameters, suffix=handler.suffix
            )
            found = ready[id(handler)] = (handler.for_run(), template)
        return Keep(*found, level, tuple(sorted(task.tags)), fallback, repr(found[0]))

    def plan(call: Call, choice: Choice) -> Plan:
        task = call.task
        task.check()
        run: Callable[..., Any] = partial(_given, facts.parameters[task.name]) if call.is_parameter else task.run
        fallback = keep(task, choice.fallback, choice.fallback_level)
        return Plan(
            task.name,
            run,
            timeout=task.seconds("timeout"),
            keep=keep(task, choice.handler, choice.level, fallback),
            is_parameter=call.is_parameter,
        )

    plans: dict[int, Plan] = {}
    for call, choice in zip(calls, decision.choices, strict=True):
        if id(call.task) not in plans:
            plans[id(call.task)] = plan(call, choice)
        kept = plans[id(call.task)].keep
        if call.is_mapped and kept is not None:
            kept.template.render(map_part(0, 1), call=call.slug, order=call.index, tags=())  # refuses one without {map}
    return [plans[id(call.task)] for call in calls]


def _given(value: object) -> object:
    """What a parameter runs."""
    return value


def verdict(flow: Flow, rows: Rows, interrupted: bool, on_write_error: OnWriteError) -> State:
    """The flow's state: as good as its reference tasks, and Failed if a value that was to be kept is not."""
    results = FlowResults(rows)
    failed = []
    if max(rows.code, default=0) >= Code.FAILED:
        failed = [str(rows.path(row)) for row in range(len(rows.calls)) if rows.failed(row)]
    if interrupted:
        total = len(rows.calls)
        done = sum(Code.SUCCESS <= code < Code.FAILED for code in rows.code[:total])
        return Cancelled(f"{done} of {total} tasks were done", results)
    bad = [str(rows.path(call.index)) for call in flow.reference_tasks() if rows.failed(call.index)] if failed else []
    if bad:
        return Failed(f"failed: {_few(bad)}" + (f"; all that failed: {_few(failed)}" if failed != bad else ""), results)
    if rows.write_errors and on_write_error == "fail":
        return Failed(f"not kept: {_few([str(rows.path(row)) for row in rows.write_errors])}", results)
    unkept = f"; not kept: {_few([str(rows.path(row)) for row in rows.write_errors])}" if rows.write_errors else ""
    total = len(rows.calls)
    if failed:
        return Success(f"all reference tasks succeeded; failed: {_few(failed)}{unkept}", results)
    return Success(f"{total} task{'s' * (total != 1)} succeeded{unkept}", results)


def _few(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def interruptible(loop: Loop, *, in_thread: bool) -> Iterator[None]:
    """Let the first Ctrl-C end the run in order and the second at once.

    Only in the main thread, and only where nobody else has taken SIGINT. With `in_thread` tasks run in this thread,
    and the first Ctrl-C also interrupts the function that is running.
    """
    ours = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not ours:
        yield
        return

    def on_interrupt(signum: int, frame: object) -> None:
        if loop.interrupted:
            raise KeyboardInterrupt
        log.warning("interrupted: nothing new starts; waiting for what is in flight (Ctrl-C again gives up)")
        loop.interrupt()
        if in_thread and context:  # a function runs here; a write that has begun is not broken off
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, ours)
