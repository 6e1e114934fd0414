"""How a function becomes a command: its options, its help, and the application that runs it."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import wraps
from inspect import cleandoc
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup

from lookalike.allocator import share_arenas
from lookalike.errors import PolicyWarning
from lookalike.scripts.outcome import Exit as Exit
from lookalike.scripts.outcome import outcome
from lookalike.scripts.terminal import note, prepare_streams

_EXAMPLES = "\n\nExamples:\n"
_UsageError: Any = typer.BadParameter.__base__  # Typer has replaced the framework below it once; this still holds


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


def in_order(names: Sequence[str]) -> type[TyperGroup]:
    """A group that lists its commands in this order."""

    class InOrder(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return list(names)

    return InOrder


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
    command = getattr(module, name.replace("-", "_"))
    app.command(name, help=text, epilog=examples, rich_help_panel=panel)(_spread(command))


def run(name: str, argv: list[str] | None = None) -> int:
    """Run the command of one module (its `__name__`) alone, as `python scripts/NAME.py` does."""
    module = sys.modules[name]

    def make() -> typer.Typer:
        if hasattr(module, "VERBS"):
            return _group(module)
        app = new_app()
        add_command(app, module)
        return app

    return run_app(make, argv, _name(module))


def _group(module: ModuleType) -> typer.Typer:
    """The verbs of a command, each with its own options."""
    kind = type("Verbs", (_Verbs,), {"default": getattr(module, "DEFAULT", None)})
    text, examples = _help(module.__doc__)
    group = new_app(cls=kind, help=text, epilog=examples, no_args_is_help=True)
    verbs: dict[str, Callable[..., int]] = module.VERBS
    for verb, command in verbs.items():
        text, examples = _help(command.__doc__)
        group.command(verb, help=text, epilog=examples)(_spread(command))
    return group


def _name(module: ModuleType) -> str:
    return Path(str(module.__file__)).stem.replace("_", "-")


def run_app(make: Callable[[], typer.Typer], argv: list[str] | None, name: str) -> int:
    """Make an application and run it with these arguments (by default the command line's); return the exit status."""
    _share_the_cores()
    prepare_streams()

    def call() -> int:
        with _telling():
            command = typer.main.get_command(make())
            try:
                with command.make_context(name, list(sys.argv[1:] if argv is None else argv)) as context:
                    return int(command.invoke(context))
            except typer.Exit as ended:  # the help was asked for
                return ended.exit_code
            except _UsageError as error:
                path = error.ctx.command_path if error.ctx else name
                message = " ".join(error.format_message().split()).rstrip(".")
                note(f"{message}; see {path} --help", quiet=not message)  # without arguments, the help was printed
                return Exit.WRONG_CALL

    return outcome(call)


def _spread(command: Callable[..., int]) -> Callable[..., int]:
    """The command with each option of a group by itself."""
    own = inspect.signature(command, eval_str=True).parameters
    groups = {name: each.annotation for name, each in own.items() if _is_group(each.annotation)}

    @wraps(command)
    def spread(**options: Any) -> int:
        for name, group in groups.items():
            options[name] = group(**{each.name: options.pop(each.name) for each in fields(group)})
        return command(**options)

    shown = [each for name, one in own.items() for each in (_members(groups[name]) if name in groups else [one])]
    spread.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in shown
    ])  # fmt: skip
    spread.__annotations__ = {each.name: each.annotation for each in shown}
    return spread


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


@contextmanager
def _telling() -> Iterator[None]:
    """Meanwhile, print warnings and log messages of this library as one line each on stderr."""
    logger, handler = logging.getLogger("lookalike"), _Notes()
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", PolicyWarning)
            warnings.showwarning = _one_line  # type: ignore[assignment]
            yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"warning: {record.getMessage()}")


def _one_line(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning of this library as one line on stderr; other warnings are for developers."""
    if issubclass(category, PolicyWarning):
        note(f"warning: {message}")


def _share_the_cores() -> None:
    """Suit what libraries set for themselves to threads that compare photos, one on each core.

    They allocate from one arena a core. With glibc's eight, a service keeps 200 MB more; with one, threads wait for
    each other, and a sixteenth fewer checks are answered. OpenCV's own threads would spin without work.
    """
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    share_arenas(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
