r"""The bytes of one object: the only module that knows their layout.

    offset             bytes   what
    0                  13      prefix: 80 05 8C 08 'CKPT\r\n\x1a\n' 30, a legal start of a pickle that does nothing
    13                 n       payload: a whole pickle of protocol 5, in band; ends with its STOP
    h = 13 + n         m       header: JSON object in ASCII, at most 65536 bytes
    h + m              8       trailer: h, unsigned, big-endian like the numbers that follow
    h + m + 8          4       m, unsigned
    h + m + 12         2       version of the layout: 1
    h + m + 14         2       algorithm of the digests: 1 is SHA-256
    h + m + 16         32      record digest: of every byte before it
    h + m + 48         8       zeros
    h + m + 56         8       end mark: 'CKPTEND\n'

`pickle.load` reads such a file without ckpt, since an unpickler stops at STOP. The header holds `serializer`;
`python`, `cloudpickle` and `ckpt`, the versions that wrote it; `ledger`, `run`, `call`, `identity`, `attempt` and
`created` (see `ckpt.handlers.Meta`); `content`, the content digest in hex: of prefix and payload; and `buffers`,
a list of `[offset, length, readonly]`: the places of buffers of at least 64 KiB that the pickler was given as a
`PickleBuffer`, the largest of them where not all fit. Each starts at a multiple of 64 and right behind the
opcode that loads it, so that a reader may hand it to the unpickler out of band.

`ckpt.encoding` writes records and `ckpt.decoding` reads them.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from time import gmtime, strftime, time_ns
from typing import Final

from ckpt.errors import ConfigError, CorruptRecord
from ckpt.handlers import JSON, Meta
from ckpt.stores import Buffer

__all__ = ["LARGE", "PREFIX", "Buffered", "Verified", "corrupt", "is_record", "seal", "verify", "versions"]

PREFIX: Final = b"\x80\x05\x8c\x08CKPT\r\n\x1a\n0"
END: Final = b"CKPTEND\n"
VERSION: Final = 1
SHA256: Final = 1
MAX_HEADER: Final = 1 << 16
LARGE: Final = 1 << 20
"""From this size on a record is streamed instead of being held in memory twice."""

_PLACE: Final = struct.Struct(">QIHH")
_TAIL: Final = bytes(8) + END
_DIGEST: Final = 32
TRAILER: Final = _PLACE.size + _DIGEST + len(_TAIL)
SMALLEST: Final = len(PREFIX) + TRAILER
MAX_TAIL: Final = MAX_HEADER + TRAILER
"""Header and trailer take no more than this."""

Buffered = tuple[int, int, bool]
"""Offset in the record, length in bytes, and whether the buffer was read-only."""

_FACTS: Final[dict[str, tuple[type, ...]]] = {
    "serializer": (str,),
    "python": (str,),
    "cloudpickle": (str,),
    "ckpt": (str,),
    "ledger": (str, type(None)),
    "run": (str, type(None)),
    "call": (str, type(None)),
    "identity": (str, type(None)),
    "attempt": (int,),
    "created": (str,),
    "content": (str,),
    "buffers": (list,),
}


@dataclass(frozen=True, slots=True)
class Verified:
    """What stands at the end of a record whose every byte has been checked."""

    header: dict[str, JSON]
    """The facts listed at the top of `ckpt.records`, each there and of its type; a later ckpt may have added more."""
    offset: int
    """Where the header begins and the payload ends."""
    buffers: tuple[Buffered, ...]
    """In the order of their places, none overlapping another, all inside the payload."""


def is_record(data: Buffer) -> bool:
    """Does `data` begin like a record?"""
    return bytes(memoryview(data)[: len(PREFIX)]) == PREFIX


def seal(digest: hashlib._Hash, size: int, serializer: str, meta: Meta, buffers: list[Buffered]) -> tuple[str, bytes]:
    """Return the content digest in hex, and the header and trailer for a body of `size` bytes hashed in `digest`.

    The body is prefix and payload; `digest` must not be used afterwards.

    Raises: `ConfigError` for a meta that fits in no header.
    """
    content = digest.hexdigest()
    header = _header(serializer, meta, content, buffers)
    tail = header + _PLACE.pack(size, len(header), VERSION, SHA256)
    digest.update(tail)
    return content, b"".join((tail, digest.digest(), _TAIL))


def verify(start: Buffer, tail: memoryview, size: int, digest: hashlib._Hash, *, key: str) -> Verified:
    """Check a whole record: `start` is its beginning, `tail` its end, `digest` has hashed all before `tail`.

    `tail` is at least `MAX_TAIL` long, or the whole record where that is shorter; `digest` must not be used
    afterwards. Nothing but the fixed part of the trailer is looked at before the record digest is right.

    Raises: `CorruptRecord`.
    """
    if size < SMALLEST:
        raise corrupt(key, f"it has {size} bytes, and no record has less than {SMALLEST}")
    if not is_record(start):
        raise corrupt(key, "it does not begin like a record of ckpt")
    ending = bytes(tail[-len(_TAIL) :])
    if not ending.endswith(END):
        raise corrupt(key, "its end is missing")
    if ending != _TAIL:
        raise corrupt(key, "its reserved bytes are not zero")
    offset, length, version, algorithm = _PLACE.unpack(tail[-TRAILER : -TRAILER + _PLACE.size])
    if version != VERSION or algorithm != SHA256:
        raise corrupt(
            key,
            f"it says layout {version} with digest {algorithm}, and this ckpt knows layout {VERSION} "
            f"with digest {SHA256}: where a newer ckpt wrote it, pip install -U ckpt-core",
        )
    # A wrong offset must not keep the digest from being checked first.
    split = min(max(offset - (size - len(tail)), 0), len(tail) - TRAILER)
    digest.update(tail[:split])
    content = digest.hexdigest()
    digest.update(tail[split : -_DIGEST - len(_TAIL)])
    if digest.digest() != tail[-_DIGEST - len(_TAIL) : -len(_TAIL)]:
        raise corrupt(key, "its digest is not that of its bytes")
    if offset < len(PREFIX) or length > MAX_HEADER or offset + length != size - TRAILER:
        raise corrupt(key, f"it says that its header is the {length} bytes at {offset}, which cannot be")
    header = _parsed(tail[split:-TRAILER], key)
    if header["content"] != content:
        raise corrupt(key, "its content digest is not that of its content")
    return Verified(header, offset, _checked_places(header["buffers"], offset, key))


def corrupt(key: str, reason: str) -> CorruptRecord:
    """The error for a record that must not be unpickled."""
    return CorruptRecord(
        f"{key}: not the bytes that were written: {reason}. Nothing of it was unpickled; "
        "bring the object back from a copy, or delete it and compute the value again"
    )


def versions() -> dict[str, str]:
    """The versions that matter to a pickle, of this process."""
    import platform

    import cloudpickle

    from ckpt.version import __version__

    return {"python": platform.python_version(), "cloudpickle": cloudpickle.__version__, "ckpt": __version__}


def _header(serializer: str, meta: Meta, content: str, buffers: list[Buffered]) -> bytes:
    call = "null" if meta.call is None else quoted(meta.call)
    identity = "null" if meta.identity is None else quoted(meta.identity)
    created = quoted(meta.created or _now())
    start = (
        f'{_opening(serializer, meta.ledger, meta.run)}, "call": {call}, "identity": {identity}, '
        f'"attempt": {meta.attempt}, "created": {created}, "content": "{content}", "buffers": ['
    )
    places = _listed(buffers, MAX_HEADER - len(start) - 2) if buffers else ""
    header = f"{start}{places}]}}".encode("ascii")
    if len(header) > MAX_HEADER:
        raise ConfigError(
            f"run, call, identity and ledger take {len(header)} bytes, more than the {MAX_HEADER} "
            "that the header of a record has: shorten the names"
        )
    return header


@lru_cache(maxsize=64)
def _opening(serializer: str, ledger: str | None, run: str | None) -> str:
    """The part of the header that all values of a run share."""
    return json.dumps({"serializer": serializer, **versions(), "ledger": ledger, "run": run})[:-1]


def _now() -> str:
    seconds, nanoseconds = divmod(time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds))


def _listed(buffers: list[Buffered], room: int) -> str:
    """List the largest buffers, as many as fit into `room` characters, in the order of their places."""
    kept: list[tuple[int, str]] = []
    for offset, length, readonly in sorted(buffers, key=lambda buffer: -buffer[1]):
        text = f"[{offset},{length},{'true' if readonly else 'false'}]"
        room -= len(text) + 1
        if room < 0:
            break
        kept.append((offset, text))
    return ",".join(text for _, text in sorted(kept))


def _parsed(data: memoryview, key: str) -> dict[str, JSON]:
    try:
        header = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise corrupt(key, f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise corrupt(key, "its header is not an object")
    if wrong := [name for name, types in _FACTS.items() if not isinstance(header.get(name, ...), types)]:
        raise corrupt(key, f"its header has no right {', '.join(wrong)}")
    return header


def _checked_places(places: JSON, end: int, key: str) -> tuple[Buffered, ...]:
    buffers: list[Buffered] = []
    least = len(PREFIX)
    for place in places if isinstance(places, list) else ():
        match place:
            case [int(offset), int(length), bool(readonly)] if least <= offset and 0 <= length <= end - offset:
                least = offset + length
                buffers.append((offset, length, readonly))
            case _:
                raise corrupt(key, f"its header lists the impossible buffer {place}")
    return tuple(buffers)
