"""The code, read as text: where what `ckpt` exports is written down, with its signature and its docstrings."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "definition", "docstring", "documented", "exports", "module", "signature"]

ROOT = Path(__file__).parents[2]
_FOLDERS = {
    "ckpt": ROOT / "core/src/ckpt",
    "ckpt_local": ROOT / "plugins/local/src/ckpt_local",
    "ckpt_json": ROOT / "plugins/json/src/ckpt_json",
    "ckpt_s3": ROOT / "plugins/s3/src/ckpt_s3",
    "ckpt_gcs": ROOT / "plugins/gcs/src/ckpt_gcs",
    "ckpt_azure": ROOT / "plugins/azure/src/ckpt_azure",
}
_WIDTH = 88

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def module(name: str) -> ast.Module:
    """The syntax tree of `ckpt.keys` and the like."""
    package, *rest = name.split(".")
    path = _FOLDERS[package].joinpath(*rest)
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def exports(package: str) -> dict[str, str]:
    """For each name that the package takes from one of its modules, that module."""
    return {
        name.asname or name.name: node.module
        for node in module(package).body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}.")
        for name in node.names
    }


def definition(package: str, name: str) -> Definition | None:
    """The class or function of that name; None for what is neither (a type alias, an object)."""
    for node in module(exports(package)[name]).body:
        if isinstance(node, Definition) and node.name == name and not _is_overload(node):
            return node
    return None


def docstring(node: Definition | ast.Module) -> str:
    """The docstring as Markdown: that is how they are written."""
    return ast.get_docstring(node) or ""


def documented(node: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Name, annotation and text of each variable in a class or module that has a docstring below it."""
    body: list[ast.stmt] = getattr(node, "body", [])
    for field, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        match field:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                said = ast.unparse(kind)
            case ast.Assign(targets=[ast.Name(id=name)]):
                said = ""
            case _:
                continue
        match below:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield name, said, inspect.cleandoc(text)
            case _ if isinstance(node, ast.ClassDef) and is_dataclass(node) and not name.startswith("_"):
                yield name, said, ""


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(mark) for mark in node.decorator_list)


def signature(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool = False) -> str:
    """The call as it stands in the source, `bound` without `self`; on several lines where it is long."""
    parts = list(_arguments(function.args))[bound:]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns and function.name != "__init__" else ""
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= _WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    """Each argument as one writes it, the bare `*` and `/` included."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    for number, (argument, default) in enumerate(zip(plain, defaults, strict=True), 1):
        yield _argument(argument, default)
        if number == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield f"*{_argument(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield f"**{_argument(arguments.kwarg)}"


def _argument(argument: ast.arg, default: ast.expr | None = None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    if default is None:
        return f"{argument.arg}{kind}"
    return f"{argument.arg}{kind}{' = ' if kind else '='}{ast.unparse(default)}"


def _is_overload(node: Definition) -> bool:
    return any(ast.unparse(mark) == "overload" for mark in node.decorator_list)
