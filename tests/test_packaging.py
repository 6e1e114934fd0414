"""The wheel holds the library and its commands and works without the workshops; the sdist holds the whole project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKSHOPS = ("benchmarks", "marketplace", "training")
_BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "lookalike-demo"
)
_IMPORT_ALL = """
import importlib, pkgutil, sys
# an editable install of this project would find the modules that the wheel lacks
sys.meta_path = [finder for finder in sys.meta_path if not getattr(finder, "__module__", "").startswith("__editable__")]
sys.path.insert(0, sys.argv[1])
import lookalike
for module in pkgutil.walk_packages(lookalike.__path__, "lookalike."):
    importlib.import_module(module.name)
    print(module.name)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sdist and the wheel, both built from a copy of the project."""
    copy = tmp_path_factory.mktemp("packaging") / "project"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=_LEFT_OUT)
    subprocess.run([sys.executable, "-c", _BUILD], cwd=copy, check=True, capture_output=True)
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> set[str]:
    """The files in the wheel, other than its metadata."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def project_files(*tops: str) -> set[str]:
    """The files below these folders, as paths from the root."""
    return {
        str(path.relative_to(ROOT))
        for top in tops
        for path in (ROOT / top).rglob("*")
        if path.is_file()
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(ROOT).parts)
    }


def is_in_workshop(name: str) -> bool:
    return name.startswith(tuple(f"scripts/{workshop}/" for workshop in WORKSHOPS))


def test_the_wheel_holds_every_module_but_the_workshops(wheel: set[str]) -> None:
    modules = {name for name in project_files("lookalike", "model", "index", "scripts") if name.endswith(".py")}
    shipped = {name for name in modules if not is_in_workshop(name)}
    assert len(modules) > len(shipped) > 100
    expected = {name if name.startswith("lookalike/") else f"lookalike/{name}" for name in shipped}
    assert {name for name in wheel if name.endswith(".py")} == expected


def test_the_wheel_holds_all_data_and_nothing_else(wheel: set[str]) -> None:
    data = {name for name in project_files("lookalike", "model", "index") if not name.endswith(".py")}
    expected = {name if name.startswith("lookalike/") else f"lookalike/{name}" for name in data}
    assert {name for name in wheel if not name.endswith(".py")} == expected - {"lookalike/sample/report.png"}


def test_the_sdist_holds_the_whole_project(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as file:
        names = {member.name.partition("/")[2] for member in file if member.isfile()}
    project = project_files("docs", "index", "lookalike", "model", "notebooks", "scripts", "tests")
    assert project - names == set()
    assert {"LICENSE", "MANIFEST.in", "Makefile", "README.md", "pyproject.toml", ".pre-commit-config.yaml"} <= names


def test_every_module_of_the_wheel_imports_without_the_workshops(dist: Path, tmp_path: Path, wheel: set[str]) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as file:
        file.extractall(tmp_path)
    command = [sys.executable, "-c", _IMPORT_ALL, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {name.replace(".", "/") for name in done.stdout.split()}
    assert imported | {"lookalike"} == {
        name.removesuffix(".py").removesuffix("/__init__") for name in wheel if name.endswith(".py")
    }
