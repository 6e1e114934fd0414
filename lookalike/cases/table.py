"""Cases as a table, written and read, and what is new of them since the last run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import TableError
from lookalike.tables.files import TableWriter, read_rows

from .grouping import Case, Link
from .money import plain_decimal

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = ("rank", "listings", "pairs", "unvalued")
_LISTS = ("sellers", "listing_ids", "examples", "joined_by", "merged")
_TABLES = ("brands", "products", "kinds", "territories", "verdicts", "rights", "sums")


def case_schema() -> pa.Schema:
    """The cases table's columns. Money is decimal text, and what is several is JSON, so that every format holds it."""
    import pyarrow as pa

    order = ("rank", "case_id", "value", "value_currency", "value_per_minute", "minutes", "listings", "pairs",
             "unvalued", "sums", "sellers", "brands", "products", "kinds", "territories", "verdicts", "rights",
             "first_seen", "last_seen", "joined_by", "merged", "split_from", "examples", "listing_ids")  # fmt: skip
    return pa.schema([(name, pa.int64() if name in _COUNTS else pa.string()) for name in order])


def write_cases(cases: Sequence[Case], path: str | Path) -> None:
    """Write cases, the first with rank 1, in one step. Raises TableError for another ending."""
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    writer = TableWriter(temporary, case_schema(), ending=path.suffix.lower())
    rows = [case_row(case, rank) for rank, case in enumerate(cases, 1)]
    for start in range(0, len(rows), 1024):
        writer.write(rows[start : start + 1024])
    writer.close()
    temporary.replace(path)


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
    """The cases of a table, in its order. Raises TableError for one that is none, and for a row that can't be used."""
    cases = []
    for line in read_rows(Path(path), required=case_schema().names):
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


@dataclass(frozen=True)
class CaseChange:
    """What is other of a case than at the last run: listings and sellers that came or went, sums before and after."""

    id: str
    listings_added: tuple[str, ...]
    listings_gone: tuple[str, ...]
    sellers_added: tuple[str, ...]
    sellers_gone: tuple[str, ...]
    merged: tuple[str, ...]
    sums: tuple[Mapping[str, Decimal], Mapping[str, Decimal]]


@dataclass(frozen=True)
class CaseDiff:
    """What is new since the last run: cases that are `new`, `gone`, or merged into another (`merged`), and changes."""

    new: tuple[Case, ...]
    gone: tuple[Case, ...]
    merged: Mapping[str, str]
    changed: tuple[CaseChange, ...]
    unchanged: int


def compare_cases(old: Sequence[Case], new: Sequence[Case]) -> CaseDiff:
    """What has changed between two runs' cases, by their ids."""
    before, after = {case.id: case for case in old}, {case.id: case for case in new}
    into = {name: case.id for case in new for name in case.merged if name in before}
    changed = []
    for name, case in after.items():
        if name not in before:
            continue
        was = before[name]
        change = CaseChange(
            name,
            listings_added=_missing(was.listings, case.listings),
            listings_gone=_missing(case.listings, was.listings),
            sellers_added=_missing(was.sellers, case.sellers),
            sellers_gone=_missing(case.sellers, was.sellers),
            merged=_missing(was.merged, case.merged),
            sums=(was.values, case.values),
        )
        parts = (change.listings_added, change.listings_gone, change.sellers_added, change.sellers_gone, change.merged)
        if any(parts) or was.values != case.values:
            changed.append(change)
    return CaseDiff(
        new=tuple(case for name, case in after.items() if name not in before),
        gone=tuple(case for name, case in before.items() if name not in after and name not in into),
        merged=into,
        changed=tuple(changed),
        unchanged=len(after.keys() & before.keys()) - len(changed),
    )


def _missing(here: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """What is there and not here, sorted."""
    return tuple(sorted(set(there) - set(here)))
