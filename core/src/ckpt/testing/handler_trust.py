"""What a handler does with bytes that it did not write, doors that are shut, and things that must not be told."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import cloudpickle
import pytest

from ckpt.errors import AccessDenied, CkptError, CorruptRecord, StoreUnavailable, Unsupported
from ckpt.handlers import JSON, Meta, ResultHandler, Stored
from ckpt.results import SafeResult
from ckpt.testing.doors import BackDoor
from ckpt.testing.handler_keys import HandlerKeys
from ckpt.testing.suites import asks, check_cause

__all__ = ["HandlerTrust", "leaks"]


class _Planted:
    """A pickle of this makes a folder when somebody unpickles it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self._folder),)


class HandlerTrust(HandlerKeys):
    """Foreign bytes, refusals, secrets."""

    @pytest.fixture
    def raw(self) -> BackDoor | None:
        """The back door to the stored bytes. Optional."""
        return None

    @pytest.fixture
    def refused(self) -> ResultHandler | None:
        """A handler that the storage refuses; it need not be the storage of `handler`. Optional."""
        return None

    @pytest.fixture
    def unreachable(self) -> ResultHandler | None:
        """A handler whose storage cannot be reached. Optional."""
        return None

    @pytest.fixture
    def secret(self) -> str | None:
        """Text of a credential that `secretive` has, eight characters at least, found nowhere else. Optional."""
        return None

    @pytest.fixture
    def secretive(self, handler: ResultHandler) -> ResultHandler:
        """The handler that has `secret`, where it is not `handler`. Optional."""
        return handler

    @asks("proven")
    def test_stored_facts_are_those_of_the_storage(
        self, handler: ResultHandler, place: str, raw: BackDoor | None
    ) -> None:
        door = self.given(raw, "raw")
        for number, value in enumerate(("text", "x" * (2 << 20))):
            stored = handler.store(value, key=f"{place}/{number}", meta=Meta())
            assert stored.location in list(door.list())
            data = door.read(stored.location)
            if stored.size is None:
                self.note("good to know", "the handler tells no sizes")
            else:
                assert len(data) == stored.size

    @asks("proven")
    def test_bytes_that_were_changed_are_refused(
        self, handler: ResultHandler, place: str, raw: BackDoor | None
    ) -> None:
        door, stored, data = self._pinned(handler, place, raw)
        middle = len(data) // 2
        for what, changed in {
            "emptied": b"",
            "cut": data[:-1],
            "cut in the middle": data[:middle],
            "longer": data + b"\0",
            "zeros": bytes(len(data)),
            "one bit, first byte": bytes([data[0] ^ 1]) + data[1:],
            "one bit, middle": data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
            "one bit, last byte": data[:-1] + bytes([data[-1] ^ 128]),
        }.items():
            door.write(stored.location, changed)
            self.refusal(CorruptRecord, f"fetching {what}", handler.fetch, SafeResult.of(stored, handler))
        door.write(stored.location, data)
        assert handler.fetch(SafeResult.of(stored, handler)) == ["value", "x" * 200]

    @asks("proven")
    def test_a_whole_value_in_the_place_of_another_is_refused(
        self, handler: ResultHandler, place: str, raw: BackDoor | None
    ) -> None:
        door, stored, _ = self._pinned(handler, place, raw)
        other = handler.store(["other", "y" * 200], key=f"{place}-other", meta=Meta())
        door.write(stored.location, door.read(other.location))
        self.refusal(CorruptRecord, "fetching another's value", handler.fetch, SafeResult.of(stored, handler))

    @asks("proven")
    def test_nothing_foreign_is_unpickled(
        self, handler: ResultHandler, place: str, raw: BackDoor | None, tmp_path: Path
    ) -> None:
        door, stored, _ = self._pinned(handler, place, raw)
        door.write(stored.location, pickle.dumps(_Planted(tmp_path / "executed")))
        self.refusal(CorruptRecord, "fetching a planted pickle", handler.fetch, SafeResult.of(stored, handler))
        self.refusal(CorruptRecord, "reading a planted pickle", handler.read, stored.location)
        assert not (tmp_path / "executed").exists(), "bytes that nobody had verified were unpickled"

    def _pinned(self, handler: ResultHandler, key: str, raw: BackDoor | None) -> tuple[BackDoor, Stored, bytes]:
        door = self.given(raw, "raw")
        stored = handler.store(["value", "x" * 200], key=key, meta=Meta())
        if stored.digest is None:
            self.pointless("the handler gives no digests, so nothing can tell whether its bytes were changed")
        return door, stored, door.read(stored.location)

    @asks("proven")
    def test_refused_is_not_absent(self, refused: ResultHandler | None, place: str) -> None:
        shut = self.given(refused, "refused")
        self._all_raise(AccessDenied, shut, place, "where access is refused")

    @asks("proven")
    def test_unreachable_is_worth_another_try(self, unreachable: ResultHandler | None, place: str) -> None:
        gone = self.given(unreachable, "unreachable")
        self._all_raise(StoreUnavailable, gone, place, "where the storage cannot be reached")

    def _all_raise(self, kind: type[CkptError], handler: ResultHandler, key: str, where: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "write": lambda: handler.write("value", key=key),
            "write much": lambda: handler.write("x" * (2 << 20), key=key),
            "read": lambda: handler.read(key),
        }
        for name in ("exists", "delete"):
            try:
                getattr(handler, name)(key)
            except Unsupported:
                continue
            except Exception:  # noqa: BLE001, S110  asked again below, where it has to be the right one
                pass
            calls[name] = partial(getattr(handler, name), key)
        for name, call in calls.items():
            check_cause(self.refusal(kind, f"`{name}` {where}", call))

    @asks("proven")
    def test_a_secret_is_not_told(
        self,
        secretive: ResultHandler,
        secret: str | None,
        place: str,
        raw: BackDoor | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        text = self.given(secret, "secret")
        caplog.set_level(logging.DEBUG)
        stored = secretive.store("value", key=place, meta=Meta())
        secretive.read(stored.location)
        safe = SafeResult.of(stored, secretive)
        told = {
            "repr": repr(secretive),
            "str": str(secretive),
            "spec": json.dumps(secretive.to_spec()),
            "pickle": pickle.dumps(secretive),
            "pickle by cloudpickle": cloudpickle.dumps(secretive),
            "safe result": json.dumps(safe.to_dict()) + repr(safe),
            "pickle of the safe result": pickle.dumps(safe),
            "log": caplog.text,
            "error": _error_of(secretive, f"{place}-never-written"),
        }
        if raw is not None:
            told["stored bytes"] = raw.read(stored.location)
        assert leaks(text, told) == []


def leaks(secret: str, told: dict[str, str | bytes]) -> list[str]:
    """The places in which the secret can be read, as it is or in one of the usual codings."""
    plain = secret.encode()
    forms = [plain, base64.b64encode(plain).rstrip(b"="), quote(secret, safe="").encode(), plain.hex().encode()]
    return [
        place
        for place, text in told.items()
        if any(form in (text if isinstance(text, bytes) else text.encode(errors="replace")) for form in forms)
    ]


def _error_of(handler: ResultHandler, location: JSON) -> str:
    try:
        handler.read(location)
    except CkptError as error:
        return f"{error!r} {error.__cause__!r}"
    return ""
