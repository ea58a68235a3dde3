"""`-p ckpt.testing.plugin` adds `--ckpt-report FILE`; without it the levels are shown, and not written anywhere."""

from __future__ import annotations

import pytest

from ckpt.testing.reporting import NAME, Reporter

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("ckpt").addoption(
        "--ckpt-report", metavar="FILE", default=None, help="write what the conformance kit found to FILE, as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the reporter, in the process that gathers the reports."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config.getoption("--ckpt-report")), NAME)
