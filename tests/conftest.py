"""No test reads or writes what its user keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def keep_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have vectors that commands keep from run to run kept there, on whatever platform, by subprocesses as well."""
    patch.setattr("platformdirs.user_cache_path", lambda name: folder / name)
    patch.setenv("XDG_CACHE_HOME", str(folder))


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
