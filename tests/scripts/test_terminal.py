"""What strangers wrote is shown, and steers no terminal; what can't be encoded is escaped."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lookalike.scripts.terminal import errors, note, output, print_json, print_line, print_table, progress, visible

HOSTILE = "a\x1b[2J\x9b31m\r\b\nflagged \u202eb\u2028c\U000e0041\ud83d[/red] :bomb:"
SHOWN = r"a\x1b[2J\x9b31m\r\x08\nflagged \u202eb\u2028c\U000e0041\ud83d[/red] :bomb:"


class Encoded(io.TextIOWrapper):
    """A stdout of this encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="backslashreplace", write_through=True)

    @property
    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


def test_shows_what_would_move_the_cursor_reorder_a_line_or_not_be_seen() -> None:
    assert visible(HOSTILE) == SHOWN


@pytest.mark.parametrize("text", ["Zürich Straße", "価格\u3000安い", "50\xa0€", "👩‍👩‍👧", "نمی‌خواهم", "क्‍ष", r"C:\new"])
def test_leaves_the_words_of_all_languages_alone(text: str) -> None:
    assert visible(text) == text


def test_tables_and_lines_on_stdout_are_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(f"1{HOSTILE}", title=f"2{HOSTILE}", caption=f"3{HOSTILE}", box=None)
    table.add_row(f"4{HOSTILE}")
    console = output(soft_wrap=True)
    console.print(table)
    console.print(f"5{HOSTILE}")
    print_line(f"6{HOSTILE}")
    shown = capsys.readouterr().out
    assert [line.strip() for line in shown.splitlines()] == [f"{number}{SHOWN}" for number in (2, 1, 4, 3, 5, 6)]


def test_layout_of_our_own_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output().print(Text("recall at\nP 90 %"))
    assert capsys.readouterr().out == "recall at\nP 90 %\n"


def test_notes_on_stderr_are_one_line_each(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    note(HOSTILE)
    errors.print(HOSTILE, markup=False)
    monkeypatch.setattr("lookalike.scripts.terminal._PLAIN_LINE_SECONDS", 0.0)
    with progress(HOSTILE) as advance:
        advance(1)
    assert capsys.readouterr().err == f"{SHOWN}\n{SHOWN}\n{SHOWN}: 1\n"


def test_progress_says_of_how_many_and_how_much_time_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 30.0, 30.0])
    monkeypatch.setattr("lookalike.scripts.terminal.time.monotonic", lambda: next(times))
    with progress("scanning", total=lambda: 1200) as advance:
        advance(200)
    assert capsys.readouterr().err == "scanning: 200 of 1,200, about 2 min left\n"


def test_a_bar_shows_no_question_mark_where_the_total_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for total, wanted in ((None, "60"), (90, "60/90")):
        shown = io.StringIO()
        with monkeypatch.context() as patched:
            terminal = Console(file=shown, force_terminal=True, width=80, color_system=None)
            patched.setattr("lookalike.scripts.terminal.errors", terminal)
            with progress("scanning", total=total) as advance:
                advance(60)
        assert wanted in shown.getvalue() and "/?" not in shown.getvalue()
        assert ("left" in shown.getvalue()) is (total is not None)


@pytest.mark.parametrize("width", [40, 80])
def test_a_table_that_is_too_wide_for_the_terminal_breaks_no_word(width: int) -> None:
    names = ("picture", "verdict", "kind", "probability", "brand", "product", "reference")
    row = ("photos/listing-01.jpg", "flagged", "copied photo", "over 0.999", "Zorvossa", "zorvossa-softener", "front-1")
    table = Table(*names, box=None)
    table.add_row(*row)
    shown = io.StringIO()
    print_table(table, Console(file=shown, force_terminal=True, width=width, color_system=None))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width and len(lines) > 2
    assert all(any(f"{name} {value}" in line for line in lines) for name, value in zip(names[1:], row[1:], strict=True))
    piped = io.StringIO()
    print_table(table, Console(file=piped, width=width))
    assert len(piped.getvalue().splitlines()) == 2


def test_counts_in_what_a_command_prints_agree_with_their_nouns() -> None:
    """Every count of things, `{n:,} things`, goes through `counted`; "1 cases" can't be printed then."""
    unclear = []
    for path in sorted((Path(__file__).parents[2] / "scripts").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for value, after in pairwise(node.values) if isinstance(node, ast.JoinedStr) else ():
                if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                    how = ast.unparse(value.format_spec) if value.format_spec else ""
                    noun = re.match(r" (?:more )?([a-z]+s)\b", str(after.value))
                    if "," in how and noun and noun[1] not in {"bytes", "hits"}:
                        unclear.append(f"{path.name}:{node.lineno}: {ast.unparse(value)}{noun[0]}")
    assert unclear == []


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("indent", [None, 1])
def test_json_stays_valid_in_every_encoding(encoding: str, indent: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"id": HOSTILE, "title": "Zürich 👟", "more": [1.5, None, True, {"\u202e": "\\"}]}
    stdout = Encoded(encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    print_json(values, indent=indent)
    assert json.loads(stdout.text) == values
    assert visible(stdout.text.replace("\n", "")) == stdout.text.replace("\n", "")
    assert ("Zürich 👟" in stdout.text) is encoding.startswith("utf")


def test_json_never_says_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"p": float("nan")})


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_text_that_stdout_cannot_encode_is_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Encoded(encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    table = Table("picture")
    table.add_row("Zürich 👟")
    output().print(table)
    print_line("👟")
    assert r"\U0001f45f" in stdout.text.splitlines()[-1]
    assert r"rich \U0001f45f" in stdout.text


def test_a_stderr_that_cannot_be_written_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(sys, "stderr", Full())
        note("nobody hears this")
    note("but this")
    assert capsys.readouterr().err == "but this\n"
