"""Bytes that are not those that were written: refused with CorruptRecord, and nothing of them unpickled."""

from __future__ import annotations

import datetime
import json
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from unittest import mock

import cloudpickle
from children import Ended, Report, forked
from rows import Row, Scope
from writes import META

from ckpt import SafeResult
from ckpt.errors import CkptError, CorruptRecord
from ckpt.records import LARGE, PREFIX, TRAILER, Verified
from ckpt_local import LocalResultHandler

__all__ = ["rows"]

_ROOM = 1 << 30
"""Bytes that a reader may allocate beyond what it has."""
_SECONDS = 20
"""That reading one damaged file may take."""
_KEY, _OTHER = "run/value", "run/other"

Damaged = Iterator[tuple[str, bytes]]
Damage = Callable[["_Files", random.Random], Damaged]


@dataclass(frozen=True, slots=True)
class _Files:
    """A record, another of the same size that holds another value, and the plain pickle of the first value."""

    record: bytes
    other: bytes
    plain: bytes
    value: object
    safe: SafeResult
    """Pins the first."""


def rows(scope: Scope) -> Iterator[Row]:
    handler = LocalResultHandler(scope.memory / "damage", durability="os")
    small, large = _files(handler, 6_000), _files(handler, LARGE + 100_000)
    for injected, damage, sizes in (
        ("a bit flipped", _flips, {"small": 9_000, "large": 1_000}),
        (
            "a block of 512 bytes or 4 KiB zeroed, doubled, exchanged, or of another record",
            _blocks,
            {"small": 1_000, "large": 1_000},
        ),
        ("cut short, or longer than it was", _lengths, {"small": 3_000, "large": 300}),
    ):
        found: list[str] = []
        fired = 0
        for size, most in sizes.items():
            files = small if size == "small" else large
            count = most // 20 if scope.quick else most
            ended = _read_damaged(handler, files, damage, scope.random(f"{injected} {size}"), count)
            fired += len(ended.said.splitlines())
            found += _found(ended, f"{injected}, {size}")
        trusting = _read_damaged(handler, small, damage, scope.random(f"{injected} trusted"), 300, trusting=True)
        unnoticed, wrong = _by_plain_pickle(small, damage, scope.random(f"{injected} plain"), 300)
        yield Row(
            injected=injected,
            fired=fired,
            least=scope.at_least(sum(sizes.values())),
            found=tuple(found),
            control=f"digests not checked; plain cloudpickle (of 300 unnoticed {unnoticed}, a wrong value {wrong})",
            planted=2,
            caught=bool(_found(trusting, "")) + bool(unnoticed),
        )
    yield _exchanged(scope, handler, {"small": small, "large": large})


def _files(handler: LocalResultHandler, size: int) -> _Files:
    chosen = random.Random(size)
    # What is looked up by name shows an audit hook that something is unpickled.
    value = {"day": datetime.date(2026, 11, 22), "bytes": chosen.randbytes(size), "numbers": list(range(300))}
    stored = handler.store(value, key=_KEY, meta=META)
    handler.store({**value, "bytes": chosen.randbytes(size)}, key=_OTHER, meta=META)
    safe = SafeResult.of(stored, handler)
    record, other = (bytes(handler.raw(key)) for key in (_KEY, _OTHER))
    return _Files(record, other, cloudpickle.dumps(value, 5), value, safe)


def _flips(files: _Files, chosen: random.Random) -> Damaged:
    while True:
        bit = chosen.randrange(len(files.record) * 8)
        damaged = bytearray(files.record)
        damaged[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(damaged)


def _blocks(files: _Files, chosen: random.Random) -> Damaged:
    record = files.record
    while True:
        size = chosen.choice((512, 4096)) if len(record) > 8192 else 512
        one, two = (chosen.randrange(-(-len(record) // size)) * size for _ in range(2))
        here, there = record[one : one + size], record[two : two + size]
        kind = chosen.choice(("zeroed", "doubled", "exchanged", "of another record"))
        if kind == "zeroed":
            damaged = record[:one] + bytes(len(here)) + record[one + size :]
        elif kind == "doubled":
            damaged = record[:two] + here + record[two + size :]
        elif kind == "of another record":
            damaged = record[:one] + files.other[one : one + size] + record[one + size :]
        elif one < two:
            damaged = record[:one] + there + record[one + size : two] + here + record[two + size :]
        else:
            continue
        if damaged != record:
            yield f"block of {size} at {one} {kind} ({two})", damaged


def _lengths(files: _Files, chosen: random.Random) -> Damaged:
    record, other = files.record, files.other
    yield "twice", record + record
    yield "another record behind it", record + other
    yield "its trailer twice", record + record[-TRAILER:]
    yield "nothing but prefix and trailer", PREFIX + record[-TRAILER:]
    yield "empty", b""
    while True:
        end = chosen.randrange(len(record))
        yield f"cut at {end}", record[:end]
        count = chosen.randrange(1, 5000)
        yield f"{count} zeros behind it", record + bytes(count)
        yield f"{count} bytes behind it", record + chosen.randbytes(count)
        yield f"cut at {end} and zeros to its length", record[:end] + bytes(len(record) - end)
        yield f"without its first {end} bytes", record[end + 1 :]


def _read_damaged(
    handler: LocalResultHandler,
    files: _Files,
    damage: Damage,
    chosen: random.Random,
    count: int,
    *,
    trusting: bool = False,
) -> Ended:
    """Damage the file `count` times and read it in every way; one report each, of what was not refused as promised."""

    def work(report: Report) -> None:
        looked_up: list[object] = []
        sys.addaudithook(lambda event, arguments: looked_up.append(arguments) if event == "pickle.find_class" else None)
        path = Path(handler.dir, _KEY)
        _limit()
        if trusting:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the unpickler itself complains there
        ways: dict[str, Callable[[], object]] = {
            "read": lambda: handler.read(_KEY),
            "fetch": lambda: handler.fetch(files.safe),
            "meta": lambda: handler.meta(_KEY),
        }
        for where, data in islice(damage(files, chosen), count):
            signal.alarm(_SECONDS)
            path.write_bytes(data)
            wrong = []
            for name, way in ways.items():
                looked_up.clear()
                answer = _answer(way)
                if answer or looked_up:
                    wrong.append(f"{where}: {name} {answer or 'unpickled'}")
            report(json.dumps(wrong).encode() + b"\n")

    if not trusting:
        return forked(work)
    with mock.patch("ckpt.decoding.verify", _trusting):
        return forked(work)


def _answer(way: Callable[[], object]) -> str:
    """What is wrong with how a damaged file was refused."""
    try:
        way()
    except CorruptRecord:
        return ""
    except CkptError as error:
        return f"says {type(error).__name__}: {error}"
    except BaseException as error:
        return f"raises a raw {type(error).__name__}: {error}"
    return "notices nothing"


def _found(ended: Ended, injected: str) -> list[str]:
    wrong = [f"{injected}: {text}" for line in ended.said.splitlines() for text in json.loads(line)]
    return wrong + [f"{injected}: the process ended with {ended.code}"] * bool(ended.code)


def _trusting(start: object, tail: memoryview, size: int, digest: object, *, key: str) -> Verified:
    """Believe what a trailer says: the planted bug."""
    offset, length = int.from_bytes(tail[-64:-56]), int.from_bytes(tail[-56:-52])
    header = json.loads(bytes(tail[-TRAILER - length : -TRAILER]))
    return Verified(header, offset, ())


def _by_plain_pickle(files: _Files, damage: Damage, chosen: random.Random, count: int) -> tuple[int, int]:
    """How often plain cloudpickle makes a value of the damaged bytes, and how often another than was written."""
    plain = replace(files, record=files.plain, other=files.plain[::-1])

    def work(report: Report) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the unpickler itself complains there
        _limit()
        for _, data in islice(damage(plain, chosen), count):
            signal.alarm(_SECONDS)
            try:
                value = cloudpickle.loads(data)
            except BaseException:
                continue
            report(b"." if value == files.value else b"x")

    said = forked(work).said
    return len(said), said.count(b"x")


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    room = pages * resource.getpagesize() + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))


def _exchanged(scope: Scope, handler: LocalResultHandler, sizes: dict[str, _Files]) -> Row:
    """Whole records under each other's keys: only who knows the digest can tell."""
    found, fired, control = [], 0, 0
    for size, files in sizes.items():
        for name, data in (("the other record", files.other), ("a record of another size", _another(handler))):
            Path(handler.dir, _KEY).write_bytes(data)
            fired += 1
            if answer := _answer(lambda files=files: handler.fetch(files.safe)):  # type: ignore[misc]
                found.append(f"{name}, {size}: fetch {answer}")
            control += handler.read(_KEY) != files.value
        fired += 1
        Path(handler.dir, _KEY).write_bytes(files.record)
        if handler.fetch(files.safe) != files.value:
            found.append(f"{size}: the right record is refused")
    return Row(
        injected="two records exchanged, read by their safe values",
        fired=fired,
        least=6,
        found=tuple(found),
        control="read by key alone, which pins no digest",
        planted=4,
        caught=control,
    )


def _another(handler: LocalResultHandler) -> bytes:
    handler.store(["another size"], key=_OTHER, meta=META)
    return bytes(handler.raw(_OTHER))
