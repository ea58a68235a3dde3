"""Which plugins are installed, from the metadata of their distributions alone: nothing of them is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib_metadata import Distribution

__all__ = ["GROUP", "PACKAGES", "Installed", "clash", "distribution_for", "forget", "names", "pip_line", "plugins"]

GROUP = "ckpt"
"""The entry-point group of every plugin."""

PACKAGES = {
    "az": "ckpt-azure",
    "azure": "ckpt-azure",
    "dask": "ckpt-dask",
    "file": "ckpt-local",
    "gcs": "ckpt-gcs",
    "gs": "ckpt-gcs",
    "json": "ckpt-json",
    "ledger": "ckpt-ledger",
    "local": "ckpt-local",
    "ray": "ckpt-ray",
    "s3": "ckpt-s3",
}
"""Names that a setting, a URL or a record may ask for, and the distribution that serves them."""

_UNKNOWN = "(unknown)"


@dataclass(frozen=True, slots=True, order=True)
class Installed:
    """One entry point of the group."""

    name: str
    value: str
    """What it loads: `"ckpt_local"`, or `"package.module:object"`."""
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    def load(self) -> object:
        """Import the plugin; whatever that raises is the plugin's."""
        from importlib_metadata import EntryPoint

        plugin: object = EntryPoint(self.name, self.value, GROUP).load()
        return plugin

    def is_findable(self) -> bool:
        """Is its package there to be imported? Looks, and imports nothing."""
        top = re.split(r"[.:\s\[]", self.value.strip(), maxsplit=1)[0]
        try:
            return find_spec(top) is not None
        except (ImportError, ValueError):
            return False


@lru_cache(maxsize=1)
def plugins() -> tuple[Installed, ...]:
    """Every entry point of the group, by name; read once per process, see `forget`."""
    from importlib_metadata import entry_points

    found = []
    for each in entry_points(group=GROUP):
        try:
            distribution, version = _identity(each.dist)
        except Exception:  # noqa: BLE001  metadata that cannot be parsed must not hide the plugin
            distribution, version = _UNKNOWN, ""
        found.append(Installed(each.name, each.value, distribution, version))
    return tuple(sorted(found))


def _identity(distribution: Distribution | None) -> tuple[str, str]:
    """Name and version, without the parser of mail, which takes a third of the time that finding the plugins does."""
    if distribution is None:
        return _UNKNOWN, ""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = dict(line.split(": ", 1) for line in text.partition("\n\n")[0].splitlines() if ": " in line)
    return fields["Name"].strip(), fields["Version"].strip()


def names() -> set[str]:
    """The entry-point names."""
    return {plugin.name for plugin in plugins()}


def forget() -> None:
    """Read the metadata anew when they are asked for next."""
    plugins.cache_clear()


def distribution_for(name: str) -> str:
    """The distribution to install for a storage type, scheme, serializer, executor or section."""
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return PACKAGES.get(name, f"ckpt-{name}")


def pip_line(distribution: str) -> str:
    """What to type to get it."""
    return f"pip install {distribution}"


def clash() -> str | None:
    """What to say if the unrelated distribution `ckpt` is installed, which brings a package and script of that name."""
    from importlib_metadata import PackageNotFoundError, version

    try:
        found = version("ckpt")
    except PackageNotFoundError:
        return None
    return (
        f"the unrelated distribution ckpt {found} is installed; it has the same package and command name as ckpt-core, "
        "so each overwrites files of the other: pip uninstall ckpt, then pip install --force-reinstall ckpt-core"
    )
