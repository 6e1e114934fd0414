"""Rights and sellers: for a match, in the listing's territory and on a day, who could claim and who may sell.

The rules are one query, in `query`, that DuckDB answers for one listing or for millions. This is no legal
advice: it says what the tables say, and docs/rights.md what is left to people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.disk import file_sha256
from lookalike.errors import TableError
from lookalike.records import BadRow, Verdict

from . import query
from .claims import MATCH_KINDS, Claims
from .tables import Authorisation, Right, read_rights, read_sellers
from .territories import CODES, EVERYWHERE, Regions

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "4GB"
_LOADED_TOGETHER = 1 << 16
_BAD_ROWS_KEPT = 20


class RightsMatch(NamedTuple):
    """A match to be asked about: that of listing `id` which the policy puts in place `rank`, from 1."""

    id: int
    rank: int
    image: str | None
    verdict: str
    brand: str
    product_id: str | None
    kind: str | None
    territory: str | None
    seller_id: str | None


class Outcome(NamedTuple):
    """What rights and sellers make of a listing: the place of the match that decides, its verdict, and why."""

    rank: int
    verdict: Verdict
    rights: str | None


@dataclass(frozen=True)
class Rights:
    """The tables of rights and sellers, ready to be asked; safe to be used from several threads at once.

    `unusable` counts the rows of the rights table that can't be used, `bad_rows` are the first of them. `label` names
    the tables by hashes of what they say.
    """

    label: str
    unusable: int
    bad_rows: tuple[BadRow, ...]
    _database: duckdb.DuckDBPyConnection
    _protected: bool

    @classmethod
    def load(
        cls,
        *,
        rights: str | Path | None = None,
        sellers: str | Path | None = None,
        regions: str | Path | None = None,
        memory_limit: str = MEMORY_LIMIT,
    ) -> Rights:
        """Read a rights table, a sellers table or both, and regions other than those shipped.

        Without rights nothing is unprotected; without sellers none is authorised. Raises TableError as `read_rights`,
        `read_sellers` and `Regions.load` do.
        """
        known = Regions.shipped() if regions is None else Regions.load(regions)
        database = _connect(memory_limit)
        database.execute(query.TABLES)
        _fill(database, "places", ("name", "place"), known.spellings())
        _fill(database, "covers", ("place", "code", "nearness", "first", "last"), _covers(known))
        bad: list[BadRow] = []
        unusable = 0
        if rights is not None:

            def usable() -> Iterator[Right]:
                nonlocal unusable
                for row in read_rights(rights, known):
                    if isinstance(row, Right):
                        yield row
                        continue
                    unusable += 1
                    if len(bad) < _BAD_ROWS_KEPT:
                        bad.append(row)

            _fill(database, "rights", Right._fields, usable())
            database.execute(query.CONTEST)
        if sellers is not None:
            _fill(database, "sellers", Authorisation._fields, read_sellers(sellers, known))
        label = " ".join(
            f"{name}@{file_sha256(Path(path))[:8]}"
            for name, path in (("rights", rights), ("sellers", sellers), ("regions", regions))
            if path is not None
        )
        return cls(label, unusable, tuple(bad), database, rights is not None)

    def judge(self, matches: Iterable[RightsMatch], *, day: date, claims: Claims) -> dict[int, Outcome]:
        """What becomes of each listing, by its id; the matches are those that the policy flags or gives to review."""
        import pyarrow as pa

        rows = list(matches)
        with self._database.cursor() as cursor:
            columns = list(zip(*rows, strict=True)) or [()] * len(RightsMatch._fields)
            cursor.register("found", pa.table(
                {name: pa.array(values, _MATCH_TYPES.get(name, "string")) for name, values in
                 zip(RightsMatch._fields, columns, strict=True)}
            ))  # fmt: skip
            cursor.execute(
                "CREATE TEMP TABLE matches AS SELECT * REPLACE (coalesce(kind, 'lookalike') AS kind) FROM found"
            )
            answers = self._ask(cursor, day, claims).to_pylist()
        return {row["id"]: Outcome(row["rank"], Verdict(row["verdict"]), row["rights"]) for row in answers}

    def judge_findings(self, findings: pa.Table, *, day: date, claims: Claims) -> pa.Table:
        """What becomes of rows of a findings table: id (its place, from 0), rank, brand, product_id, verdict, rights.

        Rows that the policy left clear, or whose photos were unreadable, are not in it. Each row's
        `similarity_verdict` is taken for what the similarity said. Raises TableError for candidates or kinds that
        can't be read.
        """
        import duckdb
        import pyarrow as pa

        known = findings.select(_ASKED_COLUMNS).append_column("id", pa.array(range(findings.num_rows), pa.int64()))
        with self._database.cursor() as cursor:
            cursor.register("findings", known)
            try:
                cursor.execute(query.ENTERED)
                cursor.execute(query.MATCHES)
            except (duckdb.ConversionException, duckdb.InvalidInputException) as error:
                raise TableError(f"the candidates of a finding can't be read ({error}); scan again") from None
            return self._ask(cursor, day, claims)

    def unknown_brands(self, brands: Iterable[str]) -> list[str]:
        """Those of the brands, sorted, that a rights table was read for and has no usable row of."""
        if not self._protected:
            return []
        with self._database.cursor() as cursor:
            known = {brand for (brand,) in cursor.execute("SELECT DISTINCT brand FROM rights").fetchall()}
        return sorted(set(brands) - known)

    def _ask(self, cursor: duckdb.DuckDBPyConnection, day: date, claims: Claims) -> pa.Table:
        import duckdb

        rows = [(kind, right, place) for kind in MATCH_KINDS for place, right in enumerate(claims.of(kind))]
        cursor.execute("CREATE TEMP TABLE claims (kind VARCHAR, right_kind VARCHAR, position TINYINT)")
        if rows:
            cursor.executemany("INSERT INTO claims VALUES (?, ?, ?)", rows)
        unknown = cursor.sql("SELECT DISTINCT kind FROM matches").fetchall()
        if strange := sorted(kind for (kind,) in unknown if kind not in MATCH_KINDS):
            raise TableError(f"a finding is of kind {strange[0][:40]!r}; needed one of {', '.join(MATCH_KINDS)}")
        values = {"day": day, "protected": self._protected, "unknown": claims.unknown_territory,
                  "unfair": list(claims.unfair_competition_in)}  # fmt: skip
        try:
            return cursor.sql(query.QUERY, params=values).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise TableError(f"asking for rights took more memory than allowed ({error}); allow more") from None


_ASKED_COLUMNS = ["similarity_verdict", "brand", "product_id", "kind", "image", "territory", "seller_id", "candidates"]
_MATCH_TYPES = {"id": "int64", "rank": "int32"}


def _connect(memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A database in memory that touches no file and loads nothing, whatever a table says."""
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
    return database


def _fill(
    database: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    import pyarrow as pa

    remaining = iter(rows)
    while part := list(islice(remaining, _LOADED_TOGETHER)):
        columns = dict(zip(names, map(pa.array, zip(*part, strict=True)), strict=True))
        database.from_arrow(pa.table(columns)).insert_into(table)


def _covers(regions: Regions) -> Iterator[tuple[str, str, int, date, date]]:
    """For each place, and for the unknown one, the codes that cover it: its own, its regions', and everywhere."""
    always = date.min, date.max
    yield ("", EVERYWHERE, 2, *always)
    for code in sorted(CODES):
        yield (code, code, 0, *always)
        yield (code, EVERYWHERE, 2, *always)
    for member in regions.members:
        yield (member.territory, member.region, 1, member.first, member.last)
