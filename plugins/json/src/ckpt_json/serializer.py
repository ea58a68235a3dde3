"""The same JSON text as bytes, for handlers that hold files or objects: `LocalResultHandler(serializer="json")`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, ClassVar

from ckpt import Serializer
from ckpt.errors import CorruptRecord
from ckpt_json.codec import Codec

__all__ = ["JSONSerializer"]


class JSONSerializer(Serializer):
    """Bare JSON in UTF-8 that other tools open, of any size; `ckpt_json.codec` says how it is written."""

    name: ClassVar[str] = "json"
    suffix: ClassVar[str] = ".json"

    def __init__(self, *, types: Sequence[type] = ()) -> None:
        self._codec = Codec(types)

    def dump(self, value: object, out: BinaryIO) -> None:
        out.write(self._codec.encode(value).encode())

    def load(self, source: BinaryIO) -> object:
        data = source.read()
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise CorruptRecord(f"not the JSON text that was written: {error}; compute the value again") from error
        return self._codec.decode(text)
