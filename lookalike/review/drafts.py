"""Drafts of the tables that verdicts are about: harmless photos, and authorised sellers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.tables.files import writing_table
from lookalike.tables.findings import last_findings, read_findings
from lookalike.tables.inputs import HARMLESS_COLUMNS
from lookalike.tables.labels import deciding_review, reviews_by_listing
from lookalike.tables.reviews import read_reviews
from lookalike.tables.verdicts import Judgement

SELLER_COLUMNS = ("brand", "seller_id", "territory", "valid_from", "valid_until")


@dataclass(frozen=True)
class Drafted:
    """How many harmless photos and authorised sellers there are, and how many verdicts lack what such a row needs."""

    harmless: int
    sellers: int
    unusable: int


def write_drafts(
    verdicts: str | Path,
    findings: str | Path,
    *,
    harmless: str | Path | None = None,
    sellers: str | Path | None = None,
) -> Drafted:
    """Write the photos that people call harmless, and the sellers that they call authorised, as tables to be checked.

    A harmless photo is named by the hash of its file. An authorised seller is one for the brand in the territory of the
    listing, without days; give them from the licence. Raises TableError and HistoryError as reading them does.
    """
    reviews = reviews_by_listing(read_reviews(verdicts).reviews)
    photos: dict[str, dict[str, str]] = {}
    allowed: dict[tuple[str, str, str], dict[str, str | None]] = {}
    unusable = 0
    for row in last_findings(row for row in read_findings(findings) if row["listing_id"] in reviews):
        known = reviews[row["listing_id"]]
        review = deciding_review(known, row["product_id"], row["brand"], row["image_sha256"])
        judgement = review.judgement if review is not None else None
        if judgement == Judgement.HARMLESS:
            image, name = row["image"], row["image_sha256"] or row["image"]
            if image is None or name is None:
                unusable += 1
            else:
                photos[name] = {"reference_id": f"harmless-{name[:16]}", "image": image}
        elif judgement == Judgement.AUTHORISED:
            if row["brand"] is None or row["seller_id"] is None:
                unusable += 1
            else:
                place = row["brand"], row["seller_id"], row["territory"] or ""
                allowed[place] = dict(zip(SELLER_COLUMNS, (*place[:2], row["territory"], None, None), strict=True))
    if harmless is not None:
        _write(Path(harmless), HARMLESS_COLUMNS, photos.values())
    if sellers is not None:
        _write(Path(sellers), SELLER_COLUMNS, allowed.values())
    return Drafted(len(photos), len(allowed), unusable)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str | None]]) -> None:
    import pyarrow as pa

    with writing_table(path, pa.schema([(name, pa.string()) for name in columns])) as writer:
        writer.write(list(rows))
