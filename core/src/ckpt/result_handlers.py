"""Every installed result handler by its class name: `from ckpt.result_handlers import JSONResultHandler`.

Type checkers see `Any` here; typed code imports from the plugin, `from ckpt_json import JSONResultHandler`.
"""

from __future__ import annotations

from typing import Any

from ckpt import installed, plugins
from ckpt.errors import PluginNotFound
from ckpt.suggestions import did_you_mean

_KNOWN = {
    "AzureResultHandler": "azure",
    "GCSResultHandler": "gcs",
    "JSONResultHandler": "json",
    "LocalResultHandler": "local",
    "S3ResultHandler": "s3",
}


class MissingHandler(PluginNotFound, ImportError):
    """No installed plugin brings a handler class of that name.

    An `ImportError`, not an `AttributeError`: of the latter, `from … import …` would drop the message.
    """


def __getattr__(name: str) -> Any:
    # Whatever looks at a module (hasattr, doctest, pickle, inspect) asks for names like these.
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if (cls := plugins.class_named(name)) is not None:
        return cls
    if name in _KNOWN:
        try:
            other = plugins.handler_class(_KNOWN[name])
        except PluginNotFound as error:
            raise MissingHandler(f"{name} is not there: {error}") from None
        raise MissingHandler(f"{name} is not there, {other.__name__} is: {installed.pip_line(f'ckpt-{_KNOWN[name]}')}")
    there = {cls.__name__ for cls in plugins.handler_classes().values()}
    raise MissingHandler(f"no installed plugin brings {name}: {did_you_mean(name, there | _KNOWN.keys())}")


def __dir__() -> list[str]:
    return sorted([*globals(), *(cls.__name__ for cls in plugins.handler_classes().values())])
