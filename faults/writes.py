"""The writes that faults are injected into, what each promises, and writers with a planted bug."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckpt.errors import CkptError, NotFound
from ckpt.handlers import Meta
from ckpt.records import LARGE
from ckpt.stores import Buffer, ObjectInfo, ObjectStore, ObjectWriter, flat
from ckpt_local import LocalResultHandler, LocalStore
from ckpt_local.drafts import NamedDraft
from ckpt_local.store import Durability

__all__ = ["GONE", "META", "WAYS", "WRITES", "NaiveHandler", "Way", "Write", "broken", "large", "left_over", "small"]

META = Meta(run="20261122-171623-481-9f3ac1", call="clean-1", created="2026-11-22T17:16:23.481000Z")
GONE = "nothing is kept"
"""In the place of a value."""

_DAY = "2026/11/22/weather/run"


def small(number: int) -> object:
    """A value of some KB; unpickling it looks a class up, which an audit hook sees."""
    return {"number": number, "day": datetime.date(2026, 11, 22), "rows": [f"{number}-{row}" for row in range(400)]}


def large(number: int) -> object:
    """A value that is streamed."""
    return bytes([number]) * (LARGE + 200_000)


def store(handler: LocalResultHandler, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        handler.store(value, key=key, meta=META)


def send(handler: LocalResultHandler, values: Mapping[str, object]) -> None:
    staged = [handler.stage(value, key=key, meta=META) for key, value in values.items()]
    left = [each for each in staged if each.data is not None]
    for error in handler.send(left) if left else ():
        if error is not None:
            raise error


def delete(handler: LocalResultHandler, values: Mapping[str, object]) -> None:
    for key in values:
        handler.delete(key)


@dataclass(frozen=True, slots=True)
class Way:
    """How a file comes to its name."""

    durability: Durability
    named: bool
    """By a temporary name, as on a file system without O_TMPFILE."""

    def __str__(self) -> str:
        return f"{self.durability}, {'temporary name' if self.named else 'O_TMPFILE'}"

    def handler(self, root: Path, kind: type[LocalResultHandler] = LocalResultHandler) -> LocalResultHandler:
        handler = kind(root, durability=self.durability)
        if self.named:
            objects = handler.objects
            assert isinstance(objects, LocalStore)
            objects._kind = NamedDraft
        return handler


WAYS = [Way(durability, named) for durability in ("disk", "os") for named in (False, True)]


@dataclass(frozen=True, slots=True)
class Write:
    """One write: what was kept and acknowledged before, what is once it returned."""

    name: str
    act: Callable[[LocalResultHandler, Mapping[str, object]], None]
    before: Mapping[str, object]
    after: Mapping[str, object]

    def prepare(self, root: Path) -> None:
        if self.before:
            store(LocalResultHandler(root, durability="os"), self.before)

    def run(self, handler: LocalResultHandler) -> None:
        self.act(handler, self.after)


_OTHER = {f"{_DAY}/other": small(0)}
WRITES = [
    Write("the first value, its folders and the root", store, {}, {f"{_DAY}/a": small(1)}),
    Write("a new value", store, _OTHER, {f"{_DAY}/a": small(1)}),
    Write("a value in the place of another", store, {f"{_DAY}/a": small(1)}, {f"{_DAY}/a": small(2)}),
    Write(
        "a batch, some in the place of others",
        send,
        {**_OTHER, f"{_DAY}/a": small(1), f"{_DAY}/map/0": small(3)},
        {f"{_DAY}/a": small(2), f"{_DAY}/b": small(3), f"{_DAY}/map/0": small(4), f"{_DAY}/new/0": small(5)},
    ),
    Write("a large value, streamed", store, _OTHER, {f"{_DAY}/a": large(1)}),
    Write("a large value in the place of another", store, {f"{_DAY}/a": large(1)}, {f"{_DAY}/a": large(2)}),
    Write("a deletion", delete, {**_OTHER, f"{_DAY}/a": small(1)}, {f"{_DAY}/a": GONE}),
    Write("a deletion that empties folders", delete, {f"{_DAY}/a": small(1)}, {f"{_DAY}/a": GONE}),
]


def broken(root: Path, write: Write, *, acknowledged: bool) -> list[str]:
    """Which promises about `write` do not hold for what is below `root` now."""
    wrong = []
    handler = LocalResultHandler(root, durability="os")
    keys = {**write.before, **write.after}
    for key in keys:
        old = write.before.get(key, GONE)
        new = write.after.get(key, old)
        try:
            value = handler.read(key)
        except NotFound:
            value = GONE
        except CkptError as error:
            wrong.append(f"torn: {error}")
            continue
        if value != new and acknowledged:
            wrong.append(f"{key} was acknowledged and is lost")
        elif value not in (old, new):
            wrong.append(f"{key} is neither old nor new")
    wrong += [f"{info.key} is listed" for info in handler.objects.list() if info.key not in keys]
    return wrong


def left_over(root: Path) -> list[str]:
    """Files on their way that nobody will ever finish."""
    return [f"{path.name} is left over" for path in root.rglob(".ckpt-tmp-*")]


class NaiveStore(LocalStore):
    """Writes as one would write by hand, and reads as ever."""

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        path = Path(self.dir, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(flat(data))
        return ObjectInfo(key, path.stat().st_size)

    def put_many(self, objects: Sequence[tuple[str, Buffer]]) -> Sequence[CkptError | None]:
        return ObjectStore.put_many(self, objects)

    def open_write(self, key: str, *, overwrite: bool = True) -> ObjectWriter:  # type: ignore[override]  # its base's
        return ObjectStore.open_write(self, key, overwrite=overwrite)

    def delete(self, key: str) -> None:
        path = Path(self.dir, key)
        path.write_bytes(b"")
        path.unlink(missing_ok=True)

    def delete_many(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for path in Path(self.dir).rglob("*"):
            if path.is_file():
                yield ObjectInfo(str(path.relative_to(self.dir)), path.stat().st_size)

    def get(self, key: str) -> bytes:
        return Path(self.dir, key).read_bytes()


class NaiveHandler(LocalResultHandler):
    """The planted bug: `NaiveStore`."""

    def open_store(self) -> LocalStore:
        return NaiveStore(self.dir, durability=self.durability)
