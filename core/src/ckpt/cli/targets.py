"""FILE[:flow] on the command line, and what a shell may complete in it and in `--param`, without importing the file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ckpt.loading import split_target

if TYPE_CHECKING:
    from click import Context, Parameter

__all__ = ["complete_executor", "complete_parameter", "complete_storage", "target_argument"]

_EXECUTORS = {
    "local": "in this thread, one after the other",
    "threads": "in threads of this process",
    "processes": "in processes of this machine",
}


def _complete_target(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    file, colon, start = incomplete.rpartition(":")
    if not colon:
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(f"{file}:{name}") for name in _flow_names(_tree(file)) if name.startswith(start)]


target_argument = click.argument("target", metavar="FILE[:flow]", shell_complete=_complete_target)


def complete_parameter(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """`name=` for each parameter of the flow file that stands before."""
    # click gives up on an option without its value before it comes to the arguments.
    target = ctx.params.get("target") or next(iter(ctx.args), None)
    if not target or "=" in incomplete:
        return []
    names = dict.fromkeys(_parameter_names(_tree(split_target(target)[0])))
    return [CompletionItem(f"{name}=") for name in names if name.startswith(incomplete)]


def complete_executor(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """The executors of the core."""
    return [CompletionItem(name, help=said) for name, said in _EXECUTORS.items() if name.startswith(incomplete)]


def complete_storage(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """The storage types whose plugins are installed, and the URL of this folder."""
    from ckpt import plugins

    names = [*plugins.handler_classes(), f"{Path.cwd().as_uri()}/"]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _tree(file: str) -> ast.AST:
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _called(node: ast.AST) -> str:
    """The last name of what is called, `Flow` of `ckpt.Flow("x")`; empty if it is no call."""
    return _last_name(node.func) if isinstance(node, ast.Call) else ""


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_flow(node: ast.AST) -> bool:
    """Is it a function with `@flow` on it?"""
    if not isinstance(node, ast.FunctionDef):
        return False
    return any("flow" in (_called(mark), _last_name(mark)) for mark in node.decorator_list)


def _flow_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            for item in node.items:
                if _called(item.context_expr) == "Flow" and isinstance(item.optional_vars, ast.Name):
                    yield item.optional_vars.id
        elif isinstance(node, ast.Assign) and _called(node.value) == "Flow":
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.FunctionDef) and _is_flow(node):
            yield node.name


def _parameter_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "Parameter" and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value
        elif isinstance(node, ast.FunctionDef) and _is_flow(node):
            yield from (each.arg for each in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
