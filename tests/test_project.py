"""What the project promises about itself: floors, names, style, packaging, documentation."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lookalike
from lookalike.scripts.benchmarks.structure import structure_of
from lookalike.scripts.cli import COMMANDS, module_of

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "command",
    [["lint-imports", "--no-cache"], ["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"]],
)
def test_style_and_floors_hold(command: list[str]) -> None:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_types_hold() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert structure_of(ROOT).cycles == []


def test_exports_are_the_public_names() -> None:
    # sub-modules become attributes once imported, and lazy_loader is how names load
    modules = {path.stem for path in (ROOT / "lookalike").iterdir()}
    public = {name for name in vars(lookalike) if not name.startswith("_")} - modules - {"lazy_loader"}
    assert sorted(lookalike.__all__) == lookalike.__all__
    assert [name for name in lookalike.__all__ if not hasattr(lookalike, name)] == []
    assert public <= set(lookalike.__all__)
    assert not modules & set(lookalike.__all__), "an export would hide a module of its name"


def test_import_loads_no_heavy_package() -> None:
    heavy = {"torch", "faiss", "open_clip", "pyarrow", "sklearn", "pydantic"}
    code = f"import sys, lookalike; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


WORKSHOPS = ("benchmarks", "marketplace", "training")


def test_every_shipped_folder_is_a_package_and_only_the_workshops_stay_behind() -> None:
    found = {
        path.parent.relative_to(ROOT)
        for top in ("lookalike", "model", "index", "scripts")
        for path in (ROOT / top).rglob("__init__.py")
    }
    shipped = {folder for folder in found if not set(folder.parts) & set(WORKSHOPS)}
    assert found - shipped >= {Path("scripts", name) for name in WORKSHOPS}
    names = {".".join(("lookalike", *(part for part in folder.parts if part != "lookalike"))) for folder in shipped}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_every_folder_of_python_files_is_a_package() -> None:
    for top in ("lookalike", "model", "index", "scripts"):
        folders = {path.parent for path in (ROOT / top).rglob("*.py")}
        assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("name", ["model", "index"])
def test_the_folders_cannot_be_imported_by_their_bare_name(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"import it by that name, not as '{name}'" in done.stderr


def test_every_command_is_documented() -> None:
    modules = {name: module_of(name) for name in COMMANDS}
    calls = [
        f"lookalike {name} {verb}".strip()
        for name, module in modules.items()
        for verb in getattr(module, "VERBS", [""])
    ]
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    defaults = {f"lookalike {name} {getattr(module, 'DEFAULT', None)}" for name, module in modules.items()}
    assert [call for call in calls if call not in text and call not in defaults] == []
    assert "docs/commands.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_commands_print_through_one_place() -> None:
    """Ruff finds `print` elsewhere."""
    modules = [path for path in (ROOT / "scripts").glob("*.py") if path.name != "terminal.py"]
    others = ("Console(", "echo(", "sys.stdout.write", "sys.stderr.write")
    assert [path.name for path in modules for name in others if name in path.read_text(encoding="utf-8")] == []


def test_the_shipped_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "lookalike" / "sample").rglob("*") if path.is_file()) < 4e6
    assert (ROOT / "model" / "embedded.onnx").stat().st_size < 20e6
