"""Which objects there are: keys, listing, heads that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar

import pytest

from ckpt.errors import CkptError, NotFound
from ckpt.stores import ObjectStore
from ckpt.testing.handler_keys import allocated_by
from ckpt.testing.odd_keys import ODD_KEYS, shown
from ckpt.testing.store_values import held, read_at_once
from ckpt.testing.suites import Suite, asks

__all__ = ["StoreKeys"]


class StoreKeys(Suite):
    """Keys and lists."""

    many: ClassVar[int] = 2_000
    """Objects that are listed: more than two of the store's pages."""

    @pytest.fixture
    def downloads(self) -> Callable[[], int] | None:
        """A function that gives how many bytes of objects were downloaded so far. Optional."""
        return None

    @asks("basic")
    def test_odd_keys_never_meet(self, store: ObjectStore) -> None:
        accepted = []
        for key in ODD_KEYS:
            try:
                store.put(key, repr(key).encode())
            except CkptError as error:
                self.note("keys refused", shown(key), str(error))
            else:
                accepted.append(key)
        try:
            wrong = {key: held(store, key) for key in accepted if held(store, key) != repr(key).encode()}
            assert not wrong, "keys that were accepted gave the objects of others"
            assert [store.head(key).key for key in accepted] == accepted
            listed = {info.key for info in store.list()}
            assert not set(accepted) - listed, "the list does not give the keys as they were put"
            store.delete_many(accepted[::2])
            for key in accepted[::2]:
                self.refusal(NotFound, "reading what was deleted", store.get, key)
            assert [held(store, key) for key in accepted[1::2]] == [repr(key).encode() for key in accepted[1::2]]
        finally:
            store.delete_many(accepted)

    @asks("basic")
    def test_a_key_that_is_refused_is_refused_everywhere(self, store: ObjectStore) -> None:
        for key in ODD_KEYS:
            try:
                store.put(key, b"")
            except CkptError:
                for use in (store.get, store.head, partial(read_at_once, store), partial(_streamed, store)):
                    self.refusal(CkptError, f"using the key {shown(key)}, which put refuses", use, key)
                assert isinstance(store.put_many([(key, b"")])[0], CkptError)
                assert not [info.key for info in store.list(key) if info.key == key]
            else:
                store.delete(key)

    @asks("basic")
    def test_a_list_has_what_begins_with_the_prefix(self, store: ObjectStore, place: str) -> None:
        names = ["a/1", "a/2", "a/b/3", "ab/4", "a.5", "b/a/6", "A/7", "a%2F8", "ż/9"]
        for name in names:
            store.put(f"{place}/{name}", b"x" * int(name[-1]))
        for prefix in ("", "a", "a/", "a/b", "a/b/", "a/1", "ab", "b", "ż", "z", "a/1/", "//", "%", "a*"):
            infos = list(store.list(f"{place}/{prefix}"))
            wanted = [f"{place}/{name}" for name in names if name.startswith(prefix)]
            assert sorted(info.key for info in infos) == sorted(wanted), f"the list of {prefix!r}"
            assert all(info.size == int(info.key[-1]) for info in infos)
        assert {f"{place}/{name}" for name in names} <= {info.key for info in store.list()}

    @asks("complete")
    def test_thousands_are_listed_each_once(self, store: ObjectStore, place: str) -> None:
        keys = self._filled(store, place)
        store.put(f"{place}-beside", b"")
        listed = [info.key for info in store.list(f"{place}/")]
        assert len(listed) == len(set(listed)), "a key was listed twice"
        assert set(listed) == set(keys)

    @asks("complete")
    def test_a_list_is_lazy_and_bears_deletion(self, store: ObjectStore, place: str) -> None:
        keys = self._filled(store, place)
        infos = store.list(f"{place}/")
        assert isinstance(infos, Iterator), "a list is an iterator"
        first = next(infos).key
        store.delete_many(key for key in keys if key != first)
        rest = [info.key for info in infos]
        assert set(rest) <= set(keys)
        assert len(rest) < len(keys) - 1, (
            f"all of {len(keys)} objects were listed although they were deleted after the first had been given, so all "
            "had been fetched by then; where a page is that large, set `many` to more than two pages"
        )

    def _filled(self, store: ObjectStore, place: str) -> list[str]:
        keys = [f"{place}/{number % 7}/{number:05d}" for number in range(self.many)]
        with ThreadPoolExecutor(4) as pool:
            parts = [
                [(key, b"x") for key in part]
                for part in (keys[start : start + 64] for start in range(0, len(keys), 64))
            ]
            assert not [answer for answers in pool.map(store.put_many, parts) for answer in answers if answer]
        return keys

    @asks("complete")
    def test_a_head_does_not_read_the_object(
        self, store: ObjectStore, place: str, downloads: Callable[[], int] | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put(place, b"x" * self.large)
        before = downloads() if downloads else 0

        def trapped(*_: object, **__: object) -> object:
            raise AssertionError("a head must not read the object: it called `get` or `open_read`")

        with monkeypatch.context() as patch:
            for name in ("get", "open_read"):
                try:
                    patch.setattr(store, name, trapped)
                except AttributeError:
                    self.note("good to know", f"`{name}` cannot be watched: the store takes no attributes")
            allocated = allocated_by(lambda: store.head(place))
            list(store.list(place))
        assert allocated < self.large // 2, f"a head of {self.large} bytes took {allocated} bytes of memory"
        if downloads:
            assert downloads() - before < 1000, "bytes of the object were downloaded for its head"
        else:
            self.note(
                "good to know", "heads were watched by their memory alone: the fixture `downloads` would count bytes"
            )

    @asks("basic")
    def test_a_list_of_nothing_is_empty(self, store: ObjectStore, place: str) -> None:
        assert list(store.list(f"{place}/nothing")) == []
        store.put(f"{place}/x", b"")
        store.delete(f"{place}/x")
        assert list(store.list(place)) == []
        self.refusal(NotFound, "head", store.head, f"{place}/x")


def _streamed(store: ObjectStore, key: str) -> object:
    with store.open_write(key) as writer:
        writer.write(b"x")
        return writer.commit()
