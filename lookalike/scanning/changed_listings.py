"""Which listings changed since the last scan: their rows, and the files of their photos."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.records import Listing

if TYPE_CHECKING:
    import pyarrow as pa


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


def rows_by_signature(table: pa.Table) -> dict[tuple[str, str], int]:
    """The row of each listing in a scan's state, by id and signature; listings without a signature are left out."""
    keys = zip(table["listing_id"].to_pylist(), table["signature"].to_pylist(), strict=True)
    return {(name, digest): row for row, (name, digest) in enumerate(keys) if digest is not None}
