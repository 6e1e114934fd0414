"""From a findings table to a cases table: gathers what joins sellers, compares photos, keeps the last run's ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.disk import held
from lookalike.errors import ImageReadError, TableError
from lookalike.tables.cells import cell_text, id_text
from lookalike.tables.files import read_rows, require_ending, require_readable
from lookalike.tables.findings import FINDING_COLUMNS, read_findings
from lookalike.tables.inputs import read_listings
from lookalike.tables.layout import PLAIN, Layout

from .case import Cases, Effort
from .comparison import find_shared
from .grouping import Joining, build_cases
from .history import Decisions
from .money import Rates
from .page import write_case_page
from .shared_photos import SellerPhoto, SharedPhotos
from .table import read_cases, write_cases
from .totals import seller_of, seller_photos

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.detection.lookup import Lookup
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.vector_cache import VectorCache

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FoundCases:
    """The cases, the `photos` that were compared, the table whose ids were kept (`previous`), and how many are `shown`.

    All but the cases are None if there were no such photos, table or page.
    """

    cases: Cases
    photos: SharedPhotos | None = None
    previous: Path | None = None
    shown: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every price could be used, and every photo be read."""
        return not self.cases.bad_prices and (self.photos is None or not self.photos.unread)


def find_cases(
    findings: str | Path,
    out: str | Path,
    *,
    verdicts: Sequence[str] = ("flagged",),
    listings: str | Path | None = None,
    lookup: Lookup | None = None,
    cache: VectorCache | None = None,
    joining: Joining | None = None,
    rates: Rates | None = None,
    effort: Effort | None = None,
    previous: str | Path | None = None,
    decisions: Decisions | None = None,
    page: str | Path | None = None,
    reader: PhotoReader | None = None,
    progress: Callable[[int], None] | None = None,
    layout: Layout = PLAIN,
) -> FoundCases:
    """Group a findings table into cases, write them to the table `out`, and with `page` to an HTML page.

    `listings`, the table that was scanned, in this `layout`, adds the other photos of the same listings, and its
    columns to join on. With `lookup`, on the scan's index, photos are compared (see `find_shared`, which takes `cache`
    and `progress`); otherwise only identical files join sellers. Cases keep the ids that they have in the table
    `previous`, by default the one that `out` replaces. `decisions` are applied to them. `reader`
    reads photos for the page, by default local files only. Other arguments are those of `build_cases`. Raises
    TableError for tables that can't be read or written, or that another process writes, and for a column to join on
    that no table has.
    """
    findings, out, joining = Path(findings), Path(out), joining or Joining()
    require_ending(out)
    require_readable(findings, required=FINDING_COLUMNS)
    _require_columns(joining.columns, findings, listings)
    busy = TableError(f"another process is writing {out}; wait until it is done, or choose another --out")
    with held(out.with_name(out.name + ".partial"), busy):  # its ids are read, and written again at the end
        kept = Path(previous) if previous is not None else out if out.is_file() else None
        before = [] if kept is None else read_cases(kept)

        def rows() -> Iterator[Row]:
            read = read_findings(findings)
            return read if decisions is None else map(decisions.applied, read)

        photos = shown = None
        if lookup is not None:
            photos = _compared(case_photos(rows(), listings, verdicts=verdicts, layout=layout), lookup, cache, progress)
        shared = None if photos is None else photos.shared
        keys = () if listings is None else listing_keys(listings, joining.columns, layout)
        cases = build_cases(rows(), verdicts=verdicts, joining=joining, shared=shared, keys=keys, rates=rates,
                            effort=effort, previous=before)  # fmt: skip
        write_cases(cases.cases, out)
        if page is not None:
            thumbnail, columns = _thumbnails(reader), joining.columns
            shown = write_case_page(cases, rows(), page, thumbnail=thumbnail, effort=effort, columns=columns)
        return FoundCases(cases, photos, kept, shown)


def _compared(
    photos: list[SellerPhoto], lookup: Lookup, cache: VectorCache | None, progress: Callable[[int], None] | None
) -> SharedPhotos:
    return find_shared(
        photos, index=lookup.index, encoder=lookup.encoder, reader=lookup.reader, cache=cache, progress=progress
    )


def case_photos(
    rows: Iterable[Row], listings: str | Path | None, *, verdicts: Sequence[str], layout: Layout = PLAIN
) -> list[SellerPhoto]:
    """The photos that decided findings of these verdicts; with a listings table, all photos of the same listings."""
    sellers: dict[str, str] = {}

    def kept() -> Iterator[Row]:
        for row in rows:
            if row["verdict"] in verdicts:
                sellers[str(row["listing_id"])] = seller_of(row)
                yield row

    photos = list(seller_photos(kept(), verdicts=verdicts))
    if listings is None:
        return photos
    known = {(photo.seller, photo.image) for photo in photos}
    further = (
        SellerPhoto(sellers[listing.id], str(image))
        for listing in read_listings(listings, columns=layout.columns, feed=layout.feed)
        if listing.id in sellers
        for image in listing.images
    )
    return photos + [photo for photo in further if (photo.seller, photo.image) not in known]


def listing_keys(
    listings: str | Path, columns: Sequence[str], layout: Layout = PLAIN
) -> Iterator[tuple[str, str, str]]:
    """The values in these columns of a listings table: seller_id, column, value. Empty ones are left out."""
    for line in layout.read(Path(listings), required=("listing_id",), columns=("seller_id",), further=columns):
        seller = id_text(line.values.get("seller_id"))
        for column in columns:
            value = cell_text(line.values.get(column))
            if seller is not None and value is not None:
                yield seller, column, value


def _require_columns(columns: Sequence[str], findings: Path, listings: str | Path | None) -> None:
    """Raise TableError for a column to join on that neither table has."""
    tables = [findings, *([] if listings is None else [Path(listings)])]
    there = {name for table in tables for name in _columns(table)}
    if missing := ", ".join(name for name in columns if name not in there):
        if listings is not None:
            raise TableError(f"neither {findings} nor {listings} has a column {missing} to join on")
        raise TableError(f"{findings} has no column {missing} to join on; give the listings table that has it")


def _columns(table: Path) -> Iterable[str]:
    """The columns of a table, as its first good row has them."""
    return next((line.values for line in read_rows(table) if line.error is None), {})


def _thumbnails(reader: PhotoReader | None) -> Callable[[str], Image.Image | None]:
    """What returns the picture of an image, or None if it can't be read any more."""
    from lookalike.index.embedding import PhotoReader
    from lookalike.model.images import read_image

    used = reader or PhotoReader()

    def thumbnail(image: str) -> Image.Image | None:
        try:
            return read_image(image, limits=used.limits, access=used.access).image
        except ImageReadError:  # the page says that there is no picture
            return None

    return thumbnail
