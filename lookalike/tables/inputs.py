"""What the rows of the tables mean: references, listings, labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

from lookalike.errors import TableError
from lookalike.records import BadRow, Listing, Reference

from .files import Line, Row, read_rows

REFERENCE_COLUMNS = ("reference_id", "image", "product_id", "brand")
HARMLESS_COLUMNS = ("reference_id", "image")
LISTING_COLUMNS = ("listing_id", "image")
MOST_PHOTOS = 100
"""Photos of one listing that are compared; a listing with more is reported."""


def read_references(path: str | Path) -> Iterator[Reference | BadRow]:
    """The references table: reference_id, image, product_id, brand; further columns are carried along.

    A relative image path is one from the table's folder. Raises TableError for a table that is missing,
    empty, of another format or without one of these columns.
    """
    yield from _references(Path(path), REFERENCE_COLUMNS)


def read_harmless(path: str | Path) -> Iterator[Reference | BadRow]:
    """A table of harmless photos: reference_id and image; each is a product of its own, of no brand.

    Raises TableError as `read_references` does.
    """
    yield from _references(Path(path), HARMLESS_COLUMNS)


def _references(path: Path, required: tuple[str, ...]) -> Iterator[Reference | BadRow]:
    for line in read_rows(path, required=required):
        values = dict(line.values)
        missing = [name for name in required if not values.get(name)]
        if line.error or missing:
            name = str(values.get("reference_id") or f"row {line.number}")
            yield BadRow(name, line.error or f"row {line.number} has no {', '.join(missing)}")
            continue
        name = str(values.pop("reference_id"))
        yield Reference(
            id=name,
            product=str(values.pop("product_id", None) or name),
            brand=str(values.pop("brand", None) or ""),
            image=resolve_image(str(values.pop("image")), path.parent),
            more=values,
        )


def read_listings(path: str | Path) -> Iterator[Listing]:
    """The listings table: listing_id and image, one row a photo; the rest of design is optional.

    Rows of one listing stand together. A row that can't be used becomes a listing with an `error`.
    Raises TableError as `read_references` does.
    """
    path = Path(path)
    lines = read_rows(path, required=LISTING_COLUMNS)
    for key, group in groupby(lines, key=_listing_key):
        yield _listing(key, list(_first(group, MOST_PHOTOS)), path.parent)


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo of a labels table: the products that it shows or imitates, none for an unrelated one.

    `strata` are the kinds of photo that its rows call it, such as an edit or another view, and `territory` is where
    it was offered; empty and None in a table without these columns.
    """

    image: str
    products: frozenset[str] = frozenset()
    strata: frozenset[str] = frozenset()
    territory: str | None = None


def read_labels(path: str | Path) -> dict[str, set[str]]:
    """For each photo of a labels table, in order, the products that it shows or imitates (lookalike true).

    A row with lookalike false, or without a product, says only that the photo is to be asked about.
    Raises TableError as `read_references` does, and for a row that can't be used: a label must not be lost.
    """
    return {photo.image: set(photo.products) for photo in read_labelled_photos(path)}


def read_labelled_photos(path: str | Path) -> list[LabelledPhoto]:
    """The photos of a labels table, in order, the rows of one joined; stratum and territory may be columns of it.

    Raises TableError as `read_labels` does, and for a photo in two territories.
    """
    path = Path(path)
    photos: dict[str, LabelledPhoto] = {}
    for line in read_rows(path, required=("image", "product_id", "lookalike")):
        image, product = line.values.get("image"), line.values.get("product_id")
        alike = str(line.values.get("lookalike")).lower()
        if line.error or not image or alike not in ("true", "false"):
            trouble = line.error or f"row {line.number} needs an image, and true or false as lookalike"
            raise TableError(f"{path}: {trouble}")
        name = resolve_image(str(image), path.parent)
        photo, territory = photos.get(name, LabelledPhoto(name)), _text(line.values.get("territory") or None)
        if None not in (photo.territory, territory) and photo.territory != territory:
            raise TableError(f"{path}: row {line.number} has {image} in {territory}, an earlier row in "
                             f"{photo.territory}; needed one territory a photo")  # fmt: skip
        photos[name] = replace(
            photo,
            products=photo.products | ({str(product)} if alike == "true" and product else set()),
            strata=photo.strata | {str(stratum) for stratum in (line.values.get("stratum"),) if stratum},
            territory=territory or photo.territory,
        )
    return list(photos.values())


def resolve_image(image: str, folder: Path) -> str:
    """An image of a table as a path or URL that can be opened from anywhere.

    >>> resolve_image("a.jpg", Path("/data"))
    '/data/a.jpg'
    >>> resolve_image("https://example.com/a.jpg", Path("/data"))
    'https://example.com/a.jpg'
    """
    return image if "://" in image else str((folder / image).absolute())


@dataclass(frozen=True)
class Review:
    """A person's verdict on a listing: whether it is a look-alike, of which product (None: of any), and on what day."""

    listing_id: str
    lookalike: bool
    product_id: str | None = None
    day: date | None = None


def read_verdicts(path: str | Path) -> Iterator[Review]:
    """Reviewers' verdicts, in the order of the table: listing_id, lookalike (true or false), product_id, date.

    The last two are optional, and may be empty. A date is ISO 8601, like 2026-11-24; its time of day is left out. A
    listing may have several rows. Raises TableError as `read_labels` does: a verdict must not be lost.
    """
    for line in read_rows(Path(path), required=("listing_id", "lookalike")):
        listing, product = line.values.get("listing_id"), line.values.get("product_id")
        alike = str(line.values.get("lookalike")).lower()
        if line.error or listing in (None, "") or alike not in ("true", "false"):
            trouble = line.error or f"row {line.number} needs a listing_id, and true or false as lookalike"
            raise TableError(f"{path}: {trouble}")
        try:
            day = _day(line.values.get("date"))
        except ValueError as error:
            raise TableError(f"{path}: row {line.number}: {error}") from None
        yield Review(str(listing), alike == "true", None if product in (None, "") else str(product), day)


def _listing_key(line: Line) -> str:
    """The listing a row belongs to; a row without one stands alone."""
    return str(line.values.get("listing_id") or f"row {line.number}")


def _first(lines: Iterable[Line], most: int) -> Iterator[Line]:
    """The first lines of a listing, and one that says how many were left out."""
    count, last = 0, None
    for last in lines:
        count += 1
        if count <= most:
            yield last
    if last is not None and count > most:
        yield Line(last.number, {}, f"has {count} photos, of which the first {most} were compared")


def _listing(key: str, lines: list[Line], folder: Path) -> Listing:
    errors = [line.error for line in lines if line.error]
    images = []
    for line in lines:
        image = line.values.get("image")
        if image:
            images.append(resolve_image(str(image), folder))
        elif not line.error:
            errors.append(f"row {line.number} has no image")
    values: Row = {}
    for line in lines:
        values.update({name: v for name, v in line.values.items() if v not in (None, "") and name not in values})
    if not values.get("listing_id") and not errors:
        errors.append(f"{key} has no listing_id")
    price, trouble = _price(values.get("price"))
    if trouble:
        errors.append(trouble)
    return Listing(
        id=key,
        images=tuple(images),
        seller=_text(values.get("seller_id")),
        territory=_text(values.get("territory")),
        price=price,
        currency=_text(values.get("currency")),
        title=_text(values.get("title")),
        url=_text(values.get("url")),
        error="; ".join(errors) or None,
    )


def _price(value: object) -> tuple[float | None, str | None]:
    if value is None:
        return None, None
    try:
        price = float(str(value))
    except ValueError:
        price = math.nan
    if not math.isfinite(price) or price < 0:
        return None, f"the price {str(value)[:40]!r} is no number; write it like 1234.50"
    return price, None


def _day(value: object) -> date | None:
    """The day of a date, a date-time or its text; raises ValueError for anything else."""
    if value in (None, ""):
        return None
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise ValueError(f"the date {str(value)[:40]!r} is none; write it like 2026-11-24") from None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
