"""Findings as one self-contained HTML page: each listing's photo beside the genuine photo that it resembles."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from lookalike.disk import make_folder, written
from lookalike.pages.html import asset, page_template, policy_hash, safe_link
from lookalike.pages.pictures import Composed, Evidence, Row, Thumbnail, Thumbnails, compose_evidence, needing_a_look
from lookalike.policy.numbers import Number, numbers_of
from lookalike.records import Verdict
from lookalike.rights.grounds import cell_in_words
from lookalike.tables.amounts import plain_decimal, read_decimal
from lookalike.tables.candidates import region_in
from lookalike.tables.cells import id_digest
from lookalike.tables.findings import FindingRow, strength_of
from lookalike.tables.names import name_in

_ORDER = (
    Verdict.FLAGGED,
    Verdict.REVIEW,
    Verdict.UNREADABLE,
    Verdict.AUTHORISED,
    Verdict.UNPROTECTED,
    Verdict.CLEAR,
)
_RANK = {str(verdict): rank for rank, verdict in enumerate(_ORDER)}
KINDS = {"copied_photo": "copied photo", "same_print": "same print", "lookalike": "look-alike"}
"""The name of each kind of likeness, the strongest first."""

JUDGEMENTS = (
    ("l", "lookalike", "Look-alike"),
    ("n", "not_lookalike", "Not a look-alike"),
    ("o", "other_product", "Other product"),
    ("h", "harmless", "Harmless photo"),
    ("a", "authorised", "Authorised seller"),
    ("u", "unsure", "Unsure"),
)
"""What a person may say about a finding: the key, the word that is kept, and its name."""

_SEARCHED = ("listing_id", "title", "seller_id", "brand", "product_id")

Card = dict[str, Any]


@dataclass(frozen=True)
class ReportSummary:
    """How many findings there are for each verdict, how many the page shows and leaves out, and how many of those shown
    have a composed picture (`evidence`).

    `without_genuine` of those shown have a genuine photo that can't be read any more; `first_without` is the first.
    """

    verdicts: Mapping[str, int]
    shown: int
    left_out: int
    evidence: int = 0
    without_genuine: int = 0
    first_without: str | None = None


def write_report(
    rows: Iterable[Row],
    out: str | Path,
    *,
    thumbnail: Thumbnail,
    title: str = "Look-alike report",
    most: int = 2000,
    evidence: Evidence | None = None,
    most_evidence: int = 100,
    progress: Callable[[int], None] | None = None,
) -> ReportSummary:
    """Write the page for rows of a findings table: the strongest `most` of them, with counts of all.

    `thumbnail` gives the picture for a row's `image` or `reference_image`, and `evidence` the composed picture of a
    row; both give None for photos that can't be read any more. In `lookalike.evidence`, `photos.photo_of` and
    `explain.evidence_of` make these functions. `evidence` is called for `most_evidence` findings, those in review first
    (see `needing_a_look`), and `progress` after each. Others show their photos in large instead, as far as there is
    room. `most` is at least 1. All text is escaped, pictures are inlined, and the page's own policy forbids any
    request. Verdicts that a person gives on the page stay in the browser's storage until they are downloaded.
    """
    out = Path(out)
    verdicts, shown = _strongest(rows, most)
    pictures = Thumbnails(thumbnail)
    composed = compose_evidence(shown, evidence, most_evidence, progress)
    for at in needing_a_look(shown):
        if composed[at].address is None:
            pictures.name(shown[at].get("image"), region_in(shown[at]), large=True)
            pictures.name(shown[at].get("reference_image"), large=True)
    cards = [_card(rank, row, pictures, of) for rank, (row, of) in enumerate(zip(shown, composed, strict=True))]
    with_evidence = sum(each.address is not None for each in composed)
    without = [card["reference_image"] for card in cards if card["reference_image"] and not card["reference_picture"]]
    left_out = verdicts.total() - len(shown)
    first = without[0] if without else None
    summary = ReportSummary(dict(verdicts), len(shown), left_out, with_evidence, len(without), first)
    make_folder(out.parent)
    with written(out) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(_page(cards, summary, title, pictures))
    return summary


def _strongest(rows: Iterable[Row], most: int) -> tuple[Counter[str], list[Row]]:
    """Counts of all rows, and the strongest `most` rows, strongest first; no more than those are kept in memory."""
    verdicts: Counter[str] = Counter()

    def counted() -> Iterator[Row]:
        for row in rows:
            verdicts[row["verdict"]] += 1
            yield row

    return verdicts, heapq.nlargest(most, counted(), key=_strength)


def _strength(row: Row) -> tuple[int, float]:
    """The order of rows: by verdict, then by similarity or probability; rows without either come last."""
    strength = strength_of(row)
    return -_place(row["verdict"])[0], -2.0 if strength is None else strength


def _card(rank: int, row: Row, pictures: Thumbnails, composed: Composed) -> Card:
    kind, name, numbers = row.get("kind"), name_in(row.get("label_name")), numbers_of(row)
    listed, genuine = pictures.name(row.get("image"), region_in(row)), pictures.name(row.get("reference_image"))
    return {
        **dict.fromkeys((*FindingRow.__annotations__, "verdict_before", "reason")),  # rows made by hand lack some
        **row,
        "rank": rank,
        "kind_key": kind if kind in KINDS else "",
        "kind_name": KINDS.get(kind, str(kind).replace("_", " ")) if kind else None,
        "mirrored": str(row.get("mirrored")).lower() == "true",
        "key": _key(row),
        "listing_picture": listed,
        "reference_picture": genuine,
        "large": pictures.is_large(listed) and (genuine is None or pictures.is_large(genuine)),
        "rights": cell_in_words(row.get("rights")),
        "label_name": name.in_words if name else None,
        "composed": composed,
        "link": safe_link(row.get("url")),
        "numbers": numbers,
        **_bar(numbers),
        "search": " ".join(str(row[name]) for name in _SEARCHED if row.get(name)).lower(),
    }


def _key(row: Row) -> str:
    """Names what a verdict on the row is about: another photo or product is another question."""
    about = [row.get(name) for name in ("listing_id", "brand", "product_id", "image_sha256")]
    return id_digest(json.dumps(about, default=str)).hex()


def _bar(numbers: Sequence[Number]) -> dict[str, Any]:
    """How far the bar is filled, by the number that the verdict rests on, and where its thresholds stand on it.

    The bar goes from 0 to 1. On that scale a normalised similarity has no place, so the similarity stands for it,
    without thresholds.
    """
    shown = next((number for number in numbers if number.name != "normalised similarity"), None)
    ticks = shown.thresholds.values() if shown is not None else ()
    return {"filled": _percent(shown.value) if shown else 0.0, "ticks": [_percent(tick) for tick in ticks]}


def _percent(value: float) -> float:
    return round(100 * min(max(value, 0.0), 1.0), 1)


@dataclass
class _Group:
    """Cards of one brand, or of one product of it, strongest first."""

    name: str | None
    cards: list[Card] = field(default_factory=list)
    parts: dict[str | None, _Group] = field(default_factory=dict)

    def part(self, name: str | None) -> _Group:
        return self.parts.setdefault(name, _Group(name))

    @property
    def clear(self) -> list[Card]:
        """The cards that are clear, which are folded."""
        return [card for card in self.cards if card["verdict"] == Verdict.CLEAR]

    @property
    def others(self) -> list[Card]:
        """The cards that are not clear."""
        return [card for card in self.cards if card["verdict"] != Verdict.CLEAR]

    @property
    def counts(self) -> dict[str, int]:
        """How many cards there are for each verdict, including those of its parts."""
        return _counts([*self.cards, *(card for part in self.parts.values() for card in part.cards)])


def _grouped(cards: Iterable[Card]) -> list[_Group]:
    """Brands with their products, in the order of their strongest card; `cards` come strongest first."""
    top = _Group(None)
    for card in cards:
        top.part(card["brand"]).part(card["product_id"]).cards.append(card)
    return list(top.parts.values())


def _counts(cards: Sequence[Card]) -> dict[str, int]:
    counts = Counter(card["verdict"] for card in cards)
    return {verdict: counts[verdict] for verdict in sorted(counts, key=_place)}


def _place(verdict: str) -> tuple[int, str]:
    return _RANK.get(verdict, len(_RANK)), verdict


def _days(cards: Iterable[Card]) -> tuple[str, str] | None:
    """The first and the last day on which the cards' listings were scanned, as ISO dates; None if no card says."""
    days = []
    for card in cards:
        try:
            days.append(date.fromisoformat(str(card["scanned_at"])[:10]))
        except ValueError:  # the table doesn't say
            continue
    return (f"{min(days)}", f"{max(days)}") if days else None


def _page(cards: list[Card], summary: ReportSummary, title: str, pictures: Thumbnails) -> Iterator[str]:
    style = asset("report.css") + "".join(pictures.css())
    script = asset("report.js")
    template = page_template(
        "report.html",
        amount=lambda price: plain_decimal(read_decimal(price), thousands=","),
    )
    kinds = Counter(card["kind_key"] for card in cards)
    return template.generate(
        title=title,
        groups=_grouped(cards),
        summary=summary,
        totals={verdict: summary.verdicts[verdict] for verdict in sorted(summary.verdicts, key=_place)},
        verdicts=_counts(cards),
        judgements=JUDGEMENTS,
        kinds=[(key, KINDS.get(key, "no kind"), kinds[key]) for key in (*KINDS, "") if kinds[key]],
        brands=sorted({card["brand"] for card in cards if card.get("brand")}),
        origins=sorted({(str(card["policy"]), str(card["encoder"])) for card in cards}),
        days=_days(cards),
        style=style,
        script=script,
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
    )
