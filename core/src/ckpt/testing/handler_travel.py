"""Handlers in other places: pickles, specs, other processes, forks, threads."""

from __future__ import annotations

import copy
import json
import pickle
import pickletools
import threading
from typing import Any, cast

import cloudpickle

from ckpt.handlers import JSON, Meta, ResultHandler
from ckpt.results import SafeResult
from ckpt.serializers import unpickle
from ckpt.testing.child import content, version_of
from ckpt.testing.processes import run
from ckpt.testing.suites import Suite, asks

__all__ = ["HandlerTravel"]


class HandlerTravel(Suite):
    """Journeys."""

    @asks("basic")
    def test_a_pickled_handler_reads_and_writes_the_same_place(self, handler: ResultHandler, place: str) -> None:
        unused = _pickles(handler)
        location = handler.write("written by the first", key=place)
        for data in unused + _pickles(handler):
            other = cast("ResultHandler", unpickle(data))
            assert type(other).__qualname__ == type(handler).__qualname__
            assert other.to_spec() == handler.to_spec()
            assert other.read(location) == "written by the first"
            assert handler.read(other.write("written by the copy", key=f"{place}-copy")) == "written by the copy"

    @asks("complete")
    def test_a_used_handler_pickles_nothing_that_an_unused_one_does_not(
        self, handler: ResultHandler, place: str
    ) -> None:
        try:
            before = _names_in(pickle.dumps(handler))
            handler.read(handler.write("used", key=place))
            after = _names_in(pickle.dumps(handler))
        except Exception as error:  # noqa: BLE001  it has its own test
            self.unasked(f"the handler cannot be pickled: {error}")
        assert after <= before, (
            f"using the handler added {sorted(after - before)} to its pickle: what is of one process, such as a "
            "client, must be left out in __getstate__"
        )

    @asks("complete")
    def test_a_copied_handler_works(self, handler: ResultHandler, place: str) -> None:
        location = handler.write("written by the first", key=place)
        assert copy.copy(handler).read(location) == "written by the first"

    @asks("basic")
    def test_a_spec_is_plain_json_and_makes_an_equal_handler(self, handler: ResultHandler, place: str) -> None:
        spec = handler.to_spec()
        assert spec["type"] == handler.storage_type
        through = cast("dict[str, JSON]", json.loads(json.dumps(spec)))
        assert through == spec
        other = type(handler).from_spec(through)
        assert type(other) is type(handler)
        assert other.to_spec() == spec
        location = handler.write("written by the first", key=place)
        assert other.read(location) == "written by the first"
        assert handler.to_spec() == spec, "using the handler changed its spec"

    @asks("complete")
    def test_a_handler_for_a_run_keeps_values_in_the_same_place(self, handler: ResultHandler, place: str) -> None:
        run_handler = handler.for_run()
        assert type(run_handler) is type(handler)
        location = run_handler.write("written in a run", key=place)
        assert handler.read(location) == "written in a run"
        assert type(handler).from_spec(run_handler.to_spec()).read(location) == "written in a run"

    @asks("complete")
    def test_a_safe_result_travels_as_json(self, handler: ResultHandler, place: str) -> None:
        safe = SafeResult.of(handler.store(["value"], key=place, meta=Meta()), handler)
        told = safe.to_dict()
        copied = SafeResult.from_dict(json.loads(json.dumps(told)))
        assert copied == safe
        assert copied.to_dict() == told
        assert handler.fetch(copied) == ["value"]
        assert safe.size is None or safe.size > 0

    @asks("complete")
    def test_another_process_reads_the_value_by_pickle_and_by_spec(self, handler: ResultHandler, place: str) -> None:
        data = self.shipped(handler)
        location = handler.write(content(7, 3000), key=place)
        assert run("handler", data, "see", location=location)["version"] == 7
        by_spec = self.shipped((type(handler), handler.to_spec()))
        assert run("spec", by_spec, "see", location=location)["version"] == 7

    @asks("complete")
    def test_a_used_handler_works_on_both_sides_of_a_fork(self, handler: ResultHandler, place: str) -> None:
        told = run("handler", self.shipped(handler), "fork", key=place)
        assert told["child"] == [{"version": 1, "other": 2}]
        assert (told["parent"], told["again"]) == (3, 1)

    @asks("complete")
    def test_threads_share_a_handler_from_its_first_use(self, handler: ResultHandler, place: str) -> None:
        barrier = threading.Barrier(8)
        wrong: list[str] = []

        def work(number: int) -> None:
            barrier.wait()
            for turn in range(5):
                version = number * 10 + turn
                try:
                    location = handler.write(content(version, 500), key=f"{place}/{number}/{turn}")
                    if version_of(handler.read(location)) != version:
                        wrong.append(f"thread {number} read the value of another")
                except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
                    wrong.append(f"{type(error).__name__}: {error}"[:300])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def _pickles(handler: ResultHandler) -> list[bytes]:
    return [pickle.dumps(handler), pickle.dumps(handler, 2), cloudpickle.dumps(handler)]


def _names_in(data: bytes) -> set[str]:
    """Every text in a pickle, so every class, module and attribute that it names; nothing is unpickled."""
    found: set[str] = set()
    for opcode, argument, _ in pickletools.genops(data):
        text: Any = argument
        if isinstance(text, str) and ("UNICODE" in opcode.name or opcode.name == "GLOBAL"):
            found.add(text)
    return found
