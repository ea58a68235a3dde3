"""The settings and their table: each key of the core with its type, default and documentation."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ckpt.credentials import shown
from ckpt.errors import ConfigError
from ckpt.suggestions import did_you_mean

__all__ = ["SECTIONS", "FlowSettings", "Leaf", "PluginSettings", "Setting", "Settings"]

Leaf = tuple[str, ...]
"""The path of one value: `("storage", "s3", "region_name")`."""


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _key(default: object, doc: str, *, least: float | None = None) -> Any:
    """One key of the core: a dataclass field, with the line that documents it and the least number it takes."""
    metadata = {"doc": doc, "least": least}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """`[flows]`: this table is the one place that gives each key its type, default and documentation."""

    checkpointing: bool | Literal["auto"] = _key(
        "auto", "Whether values are kept; auto: where the storage of the run has a handler."
    )
    storage: str | None = _key(None, "Where values are kept: a storage type or a URL.")
    result_handler: str | None = _key(
        None, "The handler of every flow that names none: a storage type, a URL, or module:object."
    )
    executor: str = _key("local", "Where tasks run: local, threads, processes, or a name that a plugin brings.")
    workers: int = _key(_cpus, "How many tasks run at once on threads and processes; default: the processors.", least=1)
    on_write_error: Literal["fail", "warn"] = _key(
        "fail", "What a value that cannot be kept does to its task: fail it, or warn."
    )
    write_retries: int = _key(3, "How often a write that found the storage unavailable is tried again.", least=0)
    write_retry_delay: float = _key(
        0.2, "Seconds before the first of these tries; doubles each time, with jitter.", least=0
    )
    drain_seconds: float = _key(30.0, "Seconds that Ctrl-C waits for writes in flight.", least=0)


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """`[plugins]`: which of the installed plugins are loaded, by entry-point name."""

    only: tuple[str, ...] | None = _key(None, "Load these plugins and no others.")
    block: tuple[str, ...] | None = _key(None, "Never load these plugins.")


SECTIONS: Mapping[str, type[FlowSettings | PluginSettings]] = {"flows": FlowSettings, "plugins": PluginSettings}


@dataclass(frozen=True, slots=True, repr=False)
class Setting:
    """One value and where it came from."""

    name: str
    """Dotted: `flows.storage`."""
    value: Any
    source: str
    """`environment variable CKPT__FLOWS__STORAGE`, the path of a file, or `default`."""
    doc: str = ""

    @property
    def shown(self) -> object:
        """The value as it may be printed: credentials hidden."""
        return shown(self.name, self.value)

    def __repr__(self) -> str:
        return f"Setting({self.name!r}, {self.shown!r}, source={self.source!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What `load` found; `Settings()` is the defaults."""

    flows: FlowSettings = field(default_factory=FlowSettings)
    plugins: PluginSettings = field(default_factory=PluginSettings)
    given: Mapping[Leaf, Setting] = field(default_factory=dict)
    """Every value that was set, by its path: `("storage", "s3", "region_name")`."""

    def setting(self, name: str) -> Setting:
        """One value with its source, by dotted name.

        Raises: `ConfigError` naming the nearest.
        """
        everything = {each.name: each for each in self.all()}
        if name not in everything:
            raise ConfigError(f"there is no setting {name!r}: {did_you_mean(name, everything)}")
        return everything[name]

    def all(self) -> list[Setting]:
        """Every key of the core, and whatever else was set, by name."""
        found = dict(self.given)
        for section, cls in SECTIONS.items():
            for each in dataclasses.fields(cls):
                value = getattr(getattr(self, section), each.name)
                default = Setting(f"{section}.{each.name}", value, "default", each.metadata["doc"])
                found.setdefault((section, each.name), default)
        return sorted(found.values(), key=lambda setting: setting.name)

    def section(self, *path: str) -> Mapping[str, Any]:
        """What was set in a section (`section("ledger")`) or below (`section("storage", "s3")`); empty if nothing."""
        tree: dict[str, Any] = {}
        for leaf, setting in self.given.items():
            if leaf[: len(path)] == path:
                table = tree
                for name in leaf[len(path) : -1]:
                    table = table.setdefault(name, {})
                table[leaf[-1]] = setting.value
        return tree

    def sources(self, *path: str) -> Mapping[str, str]:
        """For each name of `section(*path)`, where it was set."""
        return {
            leaf[len(path)]: setting.source
            for leaf, setting in self.given.items()
            if len(leaf) > len(path) and leaf[: len(path)] == path
        }

    def __repr__(self) -> str:
        given = ", ".join(f"{setting.name}={setting.shown!r}" for setting in self.given.values())
        return f"Settings({given})"
