"""Rows of the first sheet of an .xlsx workbook; it needs the extra `xlsx`."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lookalike.errors import TableError

from .lines import MOST_BYTES, Line, Wanted

_MOST_UNPACKED, _RATIO = 1 << 28, 100
_MOST_SHARED = 1 << 26
_MOST_COLUMNS = 1 << 10


def read_xlsx(path: Path, wanted: Wanted) -> Iterator[Line]:
    """The rows of a workbook's first sheet; its first row names the columns, and rows without any value are none.

    Numbers, days and truth values keep their types, and a formula counts as what it was last worked out to. Raises
    TableError without the extra `xlsx`, and for a file that isn't a workbook or unpacks to more than 256 MiB.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise TableError(f"{path} is a workbook; install what reads it with: pip install 'lookalike[xlsx]', or save "
                         "its sheet as CSV UTF-8, with commas") from error  # fmt: skip
    try:
        _require_small(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of parts that hold no cells, such as styles
            book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            yield from _lines(path, book.worksheets[0], wanted)
        finally:
            book.close()
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError, AttributeError, LookupError, SyntaxError,
            ArithmeticError, MemoryError, RecursionError, NotImplementedError) as error:  # fmt: skip
        raise TableError(
            f"{path} can't be read as a workbook ({error}); save its sheet as CSV UTF-8, with commas"
        ) from error


def _require_small(path: Path) -> None:
    """Raise ValueError for a workbook that was made to exhaust the memory."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            most = _MOST_SHARED if part.filename.lower().endswith("sharedstrings.xml") else _MOST_UNPACKED
            if part.file_size > most or part.file_size > _RATIO * (part.compress_size + MOST_BYTES // _RATIO):
                raise ValueError(f"{part.filename} unpacks to {part.file_size:,} bytes")


def _lines(path: Path, sheet: Any, wanted: Wanted) -> Iterator[Line]:
    def rows(first: int, columns: int) -> Iterator[tuple[int, Sequence[Any]]]:
        found = enumerate(sheet.iter_rows(min_row=first, max_col=columns, values_only=True), first)
        return ((place, row) for place, row in found if any(value is not None for value in row))

    place, header = next(rows(1, _MOST_COLUMNS), (0, ()))
    names = ["" if value is None else str(value).strip() for value in header]
    wanted.check(path, [name for name in names if name])
    places = [(at, name) for at, name in enumerate(names) if name and wanted.reads(name)]
    last = max((at for at, name in enumerate(names, 1) if name), default=1)  # a value far to the right is in no column
    for number, (_, values) in enumerate(rows(place + 1, last), 1):
        row = {name: values[at] for at, name in places if at < len(values)}
        if sum(len(value) for value in row.values() if isinstance(value, str)) > MOST_BYTES:
            yield wanted.refused(number, {}, f"is longer than {MOST_BYTES:,} characters; shorten it")
        else:
            yield Line(number, row)
