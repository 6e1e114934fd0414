"""Listings take one picture or several, and findings become JSON and come back, whatever they carry."""

from __future__ import annotations

import hashlib
import io
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

from lookalike.given import MOST_FILE_BYTES
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
        ([], 0),
        ([b"one", bytearray(b"two"), memoryview(b"three"), io.BytesIO(b"four")], 4),
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
        ({"images": None}, "a photo of listing 'L1' is given as NoneType; expected a path, an address, the bytes"),
        ({"images": 7}, "is given as int"),
        ({"images": {"image": "a.jpg"}}, "is given as dict"),
        ({"images": ["a.jpg", None]}, "is given as NoneType"),
        ({"images": [["a.jpg"]]}, "is given as list"),
        ({"images": PIXELS.tolist()}, "is given as list"),
        ({"images": np.stack([PIXELS, PIXELS])}, r"is an array of shape \(2, 4, 5, 3\); an array of one picture is"),
        ({"images": np.zeros((110, 4, 5), np.uint8)}, r"is an array of shape \(110, 4, 5\)"),
        ({"images": np.zeros(110)}, "is given as float64"),
        ({"images": io.StringIO("a.jpg")}, "is a file that is open in text mode; open it with mode 'rb'"),
        ({"id": None}, "the id of a listing is None, NoneType; expected text"),
        ({"id": 7}, "the id of a listing is 7, int"),
        ({"images": "a.jpg", "price": 19.99}, r"price of listing 'L1' is not a Decimal; write Decimal\('19.99'\)"),
    ],
)
def test_refuses_what_is_no_picture_and_no_exact_price(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Listing(**{"id": "L1", "images": "a.jpg", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": 7}, "the id of a reference is 7, int; expected text"),
        ({"product": None}, "the product of a reference is None"),
        ({"brand": b"Acme"}, "the brand of a reference is <4 bytes>, bytes"),
        ({"image": ["a.jpg"]}, "a photo of reference 'r1' is given as list"),
        ({"image": None}, "a photo of reference 'r1' is given as NoneType"),
    ],
)
def test_refuses_a_reference_of_other_types(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Reference(**{"id": "r1", "product": "p1", "brand": "Acme", "image": "a.jpg", **values})


class Elsewhere:
    def __fspath__(self) -> str:
        return "folder/a.jpg"


def test_what_can_be_read_or_changed_once_is_copied_when_it_is_given(tmp_path: Path) -> None:
    changed = bytearray(b"picture")
    (tmp_path / "a").write_bytes(b"from a file")
    with (tmp_path / "a").open("rb") as file:
        listing = Listing("L1", [changed, memoryview(b"view"), io.BytesIO(b"upload"), file, Elsewhere()])
        reference = Reference("r1", "p1", "Acme", io.BytesIO(b"genuine"))  # type: ignore[arg-type]
    changed[:] = b"another"
    assert listing.images == (b"picture", b"view", b"upload", b"from a file", Path("folder/a.jpg"))
    assert reference.image == b"genuine"


class Endless(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:
        assert 0 < size <= MOST_FILE_BYTES + 1
        return bytes(size)


def test_reads_a_bounded_part_of_an_open_file() -> None:
    with pytest.raises(ValueError, match="a photo of listing 'L1' is an open file of more than 67,108,864 bytes"):
        Listing("L1", Endless())  # type: ignore[arg-type]
    assert len(Listing("L1", io.BytesIO(bytes(MOST_FILE_BYTES))).images) == 1


def test_shows_no_photo_and_no_bytes() -> None:
    secret = b"\xff\xd8 the bytes of a photo" * 1000
    address = "data:image/png;base64," + "iVBORw0KGgo" * 1000
    reference = Reference("r1", "p1", "Acme", secret, {"photo": secret, "more": [PIXELS, {"x": secret}]})
    found = finding(
        listing=Listing("L1", [secret, PIXELS, PICTURE, address, "b.jpg"]), matches=(Match(reference, 0.5),)
    )
    for value in (found, found.listing, found.matches[0], reference):
        text = repr(value)
        assert len(text) < 2000 and "the bytes of" not in text and "iVBOR" not in text and "[0, 0" not in text
    photos = "(<23,000 bytes>, <array 4 x 5 x 3>, <Image 5 x 4>, <data address of 11,022 characters>, 'b.jpg')"
    assert f"Finding(listing=Listing(id='L1', images={photos}, seller=None" in repr(found)
    assert "id='r1', product='p1', brand='Acme', image=<23,000 bytes>, more={'photo': <23,000 bytes>" in repr(reference)
    assert repr(Listing("L1", "a.jpg")).startswith("Listing(id='L1', images=('a.jpg',), seller=None")


def test_a_listing_is_a_frozen_dataclass() -> None:
    listing = Listing("L1", "a.jpg", "s1", price=Decimal("1.50"))
    changed = replace(listing, images=["b.jpg", "c.jpg"], territory="DE")
    assert changed == Listing("L1", ("b.jpg", "c.jpg"), "s1", "DE", Decimal("1.5"))
    assert hash(listing) == hash(Listing("L1", ["a.jpg"], "s1", price=Decimal("1.50")))
    with pytest.raises(FrozenInstanceError):
        listing.id = "L2"  # type: ignore[misc]


RIGHT = {"ground": "right", "kind": "trademark", "number": "7", "territory": "DE"}


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
        "matches": (match, other), "image": "a.jpg", "image_sha256": "ab" * 32, "rights": (RIGHT,),
        "rights_basis": {"day": "2026-11-24", "claims": "1f0c2b3a"}, "similarity_verdict": Verdict.REVIEW,
        "scanned_at": "2026-11-24T09:05:00+00:00", **values,
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
    assert (values["rights"], values["rights_basis"]["day"]) == ([RIGHT], "2026-11-24")
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
    match = Match(Reference("r1", "p1", "Acme", image), np.float32(0.5), image="sha256:ab", image_sha256="ab")
    found = finding(listing=Listing("L1", [image, Path("b.jpg")]), matches=(match,), image="sha256:ab",
                    images_sha256=("ab", None))  # fmt: skip
    values = through_json(found)
    assert values["listing"]["images"] == ["sha256:ab", "b.jpg"]
    assert values["image"] == values["matches"][0]["image"] == "sha256:ab"
    named = f"sha256:{hashlib.sha256(image).hexdigest()}" if isinstance(image, bytes) else NAMELESS
    assert values["matches"][0]["reference"]["image"] == named
    assert values["matches"][0]["similarity"] == 0.5
    again = Finding.from_dict(values)
    assert (again.listing.images, again.images_sha256) == (("sha256:ab", "b.jpg"), ("ab", None))


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
