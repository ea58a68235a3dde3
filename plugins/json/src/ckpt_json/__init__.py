"""Small values of a ckpt flow as JSON text: `JSONResultHandler`, and `serializer="json"` for files and objects."""

from __future__ import annotations

from ckpt import ResultHandler, Serializer, hookimpl
from ckpt_json.codec import decode, encode
from ckpt_json.handler import JSONResultHandler
from ckpt_json.serializer import JSONSerializer

__all__ = ["JSONResultHandler", "JSONSerializer", "decode", "encode"]


@hookimpl
def ckpt_result_handlers() -> list[type[ResultHandler]]:
    """The handlers of this distribution."""
    return [JSONResultHandler]


@hookimpl
def ckpt_serializers() -> list[type[Serializer]]:
    """The serializers of this distribution."""
    return [JSONSerializer]
