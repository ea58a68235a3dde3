"""Tasks: functions, or objects with a `run` method, with the settings that say how a run treats them.

Inside a `with Flow(…)` block calling a task adds a call to the flow; outside it simply runs.
Every setting is a class attribute, so that a subclass sets it for its class and an instance for itself.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, NoReturn, overload

from ckpt import building, triggers
from ckpt.arguments import fetched
from ckpt.calls import Call
from ckpt.errors import ConfigError
from ckpt.handlers import ResultHandler
from ckpt.results import NoResult, NoResultType
from ckpt.states import State
from ckpt.suggestions import did_you_mean

__all__ = ["FunctionTask", "Parameter", "StateHandler", "Task", "check_handler", "task"]

StateHandler = Callable[[Any, State, State], State | None]
"""`handler(task, old, new)`; what it returns, if not None, takes the place of `new`."""


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def check_handler(owner: str, handler: object) -> None:
    """Refuse what is no result handler, where it is given.

    Raises: `ConfigError` naming the owner, and the object to give instead of a class.
    """
    if isinstance(handler, type) and issubclass(handler, ResultHandler):
        raise ConfigError(f"{owner}: result_handler is a class; give an object: {handler.__name__}(…)")
    if handler is not None and not isinstance(handler, ResultHandler):
        raise ConfigError(f"{owner}: result_handler is {handler!r}; give an object such as JSONResultHandler()")


_MOST = 31_536_000
"""A year in seconds; nothing here is larger."""

_NUMBERS: Mapping[str, tuple[str, float]] = {
    "timeout": ("a positive number of seconds or a timedelta, a year at most", 1e-6),
    "retry_delay": ("a number of seconds or a timedelta, 0 to a year", 0),
    "max_retries": ("a whole number of further attempts, 0 or more", 0),
    "retry_backoff": ("a factor, 0 or more", 0),
    "retry_jitter": ("a fraction from 0 on", 0),
}
"""The settings that are numbers: what each is, and the least it may be."""


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _check(name: str, given: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be right, where they are given."""
    check_handler(f"task {name}", given.get("result_handler"))
    for setting, (what, least) in _NUMBERS.items():
        value = given.get(setting)
        number = value.total_seconds() if isinstance(value, timedelta) and "timedelta" in what else value
        if value is None and (setting == "timeout" or setting not in given):
            continue
        kinds = int if setting == "max_retries" else int | float
        if not isinstance(number, kinds) or isinstance(number, bool) or not least <= number <= _MOST:
            raise ConfigError(f"task {name}: {setting} is {what}, not {value!r}")
    if not isinstance(given.get("name", ""), str):
        raise ConfigError(f"the name of a task is text, not {given['name']!r}")
    if isinstance(tags := given.get("tags"), str):
        raise ConfigError(f"task {name}: tags is a list of texts: tags=[{tags!r}]")
    if callable(handlers := given.get("state_handlers")):
        raise ConfigError(f"task {name}: state_handlers is a list: state_handlers=[{handlers!r}]")
    trigger = given.get("trigger")
    if trigger is not None and not callable(trigger):
        raise ConfigError(f"task {name}: trigger is a function such as ckpt.triggers.all_finished, not {trigger!r}")
    cache = given.get("cache", False)
    is_time = isinstance(cache, int | float | timedelta) and _seconds(cache) > 0
    if not isinstance(cache, bool) and not is_time:
        raise ConfigError(f"task {name}: cache is True, or how long a value may be reused, not {cache!r}")
    if isinstance(given.get("cache_exclude"), str):
        raise ConfigError(f"task {name}: cache_exclude is a list of names: cache_exclude=[{given['cache_exclude']!r}]")
    if not isinstance(given.get("checkpoint", True), bool):
        raise ConfigError(f"task {name}: checkpoint is True or False, not {given['checkpoint']!r}")


class Task:
    """One step of a flow: subclass it and write `run`, or put `@task` on a function.

    Settings, as class attributes or keyword arguments:

    `name`: shown, and the stem of keys. `result_handler`: keeps this task's value, before any other choice.
    `checkpoint`: False never keeps it. `trigger`: see `ckpt.triggers`. `max_retries`: further attempts after a
    failure, `retry_delay` seconds (or timedelta) apart, each `retry_backoff` times the last, varied at random by
    the fraction `retry_jitter`. `timeout`: seconds (or timedelta) for one attempt. `tags`: free labels.
    `state_handlers`: called at every change of state. `skip_on_upstream_skip`: False runs although something
    upstream was skipped. `version`: the code version, instead of one derived from the source. `cache`: True takes the
    value of an earlier run whose code and arguments were the same, a number of seconds (or timedelta) only if it is
    no older; `cache_exclude`: names of arguments that do not count for that. It needs ckpt-ledger.
    """

    name: str = ""
    result_handler: ResultHandler | None = None
    checkpoint: bool = True
    trigger: triggers.Trigger = staticmethod(triggers.all_successful)
    max_retries: int = 0
    retry_delay: float | timedelta = 0.0
    retry_backoff: float = 1.0
    retry_jitter: float = 0.0
    timeout: float | timedelta | None = None
    tags: frozenset[str] = frozenset()
    state_handlers: Sequence[StateHandler] = ()
    skip_on_upstream_skip: bool = True
    version: str | None = None
    cache: bool | float | timedelta = False
    cache_exclude: Sequence[str] = ()

    _reserved: ClassVar[frozenset[str]] = frozenset({"upstream_tasks"})

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if not cls.__dict__.get("name"):
            cls.name = _words(cls.__name__)
        trigger = cls.__dict__.get("trigger")
        if inspect.isfunction(trigger):
            cls.trigger = staticmethod(trigger)  # else it would be called with the task as its first argument
        _check(cls.name, vars(cls))

    def __init__(
        self,
        name: str | None = None,
        *,
        result_handler: ResultHandler | None = None,
        checkpoint: bool | None = None,
        trigger: triggers.Trigger | None = None,
        max_retries: int | None = None,
        retry_delay: float | timedelta | None = None,
        retry_backoff: float | None = None,
        retry_jitter: float | None = None,
        timeout: float | timedelta | None = None,
        tags: Iterable[str] | None = None,
        state_handlers: Sequence[StateHandler] | None = None,
        skip_on_upstream_skip: bool | None = None,
        version: str | None = None,
        cache: bool | float | timedelta | None = None,
        cache_exclude: Sequence[str] | None = None,
    ) -> None:
        given = {key: value for key, value in locals().items() if key != "self" and value is not None}
        _check(name or self.name, given)
        if tags is not None:
            given["tags"] = frozenset(tags)
        self.__dict__.update(given)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the value; the body of the task."""
        raise ConfigError(f"{type(self).__name__} has no run method: write `def run(self, …)`")

    def __call__(self, /, *args: Any, upstream_tasks: Sequence[Call] = (), **kwargs: Any) -> Any:
        """In a flow that is being built: add a call. Elsewhere: run.

        `upstream_tasks`: calls to wait for without taking their values.

        Raises: `TypeError` for arguments that `run` does not take, at once.
        """
        flow = building.current()
        if flow is None:
            return self.run(*map(fetched, args), **{name: fetched(value) for name, value in kwargs.items()})
        return flow.add_call(self, args, kwargs, upstream=upstream_tasks, mapped=False)

    def map(self, /, *args: Any, upstream_tasks: Sequence[Call] = (), **kwargs: Any) -> Any:
        """Add a call that runs once for each element of its arguments; `unmapped(x)` gives all of them x.

        The value of the call is the list of the children's values. Outside a flow: the list, computed now.
        """
        flow = building.current()
        if flow is None:
            return building.map_now(self.run, args, kwargs)
        return flow.add_call(self, args, kwargs, upstream=upstream_tasks, mapped=True)

    def check(self) -> None:
        """Refuse settings that cannot be right, also those that were set on the object later.

        Raises: `ConfigError` naming the task and the setting.
        """
        _check(self.name, {setting: getattr(self, setting) for setting in (*_NUMBERS, "result_handler", "checkpoint")})

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """What `run` takes, without self.

        Raises: `ConfigError` for an argument that ckpt has for itself, and an excluded one that is none.
        """
        try:
            signature = inspect.signature(self.run)
        except ValueError:
            why = f"Python does not know the arguments of {self.run!r}"
            raise ConfigError(f"task {self.name}: {why}; call it in a function of your own") from None
        if taken := self._reserved & signature.parameters.keys():
            raise ConfigError(f"task {self.name}: the argument {min(taken)!r} is ckpt's own; choose another name")
        for name in self.cache_exclude:
            if name not in signature.parameters:
                raise ConfigError(
                    f"task {self.name}: cache_exclude names {name!r}: {did_you_mean(name, signature.parameters)}"
                )
        return signature

    def seconds(self, setting: str) -> float | None:
        """A setting given as seconds or timedelta, in seconds."""
        value = getattr(self, setting)
        return value.total_seconds() if isinstance(value, timedelta) else value

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "signature"}

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


class FunctionTask(Task):
    """A task made of a function, by `@task`."""

    def __init__(self, function: Callable[..., Any], name: str | None = None, **settings: Any) -> None:
        if not callable(function):
            raise ConfigError(f"@task goes on a function, not on {function!r}; write @task(name=…) with keywords only")
        self.run = function  # type: ignore[method-assign]  # the function is the method
        super().__init__(name or getattr(function, "__name__", "task"), **settings)
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        _ = self.signature

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise ConfigError(
            f"task {self.name} is a method: make a Task subclass with run(self, …), or a function outside the class"
        )


@overload
def task(function: Callable[..., Any], /) -> FunctionTask: ...
@overload
def task(**settings: Any) -> Callable[[Callable[..., Any]], FunctionTask]: ...
def task(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a task of a function: `@task`, or `@task(max_retries=3, …)` with the settings of `Task`."""
    if function is None:
        return functools.partial(FunctionTask, **settings)
    return FunctionTask(function, **settings)


class _ParameterTask(Task):
    """What a parameter runs: nothing, its value is set when the run starts."""

    def run(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigError(f"the value of parameter {self.name!r} is set by flow.run(…)")


class Parameter(Call):
    """A value that is given when the flow runs: `flow.run(name=value)`, or `--param name=value`.

    Made inside a flow, or adopted by the flow that first uses it. Kept like any other value, as JSON unless
    `result_handler` says otherwise.
    """

    __slots__ = ("default",)

    is_parameter = True

    def __init__(
        self,
        name: str,
        default: object | NoResultType = NoResult,
        *,
        result_handler: ResultHandler | None = None,
        checkpoint: bool = True,
        tags: Iterable[str] = (),
    ) -> None:
        if not name.isidentifier():
            raise ConfigError(f"the name of a parameter is a Python name, not {name!r}")
        super().__init__(_ParameterTask(name, result_handler=result_handler, checkpoint=checkpoint, tags=tags), None)
        self.default = default
        flow = building.current()
        if flow is not None:
            flow.adopt(self)

    @property
    def required(self) -> bool:
        """Must a run give it?"""
        return self.default is NoResult

    def __repr__(self) -> str:
        return f"<Parameter {self.task.name}>"
