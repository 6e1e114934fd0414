"""The rows of the rights table and the sellers table: what they mean, and which can't be used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from lookalike.errors import TableError
from lookalike.records import BadRow
from lookalike.tables.cells import cell_text
from lookalike.tables.files import read_rows, row_day
from lookalike.tables.lines import Line

from .claims import RIGHT_KINDS
from .territories import EVERYWHERE, Regions

RIGHT_COLUMNS = ("brand", "kind", "number", "territory", "valid_from", "valid_until")
SELLER_COLUMNS = ("brand", "seller_id", "territory", "valid_from", "valid_until")


class Right(NamedTuple):
    """A brand's right, or with `product_id` one in a single product, in a territory or region, both days included."""

    brand: str
    product_id: str
    kind: str
    number: str
    territory: str
    owner: str
    first: date
    last: date


class Authorisation(NamedTuple):
    """A seller's permission to sell a brand in a territory, a region or everywhere, both days included."""

    brand: str
    seller_id: str
    territory: str
    first: date
    last: date


def read_rights(path: str | Path, regions: Regions) -> Iterator[Right | BadRow]:
    """Rows of a rights table: brand, kind, number, territory, valid_from, valid_until; product_id and owner optional.

    An empty day means no limit. A row that can't be used becomes a BadRow: without it a claim may be missed, but nobody
    is accused. Raises TableError if the table is missing or lacks a column.
    """
    for line in read_rows(Path(path), required=RIGHT_COLUMNS, columns=("product_id", "owner")):
        try:
            yield _right(line, regions)
        except ValueError as error:
            yield BadRow(f"row {line.number}", str(error))


def read_sellers(path: str | Path, regions: Regions) -> Iterator[Authorisation]:
    """Rows of a sellers table: brand, seller_id, territory, valid_from, valid_until.

    An empty territory means everywhere, and an empty day means no limit. Raises TableError if the table is missing or
    lacks a column, and for a row that can't be used: without it a genuine seller would be flagged.
    """
    for line in read_rows(Path(path), required=SELLER_COLUMNS, columns=()):
        try:
            brand, seller = _text(line, "brand"), _text(line, "seller_id")
            if line.error or not brand or not seller:
                raise ValueError(line.error or f"row {line.number} needs a brand and a seller_id")
            place = _territory(line, regions) if _text(line, "territory") else EVERYWHERE
            yield Authorisation(brand, seller, place, *_term(line))
        except ValueError as error:
            raise TableError(f"{path}: {error}") from None


def _right(line: Line, regions: Regions) -> Right:
    if line.error:
        raise ValueError(line.error)
    brand, kind, number = _text(line, "brand"), _text(line, "kind").lower(), _text(line, "number")
    if not brand:
        raise ValueError(f"row {line.number} has no brand")
    if kind not in RIGHT_KINDS:
        raise ValueError(f"row {line.number} has kind {kind[:40]!r}, expected one of {', '.join(RIGHT_KINDS)}")
    if not number and kind != "copyright":
        raise ValueError(f"row {line.number} is a {kind} without a number; give the one that it is registered under")
    place = _territory(line, regions)
    if place == EVERYWHERE and kind != "copyright":
        raise ValueError(f"row {line.number} is a {kind} everywhere, which only copyright can be; name its territories")
    return Right(brand, _text(line, "product_id"), kind, number, place, _text(line, "owner"), *_term(line))


def _territory(line: Line, regions: Regions) -> str:
    text = _text(line, "territory")
    place = text if text == EVERYWHERE else regions.canonical(text)
    if place is None:
        raise ValueError(f"row {line.number} has territory {text[:40]!r}, expected one ISO 3166 code like DE, or a "
                         f"region: {', '.join(sorted(regions.names))}")  # fmt: skip
    return place


def _term(line: Line) -> tuple[date, date]:
    first, last = row_day(line, "valid_from", date.min), row_day(line, "valid_until", date.max)
    if first > last:
        raise ValueError(f"row {line.number} is valid from {first} until {last}, which is earlier; correct the dates")
    return first, last


def _text(line: Line, column: str) -> str:
    return (cell_text(line.values.get(column)) or "").strip()
