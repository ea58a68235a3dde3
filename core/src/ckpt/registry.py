"""The plugins of this process: loaded once, each one checked, and what is wrong with one kept to itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ckpt import installed
from ckpt.errors import ConfigError, PluginBroken
from ckpt.hookspecs import HookSpecs
from ckpt.installed import Installed
from ckpt.kinds import Kind, check_classes
from ckpt.options import checked
from ckpt.settings import Settings

if TYPE_CHECKING:
    from pluggy import HookImpl, HookimplMarker, PluginManager

__all__ = ["LeftOut", "Registry", "choice", "hookimpl_marker"]

_LOG = logging.getLogger("ckpt")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An installed plugin that is not used, or not wholly."""

    plugin: Installed
    why: str
    is_broken: bool
    """False: a setting leaves it out."""


def choice(settings: Settings) -> list[tuple[Installed, LeftOut | None]]:
    """Every installed plugin, and why it is not to be loaded; from metadata and settings alone."""
    everything = installed.plugins()
    only, block = settings.plugins.only, settings.plugins.block
    chosen: list[tuple[Installed, LeftOut | None]] = []
    for plugin in everything:
        same = [other for other in everything if other.name == plugin.name]
        left_out = None
        if block and plugin.name in block:
            why = f"blocked by plugins.block ({settings.setting('plugins.block').source})"
            left_out = LeftOut(plugin, why, is_broken=False)
        elif only is not None and plugin.name not in only:
            why = f"not among plugins.only ({settings.setting('plugins.only').source})"
            left_out = LeftOut(plugin, why, is_broken=False)
        elif len(same) > 1:
            both = " and ".join(map(str, same))
            why = f"the entry point {plugin.name!r} is claimed by {both}: uninstall one of them"
            left_out = LeftOut(plugin, why, is_broken=True)
        chosen.append((plugin, left_out))
    return chosen


@cache
def hookimpl_marker() -> HookimplMarker:
    """What `ckpt.hookimpl` is; pluggy is imported when it is first used."""
    from pluggy import HookimplMarker

    return HookimplMarker(installed.GROUP)


class Registry:
    """The loaded plugins and what they bring."""

    def __init__(self, settings: Settings) -> None:
        self.left_out: dict[Installed, LeftOut] = {}
        self._manager = _new_manager()
        self._plugins: dict[str, Installed] = {}
        self._silent: set[tuple[str, str]] = set()
        self._claims: dict[str, dict[str, dict[type, str]]] = {}
        if (clash := installed.clash()) is not None:
            _LOG.warning(clash)
        chosen = choice(settings)
        self._warn_of_strangers(settings)
        for plugin, left_out in chosen:
            if left_out is not None:
                self.left_out[plugin] = left_out
                if left_out.is_broken:
                    _LOG.warning("plugin %r is left out: %s", plugin.name, left_out.why)
            else:
                self._load(plugin)
        self._check_pending()
        self._check_sections(settings)

    def register(self, plugin: object) -> None:
        """Add an object with hooks.

        Raises: `PluginBroken` for a hook that does not exist or that takes other arguments.
        """
        from pluggy import PluginValidationError

        try:
            self._manager.register(plugin)
            self._manager.check_pending()
        except (PluginValidationError, ValueError) as error:
            self.unregister(plugin)
            raise PluginBroken(
                f"{plugin!r} cannot be a plugin: {_said(error)}; see ckpt.hookspecs for the hooks"
            ) from error
        self._claims.clear()

    def unregister(self, plugin: object) -> None:
        """Take an object away again; harmless when it is not there."""
        if self._manager.is_registered(plugin):
            name = self._manager.get_name(plugin)
            self._manager.unregister(plugin)
            self._claims.clear()
            # pluggy names an object by its id, which the next one may have.
            self._silent -= {each for each in self._silent if each[0] == name}

    def claims(self, kind: Kind) -> Mapping[str, Mapping[type, str]]:
        """For each name, the classes that claim it and whose they are: one, if all is well."""
        if kind.hook not in self._claims:
            claims: dict[str, dict[type, str]] = {}
            for cls in kind.own():
                for name in kind.names(cls):
                    claims.setdefault(name, {})[cls] = "ckpt-core"
            for answer, label in self._answers(kind.hook, lambda answer: check_classes(answer, kind)):
                for cls in answer:
                    for name in kind.names(cls):
                        claims.setdefault(name, {})[cls] = label
            self._claims[kind.hook] = claims
        return self._claims[kind.hook]

    def objects(self, hook: str, base: type) -> list[Any]:
        """What a hook brings that is not asked for by name."""

        def check(answer: list[object]) -> None:
            for each in answer:
                if not isinstance(each, base):
                    raise TypeError(f"{hook} must return a list of {base.__name__} objects, not {each!r}")

        return [each for answer, _ in self._answers(hook, check) for each in answer]

    def implements(self, hook: str) -> bool:
        """Does anybody here implement this hook?"""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def listeners(self, event: str) -> list[Callable[..., None]]:
        """What to call, with all arguments of the event by name, when it happens; none of them raises."""
        # pluggy keeps them in the reverse of the order in which it calls them.
        return [
            self._listener(event, impl)
            for impl in reversed(getattr(self._manager.hook, event).get_hookimpls())
            if (impl.plugin_name, event) not in self._silent
        ]

    def _listener(self, event: str, impl: HookImpl) -> Callable[..., None]:
        function, names = impl.function, impl.argnames
        silent, key = self._silent, (impl.plugin_name, event)

        def listen(**arguments: object) -> None:
            if key in silent:
                return
            try:
                function(*[arguments[name] for name in names])
            except Exception as error:  # noqa: BLE001  a plugin that listens must not break the run
                self._leave_out_hook(*key, error)

        return listen

    def _load(self, plugin: Installed) -> None:
        try:
            self._manager.register(plugin.load(), name=plugin.name)
            self._plugins[plugin.name] = plugin
        except (Exception, SystemExit) as error:  # noqa: BLE001  importing it runs a stranger's code
            self._manager.unregister(name=plugin.name)
            self._leave_out(plugin, _said(error))

    def _check_pending(self) -> None:
        """Leave out whoever implements a hook that does not exist."""
        from pluggy import PluginValidationError

        while True:
            try:
                return self._manager.check_pending()
            except PluginValidationError as error:
                name = self._manager.get_name(error.plugin) or ""
                self._manager.unregister(error.plugin)
                self._leave_out(self._plugins[name], _said(error))

    def _check_sections(self, settings: Settings) -> None:
        """Refuse what stands in the section of a plugin that is loaded and that it does not know."""
        owners = {name: classes[0] for classes, name in self._answers("ckpt_settings", _check_settings, by_name=True)}
        for name in self._plugins:
            section = settings.section(name)
            if not section:
                continue
            sources = settings.sources(name)
            if name not in owners:
                key = next(iter(section))
                raise ConfigError(
                    f"plugin {name!r} has no settings, but {name}.{key} is set ({sources.get(key, name)}): "
                    f"remove it; options of a storage stand in [storage.{name}]"
                )
            checked(owners[name], section, what=f"plugin {name}", stand=f"[{name}]", sources=sources)

    def _answers(
        self, hook: str, check: Callable[[list[Any]], None], *, by_name: bool = False
    ) -> list[tuple[list[Any], str]]:
        """What each plugin answers to a hook, with its label (or name); one whose answer is wrong is left out."""
        answers = []
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            name = impl.plugin_name
            if (name, hook) in self._silent:
                continue
            try:
                answer = impl.function()
                if not isinstance(answer, list | tuple):
                    raise TypeError(f"{hook} must return a list, not {answer!r}")  # noqa: TRY301  reported like the rest
                check(list(answer))
            except (Exception, SystemExit) as error:  # noqa: BLE001  it runs a stranger's code
                self._leave_out_hook(name, hook, error)
            else:
                answers.append((list(answer), name if by_name else str(self._plugins.get(name, name))))
        return answers

    def _leave_out(self, plugin: Installed, why: str) -> None:
        self.left_out[plugin] = LeftOut(plugin, why, is_broken=True)
        advice = f"Repair or uninstall {plugin.distribution}, or set CKPT__PLUGINS__BLOCK={plugin.name}"
        _LOG.warning("plugin %r of %s is left out: %s. %s", plugin.name, plugin, why, advice)

    def _leave_out_hook(self, name: str, hook: str, error: BaseException) -> None:
        if (name, hook) in self._silent:
            return
        self._silent.add((name, hook))
        why = f"{hook}: {_said(error)}"
        if (plugin := self._plugins.get(name)) is not None:
            self._leave_out(plugin, why)
        else:
            _LOG.warning("%s is not asked again: %s", name, why)

    def _warn_of_strangers(self, settings: Settings) -> None:
        known = installed.names()
        for key, listed in (("plugins.only", settings.plugins.only), ("plugins.block", settings.plugins.block)):
            for name in listed or ():
                if name not in known:
                    there = ", ".join(sorted(known)) or "none"
                    source = settings.setting(key).source
                    _LOG.warning("%s names %r (%s), which is not installed; installed: %s", key, name, source, there)


def _check_settings(answer: list[object]) -> None:
    if len(answer) != 1 or not isinstance(answer[0], type):
        raise TypeError(f"ckpt_settings must return a list of one class, not {answer!r}")


def _said(error: BaseException) -> str:
    """The error in one line; pluggy's messages have several."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _new_manager() -> PluginManager:
    from pluggy import HookspecMarker, PluginManager

    manager = PluginManager(installed.GROUP)
    mark = HookspecMarker(installed.GROUP)
    for name, hook in vars(HookSpecs).items():
        if name.startswith("ckpt_"):
            mark(hook)
    manager.add_hookspecs(HookSpecs)
    return manager
