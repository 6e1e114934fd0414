"""The command `lookalike`: its sub-commands are the files in this folder, grouped by what a person wants."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from typer.core import TyperGroup

from lookalike.scripts.command import add_command, new_app, run_app

PANELS = {
    "Start": ("demo",),
    "Index": ("build", "add", "remove", "compact", "info"),
    "Look": ("scan", "rescan", "recheck", "check", "explain"),
    "Thresholds": ("tune", "policy", "evaluate", "monitor"),
    "Evidence and cases": ("shortlist", "report", "bundle", "cases", "history", "stats"),
    "Measure": ("models", "bench"),
}
COMMANDS = tuple(name for names in PANELS.values() for name in names)


class _InOrder(TyperGroup):
    """Lists the commands in the order of the panels."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)


def main(argv: list[str] | None = None) -> int:
    """Run `lookalike` with these arguments (by default the command line's) and return the exit status."""
    app = new_app(
        cls=_InOrder, help="Finds look-alike listings: genuine photos go into an index, listings are looked up in it."
    )
    for panel, names in PANELS.items():
        for name in names:
            add_command(app, importlib.import_module(f"lookalike.scripts.{name}"), panel)
    return run_app(app, argv or sys.argv[1:] or ["--help"], "lookalike")
