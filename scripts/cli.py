"""The command `lookalike`: its sub-commands are the files in this folder, grouped by what a person wants."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import typer

PANELS = {
    "Start": ("demo",),
    "Index": ("build", "add", "remove", "compact", "info"),
    "Look": ("scan", "rescan", "recheck", "check", "explain"),
    "Thresholds": ("tune", "policy", "evaluate", "monitor", "adapt"),
    "Review": ("review", "verdicts", "shortlist"),
    "Service": ("serve",),
    "Evidence and cases": ("names", "report", "bundle", "cases", "history", "stats"),
    "Measure": ("models", "compare-encoders", "bench"),
}
COMMANDS = tuple(name for names in PANELS.values() for name in names)


def main(argv: list[str] | None = None) -> int:
    """Run `lookalike` with these arguments (by default the command line's) and return the exit status."""
    try:
        from lookalike.scripts.command import run_app
    except KeyboardInterrupt:  # these are the first heavy imports
        print("interrupted", file=sys.stderr)  # noqa: T201 - nothing is loaded
        return 130
    given = argv or sys.argv[1:] or ["--help"]
    # to load the others would take a third of a short command's time
    return run_app(partial(_app, given[:1] if given[0] in COMMANDS else COMMANDS), given, "lookalike")


def _app(commands: Sequence[str]) -> typer.Typer:
    """The application with these commands."""
    from lookalike.scripts.command import add_command, in_order, new_app

    app = new_app(
        cls=in_order(commands),
        help="Finds look-alike listings: genuine photos go into an index, listings are looked up in it.",
    )
    app.callback()(_group)  # without one, typer makes a single command the whole application
    for panel, names in PANELS.items():
        for name in (name for name in names if name in commands):
            add_command(app, module_of(name), panel)
    return app


def _group() -> None:
    pass


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"lookalike.scripts.{command.replace('-', '_')}")
