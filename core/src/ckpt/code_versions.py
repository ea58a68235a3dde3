"""The version of a task's code: a digest over its source and what it reaches, so that a changed task is run again.

Covered: the function, or the class of a task object with its bases; and, transitively, the functions, classes and
literal constants of the same file or the same top-level package, or of files beside a script, that it reaches by name
(lists, dicts and sets only under names in capitals: others are state), and what its closures hold.
Comments, docstrings, layout and the settings in `@task(…)` do not count. Not covered: other packages, globals that
are no literals, files that are read, the clock. Where that comes to more than a thousand things, as for
`task(pandas.read_csv)`, the version of the package stands for them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import linecache
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from ckpt.contents import digest_of, travels_by_value
from ckpt.errors import NotSerializable
from ckpt.tasks import FunctionTask, Task, task

__all__ = ["CodeVersions", "code_name"]

_LITERALS: Final = (int, float, complex, str, bytes, bool, type(None), type(...))
_FIXED: Final = (*_LITERALS, tuple, frozenset)
_CALLABLE: Final = (FunctionType, type, functools.partial)
_MOST: Final = 1000
_SETTINGS: Final = frozenset(
    [*inspect.signature(Task.__init__).parameters, "run", "signature", "__wrapped__", "__doc__"]
)
"""Attributes of a task object that are no configuration of what it computes."""


class CodeVersions:
    """The code version of each task, computed once."""

    def __init__(self) -> None:
        _remembered.cache_clear()  # since the last run what a class reaches may have been made anew, in a notebook
        self._known: dict[int, tuple[Task, str | None]] = {}

    def of(self, which: Task) -> str | None:
        """The hex digest; None where something that counts can be given none (a closure over an open file)."""
        known = self._known.get(id(which))
        if known is None:
            known = self._known[id(which)] = (which, _version(which))
        return known[1]


def code_name(thing: Any) -> str | None:
    """What stands for a class or function in the content of a constant, as `ckpt.contents` asks for it."""
    return f"{thing.__qualname__} {_remembered(thing)}" if travels_by_value(thing) else None


@functools.lru_cache(maxsize=1024)
def _remembered(thing: Any) -> str | None:
    return _version(thing)


def _version(which: Any) -> str | None:
    try:
        units = _Units(which)
    except NotSerializable:
        return None
    except _TooMany as reached:
        return _digest(reached.args)
    return _digest(f"{name}={text}" for name, text in sorted(units.found.items()))


class _TooMany(Exception):
    """More is reached than is worth reading; its arguments stand for all of it."""


class _Units:
    """Everything that counts for one task: each function, class and constant by name, as normalised text."""

    def __init__(self, root: Any) -> None:
        self.found: dict[str, str] = {}
        self._seen: set[int] = set()
        self._root = _source(root)
        self._files = {_file(self._root)} - {None}
        self._module = _module(self._root)
        self._package = self._module.partition(".")[0]
        self._folder = _folder(self._root)
        if isinstance(root, Task):
            self._task(root)
        else:
            self._callable(root)

    def _belongs(self, thing: Any) -> bool:
        file = _file(thing)
        return _module(thing).partition(".")[0] == self._package or file in self._files or self._is_beside(file)

    def _is_beside(self, file: str | None) -> bool:
        """Is it a file in the folder of the script that has the task, or below, and none that is installed there?"""
        return self._folder is not None and file is not None and file.startswith(self._folder) and not _installed(file)

    def _named(self, thing: Any) -> str:
        """Its name, the same however the file of the task was loaded."""
        return f"{self._short(_module(thing))}.{thing.__qualname__}"

    def _short(self, module: str) -> str:
        return "" if module == self._module else module

    def _stands_for(self, thing: Any) -> str | None:
        """What stands for a class or function inside a value; one of ours counts besides."""
        if not self._belongs(thing):
            return code_name(thing)
        self._callable(thing)
        return self._named(thing)

    def _task(self, which: Task) -> None:
        if which.version is not None:
            self._pinned(which)
        elif isinstance(which, FunctionTask):
            self._callable(which.run)
        else:
            for cls in type(which).__mro__:
                if cls is Task:
                    break
                self._class(cls)
            self._configuration(which)

    def _pinned(self, which: Task) -> None:
        """A version in the place of the source: that of one task is not that of another."""
        name = f"{self._named(_source(which))} {which.name}"
        self.found[name] = f"version {which.version}"
        if not isinstance(which, FunctionTask):
            self._configuration(which)
        elif isinstance(which.run, functools.partial):
            self._held(f"{name} partial", (which.run.args, which.run.keywords))

    def _configuration(self, which: Task) -> None:
        settings = {name: value for name, value in vars(which).items() if name not in _SETTINGS}
        for name, value in sorted(settings.items()):
            self._held(f"{type(which).__qualname__}.{name}", value)

    def _callable(self, thing: Any) -> None:
        if isinstance(thing, functools.partial):
            self._callable(thing.func)
            self._held("partial", (thing.args, thing.keywords))
        elif isinstance(thing, MethodType):
            self._callable(thing.__func__)
            self._held(f"{thing.__func__.__qualname__}.self", thing.__self__)
        elif isinstance(thing, FunctionType):
            self._function(thing)
        elif isinstance(thing, type):
            self._class(thing)
        elif isinstance(wrapped := getattr(thing, "__wrapped__", None), FunctionType):
            self._function(wrapped)
        else:  # a builtin, or an object that can be called
            self._held(f"{type(thing).__qualname__} {getattr(thing, '__qualname__', '')}", thing)

    def _function(self, function: FunctionType) -> None:
        if not self._new(function):
            return
        name = self._named(function)
        code = function.__code__
        tree = _tree(function)
        self.found[name] = _bytecode(code) if tree is None else _dump(_undecorated(tree, function.__globals__))
        inside = dict(zip(code.co_freevars, map(_content, function.__closure__ or ()), strict=True))
        for cell, value in inside.items():
            self._held(f"{name}.{cell}", value)
        for place, value in [*enumerate(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()]:
            self._held(f"{name}({place})", value)
        names = _names(code)
        hidden = {*code.co_varnames, *code.co_cellvars} - names  # an argument hides what the module has under its name
        chains = ((each,) for each in names) if tree is None else (c for c in _chains(tree) if c[0] not in hidden)
        self._reached(self._short(_module(function)), chains, {**function.__globals__, **inside})

    def _class(self, cls: type) -> None:
        if not self._belongs(cls) or not self._new(cls):
            return
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except (OSError, TypeError, SyntaxError):
            for value in vars(cls).values():
                if isinstance(function := getattr(value, "__func__", value), FunctionType):
                    self._function(function)
            return
        self.found[self._named(cls)] = _dump(tree)
        for base in cls.__mro__[1:]:
            self._class(base)
        names = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        self._reached(self._short(_module(cls)), _chains(tree), names)

    def _reached(self, module: str, chains: Iterable[tuple[str, ...]], names: Mapping[str, Any]) -> None:
        """Look at what is reached by name in `module`: `helper`, `package.other.helper`."""
        for chain in chains:
            if chain[0] not in names:
                continue
            value, rest = names[chain[0]], chain[1:]
            while isinstance(value, ModuleType) and rest and self._is_ours(value):
                value, rest = getattr(value, rest[0], None), rest[1:]
            if isinstance(value, Task):
                self._task(value)
            elif isinstance(value, _CALLABLE) or isinstance(getattr(value, "__wrapped__", None), FunctionType):
                if self._belongs(value.func if isinstance(value, functools.partial) else _unwrapped(value)):
                    self._callable(value)
            elif (text := _literal(value)) is not None and (isinstance(value, _FIXED) or chain[-1].isupper()):
                self.found[".".join((module, *chain[: len(chain) - len(rest)]))] = text

    def _held(self, name: str, value: Any) -> None:
        """What only this function has: a cell of its closure, a default, an attribute of the task."""
        if (text := _literal(value)) is not None:
            self.found[name] = text
        elif isinstance(value, Task):
            self._task(value)
        elif isinstance(value, FunctionType | type):
            if self._belongs(value):
                self._callable(value)
            else:
                self.found[name] = code_name(value) or f"{value.__module__}.{value.__qualname__}"
        elif isinstance(value, ModuleType):
            self.found[name] = value.__name__
        elif value is not _EMPTY:
            self.found[name] = digest_of(value, self._stands_for)

    def _is_ours(self, module: ModuleType) -> bool:
        return module.__name__.partition(".")[0] == self._package or self._is_beside(getattr(module, "__file__", None))

    def _new(self, thing: object) -> bool:
        if id(thing) in self._seen:
            return False
        self._seen.add(id(thing))
        if len(self._seen) > _MOST:
            version = getattr(sys.modules.get(self._package), "__version__", "")
            raise _TooMany(f"{self._root.__module__}.{self._root.__qualname__}", str(version))
        return True


def _source(which: Any) -> Any:
    """Where the code of a task is."""
    if isinstance(which, FunctionTask):
        run = which.run
        while isinstance(run, functools.partial):
            run = run.func
        found = _unwrapped(run)
        return found if hasattr(found, "__qualname__") else type(found)
    return type(which) if isinstance(which, Task) else which


def _module(thing: Any) -> str:
    """The name of the module it is in, also where that is run as `python -m`."""
    name = getattr(thing, "__module__", None) or ""
    spec = getattr(sys.modules.get(name), "__spec__", None) if name == "__main__" else None
    return name if spec is None else str(spec.name)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


_EMPTY: Final = object()


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY  # of a name that has no value yet


def _unwrapped(thing: Any) -> Any:
    return inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing


def _file(thing: Any) -> str | None:
    if isinstance(thing, type):
        return getattr(sys.modules.get(thing.__module__), "__file__", None)
    code = getattr(getattr(thing, "__func__", thing), "__code__", None)
    return code.co_filename if code is not None else None


def _folder(root: Any) -> str | None:
    """The folder of a task's file, with its last slash, where that file is a script; None for a part of a package."""
    names = vars(sys.modules[root.__module__]) if getattr(root, "__module__", None) in sys.modules else {}
    file = _file(root)
    if names.get("__package__") or file is None or not Path(file).is_absolute() or _installed(file):
        return None
    return f"{Path(file).parent}{os.sep}"


def _installed(file: str) -> bool:
    return file.startswith((f"{sys.prefix}{os.sep}", f"{sys.base_prefix}{os.sep}"))


def _tree(function: FunctionType) -> ast.Module | None:
    """The source as a tree; None where there is none, as for a lambda in the middle of a line."""
    code = function.__code__
    if code.co_name == "<lambda>":
        return None
    # As `inspect.getsource`, which looks through all modules of the process for the one that we have here.
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, function.__globals__)[code.co_firstlineno - 1 :]
    try:
        return ast.parse(textwrap.dedent("".join(inspect.getblock(lines)))) if lines else None
    except SyntaxError:
        return None


def _undecorated(tree: ast.Module, names: Mapping[str, Any]) -> ast.Module:
    """Without `@task(…)`: settings change no value, and those that do are asked for by themselves."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = [each for each in node.decorator_list if not _is_task(each, names)]
    return tree


def _is_task(decorator: ast.expr, names: Mapping[str, Any]) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    chain = _chain(node)
    value = names.get(chain[0]) if chain else None
    for name in chain[1:]:
        value = getattr(value, name, None)
    return value is task


def _chain(node: ast.AST) -> tuple[str, ...]:
    """`a.b.c` as its names; empty for anything else."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (inner := _chain(node.value)):
        return (*inner, node.attr)
    return ()


def _chains(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    inner: set[int] = set()
    for node in ast.walk(tree):  # from the outside in
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner and (chain := _chain(node)):
            yield chain
            inner.update(map(id, ast.walk(node)))


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return {*code.co_names, *code.co_freevars, *(name for each in inner for name in _names(each))}


def _bytecode(code: CodeType) -> str:
    """In place of source: what this version of Python made of it."""
    consts = [_bytecode(const) if isinstance(const, CodeType) else _literal(const) for const in code.co_consts]
    return repr((sys.version_info[:2], code.co_code.hex(), consts, code.co_names, code.co_varnames, code.co_freevars))


def _dump(node: Any) -> str:
    """A tree as text that is the same in every version of Python: what is empty, and docstrings, are left out."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!r}"
    fields = []
    for name, value in ast.iter_fields(node):
        part = value
        if name in ("ctx", "type_comment", "kind") or value is None:
            continue
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            part = value[1:] if _is_text(value[0]) else value
        if name == "values" and isinstance(node, ast.JoinedStr):  # Python 3.12 has empty ones
            part = [each for each in value if not (isinstance(each, ast.Constant) and each.value == "")]
        if part != []:
            fields.append(f"{name}={_dump(part)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _literal(value: object, depth: int = 8) -> str | None:
    """A constant as text; None for what is none."""
    kind = type(value)
    if kind in _LITERALS:
        return f"{kind.__name__}:{value!r}"
    if not depth or kind not in (tuple, list, dict, set, frozenset):
        return None
    items: Any = value.items() if isinstance(value, dict) else value
    parts = [_literal(part, depth - 1) for part in items]
    if None in parts:
        return None
    known = [part for part in parts if part is not None]
    return f"{kind.__name__}[{','.join(sorted(known) if isinstance(value, set | frozenset) else known)}]"
