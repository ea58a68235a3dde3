"""What every handler is for: a value comes back as it was when it was handed over."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from ckpt.errors import CkptError, NotSerializable
from ckpt.handlers import JSON, Meta, ResultHandler, Staged
from ckpt.results import SafeResult
from ckpt.testing.cases import Case
from ckpt.testing.suites import Suite, asks
from ckpt.testing.values import CASES, large_cases

__all__ = ["HandlerValues"]


class HandlerValues(Suite):
    """Round trips."""

    @asks("basic")
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_a_value_comes_back_the_same(self, handler: ResultHandler, place: str, case: Case) -> None:
        self._through_write(handler, place, case)

    @asks("basic")
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_a_value_that_a_task_returned_comes_back_the_same(
        self, handler: ResultHandler, place: str, case: Case
    ) -> None:
        self._through_stage(handler, place, case)

    @asks("complete")
    def test_large_values_come_back_the_same(self, handler: ResultHandler, place: str) -> None:
        for case in large_cases(self.large):
            self._through_write(handler, f"{place}/written", case)
            self._through_stage(handler, f"{place}/staged", case)

    def _through_write(self, handler: ResultHandler, key: str, case: Case) -> None:
        value = case.make()
        try:
            location = handler.write(value, key=key)
        except NotSerializable as error:
            self._refused(case, error)
            return
        assert case.same(case.make(), value), "writing changed the value that goes on to the next task"
        _compare(case, handler.read(location), "read")

    def _through_stage(self, handler: ResultHandler, key: str, case: Case) -> None:
        value = case.make()
        try:
            staged = handler.stage(value, key=key, meta=Meta(run="run", call="call-1", attempt=2))
        except NotSerializable as error:
            self._refused(case, error)
            return
        assert case.same(case.make(), value), "staging changed the value that goes on to the next task"
        _kept(handler, [staged])
        safe = SafeResult.of(staged.stored, handler)
        _compare(case, handler.fetch(safe), "fetched")
        _compare(case, handler.read(safe.value), "read")

    def _refused(self, case: Case, error: NotSerializable) -> None:
        assert not case.plain, f"{case.name} is a plain value, which every handler keeps, but: {error}"
        self.note("values refused", case.name, str(error))

    @asks("complete")
    def test_parts_that_are_one_object_are_equal_again(self, handler: ResultHandler, place: str) -> None:
        part = ["shared"]
        read = handler.read(handler.write([part, {"again": part}], key=place))
        assert isinstance(read, list)
        assert read == [["shared"], {"again": ["shared"]}]
        if read[0] is not read[1]["again"]:
            self.note("good to know", "parts that were one object come back as equal copies")

    @asks("basic")
    def test_a_location_is_plain_json(self, handler: ResultHandler, place: str) -> None:
        for location in (handler.write("value", key=place), handler.write("value")):
            copy = json.loads(json.dumps(location))
            assert copy == location
            assert handler.read(copy) == "value"

    @asks("basic")
    def test_values_written_without_a_key_do_not_meet(self, handler: ResultHandler) -> None:
        locations = [handler.write(f"value {number}") for number in range(20)]
        assert [handler.read(location) for location in locations] == [f"value {number}" for number in range(20)]

    @asks("basic")
    def test_a_later_change_of_the_value_does_not_reach_what_is_kept(self, handler: ResultHandler, place: str) -> None:
        value = ["as it was", ["inside"]]
        location = handler.write(value, key=f"{place}/written")
        staged = handler.stage(value, key=f"{place}/staged", meta=Meta())
        value.append("added later")
        value[1].append("added later")  # type: ignore[attr-defined]  # a list of text and lists
        _kept(handler, [staged])
        assert handler.read(location) == ["as it was", ["inside"]]
        assert handler.fetch(SafeResult.of(staged.stored, handler)) == ["as it was", ["inside"]]

    @asks("basic")
    def test_readers_do_not_share_what_they_read(self, handler: ResultHandler, place: str) -> None:
        location = handler.write([["inside"]], key=place)
        first = handler.read(location)
        assert isinstance(first, list)
        first[0].append("changed by the first reader")
        assert handler.read(location) == [["inside"]]

    @asks("basic")
    def test_a_batch_is_sent_and_answered_in_order(self, handler: ResultHandler, place: str) -> None:
        staged = [handler.stage({"value": n}, key=f"{place}/{n:04d}", meta=Meta()) for n in range(70)]
        size = max(1, handler.batch)
        for start in range(0, len(staged), size):
            _kept(handler, staged[start : start + size])
        safes = [SafeResult.of(each.stored, handler) for each in staged]
        assert [handler.fetch(safe) for safe in safes] == [{"value": n} for n in range(70)]

    @asks("complete")
    def test_equal_digests_mean_equal_values(self, handler: ResultHandler, place: str) -> None:
        made: list[JSON] = [None, False, 0, "", "0", [], [0], {"a": 1}, 1, "x" * 5_000]
        stored = [handler.store(value, key=f"{place}/{n}", meta=Meta()) for n, value in enumerate(made)]
        digests = [each.digest for each in stored]
        if set(digests) == {None}:
            self.pointless("the handler gives no digests: its values are read as they are, and ground no reuse")
        assert None not in digests
        assert len(set(digests)) == len(made), "two values that differ have one digest"
        again = handler.store("x" * 5_000, key=f"{place}/again", meta=Meta(run="another", attempt=9))
        assert again.digest == digests[-1], "the digest is of the value: key, run and time do not belong to it"

    @asks("basic")
    def test_an_unserializable_value_is_refused_as_such(self, handler: ResultHandler, place: str) -> None:
        for number, value in enumerate(((each for each in "generator"), [1, {"deep": threading.Lock()}])):
            key = f"{place}/{number}"
            error = self.refusal(NotSerializable, "writing", handler.write, value, key=key)
            self.refusal(NotSerializable, "staging", handler.stage, value, key=key, meta=Meta())
            assert len(str(error)) < 10_000


def _kept(handler: ResultHandler, staged: Sequence[Staged]) -> None:
    """Send what `stage` left to be sent, as the runner does."""
    waiting = [each for each in staged if each.data is not None]
    if waiting:
        answers: Sequence[CkptError | None] = handler.send(waiting)
        assert list(answers) == [None] * len(waiting)


def _compare(case: Case, read: object, how: str) -> None:
    made = case.make()
    assert case.same(made, read), (
        f"{case.name}: {_shown(made)} was written, and {_shown(read)} of {type(read)!r} was {how}"
    )


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  a value that came back broken may not even have a repr
        return f"something of {type(value)!r}"
    return text if len(text) <= 200 else text[:200] + "…"
