"""The findings table: a finding as a row of it, and back. The one place that knows its columns."""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict, cast, get_args, get_origin, get_type_hints

from lookalike.errors import TableError
from lookalike.records import Finding, Listing, Match, Verdict, photo_name

from .amounts import read_decimal
from .candidates import candidates_text, deciding_match, matches_of
from .cells import cell_text, id_digest, json_text
from .files import read_rows, writing_table
from .lines import Line

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Row = Mapping[str, Any]
_PART_ROWS = 1024
FINDING_COLUMNS = ("listing_id", "verdict", "policy", "encoder")
"""The columns that a findings table must have; their values are never null."""

HISTORY_COLUMNS = ("listing_id", "verdict", "seller_id", "brand", "territory", "product_id", "image_sha256")
"""The columns by which a history, and people's verdicts, find the findings that they are about."""


class FindingRow(TypedDict):
    """A row of the findings table, in the order of its columns.

    An annotation names the Arrow type of a column that is not stored as text. `price` is text in every format, so that
    all of them keep it exactly. `rights`, `rights_basis`, `candidates` and `label_name` are JSON; a scan leaves the
    last one empty (see `lookalike.tables.names`).
    """

    listing_id: str
    verdict: str
    kind: str | None
    brand: str | None
    product_id: str | None
    reference_id: str | None
    similarity: Annotated[float | None, "float32"]
    normalised_similarity: Annotated[float | None, "float32"]
    look: Annotated[float | None, "float32"]
    probability: Annotated[float | None, "float64"]
    threshold: Annotated[float | None, "float64"]
    flag_threshold: Annotated[float | None, "float64"]
    inliers: Annotated[int | None, "int32"]
    coverage: Annotated[float | None, "float32"]
    mirrored: Annotated[bool | None, "bool"]
    image: str | None
    reference_image: str | None
    seller_id: str | None
    territory: str | None
    price: Decimal | None
    currency: str | None
    title: str | None
    url: str | None
    policy: str
    encoder: str
    error: str | None
    hint: str | None
    suppressed_by: str | None
    image_sha256: str | None
    similarity_verdict: str | None
    rights: str | None
    rights_basis: str | None
    scanned_at: str | None
    candidates: str | None
    label_name: str | None


def finding_row(finding: Finding) -> FindingRow:
    """A finding as a row of the findings table."""
    listing = finding.listing
    match = deciding_match(finding.matches, finding.brand, finding.product)
    best = match.reference if match else None
    verification = match.verification if match else None
    return {
        "listing_id": listing.id,
        "verdict": str(finding.verdict),
        "kind": finding.kind,
        "brand": finding.brand,
        "product_id": finding.product,
        "reference_id": best.id if best else None,
        "similarity": finding.similarity,
        "normalised_similarity": finding.normalised_similarity,
        "look": finding.look,
        "probability": finding.probability,
        "threshold": finding.threshold,
        "flag_threshold": finding.flag_threshold,
        "inliers": verification.inliers if verification else None,
        "coverage": verification.coverage if verification else None,
        "mirrored": verification.mirrored if verification else None,
        "image": finding.image or _first_photo(finding),
        "reference_image": photo_name(best.image) if best else None,
        "seller_id": listing.seller,
        "territory": listing.territory,
        "price": listing.price,
        "currency": listing.currency,
        "title": listing.title,
        "url": listing.url,
        "policy": finding.policy,
        "encoder": finding.encoder,
        "error": finding.error,
        "hint": finding.hint,
        "suppressed_by": finding.suppressed_by,
        "image_sha256": finding.image_sha256,
        "similarity_verdict": None if finding.similarity_verdict is None else str(finding.similarity_verdict),
        "rights": None if finding.rights is None else json_text(finding.rights),
        "rights_basis": None if finding.rights_basis is None else json_text(finding.rights_basis),
        "scanned_at": finding.scanned_at,
        "candidates": candidates_text(finding),
        "label_name": None,
    }


def _first_photo(finding: Finding) -> str | None:
    """The name of the listing's first photo, for a finding that no photo decided."""
    hashes = finding.images_sha256 or (None,)
    return photo_name(finding.listing.images[0], hashes[0]) if finding.listing.images else None


def finding_schema() -> pa.Schema:
    """The findings table's columns and types; every value may be null except those of FINDING_COLUMNS."""
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(column.stored)) for name, column in _columns().items()])


class _Column(NamedTuple):
    """A column's type in Python, the name of its type in Arrow, and what reads a value of it from any format."""

    type: type
    stored: str
    read: Callable[[Any], object]


@cache
def _columns() -> dict[str, _Column]:
    readers: dict[type, Callable[[Any], object]] = {
        str: _text, float: float, int: lambda value: int(float(value)), bool: _truth, Decimal: read_decimal,
    }  # fmt: skip
    columns = {}
    for name, hint in get_type_hints(FindingRow, include_extras=True).items():
        plain, *stored = get_args(hint) if get_origin(hint) is Annotated else (hint, "string")
        kind = next(each for each in (plain, *get_args(plain)) if each in readers)
        columns[name] = _Column(kind, stored[0], _single if stored[0] == "float32" else readers[kind])
    return columns


def _single(value: object) -> float:
    """A number as float32 holds it. CSV has only the digits that tell such numbers apart, and thresholds may be equal.

    >>> _single("0.9699841") == 0.9699841141700745
    True
    """
    return float(struct.unpack("f", struct.pack("f", float(str(value))))[0])


def read_findings(path: str | Path, *, columns: Collection[str] | None = None) -> Iterator[FindingRow]:
    """The rows of a findings table, with any further columns that it has.

    With `columns`, only those and FINDING_COLUMNS are read. Empty text is None, numbers are numbers and prices are
    decimals, whatever the format. Raises TableError for a table that is missing, empty, or not one of findings.
    """
    path = Path(path)
    return (_finding(path, line, columns) for line in _lines(path, columns))


def findings_at(
    path: str | Path, places: Container[int], *, columns: Collection[str] | None = None
) -> Iterator[tuple[int, FindingRow]]:
    """The rows that stand at these places of a findings table, counted from 0, each with its place."""
    path = Path(path)
    return ((at, _finding(path, line, columns)) for at, line in enumerate(_lines(path, columns)) if at in places)


def _lines(path: Path, columns: Collection[str] | None) -> Iterator[Line]:
    return read_rows(path, required=FINDING_COLUMNS, columns=columns, own=True)


def _finding(path: Path, line: Line, columns: Collection[str] | None) -> FindingRow:
    if line.error:
        raise TableError(f"{path}: {line.error}")
    try:
        row = typed_row(line.values, columns=columns)
    except ValueError as error:
        raise TableError(f"{path}: row {line.number} {error}") from error
    for name in line.values.keys() - row.keys():
        value = line.values[name]
        row[name] = None if value == "" else value  # type: ignore[literal-required]
    return row


def read_last_findings(path: str | Path, *, columns: Collection[str] | None = None) -> Iterator[FindingRow]:
    """The last finding of each listing of a findings table, as `read_findings` reads it; the table is read twice."""
    places = last_places(row["listing_id"] for row in read_findings(path, columns=()))
    every = range(len(places)) if len(places) == places[-1] + 1 else frozenset(places.tolist())
    for _, row in findings_at(path, every, columns=columns):
        yield row


def encoder_of(path: str | Path) -> str | None:
    """The encoder that made the first of the findings, None if there are none."""
    first = next(read_findings(path, columns=()), None)
    return None if first is None else first["encoder"]


def count_findings(path: str | Path, *, verdicts: Collection[str] | None = None) -> int:
    """How many findings a table has; with `verdicts`, of these. Raises TableError as `read_findings` does."""
    return sum(verdicts is None or row["verdict"] in verdicts for row in read_findings(path, columns=()))


def last_places(ids: Iterable[str]) -> NDArray[np.int64]:
    """The places of the last finding of each listing, in order, by the ids of all; it takes 8 bytes for each."""
    import numpy as np

    digests = array("Q")
    for name in ids:
        digests.frombytes(id_digest(name))
    _, back = np.unique(np.frombuffer(digests, np.uint64)[::-1], return_index=True)
    return np.sort(len(digests) - 1 - back)


def last_findings(rows: Iterable[FindingRow]) -> Iterable[FindingRow]:
    """The last finding of each listing, in the order of the first: tables of several days may be joined to one."""
    return {row["listing_id"]: row for row in rows}.values()


def typed_row(values: Row, *, columns: Collection[str] | None = None) -> FindingRow:
    """The columns of the findings table, each of its type; with `columns`, only those and FINDING_COLUMNS.

    Raises ValueError for a value that isn't of its column's type.
    """
    row: dict[str, object] = {}
    for name, (kind, _, read) in _columns().items():
        if columns is not None and name not in columns and name not in FINDING_COLUMNS:
            continue
        value = values.get(name)
        typed = None
        if value is not None and value != "":
            try:
                typed = value if type(value) is kind and read is not _single else read(value)
            except (TypeError, ValueError, ArithmeticError, KeyError):
                expected = "true or false" if kind is bool else "a number"
                raise ValueError(f"has {name} {str(value)[:40]!r}, expected {expected}") from None
        row[name] = "" if typed is None and name in FINDING_COLUMNS else typed
    return cast("FindingRow", row)


def _text(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else cell_text(value)


def _truth(value: object) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


def write_findings(rows: Iterable[Row], path: str | Path) -> None:
    """Write rows of a findings table; it appears whole or not at all. Raises TableError for another ending."""
    remaining = iter(rows)
    with writing_table(Path(path), finding_schema()) as writer:
        while part := list(islice(remaining, _PART_ROWS)):
            writer.write(part)


def said_by_similarity(row: Row) -> str:
    """The verdict of a row before rights and sellers were asked for."""
    return str(row.get("similarity_verdict") or row["verdict"])


def strength_of(row: Row) -> float | None:
    """What thresholds are compared with, as `Match.strength`; None if the row has no similarity.

    >>> strength_of({"similarity": 0.9, "probability": 0.7}), strength_of({"similarity": 0.9})
    (0.7, 0.9)
    """
    known = (row.get(name) for name in ("probability", "normalised_similarity", "similarity"))
    return next((value for value in known if value is not None), None)


def listing_of(row: Row) -> Listing:
    """The listing of a row, without its photos."""
    price = row.get("price")
    return Listing(
        id=str(row["listing_id"]),
        images=(),
        seller=row.get("seller_id"),
        territory=row.get("territory"),
        price=None if price is None else read_decimal(price),
        currency=row.get("currency"),
        title=row.get("title"),
        url=row.get("url"),
    )


def stored(row: Row) -> tuple[Finding, list[Match]]:
    """The finding of a row, and the matches of its photos."""
    finding = Finding(
        listing_of(row),
        Verdict(said_by_similarity(row)),
        str(row["policy"]),
        str(row["encoder"]),
        image=row.get("image"),
        error=row.get("error"),
        hint=row.get("hint"),
        image_sha256=row.get("image_sha256"),
        scanned_at=row.get("scanned_at"),
    )
    return finding, [] if finding.verdict is Verdict.UNREADABLE else matches_of(row)
