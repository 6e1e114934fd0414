"""How a command runs: errors become one line on stderr, and the exit status says what happened.

Examples:
"""

from __future__ import annotations

import ctypes
import inspect
import os
import sqlite3
import sys
import warnings
from collections.abc import Callable
from dataclasses import fields
from enum import IntEnum
from functools import wraps
from inspect import cleandoc
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup

from lookalike.errors import LookalikeError, PolicyWarning
from lookalike.scripts.terminal import errors

_M_ARENA_MAX = -8  # malloc.h
_EXAMPLES = "\n\nExamples:\n"
_UsageError: Any = typer.BadParameter.__base__  # Typer has replaced the framework below it once; this still holds


class Exit(IntEnum):
    """The exit status of a command."""

    DONE = 0
    SOME_ROWS_FAILED = 1
    WRONG_CALL = 2
    INTERRUPTED = 130


class Options:
    """Options that belong together: a frozen dataclass that inherits from this, each field an option.

    A command takes the group as one parameter and its user gives the options one by one.
    """


class _Verbs(TyperGroup):
    """Sub-commands of a command. If no verb is named, the command's `default` one runs."""

    default: str | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default verb before arguments that name none."""
        if self.default and args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def new_app(**settings: Any) -> typer.Typer:
    """A Typer application with this project's settings."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, **settings)


def add_command(app: typer.Typer, module: ModuleType, panel: str | None = None) -> None:
    """Add the command of a module, named after its file: the function of that name, or a group of its `VERBS`.

    The docstring is the help text; lines after "Examples:" are shown below the options. Without a verb, the group runs
    the module's `DEFAULT` one.
    """
    name = _name(module)
    if hasattr(module, "VERBS"):
        app.add_typer(_group(module), name=name, rich_help_panel=panel)
        return
    text, examples = _help(module.__doc__)
    app.command(name, help=text, epilog=examples, rich_help_panel=panel)(_guarded(getattr(module, name)))


def run(name: str, argv: list[str] | None = None) -> int:
    """Run the command of one module (its `__name__`) alone, as `python scripts/NAME.py` does."""
    module = sys.modules[name]
    if hasattr(module, "VERBS"):
        app = _group(module)
    else:
        app = new_app()
        add_command(app, module)
    return run_app(app, argv, _name(module))


def _group(module: ModuleType) -> typer.Typer:
    """The verbs of a command, each with its own options."""
    kind = type("Verbs", (_Verbs,), {"default": getattr(module, "DEFAULT", None)})
    text, examples = _help(module.__doc__)
    group = new_app(cls=kind, help=text, epilog=examples, no_args_is_help=True)
    verbs: dict[str, Callable[..., int]] = module.VERBS
    for verb, command in verbs.items():
        text, examples = _help(command.__doc__)
        group.command(verb, help=text, epilog=examples)(_guarded(command))
    return group


def _name(module: ModuleType) -> str:
    return Path(str(module.__file__)).stem


def run_app(app: typer.Typer, argv: list[str] | None, name: str) -> int:
    """Run an application with these arguments (by default the command line's) and return the exit status."""
    _share_one_arena()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", PolicyWarning)
            warnings.showwarning = _one_line  # type: ignore[assignment]
            status = app(argv, prog_name=name, standalone_mode=False)
    except _UsageError as error:
        path = error.ctx.command_path if error.ctx else name
        errors.print(f"{error.format_message().rstrip('.')}; see {path} --help", markup=False)
        return Exit.WRONG_CALL
    except typer.Abort:
        return Exit.INTERRUPTED
    return status if isinstance(status, int) else Exit.DONE


def _guarded(command: Callable[..., int]) -> Callable[..., None]:
    """The command with errors as one line, ending with its exit status, and each option of a group by itself."""
    own = inspect.signature(command, eval_str=True).parameters
    groups = {name: each.annotation for name, each in own.items() if _is_group(each.annotation)}

    @wraps(command)
    def guarded(**options: Any) -> None:
        try:
            for name, group in groups.items():
                options[name] = group(**{each.name: options.pop(each.name) for each in fields(group)})
            status = command(**options)
        except BrokenPipeError:
            # whatever read our output is gone; keep Python from complaining about it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = Exit.DONE
        except (LookalikeError, OSError, sqlite3.OperationalError) as error:
            # the last two: a full disk, missing permissions, a folder in place of a file
            errors.print(str(error), markup=False)
            status = Exit.WRONG_CALL
        except KeyboardInterrupt:
            errors.print("interrupted; run the same command again to resume", markup=False)
            status = Exit.INTERRUPTED
        raise typer.Exit(status)

    shown = [each for name, one in own.items() for each in (_members(groups[name]) if name in groups else [one])]
    guarded.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in shown
    ])  # fmt: skip
    guarded.__annotations__ = {each.name: each.annotation for each in shown}
    return guarded


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Options)


def _members(group: type[Any]) -> list[inspect.Parameter]:
    """The fields of a group of options as parameters."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(group)
    ]


def _help(doc: str | None) -> tuple[str, str | None]:
    """The help text of a docstring, and its examples, which the terminal must not reflow."""
    text, _, examples = cleandoc(doc or "").partition(_EXAMPLES)
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    if not examples:
        return text, None
    return text, "\b\nExamples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())


def _one_line(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning of this library as one line on stderr; other warnings are for developers."""
    if issubclass(category, PolicyWarning):
        errors.print(f"warning: {message}", markup=False)


def _share_one_arena() -> None:
    """Have all threads allocate from one arena: glibc's eight per core keep some 80 MB that nobody uses."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
