"""The manifest of a bundle: entries, each of which hashes its files and the entry before it.

So a change, removal or move of anything shows, and where. Whoever changes a bundle may compute all hashes anew, though:
then only the seal, the last entry's hash, is another. A seal that was noted elsewhere proves that a bundle is the one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lookalike.chain import Disagreement, canonical, plain
from lookalike.errors import BundleError

from .archive import MOST_FILES, is_safe_name

FORMAT, VERSION = "lookalike-bundle", 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1 << 25

_START = "0" * 64
_KINDS = ("bundle", "finding", "end")
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class FileHash:
    """A file of a bundle: its name there, what it is, its size and sha256."""

    name: str
    role: str
    bytes: int
    sha256: str


def hash_file(name: str, role: str, data: bytes) -> FileHash:
    """The size and sha256 of a file's bytes, under its name."""
    return FileHash(name, role, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Entry:
    """A link of the chain: what is `said`, the files that belong to it, and the hash of the entry before it.

    The first is of the kind "bundle", then come the findings, and the last is of the kind "end".
    """

    number: int
    kind: str
    files: tuple[FileHash, ...]
    said: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def place(self) -> str:
        """How a person finds the entry: its number, and the listing that it is of."""
        if self.kind != "finding":
            return {"bundle": "the bundle's first entry", "end": "the bundle's last entry"}[self.kind]
        finding = self.said.get("finding")
        listing = finding.get("listing_id") if isinstance(finding, dict) else None
        return f"finding {self.number} (listing {plain(listing)})"

    def file(self, role: str) -> FileHash | None:
        """The file of that role, if there is one."""
        return next((file for file in self.files if file.role == role), None)

    def computed_hash(self) -> str:
        """The hash that the entry should have: the sha256 of all else that it says, as canonical JSON."""
        values = self.to_json()
        del values["hash"]
        return hashlib.sha256(canonical(values).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {**vars(self), "files": [vars(file) for file in self.files]}


class Chain:
    """Entries in the making."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, kind: str, files: Sequence[FileHash], said: Mapping[str, Any]) -> Entry:
        """Append an entry."""
        previous = self.entries[-1].hash if self.entries else _START
        entry = Entry(len(self.entries), kind, tuple(files), said, previous, "")
        entry = replace(entry, hash=entry.computed_hash())
        self.entries.append(entry)
        return entry

    def manifest(self) -> bytes:
        """The text of manifest.json. Raises BundleError for one that is longer than is read back."""
        data = manifest_text(self.entries)
        if len(data) > MANIFEST_BYTES:
            raise BundleError(f"the manifest takes more than {MANIFEST_BYTES:,} bytes; make bundles of fewer findings")
        return data


def manifest_text(entries: Sequence[Entry]) -> bytes:
    """Entries as the bytes of manifest.json; there is one form only, so that a change of any byte shows."""
    seal = entries[-1].hash if entries else _START
    head = canonical({"format": FORMAT, "version": VERSION, "seal": seal})[:-1]
    lines = ",\n".join(canonical(entry.to_json()) for entry in entries)
    return f'{head},"entries":[\n{lines}\n]}}\n'.encode()


def read_entries(data: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest. Raises BundleError for anything that is none."""
    try:
        values = json.loads(data, parse_constant=_refuse)
        if (values["format"], values["version"]) != (FORMAT, VERSION):
            found = plain(f"{values['format']} {values['version']}")
            raise BundleError(f"{MANIFEST} is of format {found}; needed {FORMAT} {VERSION}")
        entries = tuple(_entry(value) for value in values["entries"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} can't be read as a bundle's ({type(error).__name__}: {error})") from error
    if sum(len(entry.files) for entry in entries) > MOST_FILES:
        raise BundleError(f"{MANIFEST} names more than {MOST_FILES:,} files")
    return entries


def _entry(value: dict[str, Any]) -> Entry:
    if set(value) != {"number", "kind", "files", "said", "previous", "hash"} or not isinstance(value["said"], dict):
        raise ValueError("an entry has not the parts that it needs")
    files = tuple(FileHash(**file) for file in value["files"])
    sound = all(
        is_safe_name(f.name) and isinstance(f.role, str) and type(f.bytes) is int and _is_hash(f.sha256) for f in files
    )
    if not sound or value["kind"] not in _KINDS or value["number"] not in range(MOST_FILES):
        raise ValueError("an entry has a file, a kind or a number that no entry has")
    if not _is_hash(value["previous"]) or not _is_hash(value["hash"]):
        raise ValueError("an entry has a hash that is none")
    return Entry(value["number"], value["kind"], files, value["said"], value["previous"], value["hash"])


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def broken_links(entries: Sequence[Entry], data: bytes) -> Iterator[Disagreement]:
    """What of the chain is not as it was written; `data` is the text of the manifest that the entries are of."""
    if data != manifest_text(entries):
        yield Disagreement(MANIFEST, "its text is not as it was written, or its seal is not the last entry's hash")
    numbers = [entry.number for entry in entries]
    for missing in sorted(set(range(max(numbers, default=0) + 1)) - set(numbers))[:MOST_FILES]:
        yield Disagreement(f"finding {missing}", f"it is missing from {MANIFEST}")
    before: Entry | None = None
    for entry in entries:
        if entry.hash != entry.computed_hash():
            yield Disagreement(entry.place, f"what {MANIFEST} says of it was changed: its hash is another")
        if entry.previous != (before.hash if before else _START):
            after = f"after {before.place}" if before else "first"
            yield Disagreement(entry.place, f"it stands {after}, but was not written there: "
                                            "something was removed, added, moved or changed before it")  # fmt: skip
        before = entry
    if not entries or entries[0].kind != "bundle":
        yield Disagreement(MANIFEST, "the first entry, which says what the bundle was made by, is missing")
    if not entries or entries[-1].kind != "end":
        yield Disagreement(MANIFEST, "the last entry, which says how many there are, is missing")
    if any(entry.kind != "finding" for entry in entries[1:-1]):
        yield Disagreement(MANIFEST, "a first or last entry stands among the findings")
    names = Counter(file.name for entry in entries for file in entry.files)
    for name in sorted(name for name, count in names.items() if count > 1):
        yield Disagreement(name, f"{MANIFEST} names it more than once")
