"""The manifest of a bundle: a chain of entries, each with the hashes of its files and of the entry before it.

The chain shows where anything was changed, removed or moved. Someone who recomputes all the hashes after a change can
hide it, except for the seal, which is the hash of the last entry: if the seal was kept elsewhere, it tells the original
bundle from any other.
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

FORMAT, VERSION = "lookalike-bundle", 2
MANIFEST = "manifest.json"
CHECKSUMS = "manifest-sha256.txt"
"""The hashes of all other files, as RFC 8493 (BagIt) writes them: `sha256sum -c manifest-sha256.txt` checks them.

Bundles of version 1 have none.
"""
MANIFEST_BYTES = 1 << 25

_START = "0" * 64
_KINDS = ("bundle", "finding", "end")
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class FileHash:
    """A file of a bundle: its name, its role, its size in bytes and its sha256."""

    name: str
    role: str
    bytes: int
    sha256: str


def hash_file(name: str, role: str, data: bytes) -> FileHash:
    """Describe a file by its bytes."""
    return FileHash(name, role, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Entry:
    """A link of the chain: what it says, its files, and the hash of the entry before it.

    The first entry has the kind "bundle", those after it "finding", and the last one "end".
    """

    number: int
    kind: str
    files: tuple[FileHash, ...]
    said: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def place(self) -> str:
        """What to call the entry in a message: its number and its listing."""
        if self.kind != "finding":
            return {"bundle": "the bundle's first entry", "end": "the bundle's last entry"}[self.kind]
        finding = self.said.get("finding")
        listing = finding.get("listing_id") if isinstance(finding, dict) else None
        return f"finding {self.number} (listing {plain(listing)})"

    def file(self, role: str) -> FileHash | None:
        """The file with that role, if the entry has one."""
        return next((file for file in self.files if file.role == role), None)

    def computed_hash(self) -> str:
        """The hash that the entry should have: the sha256 of everything else in it, as canonical JSON."""
        values = self.to_json()
        del values["hash"]
        return hashlib.sha256(canonical(values).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {**vars(self), "files": [vars(file) for file in self.files]}


class Chain:
    """A chain that is being written."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, kind: str, files: Sequence[FileHash], said: Mapping[str, Any]) -> Entry:
        """Append an entry and return it."""
        previous = self.entries[-1].hash if self.entries else _START
        entry = Entry(len(self.entries), kind, tuple(files), said, previous, "")
        entry = replace(entry, hash=entry.computed_hash())
        self.entries.append(entry)
        return entry

    def manifest(self) -> bytes:
        """The bytes of manifest.json. Raises BundleError if there are more than a reader accepts."""
        data = manifest_text(self.entries)
        if len(data) > MANIFEST_BYTES:
            raise BundleError(
                f"the manifest would have more than {MANIFEST_BYTES:,} bytes; put fewer findings in each bundle"
            )
        return data


def manifest_text(entries: Sequence[Entry], version: int = VERSION) -> bytes:
    """Entries as the bytes of manifest.json, which have exactly one form, so that any changed byte shows."""
    seal = entries[-1].hash if entries else _START
    head = canonical({"format": FORMAT, "version": version, "seal": seal})[:-1]
    lines = ",\n".join(canonical(entry.to_json()) for entry in entries)
    return f'{head},"entries":[\n{lines}\n]}}\n'.encode()


def checksums_text(entries: Sequence[Entry], manifest: bytes) -> bytes:
    """The bytes of manifest-sha256.txt: a line for each file of the entries, and one for the manifest itself."""
    files = {file.name: file.sha256 for entry in entries for file in entry.files}
    files[MANIFEST] = hashlib.sha256(manifest).hexdigest()
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items())).encode()


def version_of(data: bytes) -> int:
    """The version of a manifest that `read_entries` could read."""
    return int(json.loads(data)["version"])


def read_entries(data: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest. Raises BundleError if it can't be read as one."""
    try:
        values = json.loads(data, parse_constant=_refuse)
        if values["format"] != FORMAT or values["version"] not in range(1, VERSION + 1):
            found = plain(f"{values['format']} {values['version']}")
            raise BundleError(f"{MANIFEST} has the format {found}, expected {FORMAT} {VERSION}")
        entries = tuple(_entry(value) for value in values["entries"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} can't be read as a bundle's ({type(error).__name__}: {error})") from error
    if sum(len(entry.files) for entry in entries) > MOST_FILES:
        raise BundleError(f"{MANIFEST} lists more than {MOST_FILES:,} files")
    return entries


def _entry(value: dict[str, Any]) -> Entry:
    if set(value) != {"number", "kind", "files", "said", "previous", "hash"} or not isinstance(value["said"], dict):
        raise ValueError("an entry lacks a part, or has an unknown one")
    files = tuple(FileHash(**file) for file in value["files"])
    sound = all(
        is_safe_name(f.name) and isinstance(f.role, str) and type(f.bytes) is int and _is_hash(f.sha256) for f in files
    )
    if not sound or value["kind"] not in _KINDS or value["number"] not in range(MOST_FILES):
        raise ValueError("an entry has an invalid file, kind or number")
    if not _is_hash(value["previous"]) or not _is_hash(value["hash"]):
        raise ValueError("an entry has an invalid hash")
    return Entry(value["number"], value["kind"], files, value["said"], value["previous"], value["hash"])


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def broken_links(entries: Sequence[Entry], data: bytes) -> Iterator[Disagreement]:
    """Where the chain is not as it was written; `data` is the manifest from which the entries were read."""
    if data != manifest_text(entries, version_of(data)):
        yield Disagreement(MANIFEST, "its text is not as written, or its seal is not the hash of the last entry")
    numbers = [entry.number for entry in entries]
    for missing in sorted(set(range(max(numbers, default=0) + 1)) - set(numbers))[:MOST_FILES]:
        yield Disagreement(f"finding {missing}", f"it is missing from {MANIFEST}")
    before: Entry | None = None
    for entry in entries:
        if entry.hash != entry.computed_hash():
            yield Disagreement(entry.place, f"its entry in {MANIFEST} was changed: the hash does not match")
        if entry.previous != (before.hash if before else _START):
            after = f"after {before.place}" if before else "first"
            yield Disagreement(entry.place, f"it comes {after}, but was not written there: "
                                            "something before it was removed, added, moved or changed")  # fmt: skip
        before = entry
    if not entries or entries[0].kind != "bundle":
        yield Disagreement(MANIFEST, "the first entry, which says what the bundle was made with, is missing")
    if not entries or entries[-1].kind != "end":
        yield Disagreement(MANIFEST, "the last entry, which says how many findings there are, is missing")
    if any(entry.kind != "finding" for entry in entries[1:-1]):
        yield Disagreement(MANIFEST, "there is a first or last entry among the findings")
    names = Counter(file.name for entry in entries for file in entry.files)
    for name in sorted(name for name, count in names.items() if count > 1):
        yield Disagreement(name, f"{MANIFEST} lists it more than once")
