"""Rows of JSON Lines files: one object a line, with the standard library, so that a bad line spoils nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from .amounts import WrittenFloat
from .lines import MOST_BYTES, Line, Row, Wanted

_MOST_HELD = 100
_MOST_VALUES = 1 << 20
_BETWEEN_VALUES = (b",", b"[", b"{")
"""What stands before each value but the first, so that they are counted before memory is taken for them."""


def read_jsonl(path: Path, wanted: Wanted) -> Iterator[Line]:
    """The rows of a JSON Lines file; empty lines are no rows.

    Raises TableError if none of the first rows has a required column. Rows may differ in columns, so the first 100 are
    held until all required ones were seen.
    """
    with open(path, "rb") as file:
        lines = _lines(file, wanted)
        held: list[Line] = []
        names: dict[str, None] = {}
        for line in lines:
            held.append(line)
            names.update(dict.fromkeys(line.values) if line.error is None else {})
            if wanted.has_required(names) or len(held) == _MOST_HELD:
                break
        if any(line.error is None for line in held):
            wanted.check(path, list(names))
        yield from held
        yield from lines


def _lines(file: BinaryIO, wanted: Wanted) -> Iterator[Line]:
    numbers = count(1)
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    while raw := file.readline(MOST_BYTES + 1):
        if len(raw) > MOST_BYTES:
            while not raw.endswith(b"\n") and (raw := file.readline(MOST_BYTES)):
                pass
            yield wanted.refused(next(numbers), {}, f"is longer than {MOST_BYTES:,} bytes; shorten it")
        elif sum(map(raw.count, _BETWEEN_VALUES)) > _MOST_VALUES:
            yield wanted.refused(next(numbers), {}, f"has more than {_MOST_VALUES:,} commas and brackets; shorten it")
        elif raw.strip():
            yield _line(next(numbers), raw, wanted)


def _line(number: int, raw: bytes, wanted: Wanted) -> Line:
    pairs: list[tuple[str, Any]] = []

    def kept(of_object: list[tuple[str, Any]]) -> Row:
        nonlocal pairs
        pairs = of_object  # in the end those of the outermost object
        return dict(of_object)

    try:
        values = json.loads(raw.decode(errors="surrogateescape"), parse_float=WrittenFloat, object_pairs_hook=kept)
    except (ValueError, RecursionError) as error:
        return wanted.refused(number, {}, f"is not JSON ({error})")
    if not isinstance(values, dict):
        return wanted.refused(number, {}, "is not a JSON object")
    row = {name: value for name, value in values.items() if wanted.reads(name)}
    if repeated := wanted.repeated(name for name, _ in pairs):
        return wanted.refused(number, {n: v for n, v in row.items() if n not in repeated},
                              f"has several values named {', '.join(repeated)}")  # fmt: skip
    if (raw.isascii() and b"\\u" not in raw) or not (spoilt := [n for n, v in row.items() if not _is_text((n, v))]):
        return Line(number, row)
    good = {name: value for name, value in row.items() if name not in spoilt}
    return wanted.refused(number, good, f"has {', '.join(map(ascii, spoilt))} that is not UTF-8; save it as UTF-8")


def _is_text(value: object) -> bool:
    """Whether UTF-8 can hold it: half a surrogate pair, as text that was cut has, is no character."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True
