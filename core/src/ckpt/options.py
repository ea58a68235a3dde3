"""Options as text or TOML gives them, turned into what a signature asks for.

The annotations of a class's `__init__` are the one description of its options: the same table checks
`?use_ssl=no` of a URL, `use_ssl = false` of a file and `CKPT__STORAGE__S3__USE_SSL=0` of the environment.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from ckpt.credentials import shown
from ckpt.errors import ConfigError
from ckpt.suggestions import did_you_mean

__all__ = ["checked", "convert", "is_json", "parameters"]

_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_NONE = type(None)
_LISTS = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
_INTEGER = re.compile(r"[+-]?[0-9]+")


class _Misfit(Exception):
    """The value is not of that type; `convert` knows the name and the source to tell."""


def checked(
    cls: type, options: Mapping[str, object], *, what: str, stand: str, sources: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The options converted by the annotations of `cls.__init__`.

    `what` names the thing they belong to, `stand` the places where they can be written, `sources` where each was.

    Raises: `ConfigError` for an option that `__init__` does not take, or of the wrong type, by name.
    """
    known, is_open = parameters(cls)
    sources = sources or {}
    ready = {}
    for name, value in options.items():
        source = sources.get(name, stand)
        if name not in known and not is_open:
            raise ConfigError(
                f"unknown option {name!r} of {what}: {did_you_mean(name, known)} "
                + (f"It stands in {source}" if name in sources else f"Options stand in {stand}")
            )
        ready[name] = convert(value, known.get(name, Any), name=f"option {name!r} of {what}", source=source)
    return ready


def is_json(value: object) -> bool:
    """Can a spec hold it as it is?"""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and is_json(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(is_json, value))
    return value is None or isinstance(value, str | int | float)


@lru_cache(maxsize=256)
def parameters(cls: type) -> tuple[Mapping[str, Any], bool]:
    """What `cls.__init__` takes by name, with annotations, and whether it takes any other name as well.

    Through `**options` the look goes on to the next class, since that is where they are handed on to.
    """
    known: dict[str, Any] = {}
    for owner in cls.__mro__:
        init = owner.__dict__.get("__init__")
        if owner is object or init is None:
            continue
        kinds = list(signature(init).parameters.values())[1:]
        hints = _hints(init)
        for each in kinds:
            if each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
                known.setdefault(each.name, hints.get(each.name, Any))
        if not any(each.kind is Parameter.VAR_KEYWORD for each in kinds):
            return types.MappingProxyType(known), False
    # The last class on the way took `**options`, or there was no `__init__` at all.
    is_open = any("__init__" in owner.__dict__ for owner in cls.__mro__[:-1])
    return types.MappingProxyType(known), is_open


def convert(value: object, annotation: Any, *, name: str, source: str) -> Any:
    """The value as the annotation has it: text is read, typed values are checked.

    An annotation that cannot be resolved or understood lets the value through as it is.

    Raises: `ConfigError` naming what was asked for, what was found (not for a credential) and where.
    """
    try:
        return _fit(value, annotation)
    except _Misfit:
        found = shown(name, value)
        raise ConfigError(f"{name} must be {_expected(annotation)}, not {found!r}: correct it in {source}") from None


def _hints(init: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(init, include_extras=True)
    except (NameError, AttributeError, TypeError):
        # One name that only a type checker imports must not take the others along.
        space = getattr(init, "__globals__", {})
        hints = {}
        for name, annotation in getattr(init, "__annotations__", {}).items():
            one = types.SimpleNamespace(__annotations__={name: annotation})
            try:
                hints.update(get_type_hints(one, globalns=space, include_extras=True))
            except (NameError, AttributeError, TypeError):
                hints[name] = Any
        return hints


def _fit(value: object, annotation: Any) -> object:
    annotation = _plain(annotation)
    origin = get_origin(annotation)
    if annotation in (Any, object, Parameter.empty) or isinstance(annotation, str):
        return value
    if origin in (Union, types.UnionType):
        return _fit_union(value, get_args(annotation))
    if origin is Literal:
        return _fit_literal(value, get_args(annotation))
    reader = _READERS.get(origin or annotation)
    if reader is not None:
        return reader(value)
    kind = origin or annotation
    if kind in _LISTS:
        return _fit_list(value, kind, get_args(annotation))
    if isinstance(kind, type) and not isinstance(value, kind):
        _misfit()
    return value


def _plain(annotation: Any) -> Any:
    """The annotation behind `Annotated`, `NewType` and `type X = …`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif (inner := getattr(annotation, "__supertype__", getattr(annotation, "__value__", None))) is not None:
            annotation = inner
        else:
            return annotation


def _fit_union(value: object, members: tuple[Any, ...]) -> object:
    kinds = [_plain(member) for member in members]
    if value is None or (_NONE in kinds and value == ""):
        return None if _NONE in kinds else _misfit()
    for member in sorted((kind for kind in kinds if kind is not _NONE), key=_rank):
        try:
            return _fit(value, member)
        except _Misfit:
            continue
    return _misfit()


def _rank(annotation: Any) -> int:
    """Text fits nearly everywhere, so the strictest reading goes first."""
    order: tuple[Any, ...] = (Literal, bool, int, float, str)
    kind = get_origin(annotation) or annotation
    return order.index(kind) if kind in order else len(order)


def _fit_literal(value: object, choices: tuple[Any, ...]) -> object:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    if isinstance(value, str):
        for choice in choices:
            if choice is not None and not isinstance(choice, bool) and str(choice) == value.strip():
                return choice
        switch = _SWITCH.get(value.strip().lower())
        if switch is not None and any(choice is switch for choice in choices):
            return switch
    return _misfit()


def _fit_list(value: object, kind: type, members: tuple[Any, ...]) -> object:
    member = members[0] if members else Any
    if isinstance(value, str):
        value = [part for part in (part.strip() for part in value.split(",")) if part]
    if not isinstance(value, list | tuple):
        _misfit()
    fitted = [_fit(each, member) for each in value]
    return kind(fitted) if kind in (tuple, set, frozenset) else fitted


def _read_text(value: object) -> str:
    return value if isinstance(value, str) else _misfit()


def _read_switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    switch = _SWITCH.get(value.strip().lower()) if isinstance(value, str) else None
    return switch if switch is not None else _misfit()


def _read_integer(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else _misfit()


def _read_number(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            return _misfit()
    return _misfit()


def _read_path(value: object) -> Path:
    return Path(value) if isinstance(value, str | Path) and value != "" else _misfit()


def _read_none(value: object) -> None:
    return None if value is None or value == "" else _misfit()


_READERS: dict[Any, Callable[[object], object]] = {
    str: _read_text,
    bool: _read_switch,
    int: _read_integer,
    float: _read_number,
    Path: _read_path,
    os.PathLike: _read_path,
    _NONE: _read_none,
}

_NAMES: dict[Any, str] = {
    str: "text",
    bool: "true or false (also 1/0, yes/no, on/off)",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    os.PathLike: "a path",
    _NONE: "nothing",
}


def _expected(annotation: Any) -> str:
    annotation = _plain(annotation)
    kind = get_origin(annotation) or annotation
    if kind in (Union, types.UnionType):
        names = [_expected(each) for each in get_args(annotation) if each is not _NONE]
        return " or ".join(dict.fromkeys(names))
    if kind is Literal:
        return " or ".join(repr(choice) for choice in get_args(annotation))
    if kind in _LISTS:
        return f"a list of {_expected(get_args(annotation)[0])}" if get_args(annotation) else "a list"
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a table"
    return _NAMES.get(kind) or f"a {getattr(kind, '__name__', kind)} object, which only code can give"


def _misfit() -> NoReturn:
    raise _Misfit
