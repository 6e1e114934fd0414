"""Listings take one picture or several, and findings become JSON and come back, whatever they carry."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.records import NAMELESS, Finding, Listing, Match, Reference, Verdict, Verification

PIXELS = np.zeros((4, 5, 3), np.uint8)
PICTURE = Image.new("RGB", (5, 4))


@pytest.mark.parametrize(
    ("images", "count"),
    [
        ("photo.jpg", 1),
        (Path("photo.jpg"), 1),
        (b"\xff\xd8 the bytes of a file", 1),
        (PICTURE, 1),
        (PIXELS, 1),
        (PIXELS[..., 0], 1),
        (["a.jpg", Path("b.jpg"), PIXELS, PICTURE], 4),
        (("a.jpg",), 1),
        ((name for name in ("a.jpg", "b.jpg")), 2),
        (np.array(["a.jpg", "b.jpg", "c.jpg"]), 3),
        (np.stack([PIXELS, PIXELS]), 2),
        ([], 0),
    ],
)
def test_a_listing_takes_one_picture_or_several(images: Any, count: int) -> None:
    listing = Listing("L1", images)
    assert isinstance(listing.images, tuple) and len(listing.images) == count
    if count == 1 and not isinstance(images, tuple):
        assert listing.images[0] is images


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"images": None}, "images of listing 'L1' are NoneType, expected pictures or their paths"),
        ({"images": 7}, "are int"),
        ({"images": "a.jpg", "price": 19.99}, r"price of listing 'L1' is not a Decimal; write Decimal\('19.99'\)"),
    ],
)
def test_refuses_what_is_no_picture_and_no_exact_price(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Listing("L1", **values)


def test_a_listing_is_a_frozen_dataclass() -> None:
    listing = Listing("L1", "a.jpg", "s1", price=Decimal("1.50"))
    changed = replace(listing, images=["b.jpg", "c.jpg"], territory="DE")
    assert changed == Listing("L1", ("b.jpg", "c.jpg"), "s1", "DE", Decimal("1.5"))
    assert hash(listing) == hash(Listing("L1", ["a.jpg"], "s1", price=Decimal("1.50")))
    with pytest.raises(FrozenInstanceError):
        listing.id = "L2"  # type: ignore[misc]


def finding(**values: Any) -> Finding:
    """A flagged finding with a verified match and one that was not verified."""
    outline = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    verified = Verification(25, 0.75, True, "copied_photo", outline)
    match = Match(Reference("r1", "p1", "Acme", "genuine/1.jpg", {"season": "05"}), 0.93, verified, image="a.jpg",
                  image_sha256="ab" * 32, margin=0.2, verdict=Verdict.FLAGGED, threshold=0.9)  # fmt: skip
    other = replace(match, reference=Reference("r2", "p2", "Acme", "genuine/2.jpg"), verification=None, verdict=None)
    listing = Listing("L1", ["a.jpg", "b.jpg"], "s1", "DE", Decimal("1234567.005"), "EUR", "Bag", "https://example.com")
    return Finding(**{
        "listing": listing, "verdict": Verdict.FLAGGED, "policy": "default@1f0c", "encoder": "embedded@3b9a",
        "kind": "copied_photo", "product": "p1", "brand": "Acme", "similarity": 0.93, "threshold": 0.9,
        "matches": (match, other), "image": "a.jpg", "image_sha256": "ab" * 32, "rights": "trademark 7",
        "similarity_verdict": Verdict.REVIEW, "scanned_at": "2026-11-24T09:05:00+00:00", **values,
    })  # fmt: skip


def through_json(found: Finding) -> dict[str, Any]:
    """The finding as another program reads it, which knows no NaN."""
    values: dict[str, Any] = json.loads(
        json.dumps(found.to_dict(), allow_nan=False), parse_constant=lambda word: pytest.fail(word)
    )
    return values


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"listing": Listing("L1", (), error="row 1 has no image"), "verdict": Verdict.UNREADABLE, "matches": (),
         "similarity": None, "kind": None, "similarity_verdict": None},
        {"listing": Listing("", "a.jpg", price=Decimal("0.10")), "probability": 0.5, "normalised_similarity": -0.25},
    ],
)  # fmt: skip
def test_a_finding_comes_back_from_json_as_it_was(values: dict[str, Any]) -> None:
    found = finding(**values)
    again = Finding.from_dict(through_json(found))
    assert again == found and again.scanned_at == found.scanned_at
    assert str(again.listing.price) == str(found.listing.price)
    assert [type(match.verdict) for match in again.matches] == [type(match.verdict) for match in found.matches]


def test_a_finding_names_all_its_parts_in_json() -> None:
    values = through_json(finding())
    assert values["listing"]["images"] == ["a.jpg", "b.jpg"]
    assert (values["verdict"], values["similarity_verdict"]) == ("flagged", "review")
    assert values["listing"]["price"] == "1234567.005"
    first, second = values["matches"]
    assert first["reference"] == {"id": "r1", "product": "p1", "brand": "Acme", "image": "genuine/1.jpg",
                                  "more": {"season": "05"}}  # fmt: skip
    assert first["verification"]["outline"] == [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    assert second["verification"] is None


class Season(Enum):
    SUMMER = "summer"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        (math.nan, None),
        (-math.inf, None),
        (Decimal("19.90"), "19.90"),
        (Decimal("NaN"), "NaN"),
        (date(2026, 11, 24), "2026-11-24"),
        (datetime(2026, 11, 24, 9, 5, tzinfo=UTC), "2026-11-24T09:05:00+00:00"),
        (time(9, 5), "09:05:00"),
        (timedelta(hours=1), "1:00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b.jpg"), "a/b.jpg"),
        (Season.SUMMER, "summer"),
        (Verdict.CLEAR, "clear"),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.longdouble(2), 2.0),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([1.0, np.nan]), [1.0, None]),
        (b"\xff\xd8 a photo", None),
        (bytearray(b"x"), None),
        (PIXELS, None),
        ([Decimal("1.0"), {"day": date(2026, 1, 1), 7: b"x"}], ["1.0", {"day": "2026-01-01", "7": None}]),
        (("a", frozenset({1})), ["a", [1]]),
        ("\ud800 and \x00", "\ud800 and \x00"),
    ],
)
def test_whatever_a_references_table_had_is_fit_for_json(value: object, expected: object) -> None:
    reference = Reference("r1", "p1", "Acme", "1.jpg", {"column": value})
    found = finding(matches=(Match(reference, 0.9),))
    got = through_json(found)["matches"][0]["reference"]["more"]["column"]
    assert got == expected and type(got) is type(expected)


@pytest.mark.parametrize("image", [b"\xff\xd8 bytes", PICTURE, PIXELS, "data:image/png;base64,iVBORw0KGgo="])
def test_no_photo_gets_into_json(image: Any) -> None:
    named = str(image) if isinstance(image, str) else NAMELESS
    match = Match(Reference("r1", "p1", "Acme", image), np.float32(0.5), image=named)
    found = finding(listing=Listing("L1", [image, Path("b.jpg")]), matches=(match,), image=named)
    values = through_json(found)
    assert values["listing"]["images"] == [NAMELESS, "b.jpg"]
    assert values["image"] == values["matches"][0]["image"] == values["matches"][0]["reference"]["image"] == NAMELESS
    assert values["matches"][0]["similarity"] == 0.5
    assert Finding.from_dict(values).listing.images == (NAMELESS, "b.jpg")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("policy"),
        lambda values: values.update(verdict="guilty"),
        lambda values: values.update(colour="red"),
        lambda values: values["listing"].update(price="much"),
        lambda values: values["matches"][0]["verification"].update(outline=None),
        lambda values: values["matches"][0].pop("reference"),
    ],
)
def test_values_that_are_no_finding_are_refused(spoil: Any) -> None:
    values = through_json(finding())
    spoil(values)
    with pytest.raises((KeyError, TypeError, ValueError, ArithmeticError)):
        Finding.from_dict(values)
