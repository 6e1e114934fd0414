"""A key is shown once; the file holds its hash, for its owner alone."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from lookalike.errors import LookalikeError
from lookalike.service.keys import Key, Keys, add_key, remove_key


def test_the_file_holds_hashes_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "gateway", ["review", "check"])
    assert len(key) > 40 and key not in path.read_text()
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    assert json.loads(path.read_text()) == {"gateway": {"sha256": sha256, "scopes": ["check", "review"]}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_key_is_found_by_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = {name: add_key(path, name, ["check"]) for name in ("a", "b", "c")}
    keys = Keys.read(path)
    assert [keys.find(key) for key in made.values()] == [Key(name, frozenset({"check"})) for name in made]
    sha256 = json.loads(path.read_text())["a"]["sha256"]
    assert [keys.find(other) for other in ("", "x", sha256, "\udcff", made["a"][:-1])] == [None] * 5


def test_a_new_key_replaces_the_old_one_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old, new = add_key(path, "a", ["check"]), add_key(path, "a", [])
    assert Keys.read(path).find(old) is None
    assert Keys.read(path).find(new) == Key("a", frozenset())
    remove_key(path, "a")
    assert Keys.read(path).find(new) is None


@pytest.mark.parametrize(("name", "scopes"), [("a", ["everything"]), ("", ["check"]), ("a\nb", []), ("a" * 101, [])])
def test_refuses_scopes_that_there_are_not_and_odd_names(tmp_path: Path, name: str, scopes: list[str]) -> None:
    with pytest.raises(LookalikeError):
        add_key(tmp_path / "keys.json", name, scopes)
    assert not (tmp_path / "keys.json").exists()


def test_removing_a_key_that_there_is_not_says_which_there_are(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json", "gateway", [])
    with pytest.raises(LookalikeError, match="no key 'other'; it has gateway"):
        remove_key(tmp_path / "keys.json", "other")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": 1}', '{"a": {"sha256": "00", "scopes": []}}', "[" * 10_000,
             '{"a": {"sha256": "%s", "scopes": ["root"]}}' % ("0" * 64)],
)  # fmt: skip
def test_a_file_that_holds_no_keys_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(LookalikeError, match="is no file of keys"):
        Keys.read(tmp_path / "keys.json")


def test_a_file_that_is_missing_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match="make one with: lookalike serve keys add"):
        Keys.read(tmp_path / "keys.json")
