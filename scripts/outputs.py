"""Where results go. What can be known about that before any work is said before any work."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lookalike.disk import require_local
from lookalike.errors import LookalikeError
from lookalike.tables.files import ENDINGS


@dataclass(frozen=True)
class Kind:
    """What is written to a path: a folder, or a file with one of these endings (with none, any will do)."""

    endings: tuple[str, ...] = ()
    folder: bool = False


TABLE = Kind(ENDINGS)
PAGE = Kind((".html", ".htm"))
POLICY = Kind((".toml",))
ADAPTER = Kind((".safetensors",))
PICTURE = Kind((".png", ".jpg", ".jpeg", ".webp"))
FIGURE = Kind((".png", ".svg"))
FILE = Kind()
FOLDER = Kind(folder=True)
_FILES = frozenset({
    *TABLE.endings, *PAGE.endings, *POLICY.endings, *PICTURE.endings, *FIGURE.endings,
    ".7z", ".db", ".gz", ".json", ".pdf", ".rar", ".sqlite", ".tar", ".tgz", ".txt", ".xlsx", ".zip",
})  # fmt: skip

Outputs = Mapping[str, tuple[Path | None, Kind | None]]
"""Paths and kinds by the name that the user knows. Without a kind, whoever writes there copes if that can't be done."""


def require_outputs(outputs: Outputs, inputs: Mapping[str, str | Path | None] | None = None) -> None:
    """Refuse, before anything is read, outputs that could not be written, or would replace an input or one another.

    Paths that differ only in spelling, or are links to each other, count as the same. Raises LookalikeError.
    """
    read = [(name, Path(path)) for name, path in (inputs or {}).items() if path is not None]
    written: list[tuple[str, Path]] = []
    for name, (path, kind) in outputs.items():
        if path is None:
            continue
        for other, taken in (*read, *written):
            if _is_same(path, taken):
                raise LookalikeError(f"{path} is both {other} and {name}; give two different paths")
        written.append((name, path))
        require_local(path)
        if kind is not None:
            _require_ending(name, path, kind.endings)
            _require_place(name, path, folder=kind.folder)


def _is_same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)


def _require_ending(name: str, path: Path, endings: tuple[str, ...]) -> None:
    ending = path.suffix.lower()
    if endings and ending not in endings:
        *most, last = endings
        wanted = f"{', '.join(most)} or {last}" if most else last
        raise LookalikeError(f"{name} {path} ends in {ending or 'nothing'}; use {wanted}")


def _require_place(name: str, path: Path, *, folder: bool) -> None:
    if folder and path.suffix.lower() in _FILES and not path.exists():
        raise LookalikeError(f"{name} {path} is a folder and ends in {path.suffix}, as files do; leave that out")
    if folder:
        place = next(each for each in (path, *path.absolute().parents) if each.exists())
    elif path.is_dir():
        raise LookalikeError(f"{name} {path} is a folder; name a file")
    elif path.exists() and not path.is_file():
        raise LookalikeError(f"{name} {path} is a pipe or device; name a file")
    else:
        place = path.parent
    if not place.exists():
        raise LookalikeError(f"{name} {path}: there is no folder {place}; make it first, or choose another path")
    if not place.is_dir():
        raise LookalikeError(f"{name} {path}: {place} is not a folder")
    _require_writable(name, path, place / f"{'' if folder else path.name}.{secrets.token_hex(8)}.tmp")


def _require_writable(name: str, path: Path, trial: Path) -> None:
    """Make a file beside the result, as whatever writes it will: permissions alone don't say whether that works."""
    try:
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        trial.unlink()
    except OSError as error:
        raise LookalikeError(f"{name} {path} can't be written: {error.strerror}; choose another path") from error
