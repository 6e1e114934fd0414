"""What a person at the terminal sees: notes and progress on stderr, results on stdout.

Names, titles and messages come from strangers. Whatever is printed passes through here, where characters that steer a
terminal, reorder a line or can't be encoded are escaped.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from unicodedata import category

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_PLAIN_LINE_SECONDS = 10.0
_WIDEST = 10_000  # columns of a table that is printed in full
MOST_SHOWN = 20
"""How many bad rows, unknown brands and the like are listed before the rest is only counted."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats, halves of characters, separators of lines, of paragraphs
_NOT_PLAIN = re.compile("[^ -~]")
_JOINERS = "\u200c\u200d"  # parts of Persian and Hindi words, and of emoji


def visible(text: str) -> str:
    r"""The text in one line, with characters that nobody would see written as escapes.

    >>> visible("Zürich \x1b[2J\n\u202e")
    'Zürich \\x1b[2J\\n\\u202e'
    """
    return _NOT_PLAIN.sub(lambda found: _escaped(found[0]) if _is_unseen(found[0]) else found[0], text)


def _is_unseen(character: str) -> bool:
    return category(character) in _UNSEEN and character not in _JOINERS


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\n" and _is_unseen(character) else character


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class StdoutError(Exception):
    """Stdout can't be written. Its cause is the OSError."""


@contextmanager
def _writing_results() -> Iterator[None]:
    """Tell errors of stdout from those of files."""
    try:
        yield
    except OSError as error:
        raise StdoutError(f"the results can't be written to standard output: {error.strerror or error}") from error


class _Console(Console):
    """Prints a string as it is, made visible; a `Text` is this project's own layout and may have several lines."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(visible(text), **settings)

    def on_broken_pipe(self) -> None:
        raise


class _Output(_Console):
    """For stdout."""

    def print(self, *objects: Any, **settings: Any) -> None:
        with _writing_results():
            super().print(*objects, **settings)


class _Errors(_Console):
    """For stderr: if that can't be written either, nobody is left to tell."""

    def print(self, *objects: Any, **settings: Any) -> None:
        try:
            super().print(*objects, **settings)
        except OSError:
            self.quiet = True  # the next print drops what is kept; without it, a later one would show this text
            super().print()
            self.quiet = False


errors = _Errors(stderr=True, soft_wrap=True)


def notes() -> Console:
    """The console for tables on stderr."""
    return _Errors(stderr=True)


def output(*, soft_wrap: bool = False) -> Console:
    """The console for results, on stdout."""
    return _Output(soft_wrap=soft_wrap)


def print_table(table: Table, console: Console) -> None:
    """Print a table in full: if the terminal is too narrow for it, each row as a paragraph of its own.

    What goes into a file or pipe has lines as long as they need to be.
    """
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    if needed <= console.width:
        console.print(table)
    elif not console.is_terminal:
        width, console.width = console.width, needed
        console.print(table)
        console.width = width
    else:
        names = [str(column.header) for column in table.columns]
        if table.title:
            console.print(str(table.title), soft_wrap=True)
        for first, *others in zip(*(column.cells for column in table.columns), strict=True):
            said = [f"{name} {value}".strip() for name, value in zip(names[1:], others, strict=True) if str(value)]
            console.print(str(first) or names[0] or "-", soft_wrap=True)
            for line in _filled(map(visible, said), console.width - 2):
                console.print(f"  {line}", soft_wrap=True)
        if table.caption:
            console.print(str(table.caption), soft_wrap=True)


def _filled(items: Iterable[str], width: int) -> Iterator[str]:
    """Items in lines of that width, with none broken in two."""
    line = ""
    for item in items:
        longer = f"{line} · {item}" if line else item
        if line and cell_len(longer) > width:
            yield line
            longer = item
        line = longer
    if line:
        yield line


def print_line(text: str) -> None:
    """Print a result as one line on stdout."""
    with _writing_results():
        print(visible(text))


def print_json(values: Any, *, indent: int | None = None) -> None:
    """Print JSON on stdout, valid whatever the text in it and the encoding of stdout. Dates and paths become text."""
    text = json.dumps(values, indent=indent, ensure_ascii=False, allow_nan=False, default=str)
    text = _NOT_PLAIN.sub(lambda found: _in_json(found[0]), text)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(values, indent=indent, allow_nan=False, default=str)
    with _writing_results():
        print(text)


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things in words; `many` is the plural if that isn't `one` with an s.

    >>> counted(1, "case"), counted(1200, "entry", "entries")
    ('1 case', '1,200 entries')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def note(message: str, *, quiet: bool = False) -> None:
    """Print a line on stderr, for the person at the terminal."""
    if not quiet:
        errors.print(message)


def note_first(lines: Sequence[str], most: int = MOST_SHOWN) -> None:
    """Print the first lines on stderr, and how many more there are."""
    for line in lines[:most]:
        note(line)
    if len(lines) > most:
        note(f"… and {len(lines) - most:,} more")


def note_contradicted(listings: Sequence[str]) -> None:
    """Say whose verdicts contradict each other; nothing if there are none."""
    if listings:
        which = f"the verdicts on {counted(len(listings), 'listing')} contradict each other (first: {listings[0]})"
        note(f"{which}, and the last row counts; keep the right one, or give each its date")


def prepare_streams() -> None:
    """Have stdout and stderr escape what their encoding lacks, and put something in place of streams that are closed.

    Otherwise the first file that is opened would get the number of the closed stream, and what libraries print would
    go into it. A closed stdout still refuses to be written to, so that results don't get lost unnoticed.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Write out what stdout and stderr hold; what can't be written is discarded. Raises StdoutError."""
    try:
        with _writing_results():
            _flush(sys.stdout)
    finally:
        with suppress(OSError):
            _flush(sys.stderr)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):  # it has no number
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())  # or Python would complain about it at its end
            os.close(descriptor)
        raise


@contextmanager
def progress(
    what: str, *, total: int | Callable[[], int] | None = None, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing with `quiet`.

    With a `total`, or a function that counts it, the time left is shown as well.
    """
    if quiet:
        yield lambda _: None
        return
    most = total() if callable(total) else total
    if not errors.is_terminal:
        yield _plain_lines(what, most)
        return
    known = (MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True), TextColumn("left"))
    unknown = (TextColumn("{task.completed:,}"), TimeElapsedColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *(unknown if most is None else known))
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(what, total=most)
        yield lambda count: bar.advance(task, count)


def _plain_lines(what: str, total: int | None) -> Callable[[int], None]:
    done, begun = 0, time.monotonic()
    said = begun

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said >= _PLAIN_LINE_SECONDS:
            said = time.monotonic()
            of = f" of {total:,}, {time_left(done, total, said - begun)}" if total and done else ""
            note(f"{what}: {done:,}{of}")

    return advance


def time_left(done: int, total: int, seconds: float) -> str:
    """How long the rest takes at the pace so far.

    >>> time_left(100, 400, 20.0), time_left(100, 40_000, 20.0), time_left(100, 4_000_000, 20.0)
    ('about 1 min left', 'about 2.2 h left', 'about 9.3 days left')
    """
    left = max(0.0, (total - done) * seconds / done)
    if left < 5400:
        return f"about {max(1, round(left / 60))} min left"
    return f"about {left / 3600:.1f} h left" if left < 48 * 3600 else f"about {left / 86_400:.1f} days left"
