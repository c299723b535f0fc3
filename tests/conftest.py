"""Options and fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

# One profile for all laws. Neither deadlines nor health checks: both depend on what else the machine is doing.
settings.register_profile("netdsl", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("netdsl")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files again")
    parser.addoption("--programs", type=int, default=308, help="how many generated programs are compared")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder as the working directory, with the files that the test's module names: `FILES = {name: text}`."""
    for name, text in request.module.FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many generated programs were compared, where some were."""
    reports = terminalreporter.getreports("passed")
    compared = sum(int(str(value)) for r in reports for name, value in r.user_properties if name == "compared")
    if compared:
        terminalreporter.write_line(f"{compared:,} generated programs were compared")
