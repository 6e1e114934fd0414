"""A listing as a row of a scan's state: its finding, and what it can be judged by without opening its photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.detection.lookup import Seen
from lookalike.records import Finding, Listing
from lookalike.tables.findings import finding_row, finding_schema, listing_of

if TYPE_CHECKING:
    import pyarrow as pa

    from lookalike.index.embedding import EmbeddedPhoto

_NONE = -2.0  # below every similarity


def state_schema() -> pa.Schema:
    """The columns of the findings table, and what a listing can be judged by without opening its photos.

    `signature` is that of the listing and its files (see `changed_listings`), null if they must be looked at again. For
    each photo: `vector` as little-endian float32, null for one that couldn't be read; `matches`, the ids of the
    references that it matched; and `least`, the similarity that another reference needs to be among them.
    """
    import pyarrow as pa

    photo = [
        ("sha256", pa.string()),
        ("vector", pa.binary()),
        ("hint", pa.string()),
        ("error", pa.string()),
        ("matches", pa.list_(pa.string())),
        ("least", pa.float32()),
    ]
    more = [("signature", pa.string()), ("images", pa.list_(pa.string())), ("photos", pa.list_(pa.struct(photo)))]
    schema = finding_schema()
    for name, kind in more:
        schema = schema.append(pa.field(name, kind))
    return schema


def state_row(seen: Seen, finding: Finding, *, signature: str | None, looked_at: int) -> dict[str, Any]:
    """The row of a listing whose photos were matched with up to `looked_at` products each."""
    pairs = list(zip(seen.embedded, seen.photos, strict=True))
    troubled = any(embedded.error or photo.hint != embedded.hint for embedded, photo in pairs)
    return {
        **finding_row(finding),
        "signature": None if troubled else signature,  # so that the next scan tries again what failed
        "images": [str(image) for image in seen.listing.images],
        "photos": [
            {
                "sha256": embedded.sha256,
                "vector": None if embedded.vector is None else embedded.vector.astype("<f4").tobytes(),
                "hint": embedded.hint,
                "error": embedded.error,
                "matches": [match.reference.id for match in photo.matches],
                "least": min((match.similarity for match in photo.matches), default=_NONE)
                if len(photo.matches) >= looked_at
                else _NONE,
            }
            for embedded, photo in pairs
        ],
    }


def embedded_listing(row: Mapping[str, Any]) -> tuple[Listing, list[EmbeddedPhoto]]:
    """The listing of a row, and its photos with their vectors."""
    from lookalike.index.embedding import EmbeddedPhoto

    listing = replace(listing_of(row), images=tuple(row["images"]), error=None if row["images"] else row["error"])
    photos = [
        EmbeddedPhoto(
            photo["sha256"],
            None if photo["vector"] is None else np.frombuffer(photo["vector"], "<f4"),
            hint=photo["hint"],
            error=photo["error"],
        )
        for photo in row["photos"]
    ]
    return listing, photos
