"""What a person at the terminal sees: notes and progress on stderr, tables on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_PLAIN_LINE_SECONDS = 10.0
MOST_SHOWN = 20
"""How many bad rows, unknown brands and the like are listed before the rest is only counted."""

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def output() -> Console:
    """The console for results, on stdout; text in square brackets is printed as it is."""
    return Console(highlight=False, markup=False)


def note(message: str, *, quiet: bool = False) -> None:
    """Print a line on stderr, for the person at the terminal."""
    if not quiet:
        errors.print(message, markup=False)


def note_first(lines: Sequence[str], most: int = MOST_SHOWN) -> None:
    """Print the first lines on stderr, and how many more there are."""
    for line in lines[:most]:
        note(line)
    if len(lines) > most:
        note(f"… and {len(lines) - most:,} more")


@contextmanager
def progress(what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing with `quiet`."""
    if quiet:
        yield lambda _: None
        return
    if not errors.is_terminal:
        yield _plain_lines(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _plain_lines(what: str, total: int | None) -> Callable[[int], None]:
    done, said = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said >= _PLAIN_LINE_SECONDS:
            said = time.monotonic()
            note(f"{what}: {done:,}" + (f" of {total:,}" if total else ""))

    return advance
