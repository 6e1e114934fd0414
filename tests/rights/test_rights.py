"""Rights and sellers as a lawyer would read them: a worked table of cases, and the query against a plain loop."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import PolicyError, TableError
from lookalike.records import Verdict
from lookalike.rights.claims import UNFAIR_COMPETITION, Claims
from lookalike.rights.grounds import grounds_in_words
from lookalike.rights.rights import Outcome, Rights, RightsMatch
from lookalike.rights.territories import Regions

TODAY = date(2026, 11, 24)

RIGHTS = """\
brand,    kind,      number, territory, valid_from, valid_until, product_id, owner
Anvil,    trademark, A-DE,   DE,        ,           ,            ,           Anvil GmbH
Anvil,    trademark, A-FR,   FR,        ,           ,            ,           Anvil GmbH
Anvil,    design,    A-D1,   DE,        ,           ,            lamp,       Anvil GmbH
Borea,    trademark, B-EU,   EU,        2010-05-01, 2030-05-01,  ,           Borea SpA
Borea,    design,    B-GB,   GB,        ,           ,            ,           Borea SpA
Cirro,    trademark, C-1,    US,        2016-11-25, 2026-11-24,  ,
Cirro,    trademark, C-2,    JP,        2016-11-24, 2026-11-23,  ,
Cirro,    trademark, C-3,    CA,        2026-11-25, ,            ,
Cirro,    trademark, C-4,    MX,        2026-11-24, ,            ,
Dune,     copyright, ,       *,         ,           2070-12-31,  ,
Egret,    patent,    E-P,    BR,        ,           ,            ,
Fjord,    design,    F-D,    DE,        ,           ,            chair,      Fjord AS
Fjord,    design,    F-X,    DE,        ,           ,            chair,      Skerry AS
Fjord,    trademark, F-T,    NO,        ,           ,            ,           Fjord AS
Garnet,   trademark, G-1,    CH,        ,           ,            ,           Garnet AG
Garnet,   trademark, G-1,    CH,        ,           ,            ,           Garnet Inc
Heron,    trademark, H-1,    CH,        ,           ,            ,           Heron AG
Heron,    trademark, H-1,    CH,        2000-01-01, 2009-12-31,  ,           Heron Inc
Iris,     trademark, I-BX,   BX,        ,           ,            ,
Iris,     trademark, I-OA,   OA,        ,           ,            ,
Jade,     design,    J-D,    DE,        ,           ,            ,
Kelp,     trademark, K-T,    DE,        ,           ,            ,
Kelp,     design,    K-X,    DE,        ,           2025-01-31,  ,
"""

SELLERS = """\
brand, seller_id, territory, valid_from, valid_until
Anvil, partner,   DE,        ,
Anvil, dealer,    ,          ,
Anvil, former,    DE,        2020-01-01, 2026-11-23
Anvil, last-day,  DE,        2020-01-01, 2026-11-24
Anvil, next-year, DE,        2027-01-01,
Borea, europe,    EU,        ,
Nemo,  partner,   DE,        ,
"""

# what, brand, product, kind of match, territory, seller → verdict, what the row names
CASES = """
mark, inside its territory                | Anvil  | vase  | same_print   | DE | x         | flagged     | trademark A-DE in DE
mark, in another territory of the brand   | Anvil  | vase  | same_print   | FR | x         | flagged     | trademark A-FR in FR
mark, outside                             | Anvil  | vase  | same_print   | BR | x         | unprotected | trademark in DE, FR; listing is in BR
lower-case territory                      | Anvil  | vase  | same_print   | de | x         | flagged     | trademark A-DE in DE
design of the product itself              | Anvil  | lamp  | lookalike    | DE | x         | flagged     | design A-D1 in DE
design of another product, UWG            | Anvil  | vase  | lookalike    | DE | x         | review      | unfair competition in DE
design of another country, none here      | Anvil  | lamp  | lookalike    | US | x         | unprotected | design in DE; listing is in US
lookalike with a trade mark only          | Kelp   | a     | lookalike    | DE | x         | review      | unfair competition in DE; trademark can't carry a lookalike; design K-X in DE ended on 2025-01-31
lookalike, mark only, no unfair rules     | Borea  | a     | lookalike    | NL | x         | unprotected | trademark can't carry a lookalike
lookalike, no right at all, unfair rules  | Nobody | a     | lookalike    | IT | x         | review      | unfair competition in IT
lookalike, no right at all, none          | Nobody | a     | lookalike    | US | x         | unprotected | no right of Nobody in force could carry a lookalike
EU mark in a member state                 | Borea  | a     | same_print   | PL | x         | flagged     | trademark B-EU in EU
EU mark in the newest member state        | Borea  | a     | same_print   | HR | x         | flagged     | trademark B-EU in EU
EU mark in an outermost region            | Borea  | a     | same_print   | RE | x         | flagged     | trademark B-EU in EU
EU mark in Greece by the EU's own code    | Borea  | a     | same_print   | EL | x         | flagged     | trademark B-EU in EU
EU mark in Great Britain: it has left     | Borea  | a     | copied_photo | IE | x         | flagged     | trademark B-EU in EU
EU mark in Switzerland: never a member    | Borea  | a     | same_print   | CH | x         | unprotected | trademark in EU; design in GB; listing is in CH
British design, in Great Britain          | Borea  | a     | same_print   | GB | x         | flagged     | design B-GB in GB
British design by the usual wrong code    | Borea  | a     | lookalike    | UK | x         | flagged     | design B-GB in GB
Benelux mark in Belgium                   | Iris   | a     | same_print   | BE | x         | flagged     | trademark I-BX in BX
Benelux mark in Germany                   | Iris   | a     | same_print   | DE | x         | unprotected | trademark in BX, OA; listing is in DE
OAPI mark in Senegal                      | Iris   | a     | same_print   | SN | x         | flagged     | trademark I-OA in OA
OAPI mark in Kenya                        | Iris   | a     | same_print   | KE | x         | unprotected | listing is in KE
valid on its last day                     | Cirro  | a     | same_print   | US | x         | flagged     | trademark C-1 in US
expired yesterday                         | Cirro  | a     | same_print   | JP | x         | unprotected | trademark C-2 in JP ended on 2026-11-23
begins tomorrow                           | Cirro  | a     | same_print   | CA | x         | unprotected | trademark C-3 in CA begins on 2026-11-25
begins today                              | Cirro  | a     | same_print   | MX | x         | flagged     | trademark C-4 in MX
copyright only, copied photo              | Dune   | a     | copied_photo | TH | x         | flagged     | copyright everywhere
copyright only, same print                | Dune   | a     | same_print   | TH | x         | unprotected | copyright can't carry a same_print
copyright only, unknown territory         | Dune   | a     | copied_photo |    | x         | flagged     | copyright everywhere
patent only                               | Egret  | a     | copied_photo | BR | x         | unprotected | patent can't carry a copied_photo; listing is in BR
same print with a design only             | Jade   | a     | same_print   | DE | x         | flagged     | design J-D in DE
copied photo with a design only           | Jade   | a     | copied_photo | DE | x         | flagged     | design J-D in DE
copied photo, no right at all             | Nobody | a     | copied_photo | DE | x         | unprotected | no right of Nobody in force could carry a copied_photo
two owners claim one design               | Fjord  | chair | lookalike    | DE | x         | review      | conflict: the design of chair is claimed by Fjord AS and Skerry AS
two owners, but in another territory      | Fjord  | chair | same_print   | NO | x         | flagged     | trademark F-T in NO
two owners name one registration          | Garnet | a     | same_print   | CH | x         | review      | conflict: trademark G-1 in CH is claimed by Garnet AG and Garnet Inc
two owners, one after the other           | Heron  | a     | same_print   | CH | x         | flagged     | trademark H-1 in CH
unknown territory                         | Anvil  | vase  | same_print   |    | x         | review      | trademark in DE, FR; listing is in an unknown territory
a territory that is no code               | Borea  | a     | same_print   | Germany | x    | review      | listing is in Germany, which is no ISO 3166 code
unknown territory, no right anywhere      | Nobody | a     | same_print   |    | x         | unprotected | listing is in an unknown territory
authorised here                           | Anvil  | vase  | same_print   | DE | partner   | authorised  | Anvil, partner in DE
authorised in one country, sells in two   | Anvil  | vase  | same_print   | FR | partner   | flagged     | trademark A-FR in FR
authorised here, territory unknown        | Anvil  | vase  | same_print   |    | partner   | review      | unknown territory
authorised everywhere                     | Anvil  | vase  | same_print   | BR | dealer    | authorised  | Anvil, dealer everywhere
authorised everywhere, territory unknown  | Anvil  | vase  | same_print   |    | dealer    | authorised  | Anvil, dealer everywhere
authorised in the EU, sells in Austria    | Borea  | a     | same_print   | AT | europe    | authorised  | Borea, europe in EU
authorised in the EU, sells in Britain    | Borea  | a     | same_print   | GB | europe    | flagged     | design B-GB in GB
authorised for another brand              | Anvil  | vase  | same_print   | DE | europe    | flagged     | trademark A-DE in DE
authorisation lapsed yesterday            | Anvil  | vase  | same_print   | DE | former    | flagged     | trademark A-DE in DE
authorisation's last day                  | Anvil  | vase  | same_print   | DE | last-day  | authorised  | Anvil, last-day in DE from 2020-01-01 until 2026-11-24
authorisation not begun                   | Anvil  | vase  | same_print   | DE | next-year | flagged     | trademark A-DE in DE
authorised, and no right is needed        | Nemo   | a     | same_print   | DE | partner   | authorised  | Nemo, partner in DE
no seller named                           | Anvil  | vase  | same_print   | DE |           | flagged     | trademark A-DE in DE
"""  # noqa: E501
WORKED = [[cell.strip() for cell in line.split("|")] for line in CASES.strip().splitlines()]


def table(text: str, path: Path) -> Path:
    path.write_text("\n".join(",".join(cell.strip() for cell in line.split(",")) for line in text.strip().splitlines()))
    return path


def match(
    brand: str,
    product: str,
    kind: str,
    territory: str | None,
    seller: str | None = "x",
    *,
    verdict: str = "flagged",
    number: int = 0,
    rank: int = 1,
    image: str = "a.jpg",
) -> RightsMatch:
    return RightsMatch(number, rank, image, verdict, brand, product, kind, territory or None, seller or None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Rights:
    folder = tmp_path_factory.mktemp("rights")
    return Rights.load(rights=table(RIGHTS, folder / "r.csv"), sellers=table(SELLERS, folder / "s.csv"))


def said(found: Outcome) -> str:
    """What the outcome rests on, in words."""
    return grounds_in_words(found.rights or ())


def outcome(world: Rights, *matches: RightsMatch, day: date = TODAY, claims: Claims = Claims()) -> Outcome:  # noqa: B008
    (found,) = world.judge(matches, day=day, claims=claims).values()
    return found


@pytest.fixture(scope="module")
def worked(world: Rights) -> dict[int, Outcome]:
    """The outcome of each case if the policy flags it, and (odd numbers) if it sends it to review."""
    return world.judge(
        [match(*case[1:6], verdict=verdict, number=2 * number + weaker)
         for number, case in enumerate(WORKED) for weaker, verdict in enumerate(("flagged", "review"))],
        day=TODAY, claims=Claims(),
    )  # fmt: skip


@pytest.mark.parametrize("number", range(len(WORKED)), ids=[case[0] for case in WORKED])
def test_says_what_a_lawyer_would(worked: dict[int, Outcome], number: int) -> None:
    found, (verdict, named) = worked[2 * number], WORKED[number][6:]
    assert found.verdict == verdict and named in said(found), found
    # rights never make a verdict stronger
    assert worked[2 * number + 1].verdict == ("review" if verdict == "flagged" else verdict)


def test_a_mark_of_the_union_covered_great_britain_until_it_left(world: Rights) -> None:
    sold = match("Borea", "a", "copied_photo", "GB")
    assert "B-EU" in said(outcome(world, sold, day=date(2020, 12, 31)))
    assert said(outcome(world, sold, day=date(2021, 1, 1))) == "design B-GB in GB"


def test_an_undisputed_right_carries_a_claim_beside_a_disputed_one(tmp_path: Path) -> None:
    lines = RIGHTS + "Fjord, trademark, F-DE, DE, , , , Fjord AS\n"
    found = outcome(Rights.load(rights=table(lines, tmp_path / "r.csv")), match("Fjord", "chair", "same_print", "DE"))
    assert found.verdict == "flagged"
    assert said(found) == ("trademark F-DE in DE, design F-D in DE, design F-X in DE; "
                           "conflict: the design of chair is claimed by Fjord AS and Skerry AS")  # fmt: skip


def test_the_policy_says_what_a_kind_may_rest_on_and_what_an_unknown_territory_is(world: Rights) -> None:
    patents = Claims(lookalike=("patent",), unknown_territory="unprotected")
    assert outcome(world, match("Egret", "a", "lookalike", "BR"), claims=patents).verdict == "flagged"
    assert outcome(world, match("Anvil", "a", "same_print", None), claims=patents).verdict == "unprotected"
    assert outcome(world, match("Anvil", "a", "same_print", "FR"), claims=patents).verdict == "flagged"
    as_known = replace(patents, unknown_territory="flagged")
    assert outcome(world, match("Anvil", "a", "same_print", None), claims=as_known).verdict == "flagged"
    nowhere = Claims(unfair_competition_in=(), copied_photo=())
    assert outcome(world, match("Nobody", "a", "lookalike", "DE"), claims=nowhere).verdict == "unprotected"
    assert outcome(world, match("Anvil", "a", "copied_photo", "DE"), claims=nowhere).verdict == "unprotected"


def test_an_unprotected_match_gives_way_to_one_that_is_protected(world: Rights) -> None:
    first, second = match("Iris", "a", "same_print", "DE"), match("Anvil", "vase", "same_print", "DE", rank=2)
    own = {"ground": "right", "kind": "trademark", "number": "A-DE", "territory": "DE"}
    assert outcome(world, first, second) == Outcome(2, Verdict.FLAGGED, (own,))
    assert outcome(world, first, second._replace(brand="Nobody")).rank == 1


def test_what_a_seller_may_sell_excuses_its_photo_and_no_other(world: Rights) -> None:
    own = match("Anvil", "vase", "same_print", "DE", "partner")
    alike = match("Kelp", "a", "same_print", "DE", "partner", rank=2)
    allowed = {"ground": "seller", "brand": "Anvil", "seller_id": "partner", "territory": "DE", "valid_from": None,
               "valid_until": None}  # fmt: skip
    assert outcome(world, own, alike) == Outcome(1, Verdict.AUTHORISED, (allowed,))
    assert outcome(world, own, alike._replace(image="b.jpg")).rank == 2
    stronger = alike._replace(rank=1), own._replace(rank=2)
    assert outcome(world, *stronger).verdict == "flagged", "it resembles more what the seller may not sell"


def test_without_one_of_the_tables_its_rules_are_left_out(tmp_path: Path) -> None:
    table(RIGHTS, tmp_path / "r.csv"), table(SELLERS, tmp_path / "s.csv")
    sellers, rights = Rights.load(sellers=tmp_path / "s.csv"), Rights.load(rights=tmp_path / "r.csv")
    sold = match("Anvil", "vase", "same_print", "DE", "partner")
    assert outcome(sellers, sold).verdict == "authorised" and outcome(rights, sold).verdict == "flagged"
    assert outcome(sellers, sold._replace(seller_id="x", territory="BR")) == Outcome(1, Verdict.FLAGGED, None)
    assert (list(sellers.tables), list(rights.tables)) == (["sellers"], ["rights"])
    assert rights.judge([], day=TODAY, claims=Claims()) == {}


def test_many_rights_are_counted_and_not_all_named(tmp_path: Path) -> None:
    lines = "brand,kind,number,territory,valid_from,valid_until\n"
    lines += "".join(f"Acme,trademark,T{i:03},DE,,\n" for i in range(500))
    lines += "".join(f"Acme,trademark,W,{code},,\n" for code in ("AT", "BE", "CH", "DK", "ES", "FI", "FR", "GB", "IE",
                                                                 "IT", "JP", "KR", "LU"))  # fmt: skip
    rights = Rights.load(rights=table(lines, tmp_path / "r.csv"))
    found = outcome(rights, match("Acme", "p", "same_print", "DE"))
    assert said(found).endswith("trademark T006 in DE, trademark T007 in DE and 492 more")
    assert [each.get("number") for each in found.rights or ()] == [*(f"T{i:03}" for i in range(8)), None]
    found = outcome(rights, match("Acme", "p", "same_print", "BR"))
    assert said(found) == "trademark in AT, BE, CH, DE, DK, ES, FI, FR, GB, IE, IT, JP and 2 more; listing is in BR"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",trademark,1,DE,,", "row 2 has no brand"),
        ("Acme,tm,1,DE,,", "row 2 has kind 'tm', expected one of trademark, design, copyright, patent"),
        ("Acme,design,,DE,,", "row 2 is a design without a number"),
        ("Acme,design,1,,,", "row 2 has territory '', expected one ISO 3166 code like DE, or a region: BX, EU, OA"),
        ("Acme,design,1,DE FR,,", "row 2 has territory 'DE FR'"),
        ("Acme,trademark,1,*,,", "row 2 is a trademark everywhere, which only copyright can be; name its territories"),
        ("Acme,design,1,DE,2026-02-01,2026-01-31", "row 2 is valid from 2026-02-01 until 2026-01-31, which is earlier"),
        ("Acme,design,1,DE,soon,", "row 2 has valid_from 'soon', which is not a date; use YYYY-MM-DD"),
        ("Acme,design,1,DE,,,,9", "has 8 values, but the header names 6 columns"),
    ],
)
def test_a_right_that_can_not_be_used_is_counted_and_reported(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        f"brand,kind,number,territory,valid_from,valid_until\nAcme,design,1,FR,,\n{row}\nAcme,design,2,FR,,\n"
    )
    rights = Rights.load(rights=path)
    assert rights.unusable == 1 and message in rights.bad_rows[0].error
    assert said(outcome(rights, match("Acme", "p", "lookalike", "FR"))) == "design 1 in FR, design 2 in FR"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",s1,DE,,", "needs a brand and a seller_id"),
        ("Acme,s1,DE,soon,", "valid_from 'soon', which is not a date; use YYYY-MM-DD"),
        ("Acme,s1,Germany,,", "has territory 'Germany', expected one ISO 3166 code"),
        ("Acme,s1,DE,2026-02-01,2026-01-31", "until 2026-01-31, which is earlier"),
    ],
)
def test_a_seller_that_can_not_be_used_ends_the_run(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(f"brand,seller_id,territory,valid_from,valid_until\n{row}\n")
    with pytest.raises(TableError, match=message):
        Rights.load(sellers=tmp_path / "s.csv")


def test_takes_regions_of_another_table(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("region,territory,valid_from,valid_until\nnordic,NO,2026-01-01,\nnordic,SE,,\n")
    lines = "brand,kind,number,territory,valid_from,valid_until\nAcme,trademark,1,Nordic,,\nAcme,trademark,2,EU,,\n"
    (tmp_path / "r.csv").write_text(lines)
    rights = Rights.load(rights=tmp_path / "r.csv", regions=tmp_path / "g.csv")
    sold = match("Acme", "p", "same_print", "NO")
    assert (rights.unusable, said(outcome(rights, sold))) == (1, "trademark 1 in NORDIC")
    assert outcome(rights, sold, day=date(2025, 12, 31)).verdict == "unprotected"
    for wrong, message in (
        ("DE,FR,,", "not an ISO 3166 code, and"),
        ("nordic,EU,,", "'EU'"),
        ("nordic,SE,x,", "valid_from 'x', which is not a date"),
    ):
        (tmp_path / "g.csv").write_text(f"region,territory,valid_from,valid_until\n{wrong}\n")
        with pytest.raises(TableError, match=message):
            Regions.load(tmp_path / "g.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"same_print": ("tm",)}, "claims.same_print has 'tm', expected one of trademark, design"),
        ({"unfair_competition_in": ("EU",)}, "claims.unfair_competition_in has 'EU', expected an ISO 3166 code"),
        (
            {"unknown_territory": "clear"},
            "claims.unknown_territory is 'clear', expected one of flagged, review, unprotected",
        ),
        ({"lookalike": ("design", "design")}, "claims.lookalike has the same value twice"),
    ],
)
def test_refuses_claims_that_mean_nothing(change: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        replace(Claims(), **change)  # type: ignore[arg-type]


def test_refuses_an_unknown_kind_of_match(world: Rights) -> None:
    with pytest.raises(TableError, match="kind 'twin', expected one of copied_photo"):
        outcome(world, match("Anvil", "a", "twin", "DE"))
    assert outcome(world, match("Jade", "a", "", "DE")._replace(kind=None)).verdict == "flagged", "the weakest kind"


def test_never_runs_what_a_table_says(tmp_path: Path) -> None:
    evil = "x'); DROP TABLE rights; --"
    (tmp_path / "r.csv").write_text(
        "brand,kind,number,territory,valid_from,valid_until\n" + f'"{evil}",design,"{evil}",DE,,\n'
    )
    rights = Rights.load(rights=tmp_path / "r.csv")
    for _ in range(2):
        assert said(outcome(rights, match(evil, evil, "lookalike", "DE", evil))) == f"design {evil} in DE"


def test_answers_several_threads_at_once(world: Rights) -> None:
    wanted = [(case[6], case[1:6]) for case in WORKED]
    wrong: list[object] = []

    def ask() -> None:
        for verdict, cells in wanted[::20]:
            found = outcome(world, match(*cells))
            if found.verdict != verdict:
                wrong.append((cells, found))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


PLACES = ("DE", "FR", "GB", "CH", "BE", "US", "SN")


def test_equals_a_plain_loop_on_random_tables(tmp_path: Path) -> None:
    """Verdicts of the query, for one listing and for all, against the rules written out as a loop over the rows."""
    rng = np.random.default_rng(7)

    def term() -> tuple[date | None, date | None]:
        first = TODAY + timedelta(int(rng.integers(-40, 20)))
        last = first + timedelta(int(rng.integers(0, 60)))
        return (first if rng.random() < 0.6 else None, last if rng.random() < 0.6 else None)

    def pick(*values: str) -> str:
        return str(rng.choice(values))

    rights = [(pick("A", "B", "C"), pick("trademark", "design", "copyright", "patent"), str(rng.integers(9)),
               pick(*PLACES, "EU", "BX", "OA"), *term(), pick("", "", "p1", "p2"), pick("", "x", "x", "y"))
              for _ in range(60)]  # fmt: skip
    sellers = [(pick("A", "B", "C"), pick("s1", "s2", "s3"), pick(*PLACES, "EU", "", "BX"), *term()) for _ in range(12)]
    for name, header, rows in (("r", "brand,kind,number,territory,valid_from,valid_until,product_id,owner", rights),
                               ("s", "brand,seller_id,territory,valid_from,valid_until", sellers)):  # fmt: skip
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *lines]))
    loaded = Rights.load(rights=tmp_path / "r.csv", sellers=tmp_path / "s.csv")
    matches = [match(pick("A", "B", "C", "D"), pick("p1", "p2", "p3"), pick("copied_photo", "same_print", "lookalike"),
                     pick(*PLACES, "", "ZZ"), pick("s1", "s2", "s4"), verdict=pick("flagged", "review"),
                     number=number // 3, rank=1 + number % 3, image=pick("a", "b"))
               for number in range(2400)]  # fmt: skip
    claims = Claims(unfair_competition_in=("DE", "US"))
    found = loaded.judge(matches, day=TODAY, claims=claims)
    members = {place: {place} for place in PLACES}
    for member in Regions.shipped().members:
        if member.territory in members and member.first <= TODAY <= member.last:
            members[member.territory].add(member.region)
    by_listing: dict[int, list[RightsMatch]] = {}
    for asked in matches:
        by_listing.setdefault(asked.id, []).append(asked)
    wanted = {number: plain(some, rights, sellers, members, claims) for number, some in by_listing.items()}
    assert {number: (chosen.rank, str(chosen.verdict)) for number, chosen in found.items()} == wanted
    assert {verdict for _, verdict in wanted.values()} == {"flagged", "review", "authorised", "unprotected"}
    assert {rank for rank, _ in wanted.values()} == {1, 2, 3}
    for number in range(0, 800, 40):
        assert loaded.judge(by_listing[number], day=TODAY, claims=claims) == {number: found[number]}


def plain(matches: list[RightsMatch], rights: list[tuple[object, ...]], sellers: list[tuple[object, ...]],
          members: dict[str, set[str]], claims: Claims) -> tuple[int, str]:  # fmt: skip
    """The rank and verdict of the match that decides."""

    def standing(first: object, last: object) -> bool:
        return (first is None or first <= TODAY) and (last is None or last >= TODAY)  # type: ignore[operator]

    def verdict(asked: RightsMatch) -> str:
        covered = members.get(asked.territory or "", set())
        for brand, seller, place, first, last in sellers:
            if (
                (brand, seller) == (asked.brand, asked.seller_id)
                and standing(first, last)
                and (place == "" or place in covered)
            ):
                return "authorised"
        able = [right for right in rights
                if right[0] == asked.brand and right[1] in claims.of(asked.kind or "") and standing(*right[4:6])
                and right[6] in ("", asked.product_id)]  # fmt: skip
        here = [right for right in able if right[3] in covered]
        unfair = UNFAIR_COMPETITION in claims.of(asked.kind or "")
        if here:
            designers = {right[7] for right in here if right[1] == "design" and right[6] and right[7]}
            sound = [right for right in here
                     if len({other[7] for other in rights if other[1:4] == right[1:4] and other[7]
                             and standing(*other[4:6])}) < 2
                     and not (right[1] == "design" and right[6] and len(designers) > 1)]  # fmt: skip
            return asked.verdict if sound else "review"
        if not covered:
            return "review" if able or unfair else "unprotected"
        return "review" if unfair and asked.territory in claims.unfair_competition_in else "unprotected"

    decided, excused = [], set()
    order = ("flagged", "review", "authorised", "unprotected")
    for asked in matches:
        said = verdict(asked)
        if asked.image not in excused:
            decided.append((order.index(said), asked.rank))
        if said == "authorised":
            excused.add(asked.image)
    place, rank = min(decided)
    return rank, order[place]
