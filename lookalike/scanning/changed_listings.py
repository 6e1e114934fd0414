"""Which listings changed since the last scan: their rows, and the files of their photos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.errors import ScanStateError
from lookalike.records import Listing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .state import ScanState

_KEY = 16  # bytes of a signature that tell listings apart


def signature(listing: Listing) -> str | None:
    """A digest of a listing's row, and of the path, size and time of change of its photos.

    None if a photo isn't a local file or is missing, because nobody can tell then whether it changed.
    """
    files = []
    for image in listing.images:
        if not isinstance(image, str | Path) or "://" in str(image):
            return None
        try:
            status = Path(image).stat()
        except (OSError, ValueError):
            return None
        files.append((str(image), status.st_size, status.st_mtime_ns))
    said = {**vars(listing), "images": files}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


class KnownListings:
    """Finds a listing in a scan's state by its signature, which covers its id; 24 bytes a listing in memory."""

    def __init__(self, state: ScanState | None) -> None:
        keys, rows, start = [np.empty(0, f"S{_KEY}")], [np.empty(0, np.int64)], 0
        for table in () if state is None else state.rows("signature"):
            signed = np.asarray(table["signature"].is_valid(), bool)
            keys.append(_keys(table["signature"].drop_null().to_pylist()))
            rows.append(start + np.flatnonzero(signed))
            start += len(table)
        joined = np.concatenate(keys)
        order = np.argsort(joined, kind="stable")
        self._keys, self._rows = joined[order], np.concatenate(rows)[order]

    def rows(self, signatures: Sequence[str | None]) -> NDArray[np.int64]:
        """The row of each listing, counted through all windows; −1 for one that isn't there, or has no signature."""
        rows = np.full(len(signatures), -1, np.int64)
        asked = np.array([at for at, each in enumerate(signatures) if each is not None], np.int64)
        keys = _keys([each for each in signatures if each is not None])
        place = np.searchsorted(self._keys, keys, side="right") - 1  # the last of several
        found = place >= 0
        found[found] = self._keys[place[found]] == keys[found]
        rows[asked[found]] = self._rows[place[found]]
        return rows


def _keys(signatures: Iterable[str]) -> NDArray[np.bytes_]:
    """The first bytes of each signature. Raises ScanStateError for text that isn't one."""
    keys = [signature[: 2 * _KEY] for signature in signatures]
    try:
        packed = bytes.fromhex("".join(keys))
        if len(packed) != _KEY * len(keys) or any(len(key) != 2 * _KEY for key in keys):
            raise ValueError
        return np.frombuffer(packed, f"S{_KEY}")
    except ValueError:
        raise ScanStateError("the state of a scan holds a signature that isn't one; remove it") from None
