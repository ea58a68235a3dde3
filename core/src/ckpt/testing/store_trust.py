"""What a store holds as seen from outside, doors that are shut, and things that must not be told."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from ckpt.errors import AccessDenied, CkptError, StoreUnavailable
from ckpt.stores import ObjectStore
from ckpt.testing.comparing import assert_same_bytes
from ckpt.testing.doors import BackDoor
from ckpt.testing.handler_trust import leaks
from ckpt.testing.store_values import held
from ckpt.testing.store_writers import StoreWriters
from ckpt.testing.suites import asks, check_cause

__all__ = ["StoreTrust"]


class StoreTrust(StoreWriters):
    """The back door, refusals, secrets."""

    @pytest.fixture
    def refused(self) -> ObjectStore | None:
        """A store that refuses; it need not be the place of `store`. Optional."""
        return None

    @pytest.fixture
    def unreachable(self) -> ObjectStore | None:
        """A store that cannot be reached. Optional."""
        return None

    @pytest.fixture
    def secret(self) -> str | None:
        """Text of a credential that `store` has, eight characters at least, found nowhere else. Optional."""
        return None

    @asks("proven")
    def test_the_bytes_are_stored_as_they_are(self, store: ObjectStore, place: str, raw: BackDoor | None) -> None:
        door = self.given(raw, "raw")
        for key, data in ((f"{place}/a", b""), (f"{place}/b", b"\r\n\0" * 100_000)):
            store.put(key, data)
            assert_same_bytes(door.read(key), data)
            assert key in list(door.list())
        store.delete(f"{place}/a")
        assert f"{place}/a" not in list(door.list())

    @asks("proven")
    def test_nothing_is_remembered_of_an_object(self, store: ObjectStore, place: str, raw: BackDoor | None) -> None:
        door = self.given(raw, "raw")
        store.put(place, b"put")
        assert held(store, place) == b"put"
        door.write(place, b"replaced by somebody else")
        assert held(store, place) == b"replaced by somebody else"
        assert store.head(place).size == 25
        door.write(f"{place}-other", b"new")
        assert held(store, f"{place}-other") == b"new"
        assert sorted(info.key for info in store.list(place)) == [place, f"{place}-other"]

    @asks("proven")
    def test_refused_is_not_absent(self, refused: ObjectStore | None, place: str) -> None:
        self._all_raise(AccessDenied, self.given(refused, "refused"), place)

    @asks("proven")
    def test_unreachable_is_worth_another_try(self, unreachable: ObjectStore | None, place: str) -> None:
        self._all_raise(StoreUnavailable, self.given(unreachable, "unreachable"), place)

    def _all_raise(self, kind: type[CkptError], store: ObjectStore, key: str) -> None:
        def written() -> object:
            with store.open_write(key) as writer:
                writer.write(b"x" * (2 << 20))
                return writer.commit()

        calls: dict[str, Callable[[], object]] = {
            "put": lambda: store.put(key, b"x"),
            "create": lambda: store.put(key, b"x", overwrite=False),
            "open_write": written,
            "get": lambda: store.get(key),
            "open_read": lambda: store.open_read(key).read(),
            "head": lambda: store.head(key),
            "list": lambda: next(store.list(key)),
            "delete": lambda: store.delete(key),
            "delete_many": lambda: store.delete_many([key]),
        }
        for name, call in calls.items():
            check_cause(self.refusal(kind, name, call))
        answers = store.put_many([(key, b"x"), (f"{key}-2", b"y")])
        assert [type(answer) for answer in answers] == [kind, kind]

    @asks("proven")
    def test_a_secret_is_not_told(
        self, store: ObjectStore, secret: str | None, place: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = self.given(secret, "secret")
        caplog.set_level(logging.DEBUG)
        store.put(place, b"x")
        store.get(place)
        told: dict[str, str | bytes] = {"repr": repr(store), "str": str(store), "log": caplog.text}
        for name, call in {"get": store.get, "head": store.head}.items():
            try:
                call(f"{place}-never-written")
            except CkptError as error:
                told[f"error of {name}"] = f"{error!r} {error.__cause__!r}"
        assert leaks(text, told) == []
