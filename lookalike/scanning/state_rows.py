"""A listing as a row of a scan's state: its finding, and what it can be judged by without opening its photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lookalike.detection.lookup import Seen, photo_vectors
from lookalike.records import Finding, Listing, region_of
from lookalike.tables.findings import finding_row, finding_schema, listing_of

if TYPE_CHECKING:
    import pyarrow as pa

    from lookalike.index.embedding import EmbeddedPhoto, Vector

_NONE = -2.0  # below every similarity


def state_schema() -> pa.Schema:
    """The columns of the findings table, and what a listing can be judged by without opening its photos.

    `signature` is that of the listing and its files (see `changed_listings`), null if they must be looked at again.
    `row_error` is the listing's own error; the finding's also tells of its photos. For each photo: `error`, null for
    one that was read, whose vector then stands beside the row (see `windows`); `matches`, the ids of the references
    that it matched; and `least` and `least_look`, the similarity or look that another reference needs to be among
    them, the second null for encoders without a second head. `regions` are those of its parts whose vectors follow its
    own.
    """
    import pyarrow as pa

    photo = [
        ("sha256", pa.string()),
        ("hint", pa.string()),
        ("error", pa.string()),
        ("matches", pa.list_(pa.string())),
        ("least", pa.float32()),
        ("least_look", pa.float32()),
        ("regions", pa.list_(pa.list_(pa.float64(), 4))),
    ]
    more = [("signature", pa.string()), ("row_error", pa.string()), ("images", pa.list_(pa.string())),
            ("photos", pa.list_(pa.struct(photo)))]  # fmt: skip
    schema = finding_schema()
    for name, kind in more:
        schema = schema.append(pa.field(name, kind))
    return schema


def state_row(seen: Seen, finding: Finding, *, signature: str | None, looked_at: int, has_look: bool) -> dict[str, Any]:
    """The row of a listing whose photos were matched with up to `looked_at` products, and with as many by look."""
    pairs = list(zip(seen.embedded, seen.photos, strict=True))
    troubled = any(embedded.error or photo.hint != embedded.hint for embedded, photo in pairs)
    return {
        **finding_row(finding),
        "signature": None if troubled else signature,  # so that the next scan tries again what failed
        "row_error": seen.listing.error,
        "images": [str(image) for image in seen.listing.images],
        "photos": [
            {
                "sha256": embedded.sha256,
                "hint": embedded.hint,
                "error": None if embedded.vector is not None else embedded.error or "the picture could not be read",
                "matches": [match.reference.id for match in photo.matches],
                "least": _least([match.similarity for match in photo.matches], looked_at),
                "least_look": _least([match.look for match in photo.matches if match.look is not None], looked_at)
                if has_look
                else None,
                "regions": [list(part.region) for part in embedded.parts],
            }
            for embedded, photo in pairs
        ],
    }


def _least(values: list[float], looked_at: int) -> float:
    """The lowest of the `looked_at` highest values, or what is below all if there are fewer."""
    return sorted(values)[-looked_at] if len(values) >= looked_at else _NONE


def vectors_of(seen: Seen) -> list[Vector]:
    """The vectors of a listing's photos that were read, each followed by those of its parts, in order."""
    read = (embedded for embedded in seen.embedded if embedded.vector is not None)
    return [vector for photo in read for vector in photo_vectors(photo)]


def embedded_listing(row: Mapping[str, Any], vectors: Iterator[Vector]) -> tuple[Listing, list[EmbeddedPhoto]]:
    """The listing of a row, and its photos; those that were read take their vectors from `vectors`."""
    from lookalike.index.embedding import EmbeddedPhoto, Part

    listing = replace(listing_of(row), images=tuple(row["images"]), error=row["row_error"])
    photos = [
        EmbeddedPhoto(
            photo["sha256"],
            next(vectors) if photo["error"] is None else None,
            hint=photo["hint"],
            error=photo["error"],
            parts=tuple(Part(region_of(region), next(vectors)) for region in photo["regions"]),
        )
        for photo in row["photos"]
    ]
    return listing, photos
