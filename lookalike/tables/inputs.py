"""What the rows of the tables mean: references, listings, labels, reviewers' verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

from lookalike.errors import TableError
from lookalike.records import BadRow, Listing, Reference

from .amounts import AMOUNTS, read_amount
from .files import Line, Row, read_rows

REFERENCE_COLUMNS = ("reference_id", "image", "product_id", "brand")
HARMLESS_COLUMNS = ("reference_id", "image")
LISTING_COLUMNS = ("listing_id", "image")
MOST_PHOTOS = 100
"""How many photos of a listing are compared; one with more gets an error that says so."""


def read_references(path: str | Path) -> Iterator[Reference | BadRow]:
    """The references table: reference_id, image, product_id, brand; further columns are carried along.

    A relative image path starts at the table's folder. A row that can't be used becomes a BadRow. Raises TableError for
    a table that is missing, empty, of another format or without one of these columns.
    """
    yield from _references(Path(path), REFERENCE_COLUMNS)


def read_harmless(path: str | Path) -> Iterator[Reference | BadRow]:
    """A table of harmless photos: reference_id and image. Each is a product of its own, without a brand.

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
    """The listings table: listing_id and image, one row per photo; seller, territory, price and so on are optional.

    The rows of a listing stand together. A row that can't be used becomes a listing with an `error`. Prices are exact:
    of a float, the shortest decimal that stands for it. Raises TableError as `read_references` does.
    """
    path = Path(path)
    lines = read_rows(path, required=LISTING_COLUMNS)
    for key, group in groupby(lines, key=_listing_key):
        yield _listing(key, list(_first(group, MOST_PHOTOS)), path.parent)


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo of a labels table, and the products that it shows or imitates; an unrelated photo has none.

    `strata` are the kinds of photo that its rows name, such as an edit or another view, and `territory` is where the
    listing is; empty and None in a table without these columns.
    """

    image: str
    products: frozenset[str] = frozenset()
    strata: frozenset[str] = frozenset()
    territory: str | None = None


def read_labels(path: str | Path) -> dict[str, set[str]]:
    """For each photo of a labels table, in order, the products that it shows or imitates (lookalike true).

    A row with lookalike false, or without a product, only adds the photo. Raises TableError as `read_references` does,
    and for a row that can't be used: no label may be lost.
    """
    return {photo.image: set(photo.products) for photo in read_labelled_photos(path)}


def read_labelled_photos(path: str | Path) -> list[LabelledPhoto]:
    """The photos of a labels table, in order, with the rows of each photo joined; stratum and territory are optional.

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
                             f"{photo.territory}; give each photo one territory")  # fmt: skip
        photos[name] = replace(
            photo,
            products=photo.products | ({str(product)} if alike == "true" and product else set()),
            strata=photo.strata | {str(stratum) for stratum in (line.values.get("stratum"),) if stratum},
            territory=territory or photo.territory,
        )
    return list(photos.values())


def resolve_image(image: str, folder: Path) -> str:
    """A table's image as a path or URL that can be opened from anywhere.

    >>> resolve_image("a.jpg", Path("/data"))
    '/data/a.jpg'
    >>> resolve_image("https://example.com/a.jpg", Path("/data"))
    'https://example.com/a.jpg'
    """
    return image if "://" in image else str((folder / image).absolute())


@dataclass(frozen=True)
class Review:
    """A person's verdict on a listing: whether it is a look-alike, of which product (None: any), and on which day."""

    listing_id: str
    lookalike: bool
    product_id: str | None = None
    day: date | None = None


def read_verdicts(path: str | Path) -> Iterator[Review]:
    """Reviewers' verdicts, in the order of the table: listing_id, lookalike (true or false), product_id, date.

    The last two are optional and may be empty. A date is ISO 8601, like 2026-11-24; a time of day is ignored. A listing
    may have several rows. Raises TableError as `read_labels` does: no verdict may be lost.
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


def reviews_by_listing(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """The reviews of each listing, in order."""
    grouped: dict[str, list[Review]] = {}
    for review in reviews:
        grouped.setdefault(review.listing_id, []).append(review)
    return grouped


def deciding_review(reviews: Sequence[Review], product: str | None) -> Review | None:
    """The one of a listing's reviews that counts for a finding of that product: the last one about it.

    If none is about it, the last one counts if it calls the listing a look-alike, so of another product; otherwise it
    says nothing about the finding, and there is none.
    """
    about = [review for review in reviews if review.product_id in (None, product)]
    last = (about or reviews)[-1]
    return last if about or last.lookalike else None


def _listing_key(line: Line) -> str:
    """The listing that a row belongs to; a row without a listing_id stands alone."""
    return str(line.values.get("listing_id") or f"row {line.number}")


def _first(lines: Iterable[Line], most: int) -> Iterator[Line]:
    """The first lines of a listing, and one that reports how many were left out."""
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
    asked = values.get("price")
    price = read_amount(asked)
    if asked is not None and price is None:
        errors.append(f"the price {str(asked)[:40]!r} is not {AMOUNTS}; write it like 1234.50")
    return Listing(
        id=key,
        images=images,
        seller=_text(values.get("seller_id")),
        territory=_text(values.get("territory")),
        price=price,
        currency=_text(values.get("currency")),
        title=_text(values.get("title")),
        url=_text(values.get("url")),
        error="; ".join(errors) or None,
    )


def _day(value: object) -> date | None:
    """The day of a date, a date-time or their text. Raises ValueError for anything else."""
    if value in (None, ""):
        return None
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise ValueError(f"the date {str(value)[:40]!r} is not valid; write it like 2026-11-24") from None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
