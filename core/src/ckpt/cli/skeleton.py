"""The package of a new plugin, made from the templates that come with ckpt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from ckpt import __version__, installed, plugins
from ckpt.errors import AccessDenied, CkptError, ConfigError, PluginNotFound, StoreUnavailable
from ckpt.settings import SECTIONS

__all__ = ["Kind", "Skeleton", "check_is_free", "skeleton"]

Kind = Literal["objects", "two_methods"]

_SUFFIX = ".template"
"""Keeps tools from taking a template for the Python or TOML that comes of it."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 24
"""Longer names would break the lines of the templates in other places."""

_TAKEN = {
    "core": "ckpt-core is ckpt itself",
    "docker": "docker is known as a storage that keeps no values",
    "object": "its classes would hide those of ckpt",
    "storage": "the setting [storage] belongs to all handlers",
    **dict.fromkeys(SECTIONS, "the settings of that name are ckpt's own"),
}

_COMMON = {
    ".gitignore": "gitignore",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "tests/test_flow.py": "test_flow.py",
}

_OF_KIND: dict[Kind, dict[str, str]] = {
    "objects": {
        "src/{package}/__init__.py": "package_objects.py",
        "src/{package}/handler.py": "handler_objects.py",
        "src/{package}/store.py": "store_objects.py",
        "tests/test_conformance.py": "test_conformance_objects.py",
    },
    "two_methods": {
        "src/{package}/__init__.py": "package_two_methods.py",
        "src/{package}/handler.py": "handler_two_methods.py",
        "tests/test_conformance.py": "test_conformance_two_methods.py",
    },
}

_REPLACE: dict[Kind, str] = {
    "objects": (
        "`src/{package}/store.py` keeps bytes at keys, and `src/{package}/handler.py` says how that is configured."
    ),
    "two_methods": (
        "`write` and `read` in `src/{package}/handler.py` keep a value and give it back, the rest says how that is\n"
        "configured. Streaming, digests and verification come with `ckpt new-plugin` without `--two-methods`."
    ),
}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The text of every file of a new package."""

    name: str
    """The storage type, the scheme of its URLs and the name of the entry point: `company-store`."""
    package: str
    """`ckpt_company_store`."""
    distribution: str
    """`ckpt-company-store`."""
    files: dict[str, str]
    """By path in the package's folder, with slashes."""

    def write(self, folder: Path) -> None:
        """Make the folder, which must not be there yet, and the files in it.

        Raises: `ConfigError` if there is something; `AccessDenied`, `StoreUnavailable`.
        """
        try:
            folder.mkdir(parents=True)
            for path, text in self.files.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        except FileExistsError as error:
            raise ConfigError(
                f"{folder} is there already, and nothing is overwritten: name another folder with --folder"
            ) from error
        except NotADirectoryError as error:
            raise ConfigError(f"{folder}: part of it is a file: name another folder with --folder") from error
        except PermissionError as error:
            raise AccessDenied(f"{folder}: {error.strerror}: name a folder of yours with --folder") from error
        except OSError as error:
            raise StoreUnavailable(f"{folder}: {error.strerror}: name another folder with --folder") from error


def skeleton(name: str, kind: Kind) -> Skeleton:
    """The package of a plugin that serves the storage type `name`.

    Raises: `ConfigError` for a name that can be none.
    """
    _check_name(name)
    package = f"ckpt_{name.replace('-', '_')}"
    stem = "".join(part.capitalize() for part in name.split("-"))
    handler, store = f"{stem}ResultHandler", stem if stem.endswith("Store") else f"{stem}Store"
    given = {
        "name": name,
        "package": package,
        "distribution": f"ckpt-{name}",
        "handler": handler,
        "store": store,
        "both": ", ".join(sorted((handler, store))),
        "both_quoted": ", ".join(f'"{each}"' for each in sorted((handler, store))),
        "version": __version__,
        "replace": _REPLACE[kind].format(package=package),
    }
    templates = files("ckpt") / "templates" / "plugin"
    made = {
        path.format(package=package): Template(
            (templates / f"{template}{_SUFFIX}").read_text(encoding="utf-8")
        ).substitute(given)
        for path, template in {**_COMMON, **_OF_KIND[kind]}.items()
    }
    made[f"src/{package}/py.typed"] = ""
    return Skeleton(name, package, given["distribution"], dict(sorted(made.items())))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).removeprefix("ckpt-").lstrip("-0123456789").rstrip("-")
        guess = f"did you mean {plain!r}? " if _NAME.fullmatch(plain) else ""
        raise ConfigError(
            f"{name!r} cannot name a storage: {guess}Use small letters, digits and single hyphens, a letter first"
        )
    if name.startswith("ckpt-"):
        raise ConfigError(f"{name!r} would become ckpt-{name}: leave out ckpt-, as in {name.removeprefix('ckpt-')!r}")
    if len(name) > _LONGEST:
        raise ConfigError(f"{name!r} is too long to be typed in settings and URLs: use {_LONGEST} characters at most")
    if (why := _TAKEN.get(name)) is not None:
        raise ConfigError(f"the name {name!r} is taken, {why}: choose another one")


def check_is_free(name: str) -> None:
    """Refuse a storage type that something serves already, or is going to.

    Raises: `ConfigError`.
    """
    distribution = installed.distribution_for(name)
    try:
        served = plugins.handler_class(name)
    except PluginNotFound:
        served = None
    except CkptError as error:
        raise ConfigError(f"the storage type {name!r} is taken: {error}") from error
    if served is not None:
        raise ConfigError(
            f"{name!r} is served by {served.__module__}.{served.__name__}, which is installed, and two plugins that "
            "serve one storage are refused: choose another name, or uninstall it"
        )
    for plugin in installed.plugins():
        if plugin.name == name:
            raise ConfigError(f"the plugin {plugin.name!r} of {plugin} is installed: choose another name")
    if name in installed.PACKAGES:
        raise ConfigError(f"{name!r} is the name of ckpt's own {distribution}: choose another one")
