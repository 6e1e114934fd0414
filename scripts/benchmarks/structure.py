"""Count how a checkout is built: rooms, layers, import cycles, lines, long functions and what the wheel holds.

ROOT is any checkout of this project, old or new; it is read as text and never imported. Every Python file below it
counts, except in links and in hidden or generated folders. A line of code is neither blank nor a comment nor part of a
docstring. An import counts wherever it stands, inside functions too, except under `if TYPE_CHECKING`. A cycle is a set
of modules in which each imports every other, directly or through the rest.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import networkx

LONG_FUNCTION, LONG_MODULE = 50, 350
_GENERATED = ("build", "dist", "__pycache__")
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


@dataclass(frozen=True)
class Module:
    """One Python file: its path below the root, all its lines, its lines of code, and its functions' lengths."""

    path: Path
    lines: int
    code: int
    functions: Mapping[str, int]
    tree: ast.Module


@dataclass(frozen=True)
class Room:
    """The Python files that lie directly in a folder."""

    folder: str
    modules: int
    code: int
    lines: int


@dataclass(frozen=True)
class Structure:
    """What was counted. `layers` has an entry for each import-linter contract of layers."""

    rooms: Sequence[Room]
    layers: Mapping[str, int]
    imports: int
    cycles: Sequence[Sequence[str]]
    wheel: Room
    long_functions: Mapping[str, int]
    long_modules: Mapping[str, int]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that holds pyproject.toml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if not (arguments.root / "pyproject.toml").is_file():
        parser.error(f"{arguments.root} holds no pyproject.toml; name the root of a checkout")
    found = structure_of(arguments.root)
    print(json.dumps(asdict(found), indent=1) if arguments.json else text_of(found))
    return 0


def structure_of(root: Path) -> Structure:
    """Count the checkout below `root`."""
    tools = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    modules = list(read_modules(root))
    folders = sorted({each.path.parent for each in modules})
    shipped = {Path(folder) for folder in package_folders(tools["setuptools"]).values()}
    graph = import_graph(modules, tools["setuptools"])
    functions = {f"{each.path}:{name}": n for each in modules for name, n in each.functions.items()}
    contracts = tools.get("importlinter", {}).get("contracts", [])
    return Structure(
        rooms=[_room(str(folder), [each for each in modules if each.path.parent == folder]) for folder in folders],
        layers={each["name"]: len(each["layers"]) for each in contracts if each["type"] == "layers"},
        imports=graph.number_of_edges(),
        cycles=sorted(sorted(each) for each in networkx.strongly_connected_components(graph) if len(each) > 1),
        wheel=_room("wheel", [each for each in modules if each.path.parent in shipped]),
        long_functions=_longest(functions, LONG_FUNCTION),
        long_modules=_longest({str(each.path): each.lines for each in modules}, LONG_MODULE),
    )


def read_modules(root: Path) -> Iterator[Module]:
    """Parse every Python file below `root`."""
    for folder, below, files in os.walk(root):
        below[:] = [
            name for name in below
            if not name.startswith(".") and name not in _GENERATED and not Path(folder, name, "pyvenv.cfg").exists()
        ]  # fmt: skip
        for path in (Path(folder, name) for name in files if name.endswith(".py")):
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
            yield Module(
                path.relative_to(root), len(text.splitlines()), len(_code_lines(text, tree)), _functions(tree), tree
            )


def package_folders(setuptools: Mapping[str, Any]) -> dict[str, str]:
    """The folder of each package that ships, from pyproject.toml's [tool.setuptools]."""
    mapped: Mapping[str, str] = setuptools["package-dir"]
    return {name: mapped.get(name, name.replace(".", "/")) for name in setuptools["packages"]}


def import_graph(modules: Sequence[Module], setuptools: Mapping[str, Any]) -> networkx.DiGraph:
    """Which module of the package imports which, by dotted name."""
    prefixes = {folder: name for name, folder in package_folders(setuptools).items()}
    named: dict[str, Module] = {}
    for each in modules:
        dotted = _dotted(each.path, prefixes)
        if dotted is not None:
            named[dotted] = each
    graph = networkx.DiGraph()
    graph.add_nodes_from(named)
    for name, each in named.items():
        package = name if each.path.name == "__init__.py" else name.rpartition(".")[0]
        graph.add_edges_from((name, other) for other in _imported(each.tree, package, named) if other != name)
    return graph


def _dotted(path: Path, prefixes: Mapping[str, str]) -> str | None:
    """The module's import name: that of the nearest shipped folder above it, and the rest of its path."""
    parts = path.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    for at in range(len(parts), 0, -1):
        if (prefix := prefixes.get("/".join(parts[:at]))) is not None:
            return ".".join((prefix, *parts[at:]))
    return None


def _imported(tree: ast.Module, package: str, known: Mapping[str, object]) -> Iterator[str]:
    """The known modules that a module of this package imports, except for type checkers only."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                candidates = (f"{origin}.{alias.name}", origin)
                yield from [name for name in candidates if name in known][:1]
        else:
            pending += ast.iter_child_nodes(node)


def _code_lines(text: str, tree: ast.Module) -> set[int]:
    """The numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def _functions(tree: ast.Module) -> dict[str, int]:
    """The lines of each function and method, nested ones too, by name and first line."""
    return {
        f"{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _room(folder: str, modules: Sequence[Module]) -> Room:
    return Room(folder, len(modules), sum(each.code for each in modules), sum(each.lines for each in modules))


def _longest(lengths: Mapping[str, int], most: int) -> dict[str, int]:
    return {name: n for name, n in sorted(lengths.items(), key=lambda item: (-item[1], item[0])) if n > most}


def text_of(found: Structure) -> str:
    """The counts as lines to read."""
    width = max(len(room.folder) for room in found.rooms)
    lines = [f"{'folder':{width}}  modules    code   lines"]
    lines += [
        f"{room.folder:{width}}  {room.modules:7,}  {room.code:6,}  {room.lines:6,}"
        for room in (*found.rooms, found.wheel)
    ]
    lines += ["", *(f"{count} layers in the contract {name!r}" for name, count in found.layers.items())]
    lines += [f"{found.imports:,} imports between modules of the package", f"import cycles: {len(found.cycles)}"]
    lines += [f"  {', '.join(cycle)}" for cycle in found.cycles]
    for what, most, lengths in (
        ("functions", LONG_FUNCTION, found.long_functions), ("modules", LONG_MODULE, found.long_modules),
    ):  # fmt: skip
        in_tests = sum(name.startswith("tests") for name in lengths)
        lines += [f"{len(lengths)} {what} of more than {most} lines, {in_tests} of them in tests"]
        lines += [f"  {n:4} {name}" for name, n in lengths.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
