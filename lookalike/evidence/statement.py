"""The pages of an evidence bundle: for each finding what was found, by what, when, and what that means; an overview."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from lookalike.pages.html import asset, page_template, policy_hash, safe_link
from lookalike.policy.fusion import probability_text
from lookalike.records import Verdict
from lookalike.tables.findings import said_by_similarity

if TYPE_CHECKING:
    import jinja2
    from PIL import Image

_SIDE = 560
_PICTURE_SIDE = 1400

FOUND = {
    Verdict.FLAGGED: "looks like",
    Verdict.REVIEW: "may look like",
    Verdict.CLEAR: "is not alike enough to",
    Verdict.AUTHORISED: "looks like, and its seller may sell,",
    Verdict.UNPROTECTED: "looks like, in a territory without a right to it,",
}
"""What each verdict says of a listing and a genuine product, in words."""

KINDS = {"lookalike": "alike as a whole", "same_print": "the same print", "copied_photo": "the same photo, copied"}
"""What each kind of likeness is, in words."""

STATES = {
    "same": "the file that was {when}, byte for byte, by its sha256",
    "changed": "not the file that was {when}: what is at this address was changed since",
    "unknown": "whether it is the file that was {when} is not known, for no sha256 was recorded then",
    "unreadable": "it can't be read any more",
    "none": "none was recorded",
}
"""What is known of a photo that was read again, by its state."""


@dataclass(frozen=True)
class Pictures:
    """What a page shows of a finding: RGB pictures, each None where there is none."""

    listing: Image.Image | None = None
    reference: Image.Image | None = None
    composed: Image.Image | None = None


def statement_page(
    number: int, said: Mapping[str, Any], *, made_by: Mapping[str, Any], pictures: Pictures, names: Mapping[str, str]
) -> bytes:
    """The page of one finding, as HTML that asks nobody for anything and runs nothing.

    `said` is what the finding's entry in the manifest says, `made_by` what the first entry says, `names` the names of
    the photos' files beside the page, by role.
    """
    row = said["finding"]
    page = _template("statement.html").render(
        number=number,
        row=row,
        said=said,
        made_by=made_by,
        names=names,
        found=FOUND.get(row["verdict"]),
        said_by_similarity=said_by_similarity(row),
        kind=KINDS.get(row["kind"], row["kind"]),
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
    """The bundle's first page: a line for each finding, `number`, `name` of its page, and what it `said`."""
    page = _template("overview.html").render(findings=findings, made_by=made_by, counts=counts, found=FOUND, **_style())
    return page.encode("utf-8", "replace")


def _inlined(picture: Image.Image | None, side: int) -> str | None:
    """A small copy as a data address: what a stranger sent is drawn anew, and any browser shows it."""
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
        day=_said_day,
    )


@cache
def _style() -> dict[str, str]:
    text = asset("statement.css")
    return {"style": text, "style_hash": policy_hash(text)}


def _said_day(time: str | None) -> str:
    """A time as a person reads it; text that is no time as it is.

    >>> _said_day("2026-11-24T09:05:00+00:00")
    '24 November 2026, 09:05:00 UTC'
    """
    if not time:
        return "at a time that was not recorded"
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return time
    zone = "UTC" if parsed.utcoffset() is not None and not parsed.utcoffset() else (parsed.strftime("%z") or "")
    return f"{parsed.day} {parsed:%B %Y, %H:%M:%S} {zone}".rstrip()
