"""What the monitor's tests watch: rows of a findings table, judged flags, and the policy that made them."""

from __future__ import annotations

from datetime import date
from typing import Any

from lookalike.policy.policy import Policy
from lookalike.policy.terms import Evidence, Promise, Scope
from lookalike.thresholds.observed import ReviewedFlag

OWN, BORROWED = Evidence("Acme", 100), Evidence("all", 100, more_needed=30)
POLICY = Policy(
    "mine",
    0.8,
    0.7,
    scopes=(Scope(0.85, 0.7, brand="Acme", evidence=OWN), Scope(0.9, 0.7, brand="Beta", evidence=BORROWED)),
    promise=Promise(0.95, precision=0.95),
)
DAY = date(2026, 11, 24)


def finding(number: int, **values: Any) -> dict[str, Any]:
    row = {
        "listing_id": f"L{number}",
        "verdict": "flagged",
        "policy": str(POLICY),
        "encoder": "e",
        "brand": "Acme",
        "product_id": "p1",
        "reference_id": "r1",
        "similarity": 0.9,
    }
    return {**row, **values}


def flags(*counts: tuple[int, int], brand: str = "Acme") -> list[ReviewedFlag]:
    """Stretches of flags, each as (flags, wrong ones), the wrong ones last."""
    return [ReviewedFlag(i < count - wrong, brand) for count, wrong in counts for i in range(count)]
