"""What the settings are now: `ckpt.toml`, `~/.ckpt/config.toml` and `CKPT__…`, each value with where it came from.

Read anew whenever they are asked for, and never changed by code: what a program wants otherwise it gives as an
argument, `flow.run(checkpointing=True)`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_type_hints

from ckpt import installed
from ckpt.errors import ConfigError
from ckpt.options import convert
from ckpt.settings import SECTIONS, FlowSettings, Leaf, PluginSettings, Setting, Settings
from ckpt.suggestions import did_you_mean, nearest

__all__ = ["FlowSettings", "PluginSettings", "Setting", "Settings", "load"]

_PREFIX = "CKPT__"
_FILE = "ckpt.toml"
_HOME_FILE = ".ckpt/config.toml"
_FREE = "storage"
"""The section whose tables belong to the handlers; `Storage.options_for` checks them."""


def load(cwd: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings that hold now.

    `cwd` stands for the working folder and `env` for the environment, its `HOME` included.

    Raises: `ConfigError` for what cannot be read, an unknown name, or a value of the wrong type.
    """
    env = os.environ if env is None else env
    home = env.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  a Path costs more than the rest of this
    found: dict[Leaf, tuple[object, str]] = {}
    sections: dict[str, str] = {}
    for file in (f"{home}/{_HOME_FILE}", _FILE if cwd is None else f"{os.fspath(cwd)}/{_FILE}"):
        for leaf, value, source in _from_file(file):
            sections[leaf[0]] = source
            if value != {}:
                found[leaf] = (value, source)
    for leaf, value, source in _from_environment(env):
        sections[leaf[0]] = source
        found[leaf] = (value, source)
    if not sections:
        return Settings()
    return _settled(_owned(found, sections))


def _from_file(file: str) -> Iterator[tuple[Leaf, object, str]]:
    try:
        with open(file, "rb") as stream:  # noqa: PTH123  as above
            data = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}: correct its permissions or remove it") from error
    import tomllib

    file = os.path.abspath(file)  # noqa: PTH100  as above
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file} is not UTF-8 text (at line {line}): save it as UTF-8") from error
    yield from ((leaf, value, file) for leaf, value in _leaves(document, ()))


def _leaves(table: Mapping[str, Any], path: Leaf) -> Iterator[tuple[Leaf, object]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[Leaf, str, str]]:
    seen: dict[Leaf, str] = {}
    for name in env:
        if not name.startswith(_PREFIX):
            continue
        leaf = tuple(name[len(_PREFIX) :].lower().split("__"))
        if not all(leaf) or len(leaf) < 2:
            raise ConfigError(
                f"environment variable {name} names no setting: write CKPT__SECTION__KEY, as in CKPT__FLOWS__STORAGE"
            )
        if (other := seen.setdefault(leaf, name)) != name:
            raise ConfigError(f"environment variables {other} and {name} are the same setting: unset one")
        yield leaf, env[name], f"environment variable {name}"


def _owned(found: Mapping[Leaf, tuple[object, str]], sections: Mapping[str, str]) -> dict[Leaf, tuple[object, str]]:
    """The leaves under the names of their owners, once every section has one and no value stands for a table."""
    owners = {section: section for section in (*SECTIONS, _FREE)}
    for section, source in sections.items():
        if section not in owners:
            owners[section] = _plugin_section(section, source)
    owned = {(owners[leaf[0]], *leaf[1:]): given for leaf, given in found.items()}
    for leaf, (_, source) in owned.items():
        for depth in range(1, len(leaf)):
            if (shorter := owned.get(leaf[:depth])) is not None:
                raise ConfigError(
                    f"{'.'.join(leaf[:depth])} is a value in {shorter[1]} and a table in {source}: keep one of them"
                )
    return owned


def _plugin_section(section: str, source: str) -> str:
    """The entry-point name that owns a section; variables cannot spell `my-plugin`, so `my_plugin` means it too."""
    for attempt in range(2):
        names = installed.names()
        if section in names:
            return section
        spelled = {name.lower().replace("-", "_"): name for name in names}
        if section in spelled:
            return spelled[section]
        if not attempt:
            installed.forget()  # installed since this process looked
    guess = nearest(section, {*SECTIONS, _FREE, *installed.names()})
    pip = installed.pip_line(installed.distribution_for(section))
    raise ConfigError(
        f"unknown section [{section}] in {source}: "
        + (f"did you mean [{guess}]? " if guess else "")
        + f"It is neither the core's nor an installed plugin's; if it belongs to a plugin: {pip}"
    )


def _settled(found: Mapping[Leaf, tuple[object, str]]) -> Settings:
    given: dict[Leaf, Setting] = {}
    core: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for leaf, (value, source) in found.items():
        name = ".".join(leaf)
        if leaf[0] in SECTIONS:
            given[leaf] = _core_setting(leaf, value, source)
            core[leaf[0]][leaf[1]] = given[leaf].value
        elif len(leaf) == 1 or (leaf[0] == _FREE and len(leaf) == 2):
            raise ConfigError(f"{name} in {source} must be a table with options: write [{name}] and name = value below")
        else:
            given[leaf] = Setting(name, value, source)
    return Settings(FlowSettings(**core["flows"]), PluginSettings(**core["plugins"]), MappingProxyType(given))


def _core_setting(leaf: Leaf, value: object, source: str) -> Setting:
    section, name = leaf[0], ".".join(leaf)
    fields = {each.name: each for each in dataclasses.fields(SECTIONS[section])}
    if len(leaf) == 1:
        raise ConfigError(f"{name} in {source} must be a table: write [{name}] and one of {', '.join(fields)} below")
    if leaf[1] not in fields:
        known = [f"{section}.{each}" for each in fields]
        raise ConfigError(f"unknown setting {name} in {source}: {did_you_mean(name, known)}")
    if len(leaf) > 2:
        raise ConfigError(f"{section}.{leaf[1]} is one value, not a table: correct {name} in {source}")
    least = fields[leaf[1]].metadata["least"]
    number = convert(value, _types(section)[leaf[1]], name=name, source=source)
    if least is not None and not least <= number < float("inf"):
        raise ConfigError(f"{name} must be at least {least}, not {value!r}: correct it in {source}")
    return Setting(name, number, source, fields[leaf[1]].metadata["doc"])


@lru_cache
def _types(section: str) -> Mapping[str, Any]:
    return get_type_hints(SECTIONS[section])
