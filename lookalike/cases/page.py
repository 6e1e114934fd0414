"""Cases as one self-contained HTML page: each with its figures, the network of its sellers, and pairs of photos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookalike.pages.html import asset, page_template, policy_hash, safe_link
from lookalike.pages.pictures import Thumbnail, Thumbnails

from .grouping import Case, Cases, Effort, Link
from .money import plain_decimal, read_amount

_WIDTH, _HEIGHT, _MARGIN = 380, 300, 34
_MOST_NODES = 60
_NAME = 18

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
    """Write the page of the first `most` cases, each with up to `most_pairs` pairs, the dearest first; gives how many.

    `rows` are the findings that the cases are of. `columns` are the further keys that joined sellers. `thumbnail` gives
    the picture of an image, or None where there is none any more. Every text is escaped, pictures are inlined, and the
    page's own policy forbids it any request.
    """
    out = Path(out)
    first = found.cases[:most]
    wanted = {(listing, case.id) for case in first for listing in case.examples[:most_pairs]}
    listings = {listing for listing, _ in wanted}
    shown = {str(row["listing_id"]): row for row in rows if str(row["listing_id"]) in listings}
    pictures = Thumbnails(thumbnail)
    cards = [_card(case, rank, found, shown, pictures, most_pairs) for rank, case in enumerate(first, 1)]
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".tmp")
    with open(temporary, "w", encoding="utf-8", errors="replace") as file:
        file.writelines(_page(cards, found, title, effort or Effort(), columns, pictures))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(out)
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
        remarks=remarks(found),
        style=style,
        script=script,
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
    )


def remarks(found: Cases) -> list[str]:
    """What cases leave out, a line each: keys of too many sellers, prices that can't be used or converted."""
    said = []
    if found.ignored:
        shown = ", ".join(f"{kind} {key[:_NAME]} ({count:,} sellers)" for kind, key, count in found.ignored[:5])
        more = f" and {len(found.ignored) - 5:,} more" if len(found.ignored) > 5 else ""
        said.append(f"Too common to join anybody: {shown}{more}.")
    if found.bad_prices:
        said.append(f"{found.bad_prices:,} prices can't be used: no number from 0 to 10¹² with at most 12 decimals.")
    for currency, count in sorted(found.unconverted.items()):
        said.append(f"{count:,} prices in {currency or 'no named currency'} are not in the sums, for want of a rate.")
    return said


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
        "network": _network(case),
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
        **{name: row.get(name) for name in ("listing_id", "verdict", "kind", "brand", "product_id", "similarity")},
        "reason": row.get("reason"),
        "seller": row.get("seller_id") or "a seller who is not named",
        "price": None if price is None else f"{plain_decimal(price)} {row.get('currency') or ''}".rstrip(),
        "link": safe_link(row.get("url")),
        "listing_picture": pictures.name(row.get("image")),
        "reference_picture": pictures.name(row.get("reference_image")),
    }


def _network(case: Case) -> dict[str, Any] | None:
    """Sellers and what they share, laid out by Kamada and Kawai (1989) in a plane; None for a seller alone.

    Of many sellers those with most links are drawn, up to 60 nodes.
    """
    if len(case.sellers) < 2:
        return None
    import networkx

    degree: dict[str, int] = dict.fromkeys(case.sellers, 0)
    for link in case.links:
        for seller in link.sellers:
            degree[seller] += 1
    kept = set(sorted(degree, key=lambda seller: (-degree[seller], seller))[: _MOST_NODES // 2])
    graph = networkx.Graph()
    graph.add_nodes_from(("seller", seller) for seller in sorted(kept))
    links = sorted(case.links, key=lambda link: (-len(kept.intersection(link.sellers)), link.kind, link.key))
    drawn: list[Link] = []
    for link in links[: _MOST_NODES // 2]:
        ends = [seller for seller in link.sellers if seller in kept]
        if len(ends) > 1:
            drawn.append(link)
            graph.add_edges_from((("seller", seller), (link.kind, link.key)) for seller in ends)
    places = networkx.kamada_kawai_layout(graph)
    xs, ys = zip(*places.values(), strict=True)
    wide, high = max(xs) - min(xs) or 1, max(ys) - min(ys) or 1

    def at(node: tuple[str, str]) -> tuple[float, float]:
        x, y = places[node]
        return (round(_MARGIN + (x - min(xs)) / wide * (_WIDTH - 2 * _MARGIN), 1),
                round(_MARGIN + (y - min(ys)) / high * (_HEIGHT - 2 * _MARGIN), 1))  # fmt: skip

    nodes = []
    for seller in sorted(kept):
        x, y = at(("seller", seller))
        size = 5 + min(9, degree[seller])
        nodes.append({"seller": True, "x": x, "y": y, "size": size, "name": seller[:_NAME], "photo": False,
                      "title": f"seller {seller}, {degree[seller]} shared"})  # fmt: skip
    for link in drawn:
        x, y = at((link.kind, link.key))
        name = f"{link.kind} {link.key}"
        nodes.append({"seller": False, "x": x, "y": y, "photo": link.kind == "photo", "name": name[:_NAME],
                      "title": f"{name}, of {len(link.sellers)} sellers"})  # fmt: skip
    counts = {
        kind: sum(link.kind == kind for link in case.links) for kind in dict.fromkeys(each.kind for each in case.links)
    }
    told = " and ".join(f"{count:,} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items())
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "nodes": nodes,
        "edges": [(*at(left), *at(right)) for left, right in graph.edges],
        "label": f"{len(case.sellers):,} sellers share {told}",
        "others": any(link.kind != "photo" for link in drawn),
        "left_out": len(case.sellers) - len(kept),
    }
