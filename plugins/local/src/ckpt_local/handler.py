"""The handler that keeps each value as a file."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, cast, get_args

from ckpt import JSON, ObjectResultHandler
from ckpt.errors import ConfigError
from ckpt.handlers import DEFAULT_TEMPLATE
from ckpt.options import checked
from ckpt_local.store import Durability, LocalStore

if TYPE_CHECKING:
    from ckpt import Storage

__all__ = ["LocalResultHandler"]

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)


class LocalResultHandler(ObjectResultHandler):
    """Keeps each value as one file below the folder `dir`.

    `~` and `$VARIABLES` in `dir` are expanded in the process that reads or writes, and neither a pickle nor a
    spec has them expanded; a relative folder is made absolute when a run starts. With `durability="disk"` a
    value counts as kept once it would survive a power loss, with `"os"` once it would survive the end of the
    process, which is faster.

    Raises: `ConfigError` for an option that cannot be right.
    """

    __module__ = "ckpt_local"  # its public path, for `repr` and pickles
    storage_type: ClassVar[str] = "local"
    schemes: ClassVar[tuple[str, ...]] = ("file",)

    def __init__(
        self,
        dir: str | os.PathLike[str] = "~/.ckpt/results",  # noqa: A002  the name of the setting
        *,
        durability: Literal["disk", "os"] = "disk",
        prefix: str = "",
        template: str = DEFAULT_TEMPLATE,
        serializer: str = "pickle",
    ) -> None:
        super().__init__(prefix=prefix, template=template, serializer=serializer)
        folder: object = os.fspath(dir) if isinstance(dir, os.PathLike) else dir
        if not isinstance(folder, str) or not folder or "\0" in folder:
            raise ConfigError(f"dir={dir!r} is not a folder: give its path, as in LocalResultHandler(dir='results')")
        if durability not in get_args(Durability):
            raise ConfigError(
                f"durability={durability!r} is unknown: 'disk' survives a power loss, 'os' the end of the process"
            )
        self.dir = folder
        self.durability: Durability = durability

    def open_store(self) -> LocalStore:
        return LocalStore.shared(_expanded(self.dir), self.durability)

    def for_run(self) -> Self:
        """A handler whose folder no longer depends on this process, after proof that it can be written to.

        Raises: `AccessDenied`, `StoreUnavailable`, `ConfigError`.
        """
        run = copy.copy(self)
        run.dir = _placed(self.dir)
        run.open_store().check()
        return run

    @classmethod
    def from_storage(cls, storage: Storage) -> Self:
        options = storage.options_for(cls)
        if storage.netloc not in ("", "localhost"):
            raise ConfigError(
                f"storage {storage}: {storage.netloc!r} stands where a host would. For a folder from the root write "
                f"three slashes, file:///{storage.netloc}{storage.path}; for a relative one use "
                f"LocalResultHandler(dir={storage.netloc + storage.path!r})"
            )
        if storage.path or storage.type in cls.schemes:
            if not storage.prefix:
                raise ConfigError(f"storage {storage} names no folder: write it in full, as in file:///data/results")
            if "dir" in options and "dir" not in storage.sources:
                raise ConfigError(f"storage {storage} names two folders: leave out ?dir=")
            options["dir"] = f"/{storage.prefix}"
        return cls._from_options(options)

    def to_spec(self) -> dict[str, JSON]:
        spec = super().to_spec()
        spec["dir"] = _placed(self.dir)
        if self.durability != "disk":
            spec["durability"] = self.durability
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        given = {name: value for name, value in spec.items() if name != "type"}
        return cls._from_options(checked(cls, given, what="the spec of a local handler", stand="the safe value"))

    @classmethod
    def _from_options(cls, options: Mapping[str, object]) -> Self:
        return cls(**cast("dict[str, str]", options))  # type: ignore[arg-type]  # checked by the annotations above


def _placed(folder: str) -> str:
    """The folder as any process of any user may take it: absolute, or to be expanded where it is used."""
    return folder if folder.startswith(("~", "$")) else str(Path(folder).absolute())


def _expanded(folder: str) -> Path:
    """The folder here and now."""
    for match in _VARIABLE.finditer(folder):
        name = match[1] or match[2]
        if name not in os.environ:
            raise ConfigError(f"dir={folder!r} names the variable {name!r}, which is not set here: set it")
    try:
        path = Path(os.path.expandvars(folder)).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"dir={folder!r} cannot be expanded here: {error}. Give the folder in full") from error
    if folder.startswith("$") and not path.is_absolute():
        raise ConfigError(f"dir={folder!r} is {str(path)!r} here, which is relative: set the variable to a full path")
    return path.absolute()
