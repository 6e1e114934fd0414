"""Settings come from a file, the environment and options, the latter ones first; a wrong one is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike.errors import LookalikeError
from lookalike.service.settings import Settings, read_settings

NEEDED = {"index": "i", "keys": "k", "state": "s"}


def test_options_come_before_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "serve.toml"
    config.write_text('index = "file"\nkeys = "file"\nstate = "file"\nport = 1\nschemes = ["http", "https"]\n')
    monkeypatch.setenv("LOOKALIKE_KEYS", "environment")
    monkeypatch.setenv("LOOKALIKE_PORT", "2")
    monkeypatch.setenv("LOOKALIKE_HOSTS", "a.example, b.example")
    settings = read_settings(config, port="3", policy=None)
    assert (settings.index, settings.keys, settings.port) == ("file", Path("environment"), 3)
    assert settings.schemes == {"http", "https"} and settings.hosts == {"a.example", "b.example"}


def test_by_default_only_https_and_public_addresses_are_read_and_no_files() -> None:
    access = read_settings(**NEEDED).reader.access
    assert (access.schemes, access.private, access.local) == (frozenset({"https"}), False, False)


def test_a_photo_takes_no_longer_than_its_listing_may() -> None:
    settings = read_settings(**NEEDED, photo_seconds=20, deadline_seconds=5)
    assert settings.reader.access.timeout == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "the setting index can't be used: Field required"),
        ({**NEEDED, "port": 99999}, "the setting port can't be used"),
        ({**NEEDED, "queue": 0}, "the setting queue can't be used"),
        ({**NEEDED, "colour": "red"}, "the setting colour can't be used: Extra inputs are not permitted"),
        ({**NEEDED, "deadline_seconds": "soon"}, "the setting deadline_seconds can't be used"),
    ],
)
def test_a_wrong_setting_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(LookalikeError) as caught:
        read_settings(**options)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match="there is no file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "serve.toml").write_text("index =")
    with pytest.raises(LookalikeError, match=r"serve.toml is not TOML"):
        read_settings(tmp_path / "serve.toml")


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []
