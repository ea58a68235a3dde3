"""What installed plugins bring, by name: the one door through which the core reaches them.

Nothing is imported before something is asked for; then all chosen plugins are, once per process.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from ckpt import config, installed, registry
from ckpt.errors import ConfigError, PluginBroken, PluginNotFound
from ckpt.kinds import EXECUTORS, HANDLERS, LEDGERS, SERIALIZERS, Kind
from ckpt.registry import LeftOut, Registry, hookimpl_marker
from ckpt.suggestions import nearest

if TYPE_CHECKING:
    from click import Command

    from ckpt.executors import Executor
    from ckpt.handlers import JSON, ResultHandler
    from ckpt.ledgers import Ledger
    from ckpt.serializers import Serializer
    from ckpt.settings import Settings
    from ckpt.storage import Storage

__all__ = [
    "PluginInfo",
    "commands",
    "executor_class",
    "executor_classes",
    "found",
    "handler_class",
    "handler_classes",
    "handler_from_spec",
    "hookimpl_marker",
    "implements",
    "ledger_classes",
    "left_out",
    "listeners",
    "match",
    "register",
    "reset",
    "serializer_class",
    "serializer_classes",
    "unregister",
]

WITHOUT_HANDLER = frozenset({"docker"})
"""Storages that hold flows but no values."""

_HANDLERS_KEPT = 32
"""Each may hold connections, or descriptors of folders."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One installed plugin, as its metadata and the settings describe it."""

    entry_point: str
    value: str
    """What the entry point loads."""
    distribution: str
    version: str
    would_load: bool
    why: str
    """Why not; empty where it would."""


class _Process:
    """What this process has loaded."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.registry: Registry | None = None
        self.is_loading = False
        self.handlers: OrderedDict[str, ResultHandler] = OrderedDict()


_here = _Process()


def _renew_lock() -> None:
    _here.lock = threading.RLock()
    _here.is_loading = False


if hasattr(os, "register_at_fork"):
    # The thread that held the lock does not exist in the child.
    os.register_at_fork(after_in_child=_renew_lock)


def handler_class(type_or_scheme: str) -> type[ResultHandler]:
    """The handler that serves a storage type or URL scheme.

    Raises: `PluginNotFound` with the pip line; `PluginBroken` if two plugins claim it or its plugin is broken.
    """
    return _named(HANDLERS, type_or_scheme)


def serializer_class(name: str) -> type[Serializer]:
    """The serializer of that name, the core's pickle included; raises like `handler_class`."""
    return _named(SERIALIZERS, name)


def executor_class(name: str) -> type[Executor]:
    """The executor of that name that a plugin brings; raises like `handler_class`."""
    return _named(EXECUTORS, name)


def handler_classes() -> Mapping[str, type[ResultHandler]]:
    """Every usable handler, by storage type; one that two plugins claim is not among them."""
    classes = {}
    for name, claims in sorted(_claims(HANDLERS).items()):
        cls = next(iter(claims))
        if len(claims) == 1 and cls.storage_type == name:
            classes[name] = cls
    return MappingProxyType(classes)


def serializer_classes() -> Mapping[str, type[Serializer]]:
    """Every usable serializer, by name."""
    return _usable(SERIALIZERS)


def executor_classes() -> Mapping[str, type[Executor]]:
    """Every usable executor that a plugin brings, by name."""
    return _usable(EXECUTORS)


def ledger_classes() -> list[type[Ledger]]:
    """Every class that keeps the record of runs."""
    return [cls for claims in _claims(LEDGERS).values() for cls in claims]


def commands() -> list[Command]:
    """The commands that plugins add to `ckpt`; needs click."""
    from click import Command

    with _here.lock:
        return _loaded().objects("ckpt_commands", Command)


def handler_from_spec(spec: Mapping[str, JSON]) -> ResultHandler:
    """The handler that `to_spec` described, the same object for an equal spec.

    Raises: `PluginNotFound` with the pip line; `ConfigError` for a spec that the installed version cannot read.
    """
    kind = spec.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f"a handler's spec has a 'type', {sorted(spec)} has none: it was not made by `to_spec`")
    key = json.dumps(spec, sort_keys=True)
    with _here.lock:
        if (handler := _here.handlers.get(key)) is not None:
            _here.handlers.move_to_end(key)
            return handler
        cls = handler_class(kind)
        try:
            handler = cls.from_spec(spec)
        except TypeError as error:
            raise ConfigError(
                f"{cls.__name__} as installed cannot read the spec of a {kind} handler ({', '.join(sorted(spec))}): "
                f"{error}; get a version that can: pip install --upgrade {installed.distribution_for(kind)}"
            ) from error
        _here.handlers[key] = handler
        if len(_here.handlers) > _HANDLERS_KEPT:
            _here.handlers.popitem(last=False)
        return handler


def match(storage: Storage, settings: Settings) -> ResultHandler | None:
    """The handler that goes with a storage, its `[storage.<type>]` table included; None, said, where none does.

    Raises: like `handler_class`; `ConfigError` for an option that the handler does not take.
    """
    if storage.type in WITHOUT_HANDLER and storage.type not in _claims(HANDLERS):
        logging.getLogger("ckpt").warning(
            "%s storage has no matching result handler, so it keeps no values: "
            "set flows.storage to a place for values, such as local",
            storage.type,
        )
        return None
    cls = handler_class(storage.type)
    path = ("storage", cls.storage_type)
    return cls.from_storage(storage.with_table(settings.section(*path), settings.sources(*path)))


def listeners(hook_name: str) -> list[Callable[..., None]]:
    """What to call when an event happens, with all its arguments by name; none of them raises."""
    with _here.lock:
        return _loaded().listeners(hook_name)


def register(plugin: object) -> None:
    """Add an object with hooks marked `@ckpt.hookimpl` to this process.

    Raises: `PluginBroken` for a hook that does not exist or that takes other arguments.
    """
    with _here.lock:
        _loaded().register(plugin)


def unregister(plugin: object) -> None:
    """Take an object away again; harmless when it is not there."""
    with _here.lock:
        if _here.registry is not None:
            _here.registry.unregister(plugin)


def left_out() -> list[LeftOut]:
    """The installed plugins that are not used, or not wholly, and why; loads the others."""
    with _here.lock:
        return list(_loaded().left_out.values())


def implements(hook_name: str) -> bool:
    """Does any loaded plugin implement this hook?"""
    with _here.lock:
        return _loaded().implements(hook_name)


def found(settings: Settings | None = None) -> list[PluginInfo]:
    """Every installed plugin and whether it would be loaded; imports none of them."""
    infos = []
    for plugin, left_out in registry.choice(settings or config.load()):
        why = left_out.why if left_out else ""
        if not why and not plugin.is_findable():
            why = f"its package is not there: pip install --force-reinstall {plugin.distribution}"
        infos.append(
            PluginInfo(plugin.name, plugin.value, plugin.distribution, plugin.version, would_load=not why, why=why)
        )
    return infos


def class_named(name: str) -> type[ResultHandler] | None:
    """The installed handler class of that class name; None if there is none.

    Raises: `PluginBroken` if two plugins bring one of that name.
    """
    same = {
        cls: whose for claims in _claims(HANDLERS).values() for cls, whose in claims.items() if cls.__name__ == name
    }
    if len(same) > 1:
        raise PluginBroken(
            f"{' and '.join(sorted(same.values()))} both bring a {name}: import it from the one you mean"
        )
    return next(iter(same), None)


def reset() -> None:
    """Forget everything, so that what is asked for next loads anew; for tests."""
    with _here.lock:
        _here.registry = None
        _here.handlers.clear()
        installed.forget()


def _loaded() -> Registry:
    """The registry of this process; the caller holds the lock."""
    if _here.registry is None:
        if _here.is_loading:
            raise PluginBroken("a plugin asked for other plugins while it was imported: ask when it is first used")
        _here.is_loading = True
        try:
            _here.registry = Registry(config.load())
        finally:
            _here.is_loading = False
    return _here.registry


def _claims(kind: Kind) -> Mapping[str, Mapping[type[Any], str]]:
    with _here.lock:
        return _loaded().claims(kind)


def _usable(kind: Kind) -> Mapping[str, type[Any]]:
    return MappingProxyType({name: next(iter(who)) for name, who in sorted(_claims(kind).items()) if len(who) == 1})


def _named(kind: Kind, name: str) -> type[Any]:
    for cls in kind.own():
        if name in kind.names(cls):
            return cls
    claims = _claims(kind).get(name, {})
    if len(claims) > 1:
        raise PluginBroken(
            f"the {kind.noun} {name!r} is claimed by {' and '.join(sorted(claims.values()))}: "
            "uninstall one of them, or leave its entry point out with CKPT__PLUGINS__BLOCK"
        )
    return next(iter(claims)) if claims else _refuse(kind, name)


def _refuse(kind: Kind, name: str) -> NoReturn:
    """Say why nothing serves a name: left out, broken, misspelt or not installed."""
    distribution = installed.distribution_for(name)
    unused = left_out()
    for each in unused:
        if each.plugin.name == name or each.plugin.distribution == distribution:
            error = PluginBroken if each.is_broken else PluginNotFound
            step = f"repair or reinstall {each.plugin.distribution}" if each.is_broken else "take it out of there"
            raise error(
                f"the {kind.noun} {name!r} belongs to the plugin {each.plugin.name!r} of {each.plugin}, "
                f"which is installed but left out: {each.why}; {step}"
            )
    usable = sorted(_claims(kind))
    guess = nearest(name, {*usable, *installed.PACKAGES} if kind is HANDLERS else usable)
    parts = [f"no installed plugin serves the {kind.noun} {name!r}: "]
    parts.append(f"did you mean {guess!r}? Else " if guess and guess != name else "")
    parts.append(f"{installed.pip_line(distribution)} (installed: {', '.join(usable) or 'none'}")
    parts += [f"; left out: {each.plugin.name} of {each.plugin}, {each.why}" for each in unused]
    raise PluginNotFound("".join(parts) + ")")
