"""The command `lookalike`: its sub-commands are the files in this folder, grouped by what a person wants."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

PANELS = {
    "Start": ("demo",),
    "Index": ("build", "add", "remove", "compact", "info"),
    "Look": ("scan", "rescan", "recheck", "check", "explain"),
    "Thresholds": ("tune", "policy", "evaluate", "monitor"),
    "Evidence and cases": ("shortlist", "report", "bundle", "cases", "history", "stats"),
    "Measure": ("models", "bench"),
}
COMMANDS = tuple(name for names in PANELS.values() for name in names)


def main(argv: list[str] | None = None) -> int:
    """Run `lookalike` with these arguments (by default the command line's) and return the exit status."""
    try:
        from lookalike.scripts.command import run_app
    except KeyboardInterrupt:  # these are the first heavy imports
        print("interrupted", file=sys.stderr)  # noqa: T201 - nothing is loaded
        return 130
    return run_app(_app, argv or sys.argv[1:] or ["--help"], "lookalike")


def _app() -> typer.Typer:
    from lookalike.scripts.command import add_command, in_order, new_app

    app = new_app(
        cls=in_order(COMMANDS),
        help="Finds look-alike listings: genuine photos go into an index, listings are looked up in it.",
    )
    for panel, names in PANELS.items():
        for name in names:
            add_command(app, importlib.import_module(f"lookalike.scripts.{name}"), panel)
    return app
