"""What people say of photos and listings: labels, and reviewers' verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from lookalike.errors import TableError

from .cells import cell_text, id_text, resolve_image
from .files import read_rows, require_readable
from .lines import Line

ProductLabel: TypeAlias = str | tuple[str, str]
"""The product that a label names: brand and product_id, or the product_id alone if the table has no brand for it."""


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo of a labels table, and the products that it shows or imitates; an unrelated photo has none.

    `strata` are the kinds of photo that its rows name, such as an edit or another view, and `territory` is where the
    listing is; empty and None in a table without these columns.
    """

    image: str
    products: frozenset[ProductLabel] = frozenset()
    strata: frozenset[str] = frozenset()
    territory: str | None = None


_TRUTHS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}


def _truth(value: object) -> bool | None:
    """What a label says, in whatever way people and spreadsheets write it; None if it says neither."""
    return _TRUTHS.get(str(value).strip().lower())


def _rows_about(path: Path, key: str, columns: Sequence[str], further: Sequence[str]) -> Iterator[Line]:
    """The rows of labels of listings, or of photos, by the column `key`.

    Raises TableError as `read_rows` does; for labels of the other sort, the message says what to do with those.
    """
    other, advice = {
        "image": (
            "listing_id",
            "labels of listings, but labels of photos (image) are needed; to tune on labels of listings, name the "
            "findings that they are about with --findings",
        ),
        "listing_id": (
            "image",
            "labels of photos, but labels of listings (listing_id) are needed; to tune on labels of photos, leave out "
            "--findings",
        ),
    }[key]
    try:
        yield from read_rows(path, required=(key, *columns), columns=further, own=True)
    except TableError as error:
        if not _has_columns(path, key) and _has_columns(path, other):
            raise TableError(f"{path} has {advice}") from error
        if key == "image" and _has_columns(path, "said", "previous"):
            what = "a review's verdicts, which are about findings; name the findings with --findings"
            raise TableError(f"{path} has {what}") from error
        raise


def _has_columns(path: Path, *names: str) -> bool:
    try:
        require_readable(path, required=names)
    except TableError:
        return False
    return True


def read_labels(path: str | Path) -> dict[str, set[ProductLabel]]:
    """For each photo of a labels table, in order, the products that it shows or imitates (lookalike true, yes or 1).

    A row with lookalike false, no or 0, or without a product, only adds the photo. Raises TableError as
    `read_references` does, and for a row that can't be used: no label may be lost.
    """
    return {photo.image: set(photo.products) for photo in read_labelled_photos(path)}


def read_labelled_photos(path: str | Path) -> list[LabelledPhoto]:
    """The photos of a labels table, in order, with the rows of each photo joined.

    The columns brand, stratum and territory are optional; a product is named by its brand and id where both are given.
    Raises TableError as `read_labels` does, and for a photo in two territories or with two labels that contradict each
    other.
    """
    path = Path(path)
    photos: dict[str, LabelledPhoto] = {}
    said: dict[tuple[str, ProductLabel], bool] = {}
    for line in _rows_about(path, "image", ("product_id", "lookalike"), ("brand", "stratum", "territory")):
        image, product = cell_text(line.values.get("image")), id_text(line.values.get("product_id"))
        brand = id_text(line.values.get("brand"))
        label: ProductLabel | None = (brand, product) if brand and product else product
        alike = _truth(line.values.get("lookalike"))
        if line.error or not image or alike is None:
            trouble = line.error or f"row {line.number} needs an image, and true or false as lookalike"
            raise TableError(f"{path}: {trouble}")
        name = resolve_image(image, path.parent)
        if label is not None and said.setdefault((name, label), alike) != alike:
            raise TableError(f"{path}: row {line.number} contradicts an earlier row about {image} and {product}; keep "
                             "the one that is right")  # fmt: skip
        photo, territory = photos.get(name, LabelledPhoto(name)), cell_text(line.values.get("territory"))
        if None not in (photo.territory, territory) and photo.territory != territory:
            raise TableError(f"{path}: row {line.number} has {image} in {territory}, an earlier row in "
                             f"{photo.territory}; give each photo one territory")  # fmt: skip
        photos[name] = replace(
            photo,
            products=photo.products | ({label} if alike and label else set()),
            strata=photo.strata | {stratum for stratum in (cell_text(line.values.get("stratum")),) if stratum},
            territory=territory or photo.territory,
        )
    return list(photos.values())


@dataclass(frozen=True, slots=True)
class Review:
    """A person's verdict on a listing: whether it is a look-alike, of which product (None: any), and on which day.

    `brand` is the product's, None if the table doesn't name it. From the review app come also the `photo` that was
    judged, as its sha256, `judgement`, what was said, `who` said it, and a `note`; and whether it is of a `renewal`, a
    draw from the flags of one promise alone.
    """

    listing_id: str
    lookalike: bool
    product_id: str | None = None
    day: date | None = None
    brand: str | None = None
    photo: str | None = None
    judgement: str | None = None
    who: str | None = None
    note: str = ""
    renewal: bool = False

    def is_about(self, product: str | None, brand: str | None) -> bool:
        """Whether it is about this product of this brand, as far as it names either."""
        return self.product_id in (None, product) and self.brand in (None, brand)

    def saw(self, photo: str | None) -> bool:
        """Whether it is about this photo, as far as both are known."""
        return None in (self.photo, photo) or self.photo == photo


def read_verdicts(path: str | Path) -> Iterator[Review]:
    """Reviewers' verdicts, in the order of the table: listing_id, lookalike, product_id, brand, date.

    `lookalike` is true or false, yes or no, 1 or 0. The last three are optional and may be empty. A date is ISO 8601,
    like 2026-11-24; a time of day is ignored. A listing may have several rows. Raises TableError as `read_labels` does:
    no verdict may be lost.
    """
    for line in _rows_about(Path(path), "listing_id", ("lookalike",), ("product_id", "brand", "date")):
        listing, product = id_text(line.values.get("listing_id")), id_text(line.values.get("product_id"))
        alike = _truth(line.values.get("lookalike"))
        if line.error or listing is None or alike is None:
            trouble = line.error or f"row {line.number} needs a listing_id, and true or false as lookalike"
            raise TableError(f"{path}: {trouble}")
        try:
            day = _day(line.values.get("date"))
        except ValueError as error:
            raise TableError(f"{path}: row {line.number}: {error}") from None
        yield Review(listing, alike, product, day, id_text(line.values.get("brand")))


def reviews_by_listing(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """The reviews of each listing, by day and then as in the table; undated ones come first."""
    grouped: dict[str, list[Review]] = {}
    for review in in_order(reviews):
        grouped.setdefault(review.listing_id, []).append(review)
    return grouped


def in_order(reviews: Iterable[Review]) -> list[Review]:
    """Reviews by day and then as given, so that a later one corrects an earlier one; undated ones come first."""
    return sorted(reviews, key=lambda review: review.day or date.min)


def contradicted(reviews: Iterable[Review]) -> list[str]:
    """The listings with reviews about one product that contradict each other, if no dates tell which came last.

    >>> days = (None, date(2026, 11, 1), date(2026, 11, 2))
    >>> contradicted([Review("a", True), Review("a", False)])
    ['a']
    >>> contradicted([Review("a", True, day=days[1]), Review("a", False, day=days[2])])
    []
    """
    said: dict[tuple[str, str | None, str | None, str | None], dict[date | None, set[bool]]] = {}
    for review in reviews:
        about = said.setdefault((review.listing_id, review.product_id, review.brand, review.photo), {})
        about.setdefault(review.day, set()).add(review.lookalike)
    unclear = (
        name
        for (name, *_), days in said.items()
        if any(len(each) > 1 for each in days.values()) or (None in days and len(set().union(*days.values())) > 1)
    )
    return list(dict.fromkeys(unclear))


def deciding_review(
    reviews: Sequence[Review], product: str | None, brand: str | None, photo: str | None = None
) -> Review | None:
    """The one of a listing's reviews that counts for a finding of that product of that brand: the last one about it.

    If none is about it, the last one counts if it calls the listing a look-alike, so of another product; otherwise it
    says nothing about the finding, and there is none. Those of another `photo` (its sha256) count for nothing.
    """
    seen = [review for review in reviews if review.saw(photo)]
    about = [review for review in seen if review.is_about(product, brand)]
    if not seen:
        return None
    last = (about or seen)[-1]
    return last if about or last.lookalike else None


def _day(value: object) -> date | None:
    """The day of a date, a date-time or their text. Raises ValueError for anything else."""
    if value in (None, ""):
        return None
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise ValueError(f"the date {str(value)[:40]!r} is not valid; write it like 2026-11-24") from None
