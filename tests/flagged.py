"""Rows of a findings table as the tests of cases write them."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def row(listing: str, seller: str | None, price: float | str | None = 10.0, **more: Any) -> Row:
    """A flagged finding of verified kind, with a photo of its own."""
    return {"listing_id": listing, "seller_id": seller, "verdict": "flagged", "kind": "same_print", "inliers": 20,
            "brand": "Acme", "product_id": "p1", "territory": "DE", "price": price, "currency": "EUR",
            "image": f"{listing}.jpg", "image_sha256": f"sha of {listing}",
            "scanned_at": "2026-11-20T10:00:00+00:00", **more}  # fmt: skip
