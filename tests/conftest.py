"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# Before anything imports them: these files hold assertions and are no test files by name.
pytest.register_assert_rewrite("tests.contracts.directory", "tests.contracts.engines", "tests.contracts.store")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set nothing may be skipped: a missing program is a failure there."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
