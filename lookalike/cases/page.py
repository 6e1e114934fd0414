"""Cases as one self-contained HTML page: each with its figures, the network of its sellers, and pairs of photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookalike.disk import make_folder, written
from lookalike.pages.html import asset, page_template, policy_hash, safe_link
from lookalike.pages.pictures import Thumbnail, Thumbnails
from lookalike.policy.numbers import numbers_of
from lookalike.tables.amounts import plain_decimal, read_amount

from .case import Case, Cases, Effort
from .network import draw_network

Row = Mapping[str, Any]


def write_case_page(
    found: Cases,
    rows: Iterable[Row],
    out: str | Path,
    *,
    thumbnail: Thumbnail,
    effort: Effort | None = None,
    columns: Sequence[str] = (),
    title: str = "Cases",
    most: int = 50,
    most_pairs: int = 12,
) -> int:
    """Write a page of the first `most` cases, each with up to `most_pairs` pairs, the dearest first; returns how many.

    `rows` are the findings that the cases were made from. `columns` are the further keys that joined sellers.
    `thumbnail` returns the picture of an image, or None if it can't be read any more. Every text is escaped, pictures
    are inlined, and the page's own policy forbids it any request.
    """
    out = Path(out)
    first = found.cases[:most]
    listings = {listing for case in first for listing in case.examples[:most_pairs]}
    shown = {str(row["listing_id"]): row for row in rows if str(row["listing_id"]) in listings}
    pictures = Thumbnails(thumbnail)
    cards = [_card(case, rank, found, shown, pictures, most_pairs) for rank, case in enumerate(first, 1)]
    make_folder(out.parent)
    with written(out) as temporary, open(temporary, "w", encoding="utf-8", errors="replace") as file:
        file.writelines(_page(cards, found, title, effort or Effort(), columns, pictures))
    return len(cards)


def _page(
    cards: list[dict[str, Any]],
    found: Cases,
    title: str,
    effort: Effort,
    columns: Sequence[str],
    pictures: Thumbnails,
) -> Iterable[str]:
    style = asset("report.css") + asset("cases.css") + "".join(pictures.css())
    script = asset("cases.js")
    template = page_template("cases.html")
    return template.generate(
        title=title,
        cards=cards,
        total=len(found.cases),
        findings=found.findings,
        ranked_by=found.ranked_by,
        currency=next((case.value_currency for case in found.cases if case.value_currency), ""),
        effort={"case": f"{effort.case:f}", "pair": f"{effort.pair:f}"},
        columns=list(columns),
        brands=sorted({name for card in cards for name in card["brand_names"]}),
        remarks=found.remarks(),
        style=style,
        script=script,
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
    )


def _card(
    case: Case, rank: int, found: Cases, shown: Mapping[str, Row], pictures: Thumbnails, most: int
) -> dict[str, Any]:
    pairs = [_pair(shown[listing], pictures) for listing in case.examples[:most] if listing in shown]
    return {
        "id": case.id,
        "rank": rank,
        "listings": len(case.listings),
        "value": None if case.value is None else f"{case.value:,.2f}",
        "currency": case.value_currency,
        "per_minute": f"{case.per_minute:,.2f}",
        "unit": case.value_currency if found.ranked_by == "value" else "listings",
        "sellers": [(seller, None) for seller in case.sellers],
        **{name: _named(getattr(case, name)) for name in ("brands", "products", "territories", "verdicts")},
        "kinds": [(name.replace("_", " "), count) for name, count in _named(case.kinds)],
        "brand_names": list(case.brands),
        "rights": [(territory, list(named)) for territory, named in case.rights.items()],
        "sums": [
            (f"{plain_decimal(value)} {currency or '(no currency)'}", None) for currency, value in case.values.items()
        ],
        "unvalued": case.unvalued,
        "pairs": case.pairs,
        "minutes": f"{case.minutes:f}",
        "first_seen": _minute(case.first_seen),
        "last_seen": _minute(case.last_seen),
        "merged": list(case.merged),
        "split_from": case.split_from,
        "network": draw_network(case),
        "shown": pairs,
        "search": " ".join([case.id, *case.sellers, *case.listings[:500], *case.products]).lower(),
    }


def _minute(time: str | None) -> str | None:
    return None if time is None else f"{time[:16].replace('T', ' ')} UTC"


def _named(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(name or "not known", count) for name, count in counts.items()]


def _pair(row: Row, pictures: Thumbnails) -> dict[str, Any]:
    price = read_amount(row["price"]) if row.get("price") is not None else None
    return {
        **{name: row.get(name) for name in ("listing_id", "verdict", "kind", "brand", "product_id")},
        "number": next(iter(numbers_of(row)), None),
        "reason": row.get("reason"),
        "seller": row.get("seller_id") or "a seller without a name",
        "price": None if price is None else f"{plain_decimal(price)} {row.get('currency') or ''}".rstrip(),
        "link": safe_link(row.get("url")),
        "listing_picture": pictures.name(row.get("image")),
        "reference_picture": pictures.name(row.get("reference_image")),
    }
