"""The public names, with signatures and docstrings as they stand in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import ckpt
from docs.generate import sources

__all__ = ["everything", "handlers"]

GROUPS = {
    "Flows and tasks": ["Flow", "flow", "task", "Task", "Parameter", "Secret", "unmapped", "SKIP"],
    "Inside a task": ["context", "get_logger"],
    "Values": ["State", "Result", "SafeResult", "NoResult", "read", "Storage"],
    "For plugins: keeping values": [
        "ResultHandler", "Stored", "ObjectResultHandler", "ObjectStore", "ObjectInfo", "ObjectWriter", "Serializer",
        "JSON",
    ],
    "For plugins: running and remembering": ["Executor", "Ledger", "TaskRecord", "CallPath", "Identity", "hookimpl"],
    "Version": ["__version__"],
}  # fmt: skip

_OBJECTS = {
    "context": ("ckpt.contexts", "Context"),
    "NoResult": ("ckpt.results", "NoResultType"),
}
"""Objects, with the class that says what they are."""
_IN_WORDS = {
    "JSON": "`None | bool | int | float | str | list[JSON] | dict[str, JSON]`: what `json` reads back equal.",
    "Identity": "Text: what makes two task runs the same computation.",
    "hookimpl": "The mark on a hook that a plugin implements: `@ckpt.hookimpl`. See [the hooks](hooks.md).",
    "__version__": "The version of `ckpt-core`, as text.",
}


def everything() -> str:
    """Every name that `import ckpt` exports.

    Raises: `ValueError` if one is in no group, or in one though it is not exported.
    """
    grouped = [name for names in GROUPS.values() for name in names]
    if wrong := set(grouped) ^ set(ckpt.__all__):
        raise ValueError(f"docs/generate/api.py: put these into a group, or out of it: {', '.join(sorted(wrong))}")
    return "\n\n".join(
        part for title, names in GROUPS.items() for part in (f"## {title}", *(_name("ckpt", name) for name in names))
    )


def handlers() -> str:
    """The handlers that are here."""
    return "\n\n".join(
        _name(*each)
        for each in (
            ("ckpt_local", "LocalResultHandler"),
            ("ckpt_json", "JSONResultHandler"),
            ("ckpt_s3", "S3ResultHandler"),
            ("ckpt_gcs", "GCSResultHandler"),
            ("ckpt_azure", "AzureResultHandler"),
        )
    )


def _name(package: str, name: str) -> str:
    title = f"### `{name if package == 'ckpt' else f'{package}.{name}'}`"
    if name in _IN_WORDS:
        return f"{title}\n\n{_IN_WORDS[name]}"
    if name in _OBJECTS:
        where, kind = _OBJECTS[name]
        found = next(n for n in sources.module(where).body if isinstance(n, ast.ClassDef) and n.name == kind)
        return "\n\n".join([title, sources.docstring(found), *_members(name, found)])
    node = sources.definition(package, name)
    if node is None:
        raise ValueError(f"docs/generate/api.py: say in words what {name} is")
    if isinstance(node, ast.ClassDef):
        return "\n\n".join([title, *_constructor(name, node), sources.docstring(node), *_members(name, node)])
    return "\n\n".join([title, _code(sources.signature(name, node)), sources.docstring(node)])


def _constructor(name: str, node: ast.ClassDef) -> Iterator[str]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            yield _code(sources.signature(name, method, bound=True))


def _members(name: str, node: ast.ClassDef) -> Iterator[str]:
    fields = [
        f"- `{field}{f': {kind}' if kind else ''}`{f': {_in_line(text)}' if text else ''}"
        for field, kind, text in sources.documented(node)
        if not field.startswith("_")
    ]
    if fields:
        yield "\n".join(fields)
    for method in node.body:
        if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or not (text := sources.docstring(method)):
            continue
        if method.name.startswith("_") and method.name != "__call__":
            continue
        marks = {ast.unparse(mark) for mark in method.decorator_list}
        yield f"#### `{name}.{method.name}`"
        if marks & {"property", "functools.cached_property", "cached_property"}:
            yield _code(f"{name}.{method.name}: {ast.unparse(method.returns) if method.returns else 'Any'}")
        elif "staticmethod" in marks:
            yield _code(sources.signature(f"{name}.{method.name}", method))
        else:
            yield _code(sources.signature(f"{name}.{method.name}", method, bound=True))
        if "abstractmethod" in marks:
            yield "*A subclass must write it.*"
        yield text


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _in_line(text: str) -> str:
    return " ".join(text.split())
