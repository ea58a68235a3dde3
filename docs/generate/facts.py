"""Tables of what is decided in one place of the code: settings, errors, hooks, states, triggers; and two layouts."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import ckpt.errors
import ckpt.keys
import ckpt.records
import ckpt.states
import ckpt.triggers
from ckpt import plugins
from ckpt.settings import SECTIONS
from docs.generate import sources

__all__ = ["errors", "hooks", "keys", "record", "settings", "states", "storage_options", "triggers"]


def settings() -> str:
    """A table for each section of the core."""
    parts = []
    for section, kind in SECTIONS.items():
        rows = [
            (f"`{section}.{each.name}`", _kind(str(each.type)), _default(each), each.metadata["doc"])
            for each in dataclasses.fields(kind)
        ]
        parts += [f"## `[{section}]`", _table(("key", "takes", "default", "what it says"), rows)]
    return "\n\n".join(parts)


def storage_options() -> str:
    """A table for each installed handler, of what its `__init__` takes from configuration."""
    parts = []
    for kind, cls in plugins.handler_classes().items():
        rows = [
            (f"`{name}`", _kind(str(each.annotation)), _code(repr(each.default).replace("'", '"')))
            for name, each in inspect.signature(cls).parameters.items()
            if "[type]" not in str(each.annotation)  # classes are given in code only
        ]
        parts += [f"### `[storage.{kind}]`", _table(("option", "takes", "default"), rows)]
    return "\n\n".join(parts)


def errors() -> str:
    """The tree, and each class with its whole docstring."""
    tree = _about(ckpt.errors)
    parts = [tree]
    for name in sorted(ckpt.errors.__all__):
        cls = getattr(ckpt.errors, name)
        bases = ", ".join(f"`{base.__name__}`" for base in cls.__bases__)
        parts += [f"## `{name}`", f"*Is also: {bases}.*", inspect.getdoc(cls) or ""]
    return "\n\n".join(parts)


def hooks() -> str:
    """Each hook with its signature."""
    specs = next(n for n in sources.module("ckpt.hookspecs").body if isinstance(n, ast.ClassDef))
    methods = [node for node in specs.body if isinstance(node, ast.FunctionDef)]
    parts = [sources.docstring(sources.module("ckpt.hookspecs")).rpartition("\n\n")[0]]
    for method in methods:
        parts += [
            f"## `{method.name}`",
            f"```python\n@ckpt.hookimpl\ndef {sources.signature(method.name, method, bound=True)}: ...\n```",
            sources.docstring(method),
        ]
    return "\n\n".join(parts)


def keys() -> str:
    """The fields of key templates."""
    return _about(ckpt.keys)


def record() -> str:
    """The layout of a record."""
    return _about(ckpt.records)


def states() -> str:
    """The tree, and what each state means with the colour it has in pictures."""
    rows = []
    for name in ckpt.states.__all__:
        cls = getattr(ckpt.states, name)
        if isinstance(cls, type) and issubclass(cls, ckpt.State) and cls is not ckpt.State:
            rows.append((f"`{name}`", _first(cls), cls.color))
    return f"{_about(ckpt.states)}\n\n{_table(('state', 'means', 'colour'), rows)}"


def triggers() -> str:
    """Each trigger."""
    functions = [(name, getattr(ckpt.triggers, name)) for name in ckpt.triggers.__all__ if name != "Trigger"]
    rows = [(f"`{name}`", _first(function)) for name, function in functions]
    return f"{_about(ckpt.triggers)}\n\n{_table(('trigger', 'means'), rows)}"


def _about(module: ModuleType) -> str:
    """The docstring of a module as Markdown; its drawings are indented and stay so."""
    return (module.__doc__ or "").strip()


def _default(each: dataclasses.Field[Any]) -> str:
    if each.default is dataclasses.MISSING:
        return "what this machine has"
    return "not set" if each.default is None else _code(repr(each.default).replace("'", '"'))


_WORDS = {
    "Any": "text or a table; in code also an object",
    "Mapping[str, Any]": "a table",
    "bool": "`true`, `false`",
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "os.PathLike[str]": "",
    "tuple[str, ...]": "a list of names",
    "None": "",
}
"""What a person writes for a value of these types."""


def _kind(annotation: str) -> str:
    """What a person may write, from the annotation: the words of a `Literal`, and a word for each other type.

    Raises: `KeyError` for a type that nobody has found a word for.
    """
    kinds: list[str] = []
    for one in annotation.split(" | "):
        if one.startswith("Literal["):
            kinds += [_code(word.replace("'", '"')) for word in one[len("Literal[") : -1].split(", ")]
        else:
            kinds.append(_WORDS[one])
    return ", ".join(filter(None, kinds))


def _first(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _code(text: str) -> str:
    return f"`{text}`"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
