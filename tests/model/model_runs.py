"""Builds a program as a flow, runs it with ckpt, and writes down all that a person could see of the run."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from model_programs import (
    Argument,
    CallSpec,
    Const,
    Look,
    Many,
    ParameterSpec,
    Program,
    Ref,
    TaskSpec,
    Whole,
    Write,
    container,
    returned,
)

from ckpt import (
    SKIP,
    Flow,
    ObjectInfo,
    ObjectResultHandler,
    ObjectStore,
    Parameter,
    ResultHandler,
    State,
    context,
    hookimpl,
    plugins,
    triggers,
    unmapped,
)
from ckpt.calls import Call
from ckpt.errors import AccessDenied, NotFound, StoreUnavailable
from ckpt.tasks import FunctionTask

# -- counting across threads and processes


class Tally:
    """Counts what happened, by name: in this process, or in files of a folder that other processes count in too."""

    here: dict[str, Counter[str]] = {}  # noqa: RUF012  one list for the process: how a pickle finds its counts again
    lock = threading.Lock()

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name, self.folder = name, folder
        self.here.pop(name, None)

    def add(self, what: str) -> int:
        """Count one more; answer how many there are now."""
        if self.folder is None:
            with self.lock:
                counts = self.here.setdefault(self.name, Counter())
                counts[what] += 1
                return counts[what]
        with (self.folder / f"{self.name}-{what.replace('/', '-')}").open("ab") as file:
            file.write(b".")
            return file.tell()

    def all(self) -> dict[str, int]:
        """Every count."""
        if self.folder is None:
            return dict(self.here.get(self.name, {}))
        files = self.folder.glob(f"{self.name}-*")
        return {file.name.removeprefix(f"{self.name}-"): file.stat().st_size for file in files}


# -- processes


def processes(wanted: Callable[[list[str], str], bool]) -> list[int]:
    """The processes that have not ended and of which `wanted(fields of stat after the name, command)` is true."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_text()
        except OSError:
            continue  # it has ended meanwhile
        if fields[0] != "Z" and wanted(fields, command):
            found.append(int(entry.name))
    return found


def processes_of(session: int) -> list[int]:
    """The processes of a session."""
    return processes(lambda fields, command: int(fields[3]) == session)


def workers() -> list[int]:
    """The worker processes of this process."""
    return processes(lambda fields, command: int(fields[1]) == os.getpid() and "ckpt.engine.worker" in command)


# -- stores that are slow and fail


def call_path(key: str) -> str:
    """The task run whose value is at a key that the default template made: `t0-1`, or `t0-1[2]`."""
    slug, *index = key.removesuffix(".ckpt").split("/")[5:]
    return f"{slug}[{int(index[0])}]" if index else slug


@dataclass
class Trouble:
    """How each write goes, by task run; travels to workers."""

    writes: Mapping[str, tuple[Write, ...]]
    """By slug, dealt to mapped children in turn."""
    tally: Tally

    def before_put(self, key: str) -> None:
        """Sleep and raise as the program says."""
        path = call_path(key)
        slug, _, index = path.removesuffix("]").partition("[")
        dealt = self.writes[slug]
        write = dealt[int(index or 0) % len(dealt)]
        tried = self.tally.add(path)
        if write.milliseconds:
            time.sleep(write.milliseconds / 1000)
        if write.refused:
            raise AccessDenied("the program says no")
        if tried <= write.fails:
            raise StoreUnavailable("the program says not now")


class Shelf(ObjectStore):
    """Objects in a dict, or as files of a folder."""

    def __init__(self, folder: Path | None, writers: int, trouble: Trouble) -> None:
        self.folder, self.writers, self.trouble = folder, writers, trouble
        self.objects: dict[str, bytes] = {}

    def _file(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key.replace("/", "~")

    def put(self, key: str, data: Any, *, overwrite: bool = True) -> ObjectInfo:
        self.trouble.before_put(key)
        if self.folder is None:
            self.objects[key] = bytes(data)
        else:
            draft = self._file(f"{key}.{os.getpid()}.{threading.get_ident()}.draft")
            draft.write_bytes(data)
            draft.rename(self._file(key))
        return ObjectInfo(key, len(bytes(data)))

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key] if self.folder is None else self._file(key).read_bytes()
        except (KeyError, FileNotFoundError):
            raise NotFound(f"there is no {key}") from None

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key)))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self.head(key) for key in self.keys() if key.startswith(prefix))

    def keys(self) -> set[str]:
        """Every key; it may be asked while others put."""
        if self.folder is None:
            return set(self.objects)
        return {file.name.replace("~", "/") for file in self.folder.iterdir() if file.suffix != ".draft"}

    def delete(self, key: str) -> None:
        raise NotImplementedError


class ShelfHandler(ObjectResultHandler):
    """Keeps values on a `Shelf`."""

    storage_type = "shelf"

    def __init__(self, folder: Path | None, puts_at_once: int, trouble: Trouble) -> None:
        super().__init__()
        self.folder, self.puts_at_once, self.trouble = folder, puts_at_once, trouble

    def open_store(self) -> Shelf:
        return Shelf(self.folder, self.puts_at_once, self.trouble)

    def held(self) -> set[str]:
        assert isinstance(self.objects, Shelf)
        return self.objects.keys()


class PlainHandler(ResultHandler):
    """What a stranger writes: two methods, here over a dict."""

    storage_type = "plain"

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.values: dict[str, object] = {}

    def write(self, value: object, *, key: str | None = None) -> str:
        assert key is not None
        self.trouble.before_put(key)
        self.values[key] = value
        return key

    def read(self, location: Any) -> object:
        return self.values[location]

    def held(self) -> set[str]:
        return set(self.values)


Handler = ShelfHandler | PlainHandler


# -- tasks


def body(task: TaskSpec, tally: Tally, *args: Any, **kwargs: Any) -> Any:
    """What every task does: count itself, then fail, skip or return as its mood is."""
    path = str(context.call)
    attempt = tally.add(path)
    assert attempt == context.attempt
    mood = task.moods[(context.map_index or 0) % len(task.moods)]
    if mood.milliseconds:
        time.sleep(mood.milliseconds / 1000)
    if attempt <= mood.fails:
        raise ValueError(f"{path} fails {attempt}")
    if mood.skips:
        raise SKIP(f"{path} skips")
    return returned(task, path, attempt, args, kwargs)


async def async_body(task: TaskSpec, tally: Tally, *args: Any, **kwargs: Any) -> Any:
    """The same as a coroutine."""
    return body(task, tally, *args, **kwargs)


# -- one run


@dataclass
class Seen:
    """What a person can see of one task run."""

    state: str
    message: str
    value: object = None
    lost: bool = False
    """Was its value dropped, and is kept nowhere?"""
    loaded: bool = False
    """Was the value in this process before it was asked for?"""
    kept: object = None
    """What the safe value reads, in a list; None where there is none."""
    children: int | None = None
    whole: object = None
    """Of a mapped call, the list of its children's values; None where one of them is lost."""


@dataclass
class Observed:
    """What a person can see of a run."""

    state: str
    message: str
    rows: dict[tuple[int, int | None], Seen] = field(default_factory=dict)
    called: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    """The task runs whose values lie in some store."""
    told: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)
    """When each task run was first told of, as a number that grows; it knows what had ended before."""
    ended: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """What broke a promise while the run went on."""


class Listener:
    """A plugin that writes down what it is told."""

    def __init__(self, seen: Observed, handlers: list[Handler]) -> None:
        self.seen, self.handlers = seen, handlers
        self.now = 0

    @hookimpl
    def ckpt_task_changed(self, record: Any) -> None:
        try:
            self.note(record)
        except Exception as error:  # noqa: BLE001  else nothing more would be told, and nobody would know why
            self.seen.wrong.append(f"the listener of the test failed: {error!r}")

    def note(self, record: Any) -> None:
        """Write one record down."""
        path = str(record.call)
        self.seen.told.setdefault(path, []).append(record.state)
        self.now += 1
        self.seen.began.setdefault(path, self.now)
        if not record.ended:
            return
        if path in self.seen.outcomes:
            self.seen.wrong.append(f"{path} was told its end twice")
        self.seen.ended[path] = self.now
        self.seen.outcomes[path] = record.outcome.partition(":")[0]
        if record.outcome == "stored" and not any(path == call_path(k) for h in self.handlers for k in h.held()):
            own = record.safe is not None and record.safe.spec["type"] == "json"
            if not own:
                self.seen.wrong.append(f"{path} was told as stored before it was there")


class Built:
    """A program as a flow, with the stores that its values go to."""

    def __init__(self, program: Program, folder: Path | None) -> None:
        self.program = program
        self.called, self.tried = Tally("called", folder), Tally("tried", folder)
        writes: dict[str, tuple[Write, ...]] = {}
        for number, call in enumerate(program.calls):
            given = (call.write,) if isinstance(call, ParameterSpec) else program.tasks[call.task].writes
            writes[program.slug(number)] = given
        trouble = Trouble(writes, self.tried)

        def shelf(name: str, writers: int) -> ShelfHandler:
            place = folder / name if folder else None
            if place:
                place.mkdir()
            return ShelfHandler(place, writers, trouble)

        self.handlers: dict[str, Any] = {
            "flow": shelf("flow", program.writers),
            "own": shelf("own", 16),
            "inline": shelf("inline", 0),
            "plain": PlainHandler(trouble),
            "json": None,
        }
        self.changes: dict[str, list[tuple[State, State]]] = {}
        self.tasks = [self._task(number, spec) for number, spec in enumerate(program.tasks)]
        self.calls: list[Call] = []
        with Flow("model", result_handler=self.handlers["flow"]) as self.flow:
            for number, spec in enumerate(program.calls):
                self.calls.append(self._call(number, spec))
        for number, spec in enumerate(program.calls):
            if isinstance(spec, CallSpec):
                self.calls[number].set_upstream(*(self.calls[up] for up in spec.after if up > number))
        if program.references is not None:
            self.flow.set_reference_tasks([self.calls[number] for number in program.references])

    def _task(self, number: int, spec: TaskSpec) -> FunctionTask:
        function: Callable[..., Any] = partial(async_body if spec.style == "async" else body, spec, self.called)
        return FunctionTask(
            function,
            f"t{number}",
            trigger=getattr(triggers, spec.trigger),
            skip_on_upstream_skip=spec.skip_on_upstream_skip,
            max_retries=spec.max_retries,
            checkpoint=spec.checkpoint,
            result_handler=None if spec.handler == "flow" else self.handlers[spec.handler],
            timeout=100 if spec.style == "timeout" else None,
            state_handlers=[self._changed] if spec.watched else None,
        )

    def _changed(self, task: Any, old: State, new: State) -> None:
        self.changes.setdefault(task.name, []).append((old, new))

    def _call(self, number: int, spec: CallSpec | ParameterSpec) -> Call:
        if isinstance(spec, ParameterSpec):
            handler = self.handlers[spec.handler]
            default = {} if spec.given else {"default": spec.value}
            return Parameter(f"p{number}", result_handler=handler, checkpoint=spec.checkpoint, **default)
        task = self.tasks[spec.task]
        values = [self._argument(arg) for arg in spec.args]
        first = len(values) - spec.keywords
        kwargs = {f"k{n}": value for n, value in enumerate(values[first:])}
        add = task.map if spec.mapped else task
        before = [self.calls[up] for up in spec.after if up < number]
        call = add(*values[:first], **kwargs, upstream_tasks=before)
        assert isinstance(call, Call)
        return call

    def _argument(self, given: Argument) -> Any:
        match given:
            case Const(value):
                return value
            case Ref(call):
                return self.calls[call]
            case Look(source, key):
                return self._argument(source)[self.calls[key.call] if isinstance(key, Ref) else key]
            case Many(kind, parts):
                return container(kind, [self._argument(part) for part in parts])
            case Whole(value):
                return unmapped(self._argument(value))

    def run(self, executor: str) -> Observed:
        """Run it once."""
        program = self.program
        seen = Observed("", "")
        stores: list[Handler] = [handler for handler in self.handlers.values() if handler is not None]
        given = {f"p{n}": p.value for n, p in enumerate(program.calls) if isinstance(p, ParameterSpec) and p.given}
        with self._settings(), self._listening(Listener(seen, stores)):
            state = self.flow.run(
                given, executor=executor, checkpointing=program.checkpointing, keep_values=program.keep_values
            )
        seen.state, seen.message = state.name, state.message
        for number, call in enumerate(self.calls):
            row = state.result[call]
            for index, child in enumerate(row.map_states or ()):
                seen.rows[number, index] = look(child)
            seen.rows[number, None] = look(row)
        seen.called, seen.tries = self.called.all(), self.tried.all()
        keys = [key for store in stores for key in store.held()]
        seen.keys = sorted(call_path(key) for key in keys)
        seen.wrong += [f"{key} is no key of this run" for key in keys if key.count("/") not in (5, 6)]
        for name, changes in self.changes.items():
            seen.wrong += [f"{name}: {old} → {new}" for old, new in changes if old.is_finished()]
        return seen

    @contextmanager
    def _settings(self) -> Iterator[None]:
        program = self.program
        chosen = {
            "CKPT__FLOWS__ON_WRITE_ERROR": program.on_write_error,
            "CKPT__FLOWS__WRITE_RETRIES": str(program.write_retries),
            "CKPT__FLOWS__WORKERS": str(program.workers),
        }
        with mock.patch.dict(os.environ, chosen):
            yield

    @contextmanager
    def _listening(self, listener: Listener) -> Iterator[None]:
        if not self.program.listened:
            yield
            return
        plugins.register(listener)
        try:
            yield
        finally:
            plugins.unregister(listener)


def look(state: State) -> Seen:
    """What a person can see of one state."""
    if not state.is_finished():
        return Seen(state.name, state.message)
    if state.map_states is not None:
        seen = Seen(state.name, state.message, children=len(state.map_states))
        try:
            seen.whole = state.result
        except NotFound:
            seen.whole = None
        return seen
    seen = Seen(state.name, state.message, loaded=state.kept.is_loaded)
    if state.safe_value:
        seen.kept = [state.safe_value.read()]
    try:
        seen.value = state.result
    except NotFound:
        seen.lost = True
    return seen
