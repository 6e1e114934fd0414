"""Every way in which a command ends: one line, and an exit status that says what happened."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lookalike.cases.history import History
from lookalike.errors import TableError
from lookalike.scripts.cli import main
from lookalike.scripts.outcome import Exit, outcome


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


def deep() -> int:
    return deep() + 1


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "state").rglob("*.txt"))


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    return captured.err.removesuffix("\n")


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unsupported operand\nof two lines"),
        MemoryError(),
        RecursionError("too deep"),
        sqlite3.DatabaseError("file is not a database"),
        pa.ArrowInvalid("out of range"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
        ImportError("libGL.so.1: cannot open shared object file"),
        Unprintable(),
        KeyError("x" * 100_000),
        ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_nobody_foresaw_is_one_line_with_a_status_and_a_file_of_its_own(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(lambda: raising(error)) == Exit.UNEXPECTED == 70
    (path,) = kept(tmp_path)
    said = one_line(capsys)
    assert said.startswith("unexpected error: ")
    assert type(error).__name__ in said and len(said) < 700
    assert said.endswith(f"the traceback is in {path}; please report the error with that file")
    text = path.read_text()
    assert "Traceback (most recent call last)" in text and "in raising" in text
    assert text.startswith("lookalike ") and len(text) < 300_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "the disk has no room left; free some and run the same command again"),
        (
            OSError(122, "Disk quota exceeded", "a.csv"),
            "the disk has no room left for a.csv; free some and run the same",
        ),
    ],
)
def test_a_full_disk_is_said_in_plain_words(
    error: OSError, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(lambda: raising(error)) == 2
    assert one_line(capsys).startswith(said)


def test_endless_recursion_ends_like_any_other_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(deep) == 70
    assert "RecursionError" in one_line(capsys) and len(kept(tmp_path)) == 1


def test_no_more_than_twenty_tracebacks_are_kept(tmp_path: Path) -> None:
    for number in range(25):
        assert outcome(lambda: raising(ValueError(str(number)))) == 70  # noqa: B023
    paths = kept(tmp_path)
    assert [path.read_text().splitlines()[-1] for path in paths] == [f"ValueError: {n}" for n in range(5, 25)]


def test_where_no_file_can_be_written_the_traceback_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: tmp_path / "file" / name)
    assert outcome(lambda: raising(TypeError("odd"))) == 70
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "unexpected error: TypeError: odd; please report it with this traceback, which could not be"
    )
    assert rest[0] == "Traceback (most recent call last):" and rest[-1] == "TypeError: odd"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TableError("there is no\ntable"), 2),
        (OSError(28, "No space left on device"), 2),
        (sqlite3.OperationalError("database or disk is full"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_that_was_foreseen_is_one_line_and_leaves_no_file(
    error: BaseException, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(lambda: raising(error)) == status
    assert "unexpected" not in one_line(capsys)
    assert kept(tmp_path) == []


def test_a_broken_pipe_that_is_not_stdout_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(lambda: raising(BrokenPipeError(32, "Broken pipe"))) == 2
    assert "Broken pipe" in one_line(capsys)


def test_an_error_in_a_thread_is_not_overlooked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call() -> int:
        thread = threading.Thread(target=raising, args=(TypeError("in a thread"),))
        thread.start()
        thread.join()
        return Exit.DONE

    assert outcome(call) == 70
    assert "TypeError: in a thread" in one_line(capsys) and len(kept(tmp_path)) == 1


@pytest.mark.parametrize(
    "place",
    [
        "lookalike.cases.history.History.load",  # in the command
        "lookalike.scripts.command.new_app",  # before there is a command
        "lookalike.scripts.command._Verbs.parse_args",  # while arguments are parsed
        "importlib.import_module",  # while a command's module is loaded
    ],
)
@pytest.mark.parametrize(("error", "status"), [(TypeError("odd"), 70), (KeyboardInterrupt(), 130)])
def test_wherever_an_error_arises_it_is_one_line(
    place: str,
    error: BaseException,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(place, lambda *_, **__: raising(error))
    assert main(["history", "show", str(tmp_path / "h.jsonl")]) == status
    one_line(capsys)


def test_an_error_while_a_warning_is_shown_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import warnings

    from lookalike.errors import ExpiredPolicyWarning

    class Odd(ExpiredPolicyWarning):
        def __str__(self) -> str:
            raise TypeError("odd warning")

    monkeypatch.setattr("lookalike.cases.history.History.load", lambda _: warnings.warn(Odd(), stacklevel=2))
    assert main(["history", "show", str(tmp_path / "h.jsonl")]) == 70
    assert "TypeError: odd warning" in one_line(capsys)


def test_what_the_library_logs_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(_: Path) -> History:
        logging.getLogger("lookalike.index.database").warning("%s can't be used", "\x1b[31m\nflagged")
        return History()

    monkeypatch.setattr("lookalike.cases.history.History.load", load)
    assert main(["history", "show", str(tmp_path / "h.jsonl")]) == 0
    assert one_line(capsys) == r"warning: \x1b[31m\nflagged can't be used"


# In a process of its own, with the history of one notice.

SAID = ["--seller", "s9", "--answer", "licence", "--who", "anna", "--why", "Zürich 👟 \x1b[31m"]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outcome") / "h.jsonl"
    assert main(["history", "add", str(path), *SAID, "--quiet"]) == 0
    return path


def lookalike(call: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which $L is the program."""
    values = {**os.environ, "L": str(Path(sys.executable).with_name("lookalike")), **environment}
    return subprocess.run(["bash", "-c", call], capture_output=True, text=True, env=values, check=False, timeout=120)


@pytest.mark.parametrize(
    ("call", "status", "out", "err"),
    [
        ("PYTHONIOENCODING=ascii $L history show $H", 0, r"Z\xfcrich \U0001f45f \x1b[31m", ""),
        ("PYTHONIOENCODING=ascii $L history show $H --json", 0, r"Z\u00fcrich \ud83d\udc5f \u001b[31m", ""),
        ("PYTHONIOENCODING=ascii $L history show $'\\xff\\e[31m👟'", 2, "", r"\udcff\x1b[31m"),
        ("PYTHONUTF8=0 LC_ALL=C PYTHONCOERCECLOCALE=0 $L history show $H", 0, r"rich", ""),
        ("$L history show $H >/dev/full", 2, "", "results can't be written to standard output: No space left"),
        ("$L models >/dev/full", 2, "", "results can't be written to standard output: No space left"),
        ("$L --help >/dev/full", 2, "", "the disk has no room left; free some"),
        ("$L history show $H >&-", 2, "", "results can't be written to standard output: Bad file descriptor"),
        ("$L history add $N --seller s --answer licence --who a >&- 2>&-", 2, "", ""),
        ("set -o pipefail; $L history show $H | true", 0, "", ""),
        ("set -o pipefail; $L models | true", 0, "", ""),
        ("set -o pipefail; $L --help | true", 0, "", ""),
        ("$L history show $H.none 2>/dev/full", 2, "", ""),
        ("$L history show $H.none 2>&-", 2, "", ""),
        ("$L history show $H <&-", 0, "licence", ""),
        ("env -u HOME $L history show $H", 0, "licence", ""),
        ("HOME=/proc XDG_STATE_HOME= XDG_CACHE_HOME= $L history show $H", 0, "licence", ""),
    ],
)
def test_whatever_stdout_and_stderr_are_there_is_no_traceback(
    call: str, status: int, out: str, err: str, history: Path, tmp_path: Path
) -> None:
    done = lookalike(call, H=str(history), N=str(tmp_path / "new.jsonl"))
    assert done.returncode == status, done
    assert out in done.stdout and err in done.stderr
    assert done.stderr.count("\n") == (1 if err else 0), done.stderr


SLEEPER = """
import sys, time
from lookalike.scripts import models
def sleep(*_):
    open(sys.argv[1], "w").close()
    time.sleep(60)
models.PRESETS = type("", (), {"values": sleep})()
sys.exit(models.main([]))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_in_one_line(number: signal.Signals, status: int, tmp_path: Path) -> None:
    started = tmp_path / "started"
    call = [sys.executable, "-c", SLEEPER, str(started)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert said.count("\n") == 1 and "run the same command again to resume" in said


def test_ctrl_c_while_the_program_loads_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import sys, lookalike.scripts.cli as cli, os, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'lookalike.scripts.command': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(cli.main(['models']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
