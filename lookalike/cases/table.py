"""The cases table: a case as a row of it, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import TableError
from lookalike.tables.amounts import plain_decimal
from lookalike.tables.files import read_rows, writing_table

from .case import Case, Link

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = ("rank", "listings", "pairs", "unvalued")
_LISTS = ("sellers", "listing_ids", "examples", "joined_by", "merged")
_TABLES = ("brands", "products", "kinds", "territories", "verdicts", "rights", "sums")


def case_schema() -> pa.Schema:
    """The cases table's columns. Money is decimal text, and lists are JSON, so that every format holds the same."""
    import pyarrow as pa

    order = ("rank", "case_id", "value", "value_currency", "value_per_minute", "minutes", "listings", "pairs",
             "unvalued", "sums", "sellers", "brands", "products", "kinds", "territories", "verdicts", "rights",
             "first_seen", "last_seen", "joined_by", "merged", "split_from", "examples", "listing_ids")  # fmt: skip
    return pa.schema([(name, pa.int64() if name in _COUNTS else pa.string()) for name in order])


def write_cases(cases: Sequence[Case], path: str | Path) -> None:
    """Write cases, the first with rank 1. It appears whole or not at all. Raises TableError for another ending."""
    rows = [case_row(case, rank) for rank, case in enumerate(cases, 1)]
    with writing_table(Path(path), case_schema()) as writer:
        for start in range(0, len(rows), 1024):
            writer.write(rows[start : start + 1024])


def case_row(case: Case, rank: int) -> dict[str, Any]:
    """A case as a row of the cases table."""
    values: dict[str, Any] = {
        "rank": rank,
        "case_id": case.id,
        "value": None if case.value is None else plain_decimal(case.value),
        "value_currency": case.value_currency,
        "value_per_minute": plain_decimal(case.per_minute),
        "minutes": plain_decimal(case.minutes),
        "listings": len(case.listings),
        "pairs": case.pairs,
        "unvalued": case.unvalued,
        "sums": {currency: plain_decimal(value) for currency, value in case.values.items()},
        "sellers": case.sellers,
        "joined_by": [vars(link) for link in case.links],
        "listing_ids": case.listings,
        **{name: getattr(case, name) for name in ("brands", "products", "kinds", "territories", "verdicts", "rights")},
        **{name: getattr(case, name) for name in ("first_seen", "last_seen", "merged", "split_from", "examples")},
    }
    for name in (*_LISTS, *_TABLES):
        values[name] = json.dumps(values[name], ensure_ascii=False, separators=(",", ":"))
    return values


def read_cases(path: str | Path) -> list[Case]:
    """The cases of a table, in its order. Raises TableError for another table, and for a row that can't be used."""
    cases = []
    for line in read_rows(Path(path), required=case_schema().names, own=True):
        row = {name: None if value == "" else value for name, value in line.values.items()}
        try:
            if line.error:
                raise ValueError(line.error)
            cases.append(_read_case(row))
        except (ValueError, KeyError, TypeError, InvalidOperation, RecursionError) as error:
            raise TableError(f"{path}: row {line.number} can't be read as a case ({type(error).__name__}: {error}); "
                             "write the table again with: lookalike cases") from error  # fmt: skip
    return cases


def _read_case(row: Mapping[str, Any]) -> Case:
    lists = {name: tuple(json.loads(row[name])) for name in _LISTS}
    tables: dict[str, dict[str, Any]] = {name: dict(json.loads(row[name])) for name in _TABLES}
    return Case(
        id=str(row["case_id"]),
        sellers=lists["sellers"],
        listings=lists["listing_ids"],
        **{name: tables[name] for name in ("verdicts", "brands", "products", "kinds", "territories")},
        rights={territory: tuple(named) for territory, named in tables["rights"].items()},
        values={currency: Decimal(value) for currency, value in tables["sums"].items()},
        value=None if row["value"] is None else Decimal(row["value"]),
        value_currency=row["value_currency"],
        unvalued=int(row["unvalued"]),
        pairs=int(row["pairs"]),
        minutes=Decimal(row["minutes"]),
        per_minute=Decimal(row["value_per_minute"]),
        examples=lists["examples"],
        links=tuple(Link(link["kind"], link["key"], tuple(link["sellers"])) for link in lists["joined_by"]),
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        merged=lists["merged"],
        split_from=row["split_from"],
    )
