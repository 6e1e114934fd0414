"""The tables of rights and sellers in DuckDB, in memory and without access to anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import query
from .territories import CODES, EVERYWHERE, Regions

if TYPE_CHECKING:
    import duckdb

_LOADED_TOGETHER = 1 << 16


def open_database(regions: Regions, *, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A database with empty tables of rights and sellers, and the places that these may name.

    It touches no file and loads no extension, whatever a table says.
    """
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    database = duckdb.connect(":memory:", config=settings)
    database.execute("SET enable_external_access = false")
    database.execute(query.TABLES)
    fill(database, "places", ("name", "place"), regions.spellings())
    fill(database, "covers", ("place", "code", "nearness", "first", "last"), _covers(regions))
    return database


def fill(
    database: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert rows, whose values are in the order of `names`, into a table; memory is bounded."""
    import pyarrow as pa

    remaining = iter(rows)
    while part := list(islice(remaining, _LOADED_TOGETHER)):
        columns = dict(zip(names, map(pa.array, zip(*part, strict=True)), strict=True))
        database.from_arrow(pa.table(columns)).insert_into(table)


def _covers(regions: Regions) -> Iterator[tuple[str, str, int, date, date]]:
    """For each place, and for an unknown one, the codes that cover it: its own, its regions', and everywhere."""
    always = date.min, date.max
    yield ("", EVERYWHERE, 2, *always)
    for code in sorted(CODES):
        yield (code, code, 0, *always)
        yield (code, EVERYWHERE, 2, *always)
    for member in regions.members:
        yield (member.territory, member.region, 1, member.first, member.last)
