"""Rows of CSV files (RFC 4180). A file whose quotes don't tell where rows end is refused at that line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from lookalike.errors import TableError

from .cells import is_picture
from .lines import MOST_BYTES, Line, Row, Wanted

TAB = "\t"
_NOT_TEXT = {
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"PK": "is a workbook or a ZIP file; save its sheet as CSV UTF-8, with commas",
    b"\x1f\x8b": "is compressed; unpack it first",
}


def read_tsv(path: Path, wanted: Wanted) -> Iterator[Line]:
    """The rows of a file with tabs between values, and else as `read_csv`."""
    return read_csv(path, wanted, separator=TAB)


def read_csv(path: Path, wanted: Wanted, *, separator: str = ",") -> Iterator[Line]:
    """The rows of a CSV file, all values as text. A value that isn't UTF-8 spoils its row, not the table.

    Raises TableError for a file that isn't CSV in UTF-8, and at the line where a quote leaves open where rows end.
    """
    _require_text(path)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = _Lines(path, file)
        # the limit counts for the whole process, so it is only ever raised; _Lines bounds a row
        csv.field_size_limit(max(csv.field_size_limit(), MOST_BYTES))
        records = _records(csv.reader(lines, delimiter=separator, strict=True), lines)
        names = next(records, [])
        other = next((mark for mark in ";\t," if len(names) == 1 and mark in names[0]), None)
        advice = f"its values are separated by {other!r}; save it with {'tabs' if separator == TAB else 'commas'}"
        wanted.check(path, names, advice=advice + (" or name it .tsv" if other == TAB else "") if other else "")
        places = [(place, name) for place, name in enumerate(names) if name and wanted.reads(name)]
        for number, values in enumerate(records, 1):
            if len(lines.record) > 1 and (len(values) != len(names) or _all_rows(lines.record, len(names), separator)):
                raise TableError(f"{path}: line {lines.first} opens a quote that takes in the rows after it; "
                                 "write a quote inside a value twice")  # fmt: skip
            row = {name: values[place] for place, name in places if place < len(values)}
            if len(values) != len(names):
                trouble = f"has {len(values)} values, but the header names {len(names)} columns"
                yield wanted.refused(number, _shown(row), trouble)
            elif spoilt := _spoilt(row):
                yield wanted.refused(number, _shown(row), f"is not UTF-8 in {', '.join(spoilt)}; save it as UTF-8")
            else:
                yield Line(number, row)


class _Lines:
    """The lines of a file for `csv.reader`, with those of the record that is being read at hand."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path, self.record = path, list[str]()
        self._file, self._read, self._left = file, 0, MOST_BYTES

    @property
    def first(self) -> int:
        """The number of the record's first line."""
        return self._read - len(self.record) + 1

    def begin(self) -> None:
        """Begin another record."""
        self.record, self._left = [], MOST_BYTES

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._read += 1
        self.record.append(line)
        self._left -= len(line)
        if self._left < 0:
            raise TableError(f"{self.path}: line {self.first} begins a row of more than {MOST_BYTES:,} characters; "
                             "shorten it, or close its quotes")  # fmt: skip
        return line


def _records(reader: Iterator[list[str]], lines: _Lines) -> Iterator[list[str]]:
    """The values of each record; empty lines are no records."""
    while True:
        lines.begin()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(f"{lines.path}: line {lines.first} opens a quote that is not closed at the end of its "
                             f"value ({error}); write a quote inside a value twice") from error  # fmt: skip
        if values:
            yield values


def _all_rows(lines: Sequence[str], columns: int, separator: str) -> bool:
    """Whether each line of one record would be a row by itself, with pictures in one of the columns.

    So it is where two values begin or end with a stray quote, as in `19" screen`, and it is hardly ever in real text.
    """
    rows = [line.split(separator) for line in lines]
    return all(len(row) == columns for row in rows) and any(
        all(is_picture(row[place].strip(' "\r\n')) for row in rows) for place in range(columns)
    )


def _spoilt(row: Row) -> list[str]:
    """The columns of values that aren't UTF-8."""
    return [name for name, value in row.items() if not value.isascii() and _text(value) != value]


def _shown(row: Row) -> Row:
    return {name: _text(value) for name, value in row.items()}


def _text(value: str) -> str:
    r"""The value with bytes that are not UTF-8 as \xff, so that two such ids stay two."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _require_text(path: Path) -> None:
    with open(path, "rb") as file:
        head = file.read(4)
    for mark, trouble in _NOT_TEXT.items():
        if head.startswith(mark):
            raise TableError(f"{path} {trouble}")
    if b"\0" in head:
        raise TableError(f"{path} is UTF-16 or not text; save it as UTF-8")
