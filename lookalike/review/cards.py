"""A finding as the page shows it: numbers beside thresholds, price, rights, candidates, what is known of the seller."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lookalike.errors import TableError
from lookalike.pages.html import safe_link
from lookalike.policy.fusion import probability_text
from lookalike.records import Match
from lookalike.rights.grounds import cell_in_words
from lookalike.tables.amounts import plain_decimal
from lookalike.tables.candidates import deciding_match, matches_of
from lookalike.tables.reviews import Standing

from .findings import Item
from .session import Session

_KINDS = {"copied_photo": "copied photo", "same_print": "same print", "lookalike": "look-alike"}
_MOST_OTHERS, _MOST_PHOTOS = 8, 12
MOST_CANDIDATES = 9

Card = dict[str, Any]
Row = Mapping[str, Any]


def matches_in(row: Row) -> list[Match]:
    """The matches of a row, the one that decided first; empty if they can't be read."""
    try:
        matches = matches_of(row)
    except TableError:
        return []
    decided = deciding_match(matches, row["brand"], row["product_id"])
    return ([] if decided is None else [decided]) + [match for match in matches if match is not decided]


def photo_sources(row: Row, matches: list[Match], more: tuple[str, ...] = ()) -> list[str]:
    """The photos of a listing, the one that decided first: those that matched something, and `more` of its table."""
    named = [row["image"], *(match.image for match in matches), *more]
    return list(dict.fromkeys(name for name in named if name))[:_MOST_PHOTOS]


def card_of(session: Session, place: int, more_photos: tuple[str, ...] = ()) -> Card:
    """What the page shows of a finding. Nothing in it is safe to put into a page without escaping."""
    findings = session.findings
    item, row = findings.items[place], findings.row(place)
    matches = matches_in(row)
    on_probability = row["probability"] is not None
    sources = photo_sources(row, matches, more_photos)
    draw = session.draws.get(place)
    return {
        "place": place,
        "listing": item.listing,
        "title": row["title"],
        "verdict": item.verdict,
        "kind": _KINDS.get(item.kind, item.kind.replace("_", " ")),
        "brand": item.brand,
        "product": item.product,
        "seller": item.seller,
        "territory": item.territory,
        "link": safe_link(row["url"]),
        "number": "probability" if on_probability else "similarity",
        "strength": _shown(item.strength, on_probability),
        "flag": _shown(item.flag, on_probability),
        "review": _shown(item.review, on_probability),
        "at": {name: _percent(getattr(item, name)) for name in ("strength", "flag", "review")},
        "similarity": _shown(row["similarity"], False) if on_probability else None,
        "look": _shown(row["look"], False),
        "inliers": row["inliers"],
        "coverage": None if row["coverage"] is None else f"{row['coverage']:.0%}",
        "price": _price(item),
        "against": _against_median(item, findings.medians),
        "rights": cell_in_words(row["rights"]),
        "notes": [text for text in (row["error"], row["hint"]) if text],
        "photos": range(len(sources)),
        "candidates": [_candidate(number, match) for number, match in enumerate(matches[:MOST_CANDIDATES])],
        "others": _others(session, item),
        "seller_count": len(findings.by_seller.get(item.seller, ())) - 1 if item.seller else 0,
        "earlier": _said(session.store.about(item.finding)),
        "group": len(session.group(place)),
        "stratum": draw.stratum if draw is not None else None,
    }


def _shown(value: float | None, on_probability: bool) -> str | None:
    if value is None:
        return None
    return probability_text(value) if on_probability else f"{value:.3f}"


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * min(max(value, 0.0), 1.0), 1)


def _price(item: Item) -> str | None:
    return None if item.price is None else f"{plain_decimal(item.price, thousands=',')} {item.currency}".rstrip()


def _against_median(item: Item, medians: Mapping[tuple[str, str], Decimal]) -> str | None:
    """The price in parts of the median price of the brand's findings in that currency."""
    median = medians.get((item.brand or "", item.currency))
    if item.price is None or median is None:
        return None
    return f"{item.price / median:.0%} of the brand's median here, {plain_decimal(round(median, 2), thousands=',')}"


def _candidate(number: int, match: Match) -> Card:
    return {
        "number": number,
        "brand": match.reference.brand,
        "product": match.reference.product,
        "strength": _shown(match.strength, match.probability is not None),
        "kind": _KINDS[match.kind],
    }


def _others(session: Session, item: Item) -> list[Card]:
    """The seller's other findings, the strongest first, with what people said of them."""
    findings = session.findings
    places = [place for place in findings.by_seller.get(item.seller, ()) if place != item.place] if item.seller else []
    first = sorted((findings.items[place] for place in places), key=lambda other: -(other.strength or 0.0))
    return [
        {
            "place": other.place,
            "listing": other.listing,
            "verdict": other.verdict,
            "about": " ".join(filter(None, (other.brand, other.product))),
            "said": ", ".join(dict.fromkeys(each["words"] for each in _said(session.store.about(other.finding)))),
        }
        for other in first[:_MOST_OTHERS]
    ]


def _said(stands: Standing | None) -> list[Card]:
    """What people said of a finding."""
    return [
        {
            "who": entry.said.who,
            "words": entry.said.verdict.in_words,
            "when": entry.said.when[:16].replace("T", " "),
            "note": entry.said.note,
        }
        for entry in (stands.verdicts if stands is not None else ())
    ]
