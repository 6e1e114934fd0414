"""Cases by seller: what counts, that a status stays, and that a bundle verifies."""

from __future__ import annotations

from pathlib import Path

import pytest
from reviewed import Shop, served, shop_in

from lookalike.evidence.audit import audit_bundle
from lookalike.review.sellers import SellerCases, Status
from lookalike.scripts.verdicts import main as verify
from lookalike.tables.findings import read_findings
from lookalike.tables.verdicts import Judgement


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_in(tmp_path_factory.mktemp("shop"), 40)


def test_a_case_holds_what_is_flagged_or_in_review_and_not_dismissed(shop: Shop, tmp_path: Path) -> None:
    rows = [row for row in read_findings(shop.findings) if row["verdict"] in ("flagged", "review")]
    mine = [row for row in rows if row["seller_id"] == "s1"]
    with shop.review(tmp_path / "v.jsonl") as app:
        cases = SellerCases(app.session.findings, app.session.store)
        case = cases.of("s1")
        assert {app.session.findings.items[place].listing for place in case.places} == {
            row["listing_id"] for row in mine
        }
        assert case.value == {"EUR": sum(row["price"] for row in mine)}
        assert [each.stake for each in cases.all()] == sorted((each.stake for each in cases.all()), reverse=True)
        app.session.judge(case.places[0], Judgement.NOT_LOOKALIKE)
        app.session.judge(case.places[1], Judgement.LOOKALIKE)
        after = cases.of("s1")
        assert after.places == case.places[1:]
        assert after.judged == {Judgement.NOT_LOOKALIKE: 1, Judgement.LOOKALIKE: 1}


def test_a_status_is_kept_and_closed_cases_come_last(shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as client:
        first = SellerCases(app.session.findings, app.session.store).all()[0].seller
        assert client.json("/case", {"seller": first, "status": "closed"}) == {"said": "closed, noted"}
        assert client.ask("/case", {"seller": "nobody", "status": "closed"})[0] == 400
        assert client.ask("/case", {"seller": first, "status": "burnt"})[0] == 400
    assert verify(["verify", str(tmp_path / "v-cases.jsonl")]) == 0
    with shop.review(tmp_path / "v.jsonl") as app:
        again = SellerCases(app.session.findings, app.session.store).all()
        assert (again[-1].seller, again[-1].status) == (first, Status.CLOSED)


def test_every_member_of_a_case_can_be_opened_and_judged(shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as client:
        text = client.ask("/cases")[2].decode()
        for case in SellerCases(app.session.findings, app.session.store).all():
            for place in case.places:
                assert f'href="./?open={place}"' in text
        last = case.places[-1]
        assert client.json("/open", {"place": last})["place"] == last
        client.json("/verdict", {"place": last, "verdict": "lookalike"})
        assert last not in app.session.queue


def test_the_bundle_of_a_case_verifies(shop: Shop, tmp_path: Path) -> None:
    with shop.review(tmp_path / "v.jsonl") as app, served(app) as client:
        count = len(SellerCases(app.session.findings, app.session.store).of("s2").places)
        said = client.json("/bundle", {"seller": "s2"})["said"]
        assert said.startswith(f"{count} findings with evidence in v-s2-")
        assert client.ask("/bundle", {"seller": "nobody"})[0] == 400
    (out,) = tmp_path.glob("v-s2-*.zip")
    audit = audit_bundle(out)
    assert (audit.disagreements, audit.findings) == ((), count)
