"""The references' local features on disk: one file, mapped into memory, of which only what is asked for is read.

The file is `count + 1` offsets (little-endian uint64) and then each reference's packed features (see
`LocalFeatures.to_bytes`), one after the other; a reference without any takes no room.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from lookalike.errors import IndexDamagedError
from lookalike.model.features import VERSION, LocalFeatures, reference_features

from .blobs import BlobCache

Packed = bytes | memoryview
"""A reference's features as `LocalFeatures.to_bytes` packs them; empty where it has none."""

NONE: Packed = b""


class FeatureJournal:
    """Computes the features of pictures that pass by, once each, and keeps them through a kill.

    `known` are packed features that are there already, by the sha256 of the picture's bytes.
    """

    def __init__(self, path: Path, known: dict[str, Packed]) -> None:
        self._known = known
        self._cache = BlobCache(path)

    def wants(self, sha256: str) -> bool:
        """Whether the picture with that hash has yet to be looked at."""
        return sha256 not in self._known and self._cache.get(_key(sha256)) is None

    def take(self, sha256: str, image: Image.Image) -> None:
        """Compute and keep the features of an RGB picture."""
        self._cache.put({_key(sha256): reference_features(image).to_bytes()})

    def __getitem__(self, sha256: str) -> Packed:
        """The packed features of a picture that was taken or known; raises KeyError for another."""
        found = self._known.get(sha256) or self._cache.get(_key(sha256))
        if found is None:
            raise KeyError(sha256)
        return found

    def close(self) -> None:
        """Close the file."""
        self._cache.close()


def _key(sha256: str) -> str:
    return f"features {VERSION} {sha256}"


def write_features(rows: Iterable[Packed], path: Path) -> None:
    """Write packed features, one for each reference of the catalogue, in its order."""
    packed = list(rows)
    offsets = np.cumsum([8 * (len(packed) + 1), *(len(row) for row in packed)], dtype="<u8")
    with open(path, "wb") as file:
        file.write(offsets.tobytes())
        for row in packed:
            file.write(row)


def read_features(file: BinaryIO, count: int) -> list[Packed]:
    """Map the file and give each reference's packed features, none of them read yet.

    Raises IndexDamagedError for a file that is none of `count` references.
    """
    start = 8 * (count + 1)
    mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    offsets = np.frombuffer(mapped[: min(start, len(mapped) // 8 * 8)], "<u8").astype(np.int64)
    if len(offsets) != count + 1 or offsets[0] != start or offsets[-1] != len(mapped) or (np.diff(offsets) < 0).any():
        raise IndexDamagedError(f"{file.name} holds no features of {count} references; build the index again")
    return [mapped[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def unpack(packed: Sequence[Packed], row: int) -> LocalFeatures | None:
    """A reference's features, None where it has none. Raises FeaturesError for what `to_bytes` did not write."""
    return LocalFeatures.from_bytes(bytes(packed[row])) if len(packed[row]) else None
