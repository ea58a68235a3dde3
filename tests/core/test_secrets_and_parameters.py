"""Values that come from outside: parameters, which are kept, and secrets, which never are."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ckpt
from ckpt import Flow, NoResult, Parameter, Secret, flow, task, unmapped
from ckpt.errors import ConfigError, NotFound
from ckpt.states import Failed, Success
from ckpt.tasks import FunctionTask
from ckpt_local import LocalResultHandler

pytestmark = pytest.mark.usefixtures("plain")

TEXT = "hunter2-and-more"


@task
def length(text: Any) -> int:
    return len(text)


@task
def give(x: Any) -> Any:
    return x


@dataclass
class Login:
    user: str
    password: Any


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("THE_SECRET", TEXT)
    return Secret("env:THE_SECRET")


# -- secrets


def test_a_secret_is_replaced_by_its_text_when_the_task_runs(executor: str, secret: Secret, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("from a file\n")
    with Flow("f") as f:
        call = FunctionTask(lambda *values: [len(str(v)) for v in values], "t")(
            secret, Secret(f"file:{tmp_path}/secret.txt"), [secret], {"k": (secret,)}, unmapped_ := Login("me", secret)
        )
        known = FunctionTask(lambda login: login.password == TEXT, "known")(unmapped_)
    state = f.run(executor=executor)
    assert state.result[call].result[:2] == [len(TEXT), len("from a file")]
    assert state.result[known].result is True


def test_a_secret_is_fetched_again_for_every_run_and_try(monkeypatch: pytest.MonkeyPatch, secret: Secret) -> None:
    seen: list[str] = []

    @task(max_retries=1)
    def look(text: str) -> None:
        seen.append(text)
        monkeypatch.setenv("THE_SECRET", f"value {len(seen)}")
        if len(seen) == 1:
            raise ValueError

    with Flow("f") as f:
        look(secret)
    f.run()
    f.run()
    assert seen == [TEXT, "value 1", "value 2"]


def test_a_secret_for_each_child_and_for_all_of_them(
    executor: str, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER", "abc")
    with Flow("f") as f:
        each = length.map([secret, Secret("env:OTHER")])
        shared = FunctionTask(lambda x, text: x + len(text), "t").map([1, 2], unmapped(secret))
    state = f.run(executor=executor)
    assert state.result[each].result == [len(TEXT), 3]
    assert state.result[shared].result == [1 + len(TEXT), 2 + len(TEXT)]


def test_a_mapped_secret_is_fetched_where_its_child_runs_and_no_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    with Flow("f") as f:
        call = length.map([Secret("env:LATE"), "plain", give([1])])
        logins = FunctionTask(lambda login: len(login.password), "logins").map([Login("me", Secret("env:LATE"))])
    inputs: list[Any] = []

    from ckpt.engine.threads import LocalExecutor

    class Looking(LocalExecutor):
        def submit(self, work: Any) -> Any:
            inputs.extend(work.inputs)
            return super().submit(work)

    monkeypatch.setenv("LATE", TEXT)
    state = f.run(executor=Looking())
    assert state.result[call].result == [len(TEXT), len("plain"), 1]
    assert state.result[logins].result == [len(TEXT)]
    assert TEXT not in inputs
    assert TEXT.encode() not in pickle.dumps(inputs)


def test_an_element_with_a_secret_and_a_call_is_refused(secret: Secret) -> None:
    with Flow("f"):
        call = give(1)
        with pytest.raises(TypeError, match="Secret and a call"):
            length.map([[secret, call["x"]]])


def test_a_secret_that_is_not_there_fails_its_task_and_names_the_variable(executor: str) -> None:
    with Flow("f") as f:
        calls = length(Secret("env:NOT_SET")), length(Secret("file:/no/such/file"))
    state = f.run(executor=executor)
    for call, word in zip(calls, ("NOT_SET", "/no/such/file"), strict=True):
        assert type(state.result[call]) is Failed
        assert isinstance(state.result[call].result, NotFound)
        assert word in state.result[call].message


@pytest.mark.parametrize("text", ["hunter2", "env:", "", "keyring:x", "file"])
def test_a_secret_is_a_reference_and_nothing_else(text: str) -> None:
    with pytest.raises(ConfigError, match="reference") as caught:
        Secret(text)
    assert not text or text not in str(caught.value).replace("env:NAME", "").replace("file:PATH", "")


def test_a_secret_shows_and_pickles_as_its_reference(secret: Secret) -> None:
    again = pickle.loads(pickle.dumps(secret))
    assert again == secret
    assert hash(again) == hash(secret)
    assert again != Secret("env:OTHER")
    assert repr(secret) == "Secret('env:THE_SECRET')"
    assert TEXT.encode() not in pickle.dumps(secret)
    assert secret.get() == TEXT


def test_a_secret_is_nowhere_in_what_is_kept_told_and_logged(
    executor: str, secret: Secret, tmp_path: Path, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    @task(max_retries=1)
    def fail(text: str, login: Login) -> None:
        raise ValueError("no")

    with Flow("f", result_handler=LocalResultHandler(dir=tmp_path / "kept", durability="os")) as f:
        a = length(secret)
        length.map([[secret]])
        fail(secret, Login("me", secret))
        FunctionTask(lambda x, y: x, "t")(a, {"k": secret})
    state = f.run(executor=executor, checkpointing=True)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "kept").rglob("*") if file.is_file())
    good = pickle.dumps({call.slug: s for call, s in state.result.items() if not s.is_failed()})
    for place in (
        kept,
        good,
        repr(state.result).encode(),
        repr(told).encode(),
        caplog.text.encode(),
        repr(f.calls).encode(),
    ):
        assert TEXT.encode() not in place
    assert state.result[a].result == len(TEXT)


# -- parameters


def test_a_parameter_is_given_by_keyword_or_mapping_else_its_default(executor: str) -> None:
    with Flow("f") as f:
        x = Parameter("x")
        y = Parameter("y", default=10)
        call = FunctionTask(lambda *values: values, "t")(x, [y])
    assert f.run(x=1, executor=executor).result[call].result == (1, [10])
    assert f.run({"x": 1, "y": 2}, executor=executor).result[call].result == (1, [2])
    assert f.run({"x": 1}, y=3, executor=executor).result[call].result == (1, [3])
    assert f.run(x=None, executor=executor).result[call].result == (None, [10])
    assert x.required
    assert not y.required


def test_a_parameter_made_outside_a_flow_belongs_to_the_first_that_uses_it() -> None:
    x = Parameter("x", 5)
    with Flow("f") as f:
        call = length([x, x])
    assert list(f.parameters()) == ["x"]
    assert f.run().result[call].result == 2
    with Flow("g"), pytest.raises(ConfigError, match="'f'.*'g'"):
        length(x)


def test_a_parameter_can_be_mapped_over_and_looked_into(executor: str) -> None:
    with Flow("f") as f:
        rows = Parameter("rows")
        lengths = length.map(rows["names"])
        whole = FunctionTask(sorted, "sorted")(rows)
    state = f.run({"rows": {"names": ["a", "bb"]}}, executor=executor)
    assert state.result[lengths].result == [1, 2]
    assert state.result[whole].result == ["names"]


def test_parameters_have_states_and_are_kept_like_other_values(here: str, memory: Any) -> None:
    with Flow("f", result_handler=memory) as f:
        Parameter("a", 1)
        Parameter("b", 2, checkpoint=False)
        Parameter("c", 3, result_handler=memory)
    state = f.run(executor=here, checkpointing=True)
    assert [type(state.result[name]) for name in "abc"] == [Success] * 3
    assert state.result["a"].safe_value.value == "1"
    assert state.result["b"].safe_value is NoResult
    assert state.result["c"].safe_value.read() == 3
    assert memory.memory.calls() == ["c"]


def test_parameters_with_names_of_arguments_of_run_are_given_in_the_mapping() -> None:
    with Flow("f") as f:
        call = length([Parameter("executor"), Parameter("checkpointing")])
    assert f.run({"executor": 1, "checkpointing": 2}).result[call].result == 2


def test_names_that_people_give_do_not_collide_with_ckpts_own(here: str, memory: Any) -> None:
    @flow(name="call", result_handler=type(memory)(template="{call}{map}/{parameters[call]}{suffix}"))
    def collide(call: int, run_id: int = 2, date: int = 3) -> Any:
        return FunctionTask(lambda call, run_id, map, self: [call, run_id, map, self], "call")(
            call=call, run_id=run_id, map=date, self=4
        )

    state = collide.run(call=1, executor=here, checkpointing=True)
    assert state.result["call-1"].result == [1, 2, 3, 4]
    assert list(memory.memory.objects) == ["call-1/1.ckpt"]


def test_a_default_is_not_changed_by_a_run_that_is_given_another() -> None:
    with Flow("f") as f:
        x = Parameter("x", [1])
    assert f.run(x=[2]).result[x].result == [2]
    assert f.run().result[x].result == [1]
    assert ckpt.context.__class__.__name__ == "Context"


def test_a_task_called_outside_a_flow_gets_the_text_of_a_secret(secret: Secret) -> None:
    @task
    def length(first: str, second: str = "") -> int:
        return len(first) + len(second)

    assert length(secret, second=secret) == 2 * len(secret.get())
