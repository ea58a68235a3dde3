"""Values beside their safe values: what is read and when, what travels, and which values stay in memory."""

from __future__ import annotations

import copy
import enum
import gc
import json
import pickle
import re
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import ckpt
from ckpt import CallPath, Flow, NoResult, Result, SafeResult, Storage, Stored, TaskRecord, task
from ckpt.errors import ConfigError, CorruptRecord, NotFound, PluginNotFound, Unsupported
from ckpt.handlers import Meta
from ckpt.states import Success
from ckpt.tasks import FunctionTask
from ckpt_json import JSONResultHandler
from ckpt_local import LocalResultHandler

pytestmark = pytest.mark.usefixtures("plain")


def elsewhere(code: str, *arguments: str) -> str:
    """What another process prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Color(enum.Enum):
    RED = 1


class Reads:
    """Counts what a handler reads."""

    def __init__(self, handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("fetch", "read"):
            original = getattr(type(handler), name)

            def counting(this: Any, what: Any, original: Any = original) -> Any:
                self.count += 1
                return original(this, what)

            monkeypatch.setattr(type(handler), name, counting)


# -- NoResult


def test_there_is_one_no_result_and_it_is_false() -> None:
    assert not NoResult
    assert repr(NoResult) == "<NoResult>"
    assert type(NoResult)() is NoResult
    assert copy.copy(NoResult) is copy.deepcopy(NoResult) is pickle.loads(pickle.dumps(NoResult)) is NoResult
    assert NoResult is not None


# -- the example


def test_a_flow_with_a_json_handler_keeps_its_values_as_text() -> None:
    @task
    def add(x: int, y: int = 1) -> int:
        return x + y

    with Flow("my handled flow!", result_handler=JSONResultHandler()) as flow:
        first_result = add(1, y=2)
        second_result = add(x=first_result, y=100)
    state: Any = flow.run(checkpointing=True)
    assert state.result[first_result]._result.value == 3
    assert repr(state.result[first_result]._result.safe_value) == "<SafeResult: '3'>"
    assert state.result[second_result]._result.safe_value.value == "103"
    assert state.result[first_result].safe_value.result_handler is flow.result_handler


def test_a_flow_with_a_local_handler_keeps_one_file_for_each_value(tmp_path: Path) -> None:
    with Flow("f", result_handler=LocalResultHandler(dir=tmp_path / "kept", durability="os")) as flow:
        a = FunctionTask(lambda: [1, 2], "a")()
        b = FunctionTask(lambda x: x + 1, "b").map(a)
    state = flow.run(checkpointing=True)
    files = [str(file.relative_to(tmp_path / "kept")) for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    safe = [state.result[a].safe_value, *(child.safe_value for child in state.result[b].map_states)]
    assert sorted(each.value for each in safe) == sorted(files)
    assert all(re.fullmatch(r"\d{4}/\d\d/\d\d/f/[\d-]+-[0-9a-f]{6}/.*", file) for file in files)
    assert safe[0].value.endswith("/a-1.ckpt")
    assert safe[2].value.endswith("/b-1/0001.ckpt")
    assert pickle.loads((tmp_path / "kept" / safe[2].value).read_bytes()) == 3
    assert [each.read() for each in safe] == [[1, 2], 2, 3]


# -- SafeResult


def test_a_safe_result_carries_what_is_known_of_the_bytes(memory: Any) -> None:
    stored = memory.store([1, 2], key="a/b", meta=Meta())
    safe = SafeResult.of(stored, memory)
    assert (safe.value, safe.serializer, safe.size) == ("a/b", "pickle", len(memory.memory.objects["a/b"]))
    assert len(safe.digest or "") == 64
    assert safe.read() == [1, 2]
    assert safe.to_result().value == [1, 2]
    assert repr(safe) == "<SafeResult: 'a/b'>"


def test_a_value_is_verified_against_the_digest_of_its_safe_result(memory: Any) -> None:
    safe = SafeResult.of(memory.store([1, 2], key="a", meta=Meta()), memory)
    memory.store([1, 3], key="a", meta=Meta())
    with pytest.raises(CorruptRecord, match="a"):
        safe.read()


def test_a_safe_result_is_plain_json_that_another_process_reads(tmp_path: Path) -> None:
    handler = LocalResultHandler(dir=tmp_path, durability="os")
    with Flow("f", result_handler=handler) as flow:
        call = FunctionTask(lambda: {"a": [1, 2.5, None]}, "t")()
    safe: Any = flow.run(checkpointing=True).result[call].safe_value
    text = json.dumps(safe.to_dict())
    code = """
import json, sys, ckpt
data = json.loads(sys.argv[1])
safe = ckpt.SafeResult.from_dict(data)
assert safe.to_dict() == data
print([safe.to_result().value, ckpt.read(data), ckpt.read(sys.argv[1]), ckpt.read(safe)])
"""
    assert eval(elsewhere(code, text)) == [{"a": [1, 2.5, None]}] * 4


def test_a_relative_folder_is_absolute_in_a_safe_result(plain: Path) -> None:
    with Flow("f", result_handler=LocalResultHandler(dir="kept", durability="os")) as flow:
        call = FunctionTask(lambda: 5, "t")()
    safe: Any = flow.run(checkpointing=True).result[call].safe_value
    assert (
        elsewhere("import os, sys, ckpt; os.chdir('/'); print(ckpt.read(sys.argv[1]))", json.dumps(safe.to_dict()))
        == "5"
    )


def test_without_its_plugin_a_safe_result_can_be_handled_but_not_read() -> None:
    data: Any = {
        "value": "k",
        "handler": {"type": "ftp", "bucket": "b"},
        "digest": None,
        "size": None,
        "serializer": None,
    }
    safe = SafeResult.from_dict(data)
    again = pickle.loads(pickle.dumps(safe))
    assert safe.to_dict() == again.to_dict() == data
    assert safe == again
    assert "k" in repr(safe)
    result = safe.to_result()
    assert not result.is_loaded
    for read in (safe.read, lambda: result.value, lambda: ckpt.read(safe)):
        with pytest.raises(PluginNotFound, match="pip install ckpt-ftp"):
            read()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"value": ...}, "value"),
        ({"handler": ...}, "handler"),
        ({"handler": "json"}, "handler"),
        ({"handler": {}}, "type"),
        ({"digest": 5}, "digest"),
        ({"size": "5"}, "size"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_dict_that_is_no_safe_result_is_refused_by_name(change: dict[str, Any], word: str) -> None:
    data = SafeResult("3", JSONResultHandler()).to_dict() | change
    with pytest.raises(ConfigError, match=word):
        SafeResult.from_dict({name: value for name, value in data.items() if value is not ...})


def test_safe_results_are_equal_when_place_digest_and_handler_are() -> None:
    one = SafeResult("3", JSONResultHandler(), digest="d")
    assert one == SafeResult("3", {"type": "json"}, digest="d")
    assert hash(one) == hash(SafeResult("3", {"type": "json"}, digest="d"))
    assert one != SafeResult("4", JSONResultHandler(), digest="d")
    assert one != SafeResult("3", JSONResultHandler(), digest="e")
    assert one != SafeResult("3", {"type": "other"}, digest="d")
    assert one != "3"


# -- Result


def test_a_result_reads_when_it_is_asked_and_only_once(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    safe = SafeResult.of(memory.store([1], key="a", meta=Meta()), memory)
    reads = Reads(memory, monkeypatch)
    result = safe.to_result()
    state = Success("m", kept=result)
    assert not result.is_loaded
    for what in (result, safe, state):
        repr(what)
        str(what)
        hash(what)
        assert what == copy.copy(what) == copy.deepcopy(what)
        pickle.dumps(what)
    assert result.to_result() is result
    assert reads.count == 0
    assert not result.is_loaded
    assert result.value == [1]
    assert result.value is result.value
    assert result.is_loaded
    assert reads.count == 1


def test_a_kept_value_does_not_travel_with_its_result(memory: Any) -> None:
    value = b"x" * 100_000
    safe = SafeResult.of(memory.store(value, key="a", meta=Meta()), memory)
    assert len(pickle.dumps(Result(value, safe, memory))) < 2000
    assert pickle.loads(pickle.dumps(Result([1, 2]))).value == [1, 2]


def test_a_result_stores_its_value_once(memory: Any) -> None:
    result = Result([1, 2], result_handler=memory)
    assert result.safe_value is NoResult
    safe = result.store_safe_value(key="here")
    assert (safe.value, safe.read()) == ("here", [1, 2])
    assert result.store_safe_value(key="there") is safe
    assert list(memory.memory.objects) == ["here"]
    unnamed = Result(5, result_handler=memory).store_safe_value()
    assert ckpt.read(unnamed) == 5
    with pytest.raises(Unsupported, match="no handler"):
        Result(1).store_safe_value()


def test_a_result_without_a_value_says_so() -> None:
    assert Result().value is NoResult
    assert not Result().is_loaded
    assert Result(None).is_loaded
    assert repr(Result(5)) == "<Result: 5>"
    assert "never produced" in repr(Result())


def test_a_result_reads_with_the_handler_it_has() -> None:
    with Flow("f", result_handler=JSONResultHandler(types=[Color])) as flow:
        call = FunctionTask(lambda: Color.RED, "t")()
    result = pickle.loads(pickle.dumps(flow.run(checkpointing=True).result[call].kept))
    assert not result.is_loaded
    assert result.value is Color.RED


def test_what_crosses_processes_is_equal_on_the_other_side(tmp_path: Path) -> None:
    handler = LocalResultHandler(dir=tmp_path, durability="os")
    safe = SafeResult.of(handler.store([1], key="a.ckpt", meta=Meta()), handler)
    things = [
        safe,
        safe.to_result(),
        Result([1, 2]),
        Success("m", [1]),
        NoResult,
        Stored("loc", "digest", 5, "pickle"),
        Storage.parse("s3://bucket/pre?region_name=x"),
        CallPath("add-1", 7),
        TaskRecord(run="r", call=CallPath("a-1"), state="Success", safe=safe),
        handler,
    ]
    (tmp_path / "things").write_bytes(pickle.dumps(things))
    code = """
import pickle, sys
things = pickle.load(open(sys.argv[1], "rb"))
assert things[0].read() == things[1].value == [1]
assert str(things[7]) == "add-1[7]"
assert things[9].read("a.ckpt") == [1]
pickle.dump(things, open(sys.argv[2], "wb"))
"""
    elsewhere(code, str(tmp_path / "things"), str(tmp_path / "back"))
    back = pickle.loads((tmp_path / "back").read_bytes())
    assert back[:-1] == things[:-1]
    assert back[4] is NoResult
    assert repr(back[-1]) == repr(handler)


# -- ckpt.read


def test_read_takes_every_form_of_a_kept_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kept"
    with Flow("f", storage=f"file://{folder}") as flow:
        call = FunctionTask(lambda: [1, 2], "t")()
    kept = flow.run().result[call].kept
    safe: Any = kept.safe_value
    path = folder / safe.value
    monkeypatch.setenv("CKPT__FLOWS__STORAGE", f"file://{folder}")
    forms: list[Any] = [
        safe,
        kept,
        safe.to_dict(),
        json.dumps(safe.to_dict()),
        safe.value,
        path,
        str(path),
        f"file://{path}",
    ]
    assert [ckpt.read(form) for form in forms] == [[1, 2]] * len(forms)
    monkeypatch.chdir(path.parent)
    assert ckpt.read(path.name) == [1, 2]
    assert ckpt.read(Result(5)) == 5


@pytest.mark.parametrize(
    ("what", "error", "word"),
    [
        ("no/such/key.ckpt", ConfigError, "flows.storage"),
        (Path("no/such/file"), NotFound, "no/such/file"),
        ("file:///no/such/file", NotFound, "/no/such/file"),
        ("hdfs://bucket/key", PluginNotFound, "pip install ckpt-hdfs"),
        ("{broken", ConfigError, "JSON"),
        ('{"value": 1}', ConfigError, "handler"),
    ],
)
def test_read_says_what_is_missing(what: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        ckpt.read(what)


def test_a_key_that_is_not_there_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPT__FLOWS__STORAGE", f"file://{tmp_path}")
    with pytest.raises(NotFound, match="no/such"):
        ckpt.read("no/such/key.ckpt")


# -- which values stay in memory


class Thing:
    """Something that can be watched while it lives."""

    living: ClassVar[weakref.WeakSet[Thing]] = weakref.WeakSet()

    def __init__(self, name: str) -> None:
        self.name = name
        Thing.living.add(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and other.name == self.name

    __hash__ = object.__hash__


def living() -> list[str]:
    return sorted(thing.name for thing in Thing.living)


@pytest.fixture
def chain(memory: Any) -> Callable[..., Any]:
    """Runs a → b → c → d with `keep_values`; answers the state, and what lived when each ran."""
    Thing.living.clear()

    def run(keep_values: str, *, executor: str, checkpointing: bool) -> tuple[Any, dict[str, list[str]]]:
        seen: dict[str, list[str]] = {}

        def step(name: str, *inputs: Thing) -> Thing:
            seen[name] = living()
            return Thing(name)

        steps = [FunctionTask(step, name) for name in "abcd"]
        with Flow("f", result_handler=memory) as flow:
            a = steps[0]("a")
            b = steps[1]("b", a)
            c = steps[2]("c", b)
            steps[3]("d", c)
        return flow.run(executor=executor, checkpointing=checkpointing, keep_values=keep_values), seen

    return run


def test_all_values_stay_by_default(chain: Any, here: str) -> None:
    state, seen = chain("all", executor=here, checkpointing=True)
    assert seen["d"] == ["a", "b", "c"]
    assert all(state.result[call].kept.is_loaded for call in state.result)


@pytest.fixture
def no_cycles() -> Iterator[None]:
    """Without the cyclic garbage collector: what is freed is freed by the last reference alone."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_cycles")
@pytest.mark.parametrize("checkpointing", [True, False])
def test_dropped_values_are_really_gone_while_the_flow_still_runs(
    chain: Any, here: str, checkpointing: bool, memory: Any
) -> None:
    # A write that is still under way holds bytes, not the value; but its row is final only when it is durable.
    memory.memory.writers = 0
    state, seen = chain("terminal", executor=here, checkpointing=checkpointing)
    assert "a" not in seen["c"]
    assert "b" not in seen["d"]
    assert living() == ["d"]
    assert state.result["d"].kept.is_loaded


@pytest.mark.parametrize(("keep_values", "left"), [("all", ["a", "b", "c", "d"]), ("terminal", ["d"]), ("none", [])])
def test_dropped_values_are_read_back_when_asked_for(chain: Any, here: str, keep_values: str, left: list[str]) -> None:
    state, _ = chain(keep_values, executor=here, checkpointing=True)
    assert living() == left
    assert [state.result[name].result.name for name in "abcd"] == list("abcd")


def test_a_dropped_value_that_is_kept_nowhere_says_so(chain: Any) -> None:
    state, _ = chain("none", executor="local", checkpointing=False)
    assert living() == []
    for name in "abcd":
        assert state.result[name].is_successful()
        with pytest.raises(NotFound, match="keep_values"):
            _ = state.result[name].result
        repr(state.result[name].kept)
        pickle.dumps(state.result[name])


@pytest.mark.parametrize("keep_values", ["terminal", "none"])
def test_mapped_values_are_dropped_and_read_back_too(memory: Any, here: str, keep_values: Any) -> None:
    Thing.living.clear()
    with Flow("f", result_handler=memory) as flow:
        first = FunctionTask(lambda n: Thing(f"first {n}"), "first").map([1, 2])
        second = FunctionTask(lambda thing: Thing(f"second of {thing.name}"), "second").map(first)
        rows = FunctionTask(lambda things: [Thing(f"row {len(things)}")], "rows")(second)
        FunctionTask(lambda thing: thing.name, "names").map(rows)
    state = flow.run(executor=here, checkpointing=True, keep_values=keep_values)
    assert living() == []
    assert [thing.name for thing in state.result["second"].result] == ["second of first 1", "second of first 2"]
    assert state.result["names"].result == ["row 2"]


@pytest.mark.usefixtures("no_cycles")
def test_values_that_were_retried_skipped_or_failed_do_not_keep_others_alive(memory: Any) -> None:
    Thing.living.clear()

    def flaky(thing: Thing) -> str:
        if ckpt.context.attempt == 1:
            raise ValueError
        raise ckpt.SKIP

    with Flow("f", result_handler=memory) as flow:
        a = FunctionTask(lambda: Thing("a"), "a")()
        b = FunctionTask(flaky, "b", max_retries=1)(a)
        FunctionTask(lambda thing, x: 1, "c")(a, b)
    state = flow.run(checkpointing=True, keep_values="none")
    assert [state.result[name].name for name in "abc"] == ["Success", "Skipped", "Skipped"]
    assert living() == []


def test_repr_of_a_big_flow_of_states_reads_nothing(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Flow("f", result_handler=memory) as flow:
        FunctionTask(lambda n: n, "t").map(range(3))
    state = flow.run(checkpointing=True, keep_values="none")
    reads = Reads(memory, monkeypatch)
    repr(state)
    repr(state.result)
    pickle.dumps(state)
    copy.copy(state)
    assert state == state  # noqa: PLR0124  reading nothing is what is tried
    assert reads.count == 0
    assert state.result["t"].result == [0, 1, 2]
    assert reads.count == 3
