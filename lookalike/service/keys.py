"""Keys: who may ask, and for what. The file holds hashes only, so that whoever reads it can't ask."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.disk import read_regular, written
from lookalike.errors import LookalikeError

SCOPES = ("check", "review", "admin")
"""What a key may be for: to check listings, to review findings, to change references and settings."""

_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Key:
    """A key by its name, without the key itself."""

    name: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Keys:
    """The keys of a file, by the sha256 of each, in hexadecimal."""

    known: tuple[tuple[str, Key], ...]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Read {name: {"sha256": …, "scopes": […]}}. Raises LookalikeError for a file that isn't that."""
        return cls(tuple((str(each["sha256"]), Key(name, frozenset(each["scopes"])))
                         for name, each in _entries(path).items()))  # fmt: skip

    def find(self, token: str) -> Key | None:
        """The key that this is, or None. Takes as long whichever it is."""
        given = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for sha256, key in self.known:
            if hmac.compare_digest(sha256, given):
                found = key
        return found


def add_key(path: Path, name: str, scopes: Collection[str]) -> str:
    """Make a key with these scopes, keep its hash in the file, and give it. It replaces one of that name.

    Raises LookalikeError for an unknown scope or a name that isn't plain.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise LookalikeError(f"there is no scope {unknown[0]!r}; use {', '.join(SCOPES)}")
    if not (name.isprintable() and 0 < len(name) <= 100):
        raise LookalikeError(f"the name {name[:40]!r} can't be used; give a short, printable one")
    entries = _entries(path) if path.exists() else {}
    key = f"lk_{secrets.token_urlsafe(32)}"
    entries[name] = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": sorted(scopes)}
    _write(path, entries)
    return key


def remove_key(path: Path, name: str) -> None:
    """Remove the key of that name from the file. Raises LookalikeError if there is none."""
    entries = _entries(path)
    if name not in entries:
        raise LookalikeError(f"{path} has no key {name!r}; it has {', '.join(sorted(entries)) or 'none'}")
    del entries[name]
    _write(path, entries)


def _entries(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(read_regular(path, most=_MOST_BYTES))
        for name, each in entries.items():
            if len(bytes.fromhex(each["sha256"])) != 32 or not set(each["scopes"]) <= set(SCOPES):
                raise ValueError(f"the entry {name[:40]!r} is no key")
        return dict(entries)
    except FileNotFoundError as error:
        raise LookalikeError(
            f"there is no file of keys {path}; make one with: lookalike serve keys add NAME --keys {path}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LookalikeError(f"{path} is no file of keys ({type(error).__name__}: {error}); make it anew") from error


def _write(path: Path, entries: dict[str, Any]) -> None:
    with written(path) as temporary:
        temporary.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.chmod(0o600)


class Rates:
    """Buckets of tokens, one a key: each request takes one, and they come back evenly."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Take one for the key of that name; the seconds until there is one, 0 if there was."""
        if not self._per_minute:
            return 0.0
        now, second = time.monotonic(), self._per_minute / 60
        left, then = self._left.get(name, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - then) * second)
        if left < 1:
            self._left[name] = left, now
            return (1 - left) / second
        self._left[name] = left - 1, now
        return 0.0
