"""What a person's verdict makes of a finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookalike.records import Match, Verdict
from lookalike.tables.candidates import matches_of
from lookalike.tables.labels import Review
from lookalike.tables.verdicts import Judgement

Row = Mapping[str, Any]


def reviewed(row: Row, review: Review) -> dict[str, Any]:
    """The row of a findings table with the verdict that a person gave it, the scan's as `verdict_before`, and a reason.

    A look-alike is flagged, also as one of another product if the person says of which; then that is the row's product.
    What an authorised seller offers is authorised, everything else is clear.
    """
    said = Judgement(review.judgement) if review.judgement else None
    kept = {**row, "verdict_before": row["verdict"], "reason": _reason(review, said)}
    if said is Judgement.AUTHORISED:
        return {**kept, "verdict": str(Verdict.AUTHORISED)}
    if not review.lookalike:
        return {**kept, "verdict": str(Verdict.CLEAR)}
    kept["verdict"] = str(Verdict.FLAGGED)
    if review.is_about(row.get("product_id"), row.get("brand")):
        return kept
    match = _candidate(row, review)
    return {
        **kept,
        "product_id": review.product_id,
        "brand": review.brand if review.brand is not None else match and match.reference.brand,
        "reference_id": match and match.reference.id,
        "reference_image": match and match.reference.image,
    }


def _candidate(row: Row, review: Review) -> Match | None:
    """The row's match with the product that the person names, if it has one."""
    matches = matches_of(row) if row.get("candidates") is not None else []
    about = (each for each in matches if review.is_about(each.reference.product, each.reference.brand))
    return next(about, None)


def _reason(review: Review, said: Judgement | None) -> str:
    words = said.in_words if said is not None else "look-alike" if review.lookalike else "not a look-alike"
    who = f", by {review.who}" if review.who else ""
    when = f" on {review.day}" if review.day else ""
    return f"{words}{who}{when}" + (f": {review.note}" if review.note else "")
