"""Whatever a policy file holds, it's read exactly or refused in one line that names the file and the entry."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from lookalike.errors import PolicyError
from lookalike.policy.file import EncoderTable, IndexTable, PolicyFile
from lookalike.policy.fusion import Fusion
from lookalike.policy.policy import Policy, parse
from lookalike.policy.terms import Evidence, Kinds, Promise, Reach, Scope, Thresholds
from lookalike.policy.tuned_on import TunedOn
from lookalike.rights.claims import Claims

Tables = dict[str, dict[str, str]]

FULL: Tables = {
    "": {"name": '"full"', "about": '"Tuned."', "created": "2026-11-24", "expires": "2027-02-22"},
    "thresholds": {"flag": "0.8", "review": "0.6", "withdrawn": '"too many errors"'},
    "thresholds.evidence": {
        "of": '"all"', "labels": "500", "flags": "120", "errors": "3", "more_needed": "0",
        "since": "2026-01-01", "until": "2026-02-01", "unrelated_needed": "12",
    },
    "thresholds.kinds.copied_photo": {"flag": "0.7", "review": "0.2", "withdrawn": '"why"'},
    "thresholds.kinds.copied_photo.evidence": {
        "of": '"all, copied_photo"', "labels": "300", "flags": "100", "errors": "1", "more_needed": "0",
        "since": "2026-01-01", "until": "2026-02-01",
    },
    "thresholds.kinds.same_print": {"review": "0.9"},
    "thresholds.kinds.lookalike": {"flag": "0.5", "review": "0.3"},
    "promise": {"confidence": "0.95", "precision": "0.9", "false_flags": "0.01",
                "search_agreeing": "4093", "search_probes": "4096", "by_kind": "true", "cross_fitted": "812"},
    "encoder": {"name": '"embedded"', "weights_sha256": '"ab"'},
    "index": {"digest": '"cd"'},
    "verification": {"similarity": "0.6", "references": "5", "photos": "2", "parts": "3"},
    "fusion": {"intercept": "-8.1", "similarity": "8", "margin": "9.1", "inliers": "0.37", "coverage": "6.3",
               "labels": "1414", "look": "3.5", "look_margin": "2.5"},
    "claims": {"copied_photo": '["copyright"]', "same_print": '["trademark"]', "lookalike": '["design"]',
               "unfair_competition_in": "[]", "unknown_territory": '"flagged"'},
    "[scopes]": {"flag": "0.9", "review": "0.5", "brand": '"Acme"', "territory": '"DE"', "withdrawn": '"why"'},
    "scopes.evidence": {"of": '"toys"', "labels": "8", "flags": "2", "errors": "1", "more_needed": "21",
                        "since": "2026-03-01", "until": "2026-04-01", "unrelated_needed": "3"},
    "scopes.kinds.lookalike": {"flag": "0.6", "review": "0.4"},
    "tuned_on": {"digests": '"AAAAAAAAAAA="'},
}  # fmt: skip
"""Every entry of a policy file, as TOML writes it, except [cohort]."""

LATER = {("thresholds.evidence", "unrelated_needed"), ("scopes.evidence", "unrelated_needed"), ("tuned_on", "digests"),
         ("promise", "by_kind"), ("promise", "cross_fitted"),
         ("verification", "parts"), ("fusion", "look"), ("fusion", "look_margin")}  # fmt: skip
BEFORE = {
    table: {entry: value for entry, value in entries.items() if (table, entry) not in LATER}
    for table, entries in FULL.items()
    if ".kinds" not in table
}
"""The same without what earlier versions didn't know."""

SEEN = Evidence("all, copied_photo", 300, 100, 1, 0, date(2026, 1, 1), date(2026, 2, 1))

POLICY = Policy(
    name="full",
    flag=0.8,
    review=0.6,
    weights_sha256="ab",
    index_digest="cd",
    scopes=(
        Scope(
            0.9,
            0.5,
            "Acme",
            "DE",
            Evidence("toys", 8, 2, 1, 21, date(2026, 3, 1), date(2026, 4, 1), 3),
            "why",
            Kinds(lookalike=Thresholds(0.6, 0.4)),
        ),
    ),
    reach=Reach(0.6, 5, 2, 3),
    fusion=Fusion(-8.1, 8.0, 9.1, 0.37, 6.3, 1414, 3.5, 2.5),
    promise=Promise(0.95, 0.9, 0.01, 4093, 4096, by_kind=True, cross_fitted=812),
    kinds=Kinds(Thresholds(0.7, 0.2, SEEN, "why"), Thresholds(None, 0.9), Thresholds(0.5, 0.3)),
    evidence=Evidence("all", 500, 120, 3, 0, date(2026, 1, 1), date(2026, 2, 1), 12),
    withdrawn="too many errors",
    created=date(2026, 11, 24),
    expires=date(2027, 2, 22),
    about="Tuned.",
    claims=Claims(("copyright",), ("trademark",), ("design",), (), "flagged"),
    tuned_on=TunedOn("AAAAAAAAAAA="),
)

DEEP = "[" * 50 + "]" * 50
NEVER = ["inf", "nan", "true", "[1]", "{ a = 1 }", "[{ a = 1 }]", DEEP, "2026-12-31T00:00:00", "00:00:00",
         "0x" + "f" * 5000]  # fmt: skip
NUMBERS = [*NEVER, "-inf", '"0.5"', '"high"', "2026-12-31", "9" * 400]
COEFFICIENTS = [*NUMBERS, "1e5", "-1e5"]
COUNTS = [*NUMBERS, "3.5", "-1", "-0.5", "1e300", "1000000001"]
COMPARED = [*COUNTS, "51"]
TEXTS = [*NEVER, "0", "0.5", "2026-12-31"]
DAYS = [*NEVER, "0", "20261231", '"2026-12-31"', '"soon"']
LISTS = [*NEVER, "0", '"design"', "2026-12-31", '["design", 1]']
TABLES = [odd for odd in NEVER if odd != "{ a = 1 }"] + ["0", '"x"', "2026-12-31", "[]"]
ODD = {
    **dict.fromkeys(("flag", "review", "similarity", "confidence", "precision", "false_flags"), NUMBERS),
    **dict.fromkeys(("intercept", "margin", "inliers", "coverage", "look", "look_margin"), COEFFICIENTS),
    "parts": [*COUNTS, "9"],
    "by_kind": [*(odd for odd in NEVER if odd != "true"), "0", "1", '"true"', "2026-12-31"],
    **dict.fromkeys(("labels", "flags", "errors", "more_needed", "unrelated_needed"), COUNTS),
    **dict.fromkeys(("search_agreeing", "search_probes", "cross_fitted"), COUNTS),
    "digests": [*TEXTS, '"AAAA"', '"not base64"'],
    **dict.fromkeys(("references", "photos"), COMPARED),
    **dict.fromkeys(("name", "about", "withdrawn", "of", "weights_sha256", "digest", "brand", "territory"), TEXTS),
    **dict.fromkeys(("created", "expires", "since", "until"), DAYS),
    **dict.fromkeys(("copied_photo", "same_print", "lookalike", "unfair_competition_in"), LISTS),
    "unknown_territory": TEXTS,
}


def toml(tables: Tables) -> str:
    return "\n".join(
        "\n".join([f"[{name}]" if name else "", *(f"{entry} = {value}" for entry, value in entries.items())])
        for name, entries in tables.items()
    )


def read(tables: Tables | str) -> Policy:
    return parse(tables if isinstance(tables, str) else toml(tables), source="p.toml", folder=None)


def refusal(tables: Tables | str) -> str:
    with pytest.raises(PolicyError) as caught:
        read(tables)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    return message


def changed(table: str, entry: str, value: str) -> Tables:
    return {**FULL, table: {**FULL[table], entry: value}}


def place(table: str, entry: str) -> str:
    """The place of an entry as an error names it."""
    table = table.strip("[]").replace("scopes", "scopes[0]")
    return f"{table}.{entry}" if table else entry


def test_reads_every_entry() -> None:
    assert read(FULL) == POLICY


@pytest.mark.parametrize(
    ("table", "kind"), [("", PolicyFile), ("thresholds", Scope), ("[scopes]", Scope), ("promise", Promise),
                        ("encoder", EncoderTable), ("index", IndexTable), ("verification", Reach), ("fusion", Fusion),
                        ("claims", Claims), ("thresholds.evidence", Evidence), ("scopes.evidence", Evidence),
                        ("thresholds.kinds.copied_photo", Thresholds), ("tuned_on", TunedOn)]
)  # fmt: skip
def test_the_full_file_leaves_no_entry_out(table: str, kind: type) -> None:
    tables = {name.strip("[]") for name in FULL} | {"evidence", "kinds", "cohort"}
    refused = {"brand", "territory"} if table == "thresholds" else set()
    assert set(FULL[table]) == {field.name for field in fields(kind)} - tables - refused


@pytest.mark.parametrize(
    ("table", "entry", "odd"),
    [
        pytest.param(table, entry, odd, id=f"{place(table, entry)}={odd[:20]}")
        for table, entries in FULL.items()
        for entry in entries
        for odd in ODD[entry]
    ],
)
def test_refuses_an_odd_value(table: str, entry: str, odd: str) -> None:
    message = refusal(changed(table, entry, odd))
    assert message.startswith(f"policy p.toml: {place(table, entry)}")
    assert " is " in message and ", expected " in message


@pytest.mark.parametrize("odd", TABLES, ids=lambda odd: odd[:20])
@pytest.mark.parametrize(
    "table", ["thresholds", "promise", "encoder", "index", "verification", "fusion", "claims", "cohort"]
)
def test_refuses_what_is_not_a_table(table: str, odd: str) -> None:
    tables = {name: entries for name, entries in FULL.items() if name.partition(".")[0] != table}
    message = refusal({**tables, "": {**FULL[""], table: odd}})
    assert message.startswith(f"policy p.toml: {table} is ") and message.endswith(", expected a table")


@pytest.mark.parametrize("odd", TABLES, ids=lambda odd: odd[:20])
def test_refuses_evidence_that_is_not_a_table(odd: str) -> None:
    tables = changed("thresholds", "evidence", odd)
    del tables["thresholds.evidence"]
    assert refusal(tables).endswith(", expected a table")


@pytest.mark.parametrize("odd", ["0", "inf", '"x"', "{ review = 0.5 }", "2026-12-31", "true", "[1]", DEEP])
def test_refuses_scopes_that_are_not_a_list_of_tables(odd: str) -> None:
    tables = {name: entries for name, entries in FULL.items() if "scopes" not in name}
    expected = "a table" if odd in ("[1]", DEEP) else "a list"
    assert refusal({**tables, "": {**FULL[""], "scopes": odd}}).endswith(f", expected {expected}")


@pytest.mark.parametrize("table", FULL)
@pytest.mark.parametrize("entry", ["flg", '"a\\nb"', '"\\u001b[31m"', f'"{"x" * 9999}"'])
@pytest.mark.parametrize("value", ["1", "{}", "[]"])
def test_refuses_an_unknown_entry_and_says_which_are_known(table: str, entry: str, value: str) -> None:
    message = refusal(changed(table, entry, value))
    known = "thresholds" if not table else next(iter(FULL[table]))
    assert " is unknown, expected one of " in message and known in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (("thresholds", "flag", '"high"'), "policy p.toml: thresholds.flag is 'high', expected a number"),
        (("thresholds", "flag", "true"), "policy p.toml: thresholds.flag is true, expected a number"),
        (("thresholds.evidence", "labels", "inf"),
         "policy p.toml: thresholds.evidence.labels is inf, expected a whole number from 0 to a billion"),
        (("promise", "confidence", "95"), "policy p.toml: promise.confidence is 95, expected a number between 0 and 1"),
        (("verification", "photos", "1.5"),
         "policy p.toml: verification.photos is 1.5, expected a whole number from 0 to 50"),
        (("", "expires", '"2026-12-31"'),
         "policy p.toml: expires is '2026-12-31', expected a date like 2026-12-31 without quotes"),
        (("claims", "same_print", '"design"'), "policy p.toml: claims.same_print is 'design', expected a list"),
        (("claims", "same_print", '["design", 1]'),
         "policy p.toml: claims.same_print[1] is 1, expected text in quotes"),
        (("claims", "same_print", '["tm"]'), "policy p.toml: claims.same_print has 'tm', expected one of trademark, "
         "design, copyright, patent, unfair_competition"),
        (("scopes.evidence", "since", "[1]"), "policy p.toml: scopes[0].evidence.since is a list, expected a date like "
         "2026-12-31 without quotes"),
        (("index", "digst", "1"), "policy p.toml: index.digst is unknown, expected one of digest"),
        (("thresholds", "brand", '"Acme"'), "policy p.toml: thresholds.brand is 'Acme', expected it under [[scopes]]"),
        (("thresholds", "flag", "0.5"),
         "policy p.toml: flag is 0.5 and review 0.6, expected 0 <= review <= flag <= 1"),
        (("[scopes]", "flag", "0.4"),
         "policy p.toml: flag is 0.4 and review 0.5 for Acme DE, expected 0 <= review <= flag <= 1"),
        (("scopes.kinds.lookalike", "flag", "0.3"),
         "policy p.toml: flag is 0.3 and review 0.4 for Acme DE lookalike, expected 0 <= review <= flag <= 1"),
        (("promise", "by_kind", "1"), "policy p.toml: promise.by_kind is 1, expected true or false"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_in_these_words(tables: tuple[str, str, str], message: str) -> None:
    assert refusal(changed(*tables)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag = ", "is not valid TOML"),
        ("a = " + "[" * 3000, "is not valid TOML"),
        (f"[thresholds]\nreview = {'9' * 5000}", "is not valid TOML"),
        ("created = 2026-02-30", "is not valid TOML"),
        ("", "thresholds is missing; write at least [thresholds] flag = 0.8 review = 0.7"),
        ("[thresholds]\nflag = 0.9", "thresholds.review is missing; write at least [thresholds] flag"),
        ("flag = 0.9", "flag is unknown, expected one of thresholds, name"),
        ("[thresholds]\nreveiw = 0.9", "thresholds.reveiw is unknown, expected one of flag, review"),
        ("[thresholds]\nreview = 0.5\n[thresholds.kinds.print]\nreview = 0.5", "thresholds.kinds.print is unknown, "
         "expected one of copied_photo, same_print, lookalike"),
        ("[thresholds]\nreview = 0.5\n[thresholds.kinds.lookalike]\nflag = 0.5",
         "thresholds.kinds.lookalike.review is missing"),
        ('[thresholds]\nreview = 0.5\n[[scopes]]\nbrand = "A"', "scopes[0].review is missing"),
        ("[thresholds]\nreview = 0.5\n[promise]\nprecision = 0.9", "promise.confidence is missing"),
        ("[thresholds]\nreview = 0.5\n[fusion]\nintercept = 1.0", "fusion.similarity is missing"),
        ("[thresholds]\nreview = 0.5\n[promise]\nconfidence = 0.9\nsearch_probes = 9", "expected neither or both"),
        ("promise = {confidence = 0.9, search_agreeing = 2, search_probes = 1}\n[thresholds]\nreview = 0.5",
         "promise.search_agreeing is 2 and search_probes 1, expected neither or both, and no more agreeing than"),
        ("[thresholds]\nreview = 0.5\n[fusion]\nintercept=1\nsimilarity=1\nmargin=1\ninliers=1\ncoverage=1\n"
         "[verification]\nreferences = 0",
         "[verification] has 0 references to compare with"),
        ("scopes = [{review = 0.5}]\n[thresholds]\nreview = 0.5", "two scopes have the same brand and territory"),
    ],
)  # fmt: skip
def test_says_what_is_missing_or_does_not_fit(text: str, message: str) -> None:
    found = refusal(text)
    assert found.startswith("policy p.toml") and message in found


def test_a_file_may_leave_out_all_but_a_review_threshold() -> None:
    assert read("[thresholds]\nreview = 0.5") == Policy("p", None, 0.5)
    assert read('name = "n"\n[thresholds]\nflag = 0.9\nreview = 0.5\n[encoder]\nweights_sha256 = "ab"\n') == Policy(
        "n", 0.9, 0.5, weights_sha256="ab"
    )
    partial = 'name = "n"\n[thresholds]\nreview = 0.5\n[claims]\nlookalike = ["patent"]\nunfair_competition_in = []\n'
    assert read(partial).claims == Claims(lookalike=("patent",), unfair_competition_in=())
    assert read("[thresholds]\nreview = 0.5\n[thresholds.evidence]\nlabels = 3").evidence == Evidence("all", 3)


def test_an_empty_table_says_nothing() -> None:
    bare = read("[thresholds]\nflag = 0.9\nreview = 0.5\n[[scopes]]\nbrand = 'A'\nreview = 0.6")
    tables = ["promise", "encoder", "index", "cohort", "verification", "fusion", "claims", "thresholds.evidence"]
    empty = read("[thresholds]\nflag = 0.9\nreview = 0.5\n" + "".join(f"[{table}]\n" for table in tables)
                 + "[[scopes]]\nbrand = 'A'\nreview = 0.6\n[scopes.evidence]\n")  # fmt: skip
    assert empty == bare and str(empty) == str(bare)


@pytest.mark.parametrize(
    ("table", "entry"),
    [
        ("verification", "references"),
        ("fusion", "labels"),
        ("thresholds.evidence", "labels"),
        ("promise", "search_probes"),
    ],
)
def test_a_whole_number_may_have_a_decimal_point(table: str, entry: str) -> None:
    pointed = read(changed(table, entry, FULL[table][entry] + ".0"))
    assert pointed == POLICY and str(pointed) == str(POLICY)


def test_a_label_stays_the_same_for_the_same_file() -> None:
    assert str(read(BEFORE)) == "full@ace27f22"
    assert read(BEFORE).made("full@11deb5f1"), "older findings carry a hash of the whole file"
    assert str(read(FULL)) == str(POLICY) != str(read(BEFORE))


def test_what_can_not_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    with pytest.raises(PolicyError, match=r"p\.toml can't be read: .*No such file"):
        Policy.load(path)
    with pytest.raises(PolicyError, match="can't be read"):
        Policy.load(tmp_path)
    path.write_bytes(b'name = "\xff"\n')
    with pytest.raises(PolicyError, match=r"p\.toml can't be read: .*utf-8"):
        Policy.load(path)
    path.write_bytes(b"#" * (2**24 + 1))
    with pytest.raises(PolicyError, match=r"p\.toml is larger than 16 MiB"):
        Policy.load(path)


def test_what_is_saved_reads_back_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    POLICY.save(tmp_path / "p.toml")
    assert Policy.load(tmp_path / "p.toml") == POLICY
    replace(POLICY, about="").save(tmp_path / "p.toml")
    assert Policy.load(str(tmp_path / "p.toml")).about == ""
    assert [path.name for path in tmp_path.iterdir()] == ["p.toml"]
