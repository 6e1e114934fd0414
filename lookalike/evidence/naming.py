"""Reads what the labels of findings say, for those of them that a person will look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from lookalike.records import Verdict
from lookalike.tables.names import COLUMN, NameReading

from .explain import align
from .photos import photo_of

if TYPE_CHECKING:
    from lookalike.index.embedding import PhotoReader
    from lookalike.tables.findings import FindingRow

    from .label_names import NameReader

READ = (Verdict.FLAGGED, Verdict.REVIEW)
"""The verdicts of the findings whose labels are read."""


def with_names(rows: Iterable[FindingRow], *, names: NameReader, reader: PhotoReader) -> Iterator[FindingRow]:
    """The rows in their order, those that are flagged or for review with what their labels say.

    Reading takes about a second a finding. A row whose photos can't be read any more stays as it is.
    """
    photo = photo_of(reader)
    for row in rows:
        if row["verdict"] not in READ:
            yield row
            continue
        listing, reference = photo(row["image"]), photo(row["reference_image"])
        if listing is None or reference is None:
            yield row
            continue
        _, alignment = align(reference, listing)
        reading: NameReading = names.compare(reference, listing, alignment, brand=row["brand"] or "")
        yield cast("FindingRow", {**row, COLUMN: reading.to_cell()})
