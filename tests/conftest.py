"""No test reads or writes what its user keeps, and what is skipped is said in a line for each reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(report.longrepr[2] for report in terminalreporter.getreports("skipped"))
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{count} {reason.removeprefix('Skipped: ')}")


def keep_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have what commands keep from run to run kept there, on whatever platform, by subprocesses as well."""
    patch.setattr("platformdirs.user_cache_path", lambda name: folder / name)
    patch.setenv("XDG_CACHE_HOME", str(folder))
    patch.setattr("platformdirs.user_state_path", lambda name: folder / "state" / name)
    patch.setenv("XDG_STATE_HOME", str(folder / "state"))


@pytest.fixture(scope="session", autouse=True)
def cache_of_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For what fixtures of modules run."""
    with pytest.MonkeyPatch.context() as patch:
        keep_in(tmp_path_factory.mktemp("cache"), patch)
        yield


@pytest.fixture(autouse=True)
def cache_of_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each test one of its own."""
    keep_in(tmp_path / "cache", monkeypatch)
