"""Which handler keeps a value, and is checkpointing on? Every cell of the rule, and what is said about it."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckpt
from ckpt import Flow, Parameter, SafeResult, Storage
from ckpt.errors import AccessDenied, ConfigError, PluginNotFound
from ckpt.tasks import FunctionTask, Task
from ckpt_json import JSONResultHandler
from ckpt_local import LocalResultHandler

pytestmark = pytest.mark.usefixtures("plain", "installed")

Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Settings as environment variables, by their name in `[flows]`."""

    def set_all(**settings: object) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"CKPT__FLOWS__{name.upper()}", str(value))

    return set_all


def one_task(**settings: Any) -> FunctionTask:
    return FunctionTask(lambda: 1, "t", **settings)


def flow_of(task: Task | None = None, **settings: Any) -> Flow:
    with Flow("f", **settings) as flow:
        (task or one_task())()
    return flow


def level(flow: Flow, **arguments: Any) -> tuple[bool, str, str | None]:
    """On or off, who chose, and the class of what was chosen; and a run agrees with what `explain` says."""
    decision = flow.explain(**arguments).to_dict()
    chosen = decision["calls"][0]
    safe = flow.run(**arguments).result["t"].safe_value
    assert isinstance(safe, SafeResult) == (chosen["handler"] is not None)
    if isinstance(safe, SafeResult):
        assert repr(safe.result_handler).partition("(")[0] == chosen["handler"].partition("(")[0]
        assert safe.read() == 1
    return decision["on"], chosen["level"], chosen["handler"] and chosen["handler"].partition("(")[0]


# -- which handler


def test_the_task_goes_before_the_flow_the_setting_and_the_storage(
    configure: Configure, memory: Any, plain: Path
) -> None:
    configure(storage=f"file://{plain}/kept", result_handler="memory")
    task, flow = JSONResultHandler(), type(memory)("of the flow")
    assert level(flow_of(one_task(result_handler=task), result_handler=flow)) == (True, "task", "JSONResultHandler")
    assert level(flow_of(result_handler=flow)) == (True, "flow", "MemoryHandler")
    assert level(flow_of()) == (True, "global", "MemoryHandler")
    configure(result_handler="json")
    assert level(flow_of()) == (True, "global", "JSONResultHandler")


def test_the_storage_chooses_where_nobody_else_does(configure: Configure, memory: Any, plain: Path) -> None:
    configure(storage="memory")
    assert level(flow_of()) == (True, "storage", "MemoryHandler")
    assert level(flow_of(storage=f"file://{plain}/kept")) == (True, "storage", "LocalResultHandler")
    assert level(flow_of(storage=Storage("json"))) == (True, "storage", "JSONResultHandler")


def test_a_handler_may_stand_on_a_class_and_on_an_instance(configure: Configure, memory: Any) -> None:
    class Kept(Task):
        name = "t"
        result_handler = JSONResultHandler()

        def run(self) -> int:
            return 1

    configure(storage="memory")
    assert level(flow_of(Kept())) == (True, "task", "JSONResultHandler")
    assert level(flow_of(Kept(result_handler=memory))) == (True, "task", "MemoryHandler")
    assert level(flow_of(Kept(checkpoint=False))) == (True, "opted out", None)


def test_a_task_that_opts_out_is_never_kept(configure: Configure, memory: Any) -> None:
    configure(storage="memory", checkpointing="true")
    task = one_task(checkpoint=False, result_handler=memory)
    assert level(flow_of(task), checkpointing=True) == (True, "opted out", None)
    assert memory.memory.objects == {}


@pytest.mark.parametrize("given", ["json", "memory://", "file://{plain}/kept", "settings_of_mine:handler"])
def test_the_global_handler_is_a_type_a_url_or_an_object(
    configure: Configure, plain: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (plain / "settings_of_mine.py").write_text(
        "from ckpt_json import JSONResultHandler\nhandler = JSONResultHandler()\n"
    )
    monkeypatch.syspath_prepend(str(plain))
    configure(result_handler=given.format(plain=plain), checkpointing="true")
    on, who, _ = level(flow_of())
    assert (on, who) == (True, "global")


@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        ("nothing_of_mine:handler", ConfigError, "nothing_of_mine"),
        ("ckpt:Flow", ConfigError, "must be a ResultHandler object"),
        ("ckpt:nothing", ConfigError, "no such object"),
        ("ftp", PluginNotFound, "pip install ckpt-ftp"),
        ("a/path", ConfigError, "path"),
    ],
)
def test_a_global_handler_that_is_not_there_is_refused(
    configure: Configure, given: str, error: type[Exception], word: str
) -> None:
    configure(result_handler=given, checkpointing="true")
    with pytest.raises(error, match=word):
        flow_of().run()


def test_an_option_of_a_storage_goes_to_its_handler(plain: Path, configure: Configure) -> None:
    flow = flow_of(storage=f"file://{plain}/kept?durability=os&prefix=mine")
    kept: Any = flow.run().result["t"].safe_value
    assert kept.value.startswith("mine/")
    assert kept.result_handler.durability == "os"


def test_an_unknown_option_and_a_credential_in_a_url_are_refused() -> None:
    with pytest.raises(ConfigError, match="durabilty"):
        flow_of(storage="file:///tmp/kept?durabilty=os").run()
    with pytest.raises(ConfigError, match="credential"):
        Flow("f", storage="s3://key:secret@bucket/prefix")


# -- a parameter


def parameter_flow(value: object, **settings: Any) -> tuple[Flow, Any]:
    handler = settings.pop("parameter_handler", None)
    with Flow("f", **settings) as flow:
        Parameter("p", value, result_handler=handler)
        one_task()()
    return flow, flow.run(checkpointing=True).result["p"]


def test_a_parameter_is_kept_as_json_whatever_the_flow_has(memory: Any) -> None:
    _, state = parameter_flow({"a": [1]}, result_handler=memory)
    assert isinstance(state.safe_value.result_handler, JSONResultHandler)
    assert state.safe_value.value == '{"a":[1]}' or state.safe_value.read() == {"a": [1]}
    assert memory.memory.calls() == ["t-1"]


def test_a_parameter_keeps_the_handler_that_it_is_given(memory: Any) -> None:
    flow, state = parameter_flow(5, parameter_handler=memory)
    assert state.safe_value.result_handler is memory
    assert flow.explain(checkpointing=True).to_dict()["calls"][0]["level"] == "task"


def test_a_parameter_that_json_cannot_keep_falls_to_the_flows_handler_and_that_is_said(
    memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Thing:
        pass

    caplog.set_level(logging.INFO)
    flow, state = parameter_flow(thing := Thing(), result_handler=memory)
    assert state.is_successful()
    assert type(state.safe_value.read()).__name__ == "Thing"
    assert state.safe_value.result_handler is memory
    assert state.result is thing
    said = [record.getMessage() for record in caplog.records if "parameter p" in record.getMessage()]
    assert len(said) == 1
    assert "MemoryHandler" in said[0]
    assert flow.explain(checkpointing=True).to_dict()["calls"][0]["level"] == "parameter"


def test_a_parameter_that_json_cannot_keep_and_nobody_else_fails_and_says_why() -> None:
    _, state = parameter_flow(object())
    assert state.is_failed()
    assert "task p:" in state.message


# -- on or off

ON = ["true", "True", "1", "yes", "on", "ON"]
OFF = ["false", "False", "0", "no", "off", "OFF"]


@pytest.mark.parametrize("text", ON)
def test_true_is_on(configure: Configure, text: str) -> None:
    configure(checkpointing=text)
    assert level(flow_of(result_handler=JSONResultHandler())) == (True, "flow", "JSONResultHandler")


@pytest.mark.parametrize("text", OFF)
def test_false_is_off_whatever_is_configured(configure: Configure, memory: Any, text: str) -> None:
    configure(checkpointing=text, storage="memory")
    assert level(flow_of(one_task(result_handler=memory))) == (False, "off", None)
    assert memory.memory.objects == {}


def test_anything_else_is_an_error_that_quotes_it(configure: Configure) -> None:
    configure(checkpointing="jawohl")
    with pytest.raises(ConfigError, match="'jawohl'"):
        flow_of().run()


@pytest.mark.parametrize("text", [None, "auto"])
def test_auto_is_on_where_the_storage_has_a_handler(configure: Configure, text: str | None) -> None:
    if text:
        configure(checkpointing=text)
    configure(storage="memory")
    assert level(flow_of()) == (True, "storage", "MemoryHandler")
    assert level(flow_of(result_handler=JSONResultHandler())) == (True, "flow", "JSONResultHandler")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_auto_without_a_storage_is_off_and_silent_where_nobody_asked_for_more(caplog: pytest.LogCaptureFixture) -> None:
    flow = flow_of()
    flow.run()
    assert warnings(caplog) == []
    assert not flow.explain().on


def test_auto_without_a_storage_says_how_to_keep_with_the_handlers_there_are(
    configure: Configure, memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Flow("f") as flow:
        one_task(result_handler=memory)()
        one_task(result_handler=memory)()
        one_task()()
        one_task(checkpoint=False, result_handler=memory)()
    flow.run()
    assert memory.memory.objects == {}
    (said,) = warnings(caplog)
    assert "2 tasks have a result handler" in said
    assert "flows.checkpointing = true" in said
    caplog.clear()
    flow_of(result_handler=memory).run()
    (said,) = warnings(caplog)
    assert "1 task has" in said
    caplog.clear()
    configure(result_handler="json")
    flow_of().run()
    assert len(warnings(caplog)) == 1


def test_true_without_any_handler_warns_once_and_goes_on(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(checkpointing="true")
    with Flow("f") as flow:
        one_task()()
        Parameter("p", 1)
    assert flow.run().is_successful()
    assert warnings(caplog) == ["checkpointing is on, but there is nothing to keep with: set flows.storage"]


def test_true_with_a_handler_at_any_level_does_not_warn(
    configure: Configure, memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(checkpointing="true")
    flow_of(result_handler=memory).run()
    flow_of(one_task(result_handler=memory)).run()
    flow_of(one_task(checkpoint=False), result_handler=memory).run()
    assert warnings(caplog) == []


def test_docker_is_known_to_keep_nothing_one_warning_and_then_as_without_a_storage(
    configure: Configure, memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(storage="docker")
    assert flow_of().run().is_successful()
    assert len(warnings(caplog)) == 1
    assert "docker" in warnings(caplog)[0]
    caplog.clear()
    flow = flow_of(result_handler=memory)
    assert flow.run().is_successful()
    assert ["docker" in said for said in warnings(caplog)] == [True, True]
    assert "1 task has a result handler" in warnings(caplog)[1]
    assert memory.memory.objects == {}
    caplog.clear()
    flow.run(checkpointing=True)
    assert memory.memory.calls() == ["t-1"]


@pytest.mark.parametrize("where", ["setting", "flow"])
def test_a_storage_that_no_plugin_serves_is_an_error_with_the_pip_line(
    configure: Configure, where: str, memory: Any
) -> None:
    ran: list[int] = []
    settings = {}
    if where == "setting":
        configure(storage="ftp://host/prefix")
    else:
        settings["storage"] = "ftp://host/prefix"
    flow = flow_of(FunctionTask(lambda: ran.append(1), "t"), result_handler=memory, **settings)
    with pytest.raises(PluginNotFound, match="pip install ckpt-ftp"):
        flow.run()
    with pytest.raises(PluginNotFound, match="pip install ckpt-ftp"):
        flow.explain()
    assert ran == []


def test_the_argument_of_a_run_goes_over_the_setting(configure: Configure, memory: Any) -> None:
    configure(checkpointing="true", storage="memory")
    assert level(flow_of(), checkpointing=False) == (False, "off", None)
    configure(checkpointing="false")
    assert level(flow_of(), checkpointing=True) == (True, "storage", "MemoryHandler")


def test_what_a_handler_finds_before_the_run_is_raised_before_any_task(memory: Any) -> None:
    ran: list[int] = []

    class Refused(type(memory)):  # type: ignore[misc]
        def for_run(self) -> Any:
            raise AccessDenied("the folder is read-only: choose another")

    flow = flow_of(FunctionTask(lambda: ran.append(1), "t", result_handler=Refused()))
    with pytest.raises(AccessDenied, match="read-only"):
        flow.run(checkpointing=True)
    assert ran == []


# -- what is said


def test_one_info_line_says_on_or_off_why_and_what_keeps_how_many(
    configure: Configure, memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    configure(storage="memory")
    caplog.set_level(logging.INFO)
    with Flow("f") as flow:
        one_task()()
        one_task()()
        one_task(result_handler=JSONResultHandler())()
        one_task(checkpoint=False)()
    flow.run()
    (line,) = [record.getMessage() for record in caplog.records if "checkpointing is" in record.getMessage()]
    assert "checkpointing is on" in line
    assert "storage memory has a handler" in line
    assert "MemoryHandler(store='default') keeps 2" in line
    assert "JSONResultHandler() keeps 1" in line
    assert "1 of 4 tasks not kept" in line
    caplog.clear()
    configure(checkpointing="no")
    flow.run()
    (line,) = [record.getMessage() for record in caplog.records if "checkpointing is" in record.getMessage()]
    assert (
        "checkpointing is off: flows.checkpointing (environment variable CKPT__FLOWS__CHECKPOINTING) is false" in line
    )


def test_explain_gives_the_table_and_keeps_nothing(configure: Configure, memory: Any) -> None:
    configure(storage="memory")
    with Flow("f") as flow:
        p = Parameter("p")
        a = FunctionTask(lambda x: x, "first")(p)
        FunctionTask(lambda x: x, "second", result_handler=JSONResultHandler()).map([a])
        FunctionTask(lambda: 1, "third", checkpoint=False)()
    decision = flow.explain()
    lines = str(decision).splitlines()
    assert lines[0].startswith("checkpointing is on")
    assert [line.split() for line in lines[2:]] == [
        ["task", "level", "handler"],
        ["p", "parameter", "JSONResultHandler()"],
        ["first-1", "storage", "MemoryHandler(store='default')"],
        ["second-1", "task", "JSONResultHandler()"],
        ["third-1", "opted", "out", "-"],
    ]
    assert decision.to_dict()["calls"][3] == {"id": "third-1", "handler": None, "level": "opted out"}
    assert memory.memory.objects == {}
    assert "checkpointing is off" in str(flow.explain(checkpointing=False))


def test_messages_go_to_stderr_and_stdout_is_the_users(plain: Path) -> None:
    code = """
    from ckpt import Flow
    from ckpt.tasks import FunctionTask
    from ckpt_local import LocalResultHandler

    with Flow("f", result_handler=LocalResultHandler(dir="kept", durability="os")) as flow:
        FunctionTask(lambda: print("mine"), "t")()
    flow.run()
    flow.run(checkpointing=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "mine\nmine\n"
    assert done.stderr.count("WARNING checkpointing is off: 1 task has") == 1
    assert done.stderr.count(": checkpointing is o") == 2
    assert "Traceback" not in done.stderr


def test_messages_go_where_the_program_sends_them(plain: Path) -> None:
    code = """
    import logging, sys
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(levelname)s", stream=sys.stdout)
    from ckpt import Flow
    from ckpt.tasks import FunctionTask
    from ckpt_json import JSONResultHandler

    with Flow("f", result_handler=JSONResultHandler()) as flow:
        FunctionTask(lambda: 1, "t")()
    flow.run()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("ckpt WARNING\n", "")


def test_the_handler_follows_a_storage_that_changes(configure: Configure, memory: Any, plain: Path) -> None:
    flow = flow_of()
    configure(storage="memory")
    assert level(flow)[2] == "MemoryHandler"
    configure(storage=f"file://{plain}/kept")
    assert level(flow)[2] == "LocalResultHandler"
    assert flow.result_handler is None


def test_a_local_handler_without_arguments_writes_below_the_home_folder(plain: Path) -> None:
    flow = flow_of(result_handler=LocalResultHandler(durability="os"))
    safe: Any = flow.run(checkpointing=True).result["t"].safe_value
    assert (Path.home() / ".ckpt/results" / safe.value).is_file()
    assert ckpt.read(safe) == 1
