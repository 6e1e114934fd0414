"""What the rows of the tables mean: references and listings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lookalike.records import BadRow, Listing, Reference

from .cells import id_text, photos_in, resolve_image
from .gathering import OFFER_COLUMNS, Gathering, count_ids, gather, rows_apart
from .layout import PLAIN, Columns, Layout

REFERENCE_COLUMNS = ("reference_id", "image", "product_id", "brand")
HARMLESS_COLUMNS = ("reference_id", "image")
LISTING_COLUMNS = ("listing_id", "image")
_SHOP_COLUMNS = ("product_id", "brand", "title", "url")


def read_references(
    path: str | Path, *, columns: Columns | None = None, feed: str | None = None
) -> Iterator[Reference | BadRow]:
    """The references table: reference_id, image, product_id, brand; further columns are carried along.

    `columns` says what the table calls these columns, and `feed` that it is a shop's export (see `Layout`): then each
    photo of a product ID is a reference, named ID/1, ID/2 and so on, and title and url are carried along. A
    relative image path starts at the table's folder. A row that can't be used becomes a BadRow. Raises TableError for a
    table that is missing, empty, of another format or without one of these columns, or if it isn't clear where its
    rows end: before the first reference, because the table is read twice.
    """
    yield from _references(Path(path), Layout(columns, feed), harmless=False)


def read_harmless(
    path: str | Path, *, columns: Columns | None = None, feed: str | None = None
) -> Iterator[Reference | BadRow]:
    """A table of harmless photos: reference_id and image. Each is a product of its own, without a brand.

    The arguments and errors are those of `read_references`.
    """
    yield from _references(Path(path), Layout(columns, feed), harmless=True)


def require_references(path: Path, layout: Layout, *, harmless: bool = False) -> None:
    """Raise what reading the first reference raises, so that a wrong call fails before long work."""
    layout.require_known(path, (*REFERENCE_COLUMNS, *_SHOP_COLUMNS[2:]) if layout.shop else REFERENCE_COLUMNS)
    next(layout.read(path, required=_required_of_references(layout, harmless)), None)


def require_listings(path: Path, layout: Layout) -> None:
    """Raise what reading the first listing raises, so that a wrong call fails before long work."""
    layout.require_known(path, (*LISTING_COLUMNS, *OFFER_COLUMNS))
    next(layout.read(path, required=LISTING_COLUMNS), None)


def _required_of_references(layout: Layout, harmless: bool) -> tuple[str, ...]:
    return HARMLESS_COLUMNS if harmless or layout.shop is not None else REFERENCE_COLUMNS


def _references(path: Path, layout: Layout, *, harmless: bool) -> Iterator[Reference | BadRow]:
    require_references(path, layout, harmless=harmless)
    required = _required_of_references(layout, harmless)
    if layout.shop is not None:
        yield from _shop_references(path, layout, branded=not harmless)
        return
    for _ in layout.read(path, required=required):
        pass  # so that a table that can't be read to its end fails before long work
    optional = [name for name in REFERENCE_COLUMNS if name not in required]
    for line in layout.read(path, required=required, columns=optional, further=None):
        values = dict(line.values)
        ids = {name: id_text(values.pop(name, None)) for name in ("reference_id", "product_id", "brand")}
        name, trouble = ids["reference_id"], line.error
        photos: list[str] = []
        if not trouble:
            try:
                photos = photos_in(values.pop("image", None), path.parent)
            except ValueError as error:
                trouble = f"row {line.number} {error}"
        missing = [each for each in required if not (photos if each == "image" else ids[each])]
        if not trouble and missing:
            trouble = f"row {line.number} has no {', '.join(missing)}"
        if not trouble and len(photos) > 1:
            trouble = f"row {line.number} has {len(photos)} images; a reference is one photo, so give each a row"
        if trouble or name is None:
            yield BadRow(name or f"row {line.number}", str(trouble))
        else:
            image = resolve_image(photos[0], path.parent)
            yield Reference(name, ids["product_id"] or name, ids["brand"] or "", image, values)


def _shop_references(path: Path, layout: Layout, *, branded: bool) -> Iterator[Reference | BadRow]:
    """The references of a shop's export: one for each photo of a product."""
    key = HARMLESS_COLUMNS[0]
    begin = partial(Gathering, folder=path.parent, columns=_SHOP_COLUMNS, several_rows=layout.several_rows)
    apart = rows_apart(layout.read(path, required=HARMLESS_COLUMNS), key=key)
    lines = layout.read(path, required=HARMLESS_COLUMNS, columns=_SHOP_COLUMNS)
    for product in gather(lines, begin, key=key, apart=apart):
        yield from product.references(branded=branded)


def read_listings(path: str | Path, *, columns: Columns | None = None, feed: str | None = None) -> Iterator[Listing]:
    """The listings table: listing_id and image, one row per photo or several photos in a cell (see `photos_in`).

    Seller, territory, price, currency, title and url are optional, and other columns are not read. `columns` says what
    the table calls these columns, and `feed` that it is a shop's export (see `Layout`). A listing whose rows don't
    stand together comes in the place of its last row, so the table is read twice. A row that can't be used becomes a
    listing with an `error`. Prices are exact: of a float, the shortest decimal that stands for it. Raises TableError as
    `read_references` does, before the first listing.
    """
    path, layout, key = Path(path), Layout(columns, feed), LISTING_COLUMNS[0]
    require_listings(path, layout)
    apart = rows_apart(layout.read(path, required=LISTING_COLUMNS), key=key)
    begin = partial(Gathering, folder=path.parent, several_rows=layout.several_rows)
    lines = layout.read(path, required=LISTING_COLUMNS, columns=OFFER_COLUMNS)
    for listing in gather(lines, begin, key=key, apart=apart):
        yield listing.listing()


def count_listings(path: str | Path, layout: Layout = PLAIN) -> int:
    """How many listings `read_listings` reads; the table is read once for that. Raises what that raises."""
    key = LISTING_COLUMNS[0]
    return count_ids(layout.read(Path(path), required=LISTING_COLUMNS, columns=()), key=key)


def count_references(path: str | Path, layout: Layout = PLAIN, *, harmless: bool = False) -> int:
    """How many references and bad rows `read_references` or `read_harmless` reads. Raises what that raises."""
    return sum(1 for _ in _references(Path(path), layout, harmless=harmless))
