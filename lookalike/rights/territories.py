"""Where a right or a listing is: ISO 3166 codes, and regions whose rights cover several of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

from lookalike.errors import TableError
from lookalike.tables.files import read_rows, row_day

EVERYWHERE = "*"
"""The territory of whatever holds everywhere, even where the territory is unknown."""

# ISO 3166-1 alpha-2, the 249 codes in force, as in tzdata's iso3166.tab
_ISO_3166 = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
CODES = frozenset(_ISO_3166.split())

# the EU's own codes for two members (Interinstitutional Style Guide, annex A5), and WIPO ST.3's code for its office
ALIASES = {"UK": "GB", "EL": "GR", "EM": "EU"}

_COLUMNS = ("region", "territory", "valid_from", "valid_until")


@dataclass(frozen=True)
class Membership:
    """A territory that a region's rights cover, from the first day to the last."""

    region: str
    territory: str
    first: date
    last: date


@dataclass(frozen=True)
class Regions:
    """Regions, each with the territories that its rights cover.

    >>> regions = Regions.shipped()
    >>> regions.canonical(" uk "), regions.canonical("EM"), regions.canonical("Germany")
    ('GB', 'EU', None)
    """

    members: tuple[Membership, ...]

    @classmethod
    def shipped(cls) -> Regions:
        """The regions in lookalike/rights/regions.csv, where each row has its source and the day it was looked up."""
        with as_file(files("lookalike.rights") / "regions.csv") as path:
            return cls.load(path)

    @classmethod
    def load(cls, path: str | Path) -> Regions:
        """Read a table with the columns region, territory, valid_from and valid_until; an empty day means no limit.

        Raises TableError if the table is missing or lacks a column, and for a row that can't be used: without it,
        every claim in that territory would be lost.
        """
        members = []
        for line in read_rows(Path(path), required=_COLUMNS, columns=()):
            try:
                if line.error:
                    raise ValueError(line.error)
                region, territory = (_code(line.values.get(name)) for name in _COLUMNS[:2])
                if not region or region in CODES or territory not in CODES:
                    raise ValueError(
                        f"row {line.number} has region {region[:40]!r} and territory {territory[:40]!r}, expected a "
                        "name that is not an ISO 3166 code, and an ISO 3166 code"
                    )
                members.append(Membership(region, territory, row_day(line, "valid_from", date.min),
                                          row_day(line, "valid_until", date.max)))  # fmt: skip
            except ValueError as error:
                raise TableError(f"{path}: {error}") from None
        return cls(tuple(members))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the regions."""
        return frozenset(member.region for member in self.members)

    def canonical(self, text: object) -> str | None:
        """The ISO 3166 code or region that a text stands for, or None."""
        code = _code(text)
        return code if code in CODES or code in self.names else None

    def spellings(self) -> Iterator[tuple[str, str]]:
        """Every territory that a listing can have, as it may be written, with its ISO 3166 code."""
        yield from ((code, code) for code in sorted(CODES))
        yield from ((alias, code) for alias, code in ALIASES.items() if code in CODES)


def _code(text: object) -> str:
    code = str("" if text is None else text).strip().upper()
    return ALIASES.get(code, code)
