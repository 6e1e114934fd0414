"""Drafts are tables that the commands they are for read as they are."""

from __future__ import annotations

from pathlib import Path

from reviewed import shop_in

from lookalike.records import Reference
from lookalike.review.drafts import write_drafts
from lookalike.rights.rights import Rights
from lookalike.tables.findings import read_findings
from lookalike.tables.inputs import read_harmless
from lookalike.tables.verdicts import Judgement


def test_harmless_photos_and_authorised_sellers_become_tables(tmp_path: Path) -> None:
    shop = shop_in(tmp_path, 12)
    rows = list(read_findings(shop.findings))
    with shop.review(tmp_path / "v.jsonl") as app:
        for place, verdict in enumerate(
            [Judgement.HARMLESS, Judgement.AUTHORISED, Judgement.LOOKALIKE, Judgement.AUTHORISED]
        ):
            app.session.judge(place, verdict)
    harmless, sellers = tmp_path / "h.csv", tmp_path / "s.csv"
    drafted = write_drafts(tmp_path / "v.jsonl", shop.findings, harmless=harmless, sellers=sellers)
    assert (drafted.harmless, drafted.sellers, drafted.unusable) == (1, 2, 0)
    (photo,) = read_harmless(harmless)
    assert isinstance(photo, Reference) and photo.image == rows[0]["image"]
    rights = Rights.load(sellers=sellers)
    assert rights.bad_rows == ()
    lines = sellers.read_text().splitlines()
    assert lines[0].replace('"', "") == "brand,seller_id,territory,valid_from,valid_until"
    assert {line.replace('"', "") for line in lines[1:]} == {
        f"{rows[n]['brand']},{rows[n]['seller_id']},DE,," for n in (1, 3)
    }
