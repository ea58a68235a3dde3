"""What the kit does in other processes: a program that gets one request on standard input and answers in JSON.

It runs by its path in a new interpreter and imports neither pytest nor the rest of the kit. Whatever forks here
has not used the subject before: clients of an SDK must not be carried over a fork by the kit itself.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn, Protocol

__all__ = ["MIDDLE", "Explosive", "content", "version_of"]

MIDDLE = 4 << 20
"""Bytes that are on their way before a write is interrupted: more than any handler should hold back."""

_DATA = b""
_KIND = ""


def content(version: int, size: int) -> str:
    """Text of which every part tells whether it belongs to the whole: one letter `size` times between equal heads."""
    head = f"<{version:08d} {size:012d}>"
    return f"{head}{chr(97 + version % 26) * size}{head}"


def version_of(text: object) -> int:
    """The version of `content`, which must be whole.

    Raises: `ValueError` telling what is wrong with it.
    """
    if not isinstance(text, str) or len(text) < 46:
        raise ValueError(f"not what anybody wrote: {str(text)[:60]!r} ({type(text).__name__})")
    version, size = int(text[1:9]), int(text[10:22])
    if text != content(version, size):
        raise ValueError(f"torn: version {version} of {size} letters, {len(text)} characters found")
    return version


class Explosive:
    """A value that ends the process when it is pickled: the bytes before it are on their way by then."""

    def __reduce__(self) -> NoReturn:
        _die()


class _Port(Protocol):
    def write(self, key: str, version: int, size: int) -> Any: ...
    def read(self, location: Any) -> int: ...
    def stop_in_the_middle(self, key: str) -> None: ...


class _HandlerPort:
    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def write(self, key: str, version: int, size: int) -> Any:
        return self.handler.write(content(version, size), key=key)

    def read(self, location: Any) -> int:
        return version_of(self.handler.read(location))

    def stop_in_the_middle(self, key: str) -> None:
        self.handler.write([b"x" * MIDDLE, Explosive()], key=key)


class _StorePort:
    def __init__(self, store: Any) -> None:
        self.store = store

    def write(self, key: str, version: int, size: int) -> Any:
        data = content(version, size).encode()
        if version % 2:
            self.store.put(key, data)
        else:
            with self.store.open_write(key) as writer:
                for start in range(0, len(data), 1 << 18):
                    writer.write(data[start : start + (1 << 18)])
                writer.commit()
        return key

    def read(self, location: Any) -> int:
        return version_of(bytes(self.store.get(location)).decode(errors="replace"))

    def stop_in_the_middle(self, key: str) -> None:
        writer = self.store.open_write(key)
        writer.write(b"x" * MIDDLE)
        _die()


def _port() -> _Port:
    """The subject, made anew: from a pickled handler, a pickled opener of a store, or a class and its spec."""
    from ckpt.serializers import unpickle

    subject: Any = unpickle(_DATA)
    match _KIND:
        case "store":
            return _StorePort(subject())
        case "spec":
            kind, spec = subject
            return _HandlerPort(kind.from_spec(spec))
        case _:
            return _HandlerPort(subject)


def see(location: Any) -> dict[str, Any]:
    """Read what another process wrote."""
    return {"version": _port().read(location)}


def leave(key: str, version: int, size: int) -> dict[str, Any]:
    """Write and be killed as soon as the write has returned."""
    from ckpt.errors import NotSerializable

    try:
        location = _port().write(key, version, size)
    except NotSerializable as error:
        return {"refused": str(error)}
    _answer({"location": location})
    return _die()


def stop(key: str) -> dict[str, Any]:
    """Be killed when half of a write has been done."""
    _port().stop_in_the_middle(key)
    return {"survived": True}


def fork(key: str) -> dict[str, Any]:
    """Use the subject, fork, and use it on both sides at once."""
    port = _port()
    location = port.write(key, 1, 1000)
    port.read(location)

    def child(tell: Callable[..., None]) -> None:
        tell(version=port.read(location), other=port.read(port.write(f"{key}-of-child", 2, 1000)))

    with _forked(child) as reports:
        mine = port.read(port.write(f"{key}-of-parent", 3, 1000))
    return {"child": list(reports), "parent": mine, "again": port.read(location)}


def race(key: str, location: Any, processes: int, rounds: int, sizes: list[int]) -> dict[str, Any]:
    """Let many processes write one key and read it between their writes; a value was there before."""
    gate, open_gate = os.pipe()

    def child(tell: Callable[..., None], number: int) -> None:
        port = _port()
        os.close(open_gate)  # the gate opens when the last of all has closed its end: everybody starts at once
        os.read(gate, 1)
        reads, wrong = 0, []
        for turn in range(rounds):
            try:
                port.write(key, number * 100 + turn, sizes[(number + turn) % len(sizes)])
                for _ in range(3):
                    port.read(location)
                    reads += 1
            except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
                wrong.append(f"{type(error).__name__}: {error}"[:200])
        tell(reads=reads, writes=rounds, wrong=wrong[:3])

    with _forked(*[partial(child, number=number) for number in range(processes)]) as reports:
        os.close(open_gate)
    found = list(reports)
    return {
        "reads": sum(each.get("reads", 0) for each in found),
        "writes": sum(each.get("writes", 0) for each in found),
        "wrong": [text for each in found for text in each["wrong"]],
        "reported": len(found),
    }


def create(key: str, processes: int) -> dict[str, Any]:
    """Let many processes create one key at once; each tells whether it did."""
    from ckpt.errors import AlreadyExists

    gate, open_gate = os.pipe()

    def child(tell: Callable[..., None], number: int) -> None:
        port = _port()
        assert isinstance(port, _StorePort)
        data = content(number, 20_000).encode()
        os.close(open_gate)
        os.read(gate, 1)
        try:
            port.store.put(key, data, overwrite=False)
        except AlreadyExists:
            tell(lost=number)
        else:
            tell(won=number)

    with _forked(*[partial(child, number=number) for number in range(processes)]) as reports:
        os.close(open_gate)
    return {"reports": list(reports)}


def kill(key: str, location: Any, times: int, sizes: list[int], seed: int) -> dict[str, Any]:
    """Kill a process that writes again and again, at a random moment, and look at what it left; version 0 was there.

    Each writer tells every write that has returned, so it is known which value must be there at least.
    """
    chance = random.Random(seed)  # noqa: S311  to be repeatable
    wrong: list[str] = []
    acknowledged, told = 0, 0
    for turn in range(times):
        begin = acknowledged + 1
        with _killed(key, begin, sizes[turn % len(sizes)], chance) as acks:
            told += len(acks)
            acknowledged = max([acknowledged, *acks])
        with _forked(lambda tell: tell(version=_port().read(location))) as reports:
            pass
        found: dict[str, Any] = next(iter(reports), {"wrong": ["the reader died"]})
        if "wrong" in found:
            wrong += found["wrong"]
        elif not acknowledged <= found["version"] <= acknowledged + 1:
            wrong.append(f"version {found['version']} was read where {acknowledged} had been acknowledged last")
        else:
            acknowledged = found["version"]
    return {"killed": times, "acknowledged": told, "wrong": wrong}


@contextmanager
def _killed(key: str, begin: int, size: int, chance: random.Random) -> Iterator[list[int]]:
    """Fork a writer, kill it during a write after its first one, and give the versions that it acknowledged."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            port = _port()
            for version in range(begin, begin + 10_000):
                started = time.monotonic()
                port.write(key, version, size)
                os.write(into, f"{version} {time.monotonic() - started}\n".encode())
        finally:
            os._exit(3)
    os.close(into)
    with os.fdopen(out) as lines:
        first = lines.readline().split()
        if first:
            time.sleep(min(1.0, chance.uniform(0, 2) * float(first[1])))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        yield [int(line.split()[0]) for line in [" ".join(first), *lines] if line.strip() and " " in line]


@contextmanager
def _forked(*works: Callable[..., None]) -> Iterator[Iterator[dict[str, Any]]]:
    """Run each of `works` in a forked process; once the block is left, what they told can be iterated over."""
    out, into = os.pipe()
    sys.stdout.flush()
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            try:
                work(lambda **facts: os.write(into, json.dumps(facts).encode() + b"\n"))
            except BaseException as error:  # noqa: BLE001  whatever it is, it is the answer
                os.write(into, json.dumps({"wrong": [f"{type(error).__name__}: {error}"[:200]]}).encode() + b"\n")
            finally:
                os._exit(0)
        pids.append(pid)
    os.close(into)

    def told() -> Iterator[dict[str, Any]]:
        with os.fdopen(out) as lines:
            for line in lines:
                yield json.loads(line)
        for pid in pids:
            os.waitpid(pid, 0)

    yield told()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL came back")


def _answer(facts: dict[str, Any]) -> None:
    sys.stdout.write("\n" + json.dumps(facts) + "\n")
    sys.stdout.flush()


def _main() -> None:
    global _DATA, _KIND
    request = json.loads(sys.stdin.buffer.readline())
    sys.path += [entry for entry in request["path"] if entry not in sys.path]
    _KIND, _DATA = request["kind"], sys.stdin.buffer.read()
    actions: list[Callable[..., dict[str, Any]]] = [see, leave, stop, fork, race, create, kill]
    chosen = {action.__name__: action for action in actions}[request["action"]]
    _answer(chosen(**request["arguments"]))


if __name__ == "__main__":
    _main()
