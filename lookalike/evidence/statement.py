"""The pages of an evidence bundle: an overview, and for each finding what was found, when, and what it means."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from lookalike.pages.html import asset, page_template, policy_hash, safe_link
from lookalike.policy.fusion import probability_text
from lookalike.policy.numbers import numbers_of
from lookalike.records import Verdict
from lookalike.rights.grounds import basis_in_words, cell_in_words
from lookalike.tables.amounts import plain_decimal, read_decimal
from lookalike.tables.findings import said_by_similarity
from lookalike.tables.names import ANSWERS, COLUMN, name_in

if TYPE_CHECKING:
    import jinja2
    from PIL import Image

_SIDE = 560
_PICTURE_SIDE = 1400

FOUND = {
    Verdict.FLAGGED: ("looks like", ""),
    Verdict.REVIEW: ("may look like", ""),
    Verdict.CLEAR: ("is not similar enough to", ""),
    Verdict.AUTHORISED: ("looks like", ", which its seller may sell"),
    Verdict.UNPROTECTED: ("looks like", ", which no right protects in its territory"),
}
"""Each verdict in words: what comes between the listing and the genuine product, and what comes after both."""

KINDS = {"lookalike": "similar as a whole", "same_print": "the same print", "copied_photo": "the same photo, copied"}
"""Each kind of likeness in words."""

STATES = {
    "same": "byte for byte the file that was {when}, by its sha256",
    "changed": "not the file that was {when}; the photo at this address has changed since",
    "unknown": "no sha256 was recorded when it was {when}, so it is not known whether this is the same file",
    "unreadable": "it can't be read any more",
    "none": "no photo was recorded",
}
"""The state of a photo that was read again, in words."""


@dataclass(frozen=True)
class Pictures:
    """The pictures that a statement shows, in RGB; None for each that is missing."""

    listing: Image.Image | None = None
    reference: Image.Image | None = None
    composed: Image.Image | None = None


def statement_page(
    number: int, said: Mapping[str, Any], *, made_by: Mapping[str, Any], pictures: Pictures, names: Mapping[str, str]
) -> bytes:
    """The page of one finding, as HTML that makes no requests and runs no scripts.

    `said` and `made_by` are the contents of the finding's entry in the manifest and of the first entry; `names` are
    the names of the files beside the page, by role.
    """
    row = said["finding"]
    name = name_in(row.get(COLUMN))
    page = _template("statement.html").render(
        number=number,
        row=row,
        said=said,
        made_by=made_by,
        names=names,
        found=FOUND.get(row["verdict"]),
        said_by_similarity=said_by_similarity(row),
        kind=KINDS.get(row["kind"], row["kind"]),
        label_name=name.in_words if name else None,
        link=safe_link(row["url"]),
        listing_known=STATES[said["listing_photo"]["state"]].format(when="scanned"),
        reference_known=STATES[said["reference_photo"]["state"]].format(when="indexed"),
        pictures={
            "listing": _inlined(pictures.listing, _SIDE),
            "reference": _inlined(pictures.reference, _SIDE),
            "composed": _inlined(pictures.composed, _PICTURE_SIDE),
        },
        **_style(),
    )
    return page.encode("utf-8", "replace")


def overview_page(
    findings: Sequence[Mapping[str, Any]], *, made_by: Mapping[str, Any], counts: Mapping[str, int]
) -> bytes:
    """The bundle's first page. Each finding has a `number`, the `name` of its page, and what its entry `said`."""
    page = _template("overview.html").render(findings=findings, made_by=made_by, counts=counts, **_style())
    return page.encode("utf-8", "replace")


def pages_digest() -> str:
    """A digest of what the pages are made with, to tell whether another version of lookalike made a page."""
    parts = (asset(name) for name in ("statement.html", "overview.html", "statement.css"))
    words = (repr(words) for words in (FOUND, KINDS, STATES, ANSWERS))
    return hashlib.sha256("\n".join([*parts, *words]).encode()).hexdigest()


def _inlined(picture: Image.Image | None, side: int) -> str | None:
    """A small copy as a data URL: encoded again, so that it contains nothing but pixels and any browser shows it."""
    if picture is None:
        return None
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


@cache
def _template(name: str) -> jinja2.Template:
    return page_template(
        name,
        number=lambda value: "none" if value is None else f"{value:.3f}",
        probability=probability_text,
        time=_time_text,
        amount=lambda price: plain_decimal(read_decimal(price), thousands=","),
        grounds=cell_in_words,
        basis=basis_in_words,
        rests_on=lambda row: str(next(iter(numbers_of(row)), "no similarity")),
    )


@cache
def _style() -> dict[str, str]:
    text = asset("statement.css")
    return {"style": text, "style_hash": policy_hash(text)}


def _time_text(time: str | None) -> str:
    """A time as people write it; text that is not an ISO time stays as it is.

    >>> _time_text("2026-11-24T09:05:00+00:00")
    '24 November 2026, 09:05:00 UTC'
    """
    if not time:
        return "not recorded"
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return time
    zone = "UTC" if parsed.utcoffset() is not None and not parsed.utcoffset() else (parsed.strftime("%z") or "")
    return f"{parsed.day} {parsed:%B %Y, %H:%M:%S} {zone}".rstrip()
