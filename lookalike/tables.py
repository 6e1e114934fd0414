"""What the rows of the tables mean: references, listings, labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from .errors import TableError
from .records import BadRow, Listing, Reference
from .rows import Line, Row, read_rows

REFERENCE_COLUMNS = ("reference_id", "image", "product_id", "brand")
LISTING_COLUMNS = ("listing_id", "image")
MOST_PHOTOS = 100
"""Photos of one listing that are compared; a listing with more is reported."""


def read_references(path: str | Path) -> Iterator[Reference | BadRow]:
    """The references table: reference_id, image, product_id, brand; further columns are carried along.

    A relative image path is one from the table's folder. Raises TableError for a table that is missing,
    empty, of another format or without one of these columns.
    """
    path = Path(path)
    for line in read_rows(path, required=REFERENCE_COLUMNS):
        values = dict(line.values)
        missing = [name for name in REFERENCE_COLUMNS if not values.get(name)]
        if line.error or missing:
            name = str(values.get("reference_id") or f"row {line.number}")
            yield BadRow(name, line.error or f"row {line.number} has no {', '.join(missing)}")
            continue
        yield Reference(
            id=str(values.pop("reference_id")),
            product=str(values.pop("product_id")),
            brand=str(values.pop("brand")),
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


def read_labels(path: str | Path) -> dict[str, set[str]]:
    """For each photo of a labels table, in order, the products that it shows or imitates (lookalike true).

    A row with lookalike false, or without a product, says only that the photo is to be asked about.
    Raises TableError as `read_references` does, and for a row that can't be used: a label must not be lost.
    """
    path = Path(path)
    labels: dict[str, set[str]] = {}
    for line in read_rows(path, required=("image", "product_id", "lookalike")):
        image, product = line.values.get("image"), line.values.get("product_id")
        alike = str(line.values.get("lookalike")).lower()
        if line.error or not image or alike not in ("true", "false"):
            trouble = line.error or f"row {line.number} needs an image, and true or false as lookalike"
            raise TableError(f"{path}: {trouble}")
        products = labels.setdefault(resolve_image(str(image), path.parent), set())
        if alike == "true" and product:
            products.add(str(product))
    return labels


def resolve_image(image: str, folder: Path) -> str:
    """An image of a table as a path or URL that can be opened from anywhere.

    >>> resolve_image("a.jpg", Path("/data"))
    '/data/a.jpg'
    >>> resolve_image("https://example.com/a.jpg", Path("/data"))
    'https://example.com/a.jpg'
    """
    return image if "://" in image else str((folder / image).absolute())


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


def _text(value: object) -> str | None:
    return None if value is None else str(value)
