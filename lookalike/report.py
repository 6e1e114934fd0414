"""Findings as one self-contained HTML page: each listing's photo beside the genuine one it is alike to."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .records import Verdict, strength_of

if TYPE_CHECKING:
    from PIL import Image

_ORDER = (
    Verdict.FLAGGED,
    Verdict.REVIEW,
    Verdict.UNREADABLE,
    Verdict.AUTHORISED,
    Verdict.UNPROTECTED,
    Verdict.CLEAR,
)
_RANK = {str(verdict): rank for rank, verdict in enumerate(_ORDER)}
_SIDE = 200
_QUALITY = 72

Row = Mapping[str, Any]
Thumbnail = Callable[[str], "Image.Image | None"]


@dataclass(frozen=True)
class ReportSummary:
    """How many findings there are per verdict, and how many of them the page shows and leaves out."""

    verdicts: Mapping[str, int]
    shown: int
    left_out: int


def write_report(
    rows: Iterable[Row],
    out: str | Path,
    *,
    thumbnail: Thumbnail,
    title: str = "Look-alike report",
    most: int = 2000,
) -> ReportSummary:
    """Write the page for rows of a findings table, the strongest `most` of them; counts cover all.

    `thumbnail` gives the picture for a row's `image` or `reference_image`, or None where there is none any
    more. Every text is escaped, pictures are inlined, and the page's own policy forbids it any request.
    """
    out = Path(out)
    verdicts, shown = _strongest(rows, most)
    pictures = _Pictures(thumbnail)
    summary = ReportSummary(dict(verdicts), len(shown), verdicts.total() - len(shown))
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.writelines(_page([_card(row, pictures) for row in shown], summary, title, pictures))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(out)
    return summary


def _strongest(rows: Iterable[Row], most: int) -> tuple[Counter[str], list[Row]]:
    """Counts of all rows, and the strongest, strongest first, holding no more than `most` at a time."""
    verdicts: Counter[str] = Counter()
    heap: list[tuple[tuple[int, float, int], Row]] = []
    for number, row in zip(count(), rows):
        verdicts[row["verdict"]] += 1
        held = strength_of(row)
        strength = (-_RANK.get(row["verdict"], len(_RANK)), -2.0 if held is None else held, -number)
        entry = (strength, row)
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif heap and strength > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return verdicts, [row for _, row in sorted(heap, key=lambda entry: entry[0], reverse=True)]


def _card(row: Row, pictures: _Pictures) -> dict[str, Any]:
    return {
        **row,
        "normalised_similarity": row.get("normalised_similarity"),
        "suppressed_by": row.get("suppressed_by"),
        "listing_picture": pictures.name(row.get("image")),
        "reference_picture": pictures.name(row.get("reference_image")),
        "link": safe_link(row.get("url")),
        "filled": _percent(row.get("similarity")),
        # the bar is of the similarity, where a threshold on the normalised one has no place
        "ticked": _percent(row.get("threshold")) if row.get("normalised_similarity") is None else None,
        "search": " ".join(
            str(row[k]) for k in ("listing_id", "title", "seller_id", "product_id") if row.get(k)
        ).lower(),
    }


def safe_link(url: str | None) -> str | None:
    """The address if following it can do no more than open a web page, else None.

    >>> safe_link("https://example.com/1"), safe_link("javascript:alert(1)")
    ('https://example.com/1', None)
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def _percent(value: float | None) -> float | None:
    """A similarity's place on the bar, 0 to 1; below 0 nothing is alike at all."""
    return None if value is None else round(100 * min(max(value, 0.0), 1.0), 1)


class _Pictures:
    """Thumbnails as CSS classes, so that a reference on many cards is stored once."""

    def __init__(self, thumbnail: Thumbnail) -> None:
        self._thumbnail = thumbnail
        self._names: dict[str, str | None] = {}
        self._classes: dict[str, str] = {}

    def name(self, image: str | None) -> str | None:
        """The CSS class that shows the picture; None where there is no picture."""
        if image is None:
            return None
        if image not in self._names:
            picture = self._thumbnail(image)
            self._names[image] = None if picture is None else self._class(picture)
        return self._names[image]

    def _class(self, picture: Image.Image) -> str:
        small = picture.convert("RGB")
        small.thumbnail((_SIDE, _SIDE))
        data = io.BytesIO()
        small.save(data, "WEBP", quality=_QUALITY)
        return self._classes.setdefault(base64.b64encode(data.getvalue()).decode(), f"p{len(self._classes)}")

    def css(self) -> Iterator[str]:
        """The rules, one a picture."""
        for data, name in self._classes.items():
            yield f'.{name}{{background-image:url("data:image/webp;base64,{data}")}}\n'


def _page(cards: list[dict[str, Any]], summary: ReportSummary, title: str, pictures: _Pictures) -> Iterator[str]:
    import jinja2

    folder = files("lookalike") / "templates"
    style = (folder / "report.css").read_text(encoding="utf-8") + "".join(pictures.css())
    script = (folder / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
    return template.generate(
        title=title,
        cards=cards,
        summary=summary,
        order=[str(verdict) for verdict in _ORDER if summary.verdicts.get(str(verdict))],
        brands=sorted({card["brand"] for card in cards if card.get("brand")}),
        origins=sorted({(card["policy"], card["encoder"]) for card in cards}),
        style=style,
        script=script,
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
    )


def policy_hash(text: str) -> str:
    """The text's hash as a content security policy names it (CSP level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
