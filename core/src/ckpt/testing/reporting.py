"""What the suites of a session came to: a level for each, shown at the end and written as JSON.

The facts of a test travel on its report, so they arrive from worker processes too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypedDict, cast

import pytest

from ckpt import __version__

__all__ = ["NAME", "Answer", "Facts", "Reporter", "reporter"]

NAME: Final = "ckpt.testing"

Outcome = Literal["passed", "failed", "not asked", "does not apply", "expected to fail"]

_WORST: Final[tuple[Outcome, ...]] = ("failed", "expected to fail", "not asked", "does not apply", "passed")
"""A test with many cases is worth what the worst of them is worth."""


class Answer(TypedDict):
    """An answer that is right, and that a reader should know of."""

    kind: str
    what: str
    why: str


class Facts(TypedDict):
    """What a test of the kit says of itself."""

    suite: str
    kit: str
    test: str
    level: str
    tests: list[str]
    overridden: str | None
    skipped: Literal["not asked", "does not apply"] | None
    answers: list[Answer]


@dataclass(slots=True)
class _Asked:
    level: str
    outcome: Outcome
    reasons: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)


@dataclass(slots=True)
class _Outcome:
    """One subclass of the kit."""

    kit: str
    tests: list[str]
    asked: dict[str, _Asked] = field(default_factory=dict)

    def level(self) -> str:
        """The highest level of which, and of those below it, nothing is missing; `"none"` without the first."""
        from ckpt.testing.suites import LEVELS

        if set(self.asked) != set(self.tests):
            return "none"
        reached = "none"
        for level in LEVELS:
            if any(
                each.level == level and each.outcome not in ("passed", "does not apply") for each in self.asked.values()
            ):
                break
            reached = level
        return reached

    def named(self, outcome: Outcome) -> list[str]:
        return sorted(name for name, each in self.asked.items() if each.outcome == outcome)

    def reasons(self, outcome: Outcome) -> dict[str, list[str]]:
        """The tests of that outcome, under each reason."""
        found: dict[str, list[str]] = {}
        for name in self.named(outcome):
            for reason in sorted(self.asked[name].reasons) or [""]:
                found.setdefault(reason, []).append(name)
        return found

    def to_dict(self) -> dict[str, object]:
        return {
            "kit": self.kit,
            "level": self.level(),
            "tests": {
                name: {
                    "level": each.level,
                    "outcome": each.outcome,
                    "reasons": sorted(each.reasons),
                    "answers": each.answers,
                }
                for name, each in sorted(self.asked.items())
            },
            "not_run": sorted(set(self.tests) - set(self.asked)),
        }


class Reporter:
    """A pytest plugin that the first suite registers; `file` is what `--ckpt-report` says."""

    def __init__(self, file: str | None = None) -> None:
        self.file = file
        self._suites: dict[str, _Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = cast("Facts | None", dict(report.user_properties).get(NAME))
        if facts is None:
            return
        outcome = _outcome(report, facts)
        if outcome is None:
            return
        suite = self._suites.setdefault(facts["suite"], _Outcome(facts["kit"], facts["tests"]))
        asked = suite.asked.setdefault(facts["test"], _Asked(facts["level"], outcome))
        asked.outcome = min(asked.outcome, outcome, key=_WORST.index)
        if outcome == "expected to fail":
            asked.reasons.add(str(getattr(report, "wasxfail", "") or facts["overridden"] or ""))
        elif report.skipped and isinstance(report.longrepr, tuple):
            said = str(report.longrepr[2]).removeprefix("Skipped: ")
            asked.reasons.add(said.removeprefix(f"{facts['skipped']}: "))
        asked.answers += [answer for answer in facts["answers"] if answer not in asked.answers]

    def pytest_sessionfinish(self) -> None:
        if self.file is not None:
            suites = {name: outcome.to_dict() for name, outcome in self._suites.items()}
            told = {"ckpt": __version__, "suites": suites}
            Path(self.file).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._suites:
            return
        terminalreporter.section("ckpt conformance")
        for name, outcome in self._suites.items():
            for line in _lines(name, outcome):
                terminalreporter.write_line(line)
        if self.file is not None:
            terminalreporter.write_line(f"written to {self.file}")


def reporter(config: pytest.Config) -> Reporter:
    """The reporter of this session, registered now where `ckpt.testing.plugin` is not loaded."""
    found = config.pluginmanager.get_plugin(NAME)
    if found is None:
        found = Reporter()
        config.pluginmanager.register(found, NAME)
    return cast("Reporter", found)


def _outcome(report: pytest.TestReport, facts: Facts) -> Outcome | None:
    """What a report adds; None where the phases after it will say."""
    if hasattr(report, "wasxfail"):
        # Also where it passed: an override says nothing of the kit's own test.
        return "expected to fail"
    if report.failed:
        return "failed"
    if report.skipped:
        return facts["skipped"] or "not asked"
    if report.when != "call":
        return None
    return "expected to fail" if facts["overridden"] else "passed"


def _lines(name: str, outcome: _Outcome) -> list[str]:
    lines = [f"{name} ({outcome.kit}): level {outcome.level()}, {len(outcome.named('passed'))} passed"]
    lines += [f"  failed: {test}" for test in outcome.named("failed")]
    kinds: tuple[Outcome, ...] = ("expected to fail", "not asked", "does not apply")
    for kind in kinds:
        for reason, tests in outcome.reasons(kind).items():
            lines.append(f"  {kind}: {', '.join(tests)}: {reason}")
    answers: dict[str, dict[str, None]] = {}
    for each in outcome.asked.values():
        for answer in each.answers:
            answers.setdefault(answer["kind"], {})[answer["what"]] = None
    lines += [f"  {kind}: {', '.join(found)}" for kind, found in answers.items()]
    if missing := sorted(set(outcome.tests) - set(outcome.asked)):
        lines.append(f"  not run, so there is no level: {', '.join(missing)}")
    return lines
