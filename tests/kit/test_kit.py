"""The kit finds what it is for: everything here that is broken in one way is caught by the test made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import kit_broken_handlers
import kit_broken_stores
import pytest
from kit_breakages import BROKEN

HERE = Path(__file__).parent
LOADED = (kit_broken_handlers, kit_broken_stores)
"""Importing them fills `BROKEN`."""

pytestmark = pytest.mark.timeout(300)


def started(report: Path, *arguments: str, plugin: bool = True) -> subprocess.Popen[str]:
    """pytest on its own, as a plugin's author runs it."""
    written = ["-p", "ckpt.testing.plugin", "--ckpt-report", str(report)] if plugin else []
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "no:cacheprovider", *written, *arguments],
        cwd=HERE,
        # Without CI: there pytest cuts nothing short, and hundreds of failures are told in megabytes.
        env={name: value for name, value in os.environ.items() if name != "CI"} | {"PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the kit found in all that is right and all that is broken; and under "output" what it printed."""
    folder = tmp_path_factory.mktemp("reports")
    names = ["kit_suites", "kit_broken_store_suites", "kit_broken_handler_suites"]
    shown = ["short", "short", "no"]  # tracebacks of hundreds of failures take their time
    runs = [
        started(folder / f"{n}.json", f"{n}.py", f"--tb={tb}", f"--basetemp={folder / n}")
        for n, tb in zip(names, shown, strict=True)
    ]
    output = [run.communicate()[0] for run in runs]
    for run, code, said in zip(runs, [0, 1, 1], output, strict=True):
        assert run.returncode == code, said[-20_000:]
    found: dict[str, Any] = {"output": "".join(output)}
    for name in names:
        suites = json.loads((folder / f"{name}.json").read_text("utf-8"))["suites"]
        found |= {suite.rpartition("::")[2]: told for suite, told in suites.items()}
    return found


def failed(told: dict[str, Any]) -> set[str]:
    return {name for name, test in told["tests"].items() if test["outcome"] == "failed"}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_each_breakage_is_caught_by_the_test_made_for_it_and_by_no_other(kind: type, reports: dict[str, Any]) -> None:
    must, may = BROKEN[kind]
    told = reports[f"Test{kind.__name__}"]
    assert failed(told) - may == must - may
    assert must <= failed(told)
    assert told["level"] != "proven"


@pytest.mark.parametrize("name", ["TestRemoteStore", "TestRemoteHandler"])
def test_what_keeps_every_promise_is_proven(name: str, reports: dict[str, Any]) -> None:
    assert reports[name]["level"] == "proven"
    assert {test["outcome"] for test in reports[name]["tests"].values()} <= {"passed", "does not apply"}
    assert reports[name]["not_run"] == []


def test_what_was_not_asked_is_told(reports: dict[str, Any]) -> None:
    told = reports["TestTwoMethods"]
    assert told["level"] == "complete"
    reasons = {
        reason for test in told["tests"].values() if test["outcome"] == "not asked" for reason in test["reasons"]
    }
    assert reasons == {
        f"give the fixture `{name}` to have it asked" for name in ("raw", "refused", "secret", "unreachable")
    }
    assert "TestTwoMethods (ResultHandlerTests): level complete" in reports["output"]
    assert "test_a_secret_is_not_told: give the fixture `secret` to have it asked" in reports["output"]


def test_right_answers_that_a_reader_should_know_of_are_listed(reports: dict[str, Any]) -> None:
    answers = reports["TestRemoteStore"]["tests"]["test_odd_keys_never_meet"]["answers"]
    refused = {answer["what"]: answer["why"] for answer in answers if answer["kind"] == "keys refused"}
    assert refused["''"] == "a key has 1 to 900 characters, not 0"
    assert "keys refused: " in reports["output"]


def test_a_failed_test_of_the_kit_shows_what_it_compared(reports: dict[str, Any]) -> None:
    assert "assert b'' == b'first'" in reports["output"] or "AssertionError: assert 0 == 5" in reports["output"]
    assert "where 0 = ObjectInfo(" in reports["output"]


MINIMAL = """
    import pytest
    from kit_remote import RemoteHandler, Server, TOKEN
    from ckpt.testing import ResultHandlerTests

    class TestMine(ResultHandlerTests):
        @pytest.fixture
        def handler(self, tmp_path, monkeypatch):
            monkeypatch.setenv("REFERENCE_TOKEN", TOKEN)
            server = Server(str(tmp_path / "s"))
            yield RemoteHandler(server.path)
            server.close()
"""


def ran(folder: Path, more: str, *arguments: str, plugin: bool = True) -> tuple[str, dict[str, Any]]:
    """Run the smallest suite with `more` in it; what it printed, and what the report says of it."""
    (folder / "test_mine.py").write_text(textwrap.dedent(MINIMAL) + textwrap.indent(textwrap.dedent(more), "    "))
    alone = ["-c", os.devnull, f"--confcutdir={folder}", str(folder / "test_mine.py")]
    output, _ = started(folder / "report.json", *alone, *arguments, plugin=plugin).communicate()
    report = folder / "report.json"
    suites = json.loads(report.read_text("utf-8"))["suites"] if report.exists() else {}
    return output, next(iter(suites.values()), {})


@pytest.mark.parametrize(
    "override",
    [
        "def test_a_write_replaces(self): pass",
        "test_a_write_replaces = None",
        "@pytest.mark.skip\ndef test_a_write_replaces(self): pass",
        "@pytest.mark.xfail\ndef test_a_write_replaces(self): pass",
        "@pytest.mark.xfail(reason=' ')\ndef test_a_write_replaces(self): pass",
    ],
)
def test_silent_overriding_is_refused(tmp_path: Path, override: str) -> None:
    output, told = ran(tmp_path, override)
    assert "TestMine.test_a_write_replaces overrides a test of the conformance kit" in output
    assert "xfail(reason=" in output
    assert told == {}


def test_an_override_from_a_mixin_is_refused_too(tmp_path: Path) -> None:
    mixin = """
    class Mixin:
        def test_a_write_replaces(self): pass
    class TestOther(Mixin, TestMine): pass
    """
    (tmp_path / "test_other.py").write_text(textwrap.dedent(MINIMAL) + textwrap.dedent(mixin))
    output, _ = started(tmp_path / "report.json", "-c", os.devnull, str(tmp_path / "test_other.py")).communicate()
    assert "TestOther.test_a_write_replaces overrides a test of the conformance kit" in output


def test_an_override_with_a_reason_is_listed_and_never_counts(tmp_path: Path) -> None:
    override = """
    @pytest.mark.xfail(reason="the storage keeps the first value", strict=False)
    def test_a_write_replaces(self, handler, place): pass

    @pytest.mark.xfail(reason="no locks there")
    def test_odd_keys_never_meet(self, handler): assert False
    """
    output, told = ran(tmp_path, override, "-k", "not process and not killed")
    assert told["tests"]["test_a_write_replaces"]["outcome"] == "expected to fail"
    assert told["tests"]["test_odd_keys_never_meet"]["reasons"] == ["no locks there"]
    assert "expected to fail: test_a_write_replaces: the storage keeps the first value" in output
    assert told["level"] == "none"


def test_a_suite_that_was_not_run_in_full_has_no_level(tmp_path: Path) -> None:
    output, told = ran(tmp_path, "", "-k", "test_a_write_replaces")
    assert told["tests"].keys() == {"test_a_write_replaces"}
    assert told["level"] == "none"
    assert "not run, so there is no level: " in output


def test_one_fixture_is_enough_and_nothing_has_to_be_loaded(tmp_path: Path) -> None:
    output, told = ran(tmp_path, "", "-k", "test_a_write_replaces or plain_json", plugin=False)
    assert told == {}
    assert "TestMine (ResultHandlerTests): level none, 3 passed" in output


def test_numpy_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['numpy'] = None\n")
    output, _ = ran(tmp_path, "large = 1 << 16", "-v", "-k", "comes_back_the_same", plugin=False)
    assert "test_a_value_comes_back_the_same[lambda] PASSED" in output
    assert "FAILED" not in output
    assert "array: float64" not in output


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("does_not_apply = {'secrets': 'none here'}", "'secrets', but the optional fixtures are missing, raw, refused"),
        ("does_not_apply = {'secret': ''}", "gives no reason for secret"),
    ],
)
def test_what_does_not_apply_is_named_right_and_has_a_reason(tmp_path: Path, attribute: str, message: str) -> None:
    output, _ = ran(tmp_path, attribute)
    assert message in output


def test_a_reason_why_something_does_not_apply_is_printed(tmp_path: Path) -> None:
    output, told = ran(tmp_path, "does_not_apply = {'secret': 'no credentials here'}", "-k", "secret_is_not_told")
    assert told["tests"]["test_a_secret_is_not_told"]["outcome"] == "does not apply"
    assert "does not apply: test_a_secret_is_not_told: no credentials here" in output
