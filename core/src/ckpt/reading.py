"""`ckpt.read`: the one-line answer to "how do I read my result?"."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from ckpt.errors import ConfigError, NotFound
from ckpt.handlers import JSON, ResultHandler
from ckpt.results import Result, SafeResult
from ckpt.states import State
from ckpt.storage import Storage

__all__ = ["locate", "read"]

Readable = State | SafeResult | Result | Mapping[str, JSON] | str | os.PathLike[str]


def read(what: Readable) -> object:
    """Return the value behind `what`, verified.

    `what` is a `State`, a `SafeResult` (or the dict or JSON text that it makes), a key in the configured storage, the
    path of a file that `LocalResultHandler` wrote, or a URL (`s3://bucket/key`).

    Raises: `NotFound`, `AccessDenied`, `CorruptRecord`, `PluginNotFound` with the pip line; `ConfigError` for a key
    when no storage is configured.
    """
    if isinstance(what, State):
        return what.result
    if isinstance(what, Result):
        return what.value
    return locate(what).read()


def locate(what: Readable) -> SafeResult:
    """The safe result that `what` names: which handler, and where. Reads nothing but settings.

    Raises: as `read`.
    """
    if isinstance(what, SafeResult):
        return what
    if isinstance(what, State):
        what = what.kept
    if isinstance(what, Result):
        if isinstance(what.safe_value, SafeResult):
            return what.safe_value
        raise ConfigError(f"{what!r} is not kept anywhere: its value is in this process only")
    if isinstance(what, Mapping):
        return SafeResult.from_dict(what)
    text = os.fspath(what)
    if text.startswith("{"):
        try:
            return SafeResult.from_dict(cast("dict[str, JSON]", json.loads(text)))
        except ValueError as error:
            raise ConfigError(f"not a safe result in JSON: {text[:60]!r}: {error}") from error
    if "://" in text:
        return _at_url(text)
    if isinstance(what, os.PathLike) or Path(text).expanduser().exists():
        return _at_path(text)
    return SafeResult(text, _configured(text))


def _at_url(text: str) -> SafeResult:
    """The URL of one object: the last part of the path is in the key, the host is the place."""
    storage = Storage.parse(text)
    if storage.type == "file":
        return _at_path(storage.path)
    from ckpt import config, plugins

    settings = config.load()
    key = storage.prefix
    if not key:
        raise ConfigError(f"{text} names a storage, not an object in it: add the key")
    handler = plugins.match(Storage(storage.type, storage.netloc, "", storage.options), settings)
    if handler is None:
        raise ConfigError(f"{text}: {storage.type} storage holds no values")
    return SafeResult(key, handler)


def _at_path(text: str) -> SafeResult:
    from ckpt import plugins  # loaded when a handler is looked up

    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    return SafeResult(path.name, plugins.handler_class("local").from_spec({"type": "local", "dir": str(path.parent)}))


def _configured(key: str) -> ResultHandler:
    from ckpt import config, plugins

    settings = config.load()
    text = settings.flows.storage
    handler = None if text is None else plugins.match(Storage.parse(text), settings)
    if handler is None:
        raise ConfigError(
            f"{key!r} is no file here, and no storage is configured in which it could be a key: "
            "set flows.storage, or give a URL such as file:///data/results/KEY"
        )
    return handler
