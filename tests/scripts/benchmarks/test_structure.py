"""A checkout is counted as it is written, and its imports are those that import-linter sees."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import grimp
import pytest

from lookalike.scripts.benchmarks.structure import Room, import_graph, main, read_modules, structure_of

ROOT = Path(__file__).parents[3]

PYPROJECT = """
[tool.setuptools]
packages = ["thing", "thing.part", "thing.far"]
package-dir = {"thing.far" = "far"}

[[tool.importlinter.contracts]]
name = "floors"
type = "layers"
layers = ["far", "part"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package with a cycle through a function's import, a workshop, and an import for type checkers only."""
    files = {
        "pyproject.toml": PYPROJECT,
        "thing/__init__.py": '"""A thing."""\n',
        "thing/part/__init__.py": "",
        "thing/part/one.py": '''"""One,
over two lines."""

from typing import TYPE_CHECKING

from . import two  # a comment

if TYPE_CHECKING:
    from thing.far.away import Away

# only a comment
TEXT = """a string
that is code"""
''',
        "thing/part/two.py": "def call():\n    from thing.far import away\n\n    return away\n",
        "far/__init__.py": "",
        "far/away.py": "import thing.part.one\n\n\nclass Away:\n    def long(self):\n" + "        x = 1\n" * 50,
        "far/workshop/made.py": "from thing.far.away import Away\n",
        "tests/test_thing.py": "pass\n" * 351,
        ".venv/lib/skipped.py": "pass\n",
        "build/skipped.py": "pass\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "thing" / "far").symlink_to("../far")
    return tmp_path


def test_counts_modules_and_lines_by_folder(checkout: Path) -> None:
    found = structure_of(checkout)
    assert {room.folder: room.modules for room in found.rooms} == {
        "far": 2, "far/workshop": 1, "tests": 1, "thing": 1, "thing/part": 3,
    }  # fmt: skip
    part = next(room for room in found.rooms if room.folder == "thing/part")
    assert part == Room("thing/part", modules=3, code=6 + 3, lines=13 + 4)
    assert found.wheel == Room("wheel", modules=6, code=9 + 53, lines=1 + 17 + 55)
    assert found.layers == {"floors": 2}


def test_finds_cycles_through_functions_but_not_through_imports_for_type_checkers(checkout: Path) -> None:
    assert structure_of(checkout).cycles == [["thing.far.away", "thing.part.one", "thing.part.two"]]
    one = checkout / "thing/part/one.py"
    one.write_text(one.read_text(encoding="utf-8").replace("from . import two", "import json"), encoding="utf-8")
    assert structure_of(checkout).cycles == []


def test_names_what_is_too_long(checkout: Path) -> None:
    found = structure_of(checkout)
    assert found.long_functions == {"far/away.py:5 long": 51}
    assert found.long_modules == {"tests/test_thing.py": 351}


def test_prints_text_or_json(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(checkout)]) == 0
    text = capsys.readouterr().out
    assert "2 layers in the contract 'floors'" in text
    assert "import cycles: 1" in text and "far/away.py:5 long" in text
    assert main([str(checkout), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wheel"]["modules"] == 6


def test_refuses_a_folder_that_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "holds no pyproject.toml; name the root of a checkout" in capsys.readouterr().err


def test_sees_the_imports_that_import_linter_sees() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    ours = import_graph(list(read_modules(ROOT)), setuptools)
    theirs = grimp.build_graph("lookalike", cache_dir=None, exclude_type_checking_imports=True)
    assert set(ours.nodes) == theirs.modules
    assert set(ours.edges) == {
        (name, other) for name in theirs.modules for other in theirs.find_modules_directly_imported_by(name)
    }
