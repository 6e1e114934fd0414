"""How a call ends: an error becomes one line on stderr, and the exit status says what happened."""

from __future__ import annotations

import errno
import os
import platform
import secrets
import signal
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from types import FrameType

from lookalike.errors import LookalikeError
from lookalike.scripts.terminal import StdoutError, errors, flush_streams

_KEPT = 20  # tracebacks
_LONGEST_MESSAGE = 300  # characters of an error that nobody foresaw
_LONGEST_TRACEBACK = 200_000


class Exit(IntEnum):
    """The exit status of a command."""

    DONE = 0
    SOME_ROWS_FAILED = 1
    WRONG_CALL = 2
    UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130
    TERMINATED = 143


class _Terminated(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM."""


def outcome(call: Callable[[], int]) -> int:
    """Run a call, and return its exit status: what it returns, or that of the error that it raised."""
    failed: list[int] = []

    def flushed() -> int:
        status = call()
        flush_streams()
        return status

    with _watching(failed):
        status = _guarded(flushed)
    with suppress(StdoutError):  # it was said already
        flush_streams()
    return Exit.UNEXPECTED if failed and status in (Exit.DONE, Exit.SOME_ROWS_FAILED) else status


def _guarded(call: Callable[[], int]) -> int:
    try:
        return call()
    except _Terminated:
        _say("ended by a signal; run the same command again to resume")
        return Exit.TERMINATED
    except KeyboardInterrupt:
        _say("interrupted; run the same command again to resume")
        return Exit.INTERRUPTED
    except StdoutError as error:
        if isinstance(error.__cause__, BrokenPipeError):  # whatever read our output has enough
            return Exit.DONE
        _say(str(error))
        return Exit.WRONG_CALL
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # so Rich ends when nobody reads the help
            return Exit.DONE
        raise
    except (LookalikeError, OSError, sqlite3.OperationalError) as error:
        # the last two: a full disk, missing permissions, a folder in place of a file
        _say(_full_disk(error) or str(error))
        return Exit.WRONG_CALL
    except Exception as error:  # noqa: BLE001 - nobody foresaw it, and a traceback is no message
        return _unexpected(error)


def _full_disk(error: BaseException) -> str | None:
    """What a full disk is called in plain words; None for any other error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" for {error.filename}" if error.filename else ""
        return f"the disk has no room left{where}; free some and run the same command again"
    return None


def _unexpected(error: BaseException) -> Exit:
    """Keep the traceback of an error that nobody foresaw, and say in one line where it is."""
    try:
        name = "".join(traceback.format_exception_only(error)).strip()
    except Exception:  # noqa: BLE001 - an error may not be printable either
        name = type(error).__name__
    name = " ".join(name.split())
    if len(name) > _LONGEST_MESSAGE:
        name = name[:_LONGEST_MESSAGE] + "…"
    try:
        path = _keep(error)
    except OSError as trouble:
        _say(f"unexpected error: {name}; please report it with this traceback, which could not be saved ({trouble})")
        for line in "".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:].splitlines():
            errors.print(line)
    else:
        _say(f"unexpected error: {name}; the traceback is in {path}; please report the error with that file")
    return Exit.UNEXPECTED


def _keep(error: BaseException) -> Path:
    """Write an error's traceback to a file that only this user can read, and remove older ones."""
    import platformdirs

    import lookalike

    folder = platformdirs.user_state_path("lookalike") / "errors"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    now = datetime.now(UTC)
    path = folder / f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.txt"
    text = "".join(traceback.format_exception(error))
    head = f"lookalike {lookalike.__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(head + text[-_LONGEST_TRACEBACK:])
    for old in sorted(folder.glob("*.txt"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


@contextmanager
def _watching(failed: list[int]) -> Iterator[None]:
    """Meanwhile, SIGTERM ends the call as an interrupt does, and errors of threads are noted in `failed`."""

    def note_thread(about: threading.ExceptHookArgs) -> None:
        if about.exc_value is not None and about.exc_type is not SystemExit:
            failed.append(_unexpected(about.exc_value))

    hook, threading.excepthook = threading.excepthook, note_thread
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        threading.excepthook = hook
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise _Terminated


def _say(line: str) -> None:
    errors.print(" ".join(line.split()))
