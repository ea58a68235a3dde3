"""Symbolic links planted in every place: nothing outside is written, read or removed."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from rows import Row, Scope
from writes import META, WAYS, NaiveHandler, Way, Write, broken, large, send, small, store

from ckpt.errors import AccessDenied, CkptError, ConfigError
from ckpt_local import LocalResultHandler

__all__ = ["rows"]

_KEY = "2026/11/22/weather/a"
_SECRET = b"a secret of somebody else"
_EXCHANGE = 2
"""RENAME_EXCHANGE: both names at once, so that there is always one of the two."""
_SECONDS = 20
_PLANTED_NAME = b".ckpt-tmp-foretold"

Kind = type[LocalResultHandler]
Act = Callable[[LocalResultHandler], object]

_ACTS: dict[str, Act] = {
    "store": lambda handler: handler.store(small(1), key=_KEY, meta=META),
    "store a large one": lambda handler: handler.store(large(1), key=_KEY, meta=META),
    "create only": lambda handler: handler.objects.put(_KEY, b"new", overwrite=False),
    "send": lambda handler: send(handler, {_KEY: small(1)}),
    "read": lambda handler: handler.read(_KEY),
    "raw": lambda handler: handler.raw(_KEY),
    "meta": lambda handler: handler.meta(_KEY),
    "open": lambda handler: handler.objects.open_read(_KEY).read(),
    "exists": lambda handler: handler.exists(_KEY),
    "list": lambda handler: list(handler.objects.list()),
    "list below": lambda handler: list(handler.objects.list(_KEY.rpartition("/")[0] + "/")),
    "delete": lambda handler: handler.delete(_KEY),
    "delete many": lambda handler: handler.objects.delete_many([_KEY]),
}


def rows(scope: Scope) -> Iterator[Row]:
    ways = scope.some(WAYS, "links", quick=1)
    yield _row(
        "a symbolic link in the place of a folder or a file",
        _planted(scope, ways, LocalResultHandler),
        _planted(scope, WAYS[:1], NaiveHandler),
        scope.at_least(400),
        "paths as one would use them by hand",
    )
    yield _row(
        "a symbolic link under the temporary name, foretold",
        _foretold(scope, ways, LocalResultHandler),
        _foretold(scope, WAYS[:1], NaiveHandler),
        scope.at_least(20),
        "the temporary name opened as it comes",
    )
    yield _row(
        "a folder exchanged for a symbolic link while values are written",
        _raced(scope, LocalResultHandler),
        _raced(scope, NaiveHandler),
        scope.at_least(200),
        "paths as one would use them by hand",
    )
    yield _row(
        "a symbolic link above or as the root, where it is followed",
        _above(scope, ways),
        _above(scope, WAYS[:1], astray=True),
        scope.at_least(16),
        "a root that leads elsewhere",
    )


def _row(injected: str, ours: tuple[int, list[str]], theirs: tuple[int, list[str]], least: int, control: str) -> Row:
    return Row(injected, ours[0], least, tuple(ours[1]), control, 1, min(1, len(theirs[1])))


class _Place:
    """A root, and beside it what is nobody's business here."""

    def __init__(self, scope: Scope) -> None:
        self.base = scope.memory / "links"
        shutil.rmtree(self.base, ignore_errors=True)
        self.root, self.outside = self.base / "top" / "root", self.base / "outside"
        self.root.mkdir(parents=True)
        self.outside.mkdir()

    def fill(self, below: str) -> None:
        """Keep a secret outside where a key would look for it behind a link."""
        path = self.outside / below if below else self.outside / "file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_SECRET)
        path.chmod(0o640)

    def seen(self) -> dict[str, tuple[int, bytes]]:
        """All that is outside."""
        return {
            str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in self.outside.rglob("*")
        }


def _planted(scope: Scope, ways: list[Way], kind: Kind) -> tuple[int, list[str]]:
    parts = _KEY.split("/")
    cases = [
        (depth, target, name, way)
        for depth in range(1, len(parts) + 1)
        for target in ("whole", "relative", "nowhere", "loop")
        for name in _ACTS
        for way in ways
    ]
    fired, found = 0, []
    for depth, target, name, way in scope.some(cases, f"planted {kind.__name__}", quick=120):
        place = _Place(scope)
        place.fill("/".join(parts[depth:]))
        link = place.root / "/".join(parts[:depth])
        link.parent.mkdir(parents=True, exist_ok=True)
        inside = place.outside if depth < len(parts) else place.outside / "file"
        to = {"whole": str(inside), "relative": os.path.relpath(inside, link.parent), "nowhere": f"{place.outside}/new"}
        link.symlink_to(to.get(target, link.name))
        before = place.seen()
        fired += 1
        wrong = _tried(way.handler(place.root, kind), _ACTS[name])
        if place.seen() != before:
            wrong.append("what is outside has changed")
        found += [f"{name} ({way}), link of kind {target} at part {depth}: {each}" for each in wrong]
    return fired, found


def _tried(handler: LocalResultHandler, act: Act) -> list[str]:
    try:
        answer = act(handler)
    except CkptError as error:
        return [f"the error says the secret: {error}"] if _SECRET.decode() in str(error) else []
    except BaseException as error:
        return [f"a raw {type(error).__name__}: {error}"]
    if answer is True or (isinstance(answer, bytes | list) and answer):
        return [f"it gives {answer!r:.200}"]
    return []


def _foretold(scope: Scope, ways: list[Way], kind: Kind) -> tuple[int, list[str]]:
    fired, found = 0, []
    folder, old = _KEY.rpartition("/")[0], {_KEY: small(0)}
    for way in ways:
        for target in ("file", "new", "."):
            for name in ("store", "store a large one", "send"):
                place = _Place(scope)
                place.fill("")
                store(LocalResultHandler(place.root, durability="os"), old)
                (place.root / folder / os.fsdecode(_PLANTED_NAME)).symlink_to(place.outside / target)
                before = place.seen()
                handler = way.handler(place.root)
                with mock.patch("ckpt_local.drafts.temporary", return_value=_PLANTED_NAME):
                    if kind is NaiveHandler:
                        wrong = _tried(handler, _by_temporary_name)
                    else:
                        wrong = _tried(handler, _ACTS[name])
                fired += 1
                if place.seen() != before:
                    wrong.append("what is outside has changed")
                new = {_KEY: large(1) if "large" in name else small(1)}
                wrong += broken(place.root, Write(name, store, old, new), acknowledged=False)
                found += [f"{name} ({way}), link to {target}: {each}" for each in wrong]
    return fired, found


def _by_temporary_name(handler: LocalResultHandler) -> None:
    """What is often done by hand."""
    passing = Path(handler.dir, _KEY).with_name(os.fsdecode(_PLANTED_NAME))
    try:
        passing.write_bytes(handler.raw(_KEY))
    except IsADirectoryError:
        return
    passing.replace(Path(handler.dir, _KEY))


def _raced(scope: Scope, kind: Kind) -> tuple[int, list[str]]:
    """Write into a folder that is exchanged all the while for a link that leads out."""
    place = _Place(scope)
    folder = place.root / _KEY.rpartition("/")[0]
    folder.mkdir(parents=True)
    link = folder.with_name("link")
    link.symlink_to(place.outside)
    exchanger = os.fork()
    if not exchanger:
        _exchange_for_ever(folder, link)
    enough = 10 if scope.quick else 200
    refused = kept = 0
    wrong: list[str] = []
    until = time.monotonic() + _SECONDS
    try:
        while min(refused, kept) < enough and not wrong and time.monotonic() < until:
            handler = WAYS[2 + kept % 2].handler(place.root, kind)
            try:
                handler.objects.put(f"{_KEY}-{kept}", b"value")
            except (AccessDenied, ConfigError):  # a link, or where it is a folder again when we look: no folder
                refused += 1
            except BaseException as error:
                wrong.append(f"{type(error).__name__}: {error}")
            else:
                kept += 1
                wrong += [f"{path.name} was written outside" for path in place.outside.iterdir()]
    finally:
        os.kill(exchanger, signal.SIGKILL)
        os.waitpid(exchanger, 0)
    return refused, wrong


def _exchange_for_ever(one: Path, two: Path) -> None:
    libc = ctypes.CDLL(None)
    while True:
        libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(two), _EXCHANGE)
        time.sleep(0.0002)


def _above(scope: Scope, ways: list[Way], *, astray: bool = False) -> tuple[int, list[str]]:
    """A link that the person who chose the folder has made is theirs to make; one that leads nowhere is said."""
    fired, found = 0, []
    for way in ways:
        for where in ("root", "top"):
            place = _Place(scope)
            real = place.base / "real"
            real.mkdir()
            shutil.rmtree(place.root.parent)
            link = place.root if where == "root" else place.root.parent
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(place.outside if astray else real)
            fired += 1
            send(way.handler(place.root), {_KEY: small(1), f"{_KEY}-large": large(1)})
            handler = LocalResultHandler(real if where == "root" else real / "root")
            if not handler.exists(_KEY) or handler.read(_KEY) != small(1):
                found.append(f"({way}) what was written through a link as the {where} is not where it leads")
            found += [f"({way}) {path} was written" for path in place.seen()]
            link.unlink()
            link.symlink_to(place.outside / "new")
            fired += 1
            try:
                way.handler(place.root).store(small(1), key=_KEY, meta=META)
            except ConfigError as error:
                if "a symbolic link to nothing" not in str(error):
                    found.append(f"({way}) {error}")
            except BaseException as error:
                found.append(f"({way}) {where} leads nowhere: {type(error).__name__}: {error}")
            else:
                found.append(f"({way}) {where} leads nowhere and is written through")
    return fired, found
