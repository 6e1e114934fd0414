"""Rights and sellers: who could claim a match, and who may sell, in the listing's territory on a given day.

The rules are one DuckDB query, in `query`, for one listing or for millions. This is no legal advice: it says what the
tables say, and docs/rights.md says what is left to people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.disk import file_sha256
from lookalike.errors import TableError
from lookalike.records import BadRow, Verdict
from lookalike.tables.cells import json_text

from . import query
from .claims import MATCH_KINDS, Claims
from .database import fill, open_database
from .grounds import Ground, grounds_of
from .tables import Authorisation, Right, read_rights, read_sellers
from .territories import Regions

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "4GB"
_BAD_ROWS_KEPT = 20
_ASKED_COLUMNS = ["similarity_verdict", "brand", "product_id", "kind", "image", "territory", "seller_id", "candidates"]
_MATCH_TYPES = {"id": "int64", "rank": "int32"}


class RightsMatch(NamedTuple):
    """A match to look up: the one that the policy ranks at `rank`, from 1, among those of listing `id`."""

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
    """A listing's verdict by rights and sellers: the rank of the match that decides, its verdict, and why.

    `rights` are grounds (see `grounds`), None if the verdict rests on none.
    """

    rank: int
    verdict: Verdict
    rights: tuple[Ground, ...] | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Outcome:
        """The outcome in a row of answers."""
        rights = answer["rights"]
        return cls(answer["rank"], Verdict(answer["verdict"]), None if rights is None else tuple(grounds_of(rights)))


@dataclass(frozen=True)
class Rights:
    """The tables of rights and sellers, ready for look-ups from several threads at once.

    `unusable` counts the rows of the rights table that can't be used; `bad_rows` holds the first of them. `tables`
    identifies each of the tables rights, sellers and regions that were read by the start of its sha256.
    """

    tables: Mapping[str, str]
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
        """Read a rights table, a sellers table or both, and other regions than those that ship.

        Without rights, nothing is unprotected; without sellers, nobody is authorised. Raises TableError as
        `read_rights`, `read_sellers` and `Regions.load` do.
        """
        known = Regions.shipped() if regions is None else Regions.load(regions)
        database, bad = open_database(known, memory_limit=memory_limit), _BadRows()
        if rights is not None:
            fill(database, "rights", Right._fields, bad.left_out(read_rights(rights, known)))
            database.execute(query.CONTEST)
        if sellers is not None:
            fill(database, "sellers", Authorisation._fields, read_sellers(sellers, known))
        tables = {
            name: file_sha256(Path(path))[:8]
            for name, path in (("rights", rights), ("sellers", sellers), ("regions", regions))
            if path is not None
        }
        return cls(tables, bad.count, tuple(bad.first), database, rights is not None)

    def judge(self, matches: Iterable[RightsMatch], *, day: date, claims: Claims) -> dict[int, Outcome]:
        """The outcome for each listing, by its id. The matches are those that the policy flags or sends to review."""
        import pyarrow as pa

        columns = list(zip(*matches, strict=True)) or [()] * len(RightsMatch._fields)
        found = pa.table({name: pa.array(values, _MATCH_TYPES.get(name, "string"))
                          for name, values in zip(RightsMatch._fields, columns, strict=True)})  # fmt: skip
        with self._database.cursor() as cursor:
            cursor.register("found", found)
            cursor.execute(query.FOUND)
            answers = self._answers(cursor, day, claims).to_pylist()
        return {row["id"]: Outcome.of(row) for row in answers}

    def judge_findings(self, findings: pa.Table, *, day: date, claims: Claims) -> pa.Table:
        """The outcomes for rows of a findings table: id (the row, from 0), rank, brand, product_id, verdict, rights.

        Rows that the policy left clear, and rows without a readable photo, are left out. The policy's verdict is read
        from `similarity_verdict`. Raises TableError for candidates or kinds that can't be read.
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
            return self._answers(cursor, day, claims)

    def unknown_brands(self, brands: Iterable[str]) -> list[str]:
        """The brands, sorted, for which the rights table has no usable row; none if no rights table was read."""
        if not self._protected:
            return []
        with self._database.cursor() as cursor:
            known = {brand for (brand,) in cursor.execute("SELECT DISTINCT brand FROM rights").fetchall()}
        return sorted(set(brands) - known)

    def _answers(self, cursor: duckdb.DuckDBPyConnection, day: date, claims: Claims) -> pa.Table:
        """The answer for each id in the cursor's table `matches`."""
        import duckdb

        rows = [(kind, right, place) for kind in MATCH_KINDS for place, right in enumerate(claims.of(kind))]
        cursor.execute("CREATE TEMP TABLE claims (kind VARCHAR, right_kind VARCHAR, position TINYINT)")
        if rows:
            cursor.executemany("INSERT INTO claims VALUES (?, ?, ?)", rows)
        kinds = cursor.sql("SELECT DISTINCT kind FROM matches").fetchall()
        if strange := sorted(kind for (kind,) in kinds if kind not in MATCH_KINDS):
            raise TableError(f"a finding has kind {strange[0][:40]!r}, expected one of {', '.join(MATCH_KINDS)}")
        values = {"day": day, "protected": self._protected, "unknown": claims.unknown_territory,
                  "unfair": list(claims.unfair_competition_in)}  # fmt: skip
        try:
            return _plain_escapes(cursor.sql(query.QUERY, params=values).to_arrow_table())
        except duckdb.OutOfMemoryException as error:
            raise TableError(f"looking up rights took more memory than allowed ({error}); allow more") from None


def _plain_escapes(answers: pa.Table) -> pa.Table:
    """The answers with control characters in their rights escaped as the standard library does, not as DuckDB."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(answers["rights"], "\\u")).as_py():
        return answers
    texts = [None if text is None else json_text(json.loads(text)) for text in answers["rights"].to_pylist()]
    return answers.set_column(answers.schema.get_field_index("rights"), "rights", pa.array(texts, pa.string()))


@dataclass
class _BadRows:
    """The rows of the rights table that can't be used: how many, and the first of them."""

    count: int = 0
    first: list[BadRow] = field(default_factory=list)

    def left_out(self, rows: Iterable[Right | BadRow]) -> Iterator[Right]:
        """The usable rows; the others are counted."""
        for row in rows:
            if isinstance(row, Right):
                yield row
                continue
            self.count += 1
            if len(self.first) < _BAD_ROWS_KEPT:
                self.first.append(row)
