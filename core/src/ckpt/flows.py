"""Flows: graphs of calls, built in a `with Flow(…)` block or by `@flow` on a function, and run any number of times."""

from __future__ import annotations

import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Token
from difflib import get_close_matches
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from ckpt import building
from ckpt.arguments import Secret
from ckpt.calls import Call, CallPath, inputs_of
from ckpt.errors import ConfigError
from ckpt.executors import Executor, check_executor
from ckpt.handlers import ResultHandler
from ckpt.keys import component, slug
from ckpt.logs import show_messages
from ckpt.results import NoResult
from ckpt.states import State
from ckpt.storage import Storage
from ckpt.task_records import Wish
from ckpt.tasks import Parameter, StateHandler, Task, check_handler

if TYPE_CHECKING:
    from ckpt.engine.choices import Decision
    from ckpt.engine.loop import KeepValues
    from ckpt.engine.planning import RunPlan
    from ckpt.pictures import Picture

__all__ = ["Flow", "flow"]

_STEM = 72
"""Characters of a slug before its number: a whole slug has at most 80."""


class Flow:
    """A graph of calls of tasks.

    `name`: shown, and part of every key. `result_handler`: keeps the values of tasks that have none of their own.
    `storage`: a type name, URL or `Storage`, instead of the setting `flows.storage`; the handler that matches it
    is the last choice. `executor`: a name or object, instead of `flows.executor`. `state_handlers`: called with
    `(flow, old, new)` when the flow's state changes.
    """

    def __init__(
        self,
        name: str,
        *,
        result_handler: ResultHandler | None = None,
        storage: str | Storage | None = None,
        executor: str | Executor | None = None,
        state_handlers: Sequence[StateHandler] = (),
    ) -> None:
        if not str(name).strip():
            raise ConfigError(f"a flow has a name: Flow('my flow'), not Flow({name!r})")
        check_handler(f"flow {name!r}", result_handler)
        check_executor(f"flow {name!r}", executor)
        self.name = name
        self.result_handler = result_handler
        if not isinstance(storage, str | Storage | None):
            raise ConfigError(f"flow {name!r}: storage is {storage!r}; give a type, a URL or a Storage")
        if callable(state_handlers):
            raise ConfigError(f"flow {name!r}: state_handlers is a list: state_handlers=[{state_handlers!r}]")
        self.storage = Storage.parse(storage) if isinstance(storage, str) else storage
        self.executor = executor
        self._origin = _origin()
        self.state_handlers = tuple(state_handlers)
        self.calls: list[Call] = []
        self._slugs: Counter[str] = Counter()
        self._reference: list[Call] | None = None
        self._tokens: list[Token[Flow | None]] = []

    # -- building

    def __enter__(self) -> Self:
        self._tokens.append(building.enter(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        building.leave(self._tokens.pop())

    def adopt(self, call: Call) -> None:
        """Make `call` part of this flow; what is part of it already stays as it is.

        Raises: `ConfigError` for a call of another flow, or a second parameter of the same name.
        """
        if call.flow is self:
            return
        if call.flow is not None:
            raise ConfigError(f"{call!r} belongs to flow {call.flow.name!r} and cannot be used in {self.name!r}")
        if isinstance(call, Parameter) and call.name in self.parameters():
            raise ConfigError(f"flow {self.name!r} has a parameter {call.name!r} already; use that one")
        if isinstance(call, Parameter):
            call.path = CallPath(component(call.name))
        else:
            stem = slug(call.task.name, _STEM)
            self._slugs[stem] += 1
            call.path = CallPath(f"{stem}-{self._slugs[stem]}")
        call.index = len(self.calls)
        call.flow = self
        self.calls.append(call)

    def add_call(
        self,
        task: Task,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        upstream: Sequence[Call] | Call = (),
        mapped: bool = False,
    ) -> Call:
        """Add one call of `task`; what `task(…)` and `task.map(…)` do inside `with flow:`.

        Raises: `TypeError` for arguments that the task does not take.
        """
        try:
            task.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"task {task.name}: {error}") from None
        call = Call(task, None)
        if isinstance(upstream, Call):
            raise TypeError(f"upstream_tasks is a list of calls: upstream_tasks=[{upstream!r}]")
        call.set_upstream(*upstream)
        for up in upstream:
            self.adopt(up)
        inputs_of(call, self.adopt, args, kwargs, mapped=mapped)
        self.adopt(call)
        return call

    def parameters(self) -> dict[str, Parameter]:
        """The flow's parameters by name."""
        return {call.name: call for call in self.calls if isinstance(call, Parameter)}

    def reference_tasks(self) -> list[Call]:
        """The calls that decide whether the flow succeeded."""
        if self._reference is not None:
            return list(self._reference)
        used = {up for call in self.calls for up in call.upstream}
        return [call for call in self.calls if call not in used]

    @property
    def target(self) -> str | None:
        """What loads the flow again, as `ckpt run` takes it; None for one that stands in no file."""
        return None if self._origin is None else f"{self._origin}:{self.name}"

    def set_reference_tasks(self, calls: Iterable[Call]) -> None:
        """Let `calls` decide whether the flow succeeded, instead of those that nothing waits for."""
        chosen = list(calls)
        for call in chosen:
            if call not in self.calls:
                raise ConfigError(f"{call!r} is not a call of flow {self.name!r}, so it cannot decide for it")
        self._reference = chosen

    # -- running

    def run(
        self,
        parameters: Mapping[str, object] | None = None,
        *,
        executor: str | Executor | None = None,
        checkpointing: bool | None = None,
        keep_values: KeepValues = "all",
        resume: str | bool | None = None,
        from_task: str | Sequence[str] = (),
        refresh: bool | str | Sequence[str] = False,
        run_name: str | None = None,
        **more: object,
    ) -> State:
        """Run every task and return the flow's final state, once everything is kept or has failed.

        `parameters` (or keywords of the same names) fill the flow's parameters. `executor`: a name or object.
        `checkpointing`: goes over the setting `flows.checkpointing`. `keep_values`: `"all"` values stay in memory,
        or only the `"terminal"` ones that nothing reads, or `"none"`; the others are read back when asked for.

        With ckpt-ledger: `resume` goes on from a run (an id, a unique prefix of one, a name, or `"last"` or True for
        the newest of this flow), with its parameters where none are given: what finished is not run again, unless its
        code or an argument has changed. `from_task` runs a task and all downstream of it again. `refresh` runs tasks
        with `cache`, all or those named. `run_name` names the run.

        Raises: `ConfigError` (a cycle, a missing or unknown parameter, a setting that cannot be right),
        `PluginNotFound`, `AccessDenied`, all before any task has run; `FlowInterrupted` after Ctrl-C.
        """
        if parameters is not None and not isinstance(parameters, Mapping):
            raise ConfigError(f"parameters is a mapping of names to values, not {parameters!r}: flow.run(name=value)")
        given = {**(parameters or {}), **more}
        wish = _wish(resume, from_task, refresh, run_name)
        if keep_values not in ("all", "terminal", "none"):
            raise ConfigError(f'keep_values is "all", "terminal" or "none", not {keep_values!r}')
        if checkpointing is not None and not isinstance(checkpointing, bool):
            raise ConfigError(f"checkpointing is True or False, not {checkpointing!r}")
        recorded = building.record_run(self, given if wish.resume else self.fill_parameters(given))
        if recorded is not None:
            return recorded
        from ckpt.engine.flow_runner import run_flow  # the engine is loaded when something runs

        show_messages()
        # A task that calls another while it runs means its value, also where a flow is being built around the run.
        token = building.enter(None)
        try:
            return run_flow(
                self, given, executor=executor, checkpointing=checkpointing, keep_values=keep_values, wish=wish
            )
        finally:
            building.leave(token)

    def fill_parameters(self, given: Mapping[str, object]) -> dict[str, object]:
        """The value of each parameter: given, else its default.

        Raises: `ConfigError` naming what is missing or unknown.
        """
        known = self.parameters()
        for name in given:
            if name not in known:
                near = get_close_matches(name, known, 1)
                there = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
                raise ConfigError(f"flow {self.name!r} has no parameter {name!r}: {there}")
        values = {name: given.get(name, parameter.default) for name, parameter in known.items()}
        for name, value in values.items():
            if isinstance(value, Secret):
                raise ConfigError(
                    f"parameter {name!r} is {value!r}, and a parameter is kept: give the Secret to the call itself"
                )
        missing = [name for name, value in values.items() if value is NoResult]
        if missing:
            raise ConfigError(
                f"flow {self.name!r} needs a value for {', '.join(missing)}: "
                f"flow.run({', '.join(f'{name}=…' for name in missing)})"
            )
        return values

    def explain(self, *, checkpointing: bool | None = None) -> Decision:
        """Which handler would keep each task's value, who chose it, and is checkpointing on; prints as a table."""
        from ckpt import config
        from ckpt.engine.choices import decide

        return decide(self, config.load(), checkpointing)

    def plan(
        self,
        parameters: Mapping[str, object] | None = None,
        *,
        resume: str | bool | None = None,
        from_task: str | Sequence[str] = (),
        refresh: bool | str | Sequence[str] = False,
        **more: object,
    ) -> RunPlan:
        """What `run` with these arguments would take from earlier runs and what it would run, and why; runs nothing.

        Raises: as `run` before any task has run.
        """
        from ckpt.engine.flow_runner import plan_flow

        return plan_flow(self, {**(parameters or {}), **more}, _wish(resume, from_task, refresh, None))

    def visualize(self, state: State | None = None) -> Picture:
        """The graph as a picture: prints as text, shows as SVG where graphviz is installed; coloured by `state`."""
        from ckpt.pictures import Picture

        return Picture(self, state)

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}: {len(self.calls)} calls>"


def _wish(
    resume: str | bool | None, from_task: str | Sequence[str], refresh: bool | str | Sequence[str], name: str | None
) -> Wish:
    return Wish(
        "last" if resume is True else resume or None,
        (from_task,) if isinstance(from_task, str) else tuple(from_task),
        refresh if isinstance(refresh, bool) else (refresh,) if isinstance(refresh, str) else tuple(refresh) or False,
        name,
    )


def _origin() -> str | None:
    """The file of the code that makes a flow, or its module where that belongs to a package."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  CPython's, as `logging` uses it
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "ckpt":
        frame = frame.f_back
    if frame is None:
        return None
    names = frame.f_globals
    if names.get("__package__"):
        return str(names["__name__"])
    file = names.get("__file__")
    return str(Path(file).absolute()) if file else None


@overload
def flow(build: Callable[..., Any], /) -> Flow: ...
@overload
def flow(**settings: Any) -> Callable[[Callable[..., Any]], Flow]: ...
def flow(build: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a flow of a function that calls tasks: `@flow`, or `@flow(name=…, result_handler=…)` as for `Flow`.

    The function is called once, now; each of its arguments is a `Parameter` with the argument's default. The calls
    that it returns, if any, are the reference tasks.
    """
    if build is None:
        return functools.partial(_build, settings=settings)
    return _build(build, settings={})


def _build(build: Callable[..., Any], settings: Mapping[str, Any]) -> Flow:
    made = Flow(**{"name": build.__name__.replace("_", "-"), **settings})
    with made:
        arguments = {
            name: Parameter(name, NoResult if p.default is inspect.Parameter.empty else p.default)
            for name, p in inspect.signature(build).parameters.items()
        }
        returned = build(**arguments)
    ends = [returned] if isinstance(returned, Call) else list(returned) if isinstance(returned, list | tuple) else []
    if ends:
        made.set_reference_tasks(ends)
    made.__doc__ = build.__doc__
    return made
