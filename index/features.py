"""The references' local features: one file, mapped into memory, so that only what is asked for is read.

The file holds `count + 1` offsets (little-endian uint64), then the packed features of each reference (see
`LocalFeatures.to_bytes`), one after the other; a reference without features takes no room.
"""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from lookalike.cores import renew_in_children
from lookalike.errors import FeaturesError, IndexDamagedError
from lookalike.model.features import HEAD, VERSION, LocalFeatures, reference_features

from .blobs import BlobCache

Packed = bytes | memoryview
"""A reference's features as `LocalFeatures.to_bytes` packs them; empty if it has none."""

NONE: Packed = b""

MOST_UNPACKED = 64 << 20
"""How many bytes of unpacked features an index keeps: about those of a thousand references."""


class FeatureJournal:
    """Computes the features of each picture that passes by once, and keeps them even if the process is killed.

    `known` holds features that exist already, packed, by the sha256 of the picture's bytes.
    """

    def __init__(self, path: Path, known: dict[str, Packed]) -> None:
        self._known, self._path = known, path
        self._cache = BlobCache(path)

    def wants(self, sha256: str) -> bool:
        """Whether the features of the picture with that sha256 are still unknown."""
        return sha256 not in self._known and self._cache.get(_key(sha256)) is None

    def take(self, sha256: str, image: Image.Image) -> None:
        """Compute and keep the features of an RGB picture."""
        self._cache.put({_key(sha256): reference_features(image).to_bytes()})

    def __getitem__(self, sha256: str) -> Packed:
        """The packed features of a picture that is known or was taken.

        Raises FeaturesError if they were lost since, because their file was damaged.
        """
        found = self._known.get(sha256) or self._cache.get(_key(sha256))
        if found is None:
            raise FeaturesError(f"local features in {self._path} were damaged meanwhile; run the same command again")
        return found

    def close(self) -> None:
        """Close the file."""
        self._cache.close()


class FeatureSpool:
    """Packed features of one photo after the other, kept in a file instead of memory until they are written."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b")  # noqa: SIM115
        self._ends = [0]

    def append(self, packed: Packed) -> None:
        """Keep the next photo's features."""
        self._file.write(packed)
        self._ends.append(self._ends[-1] + len(packed))

    def rows(self) -> Sequence[Packed]:
        """All of them, mapped; none of them is read yet."""
        self._file.flush()
        if not self._ends[-1]:
            return [NONE] * (len(self._ends) - 1)
        mapped = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
        return [mapped[begin:end] for begin, end in pairwise(self._ends)]

    def close(self) -> None:
        """Close the file; what is mapped stays so."""
        self._file.close()


def _key(sha256: str) -> str:
    return f"features {VERSION} {sha256}"


def write_features(rows: Iterable[Packed], path: Path) -> None:
    """Write the packed features of all references, in the catalogue's order."""
    packed = list(rows)
    offsets = np.cumsum([8 * (len(packed) + 1), *(len(row) for row in packed)], dtype="<u8")
    with open(path, "wb") as file:
        file.write(offsets.tobytes())
        for row in packed:
            file.write(row)


def read_features(file: BinaryIO, count: int) -> list[Packed]:
    """Map the file and give each reference's packed features; none of them is read yet.

    Raises IndexDamagedError for a file that doesn't hold the features of `count` references.
    """
    start = 8 * (count + 1)
    mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    offsets = np.frombuffer(mapped[: min(start, len(mapped) // 8 * 8)], "<u8").astype(np.int64)
    if len(offsets) != count + 1 or offsets[0] != start or offsets[-1] != len(mapped) or (np.diff(offsets) < 0).any():
        raise IndexDamagedError(f"{file.name} does not hold the features of {count} references; build the index again")
    return [mapped[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


class Unpacked:
    """Unpacks features, and keeps those used last, up to `most_bytes`. Several threads may use it.

    Packed features that start alike (with the digest of what they hold) are the same.
    """

    def __init__(self, most_bytes: int = MOST_UNPACKED) -> None:
        self._most, self._held = most_bytes, 0
        self._kept: OrderedDict[bytes, LocalFeatures] = OrderedDict()
        self._lock = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Have a lock of its own in a forked child, where another thread may have held the parent's."""
        self._lock = threading.Lock()

    def of(self, packed: Packed) -> LocalFeatures | None:
        """A reference's features, None if it has none. Raises FeaturesError for bytes that `to_bytes` didn't write."""
        if not len(packed):
            return None
        key = bytes(packed[:HEAD])
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        found = LocalFeatures.from_bytes(bytes(packed))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = found
                self._held += found.nbytes
            while self._held > self._most:
                self._held -= self._kept.popitem(last=False)[1].nbytes
        return found
