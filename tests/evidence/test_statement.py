"""A statement says in words what the findings table holds as JSON, and a stranger's text stays inert in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser import needs_browser
from PIL import Image
from printed import sheets

from lookalike.evidence.statement import Pictures, statement_page
from lookalike.records import Finding, Listing, Verdict
from lookalike.tables.findings import finding_row
from lookalike.tables.names import NameReading

MADE_BY = {
    "lookalike": "1", "encoder": {"weights_sha256": "ab" * 32}, "policy": {"file": "policy.toml", "promise": None},
    "index": {"references": 3, "digest": "cd" * 32}, "created": "2026-11-24T09:05:00+00:00",
}  # fmt: skip
PHOTO = {"state": "none", "why": None, "read_at": None, "sha256": None, "expected_sha256": None}


def said(**values: Any) -> dict[str, Any]:
    found = Finding(Listing("L1", ()), Verdict.FLAGGED, "p@1", "e@1", "same_print", "p1", "Acme", 0.9)
    return {"finding": {**finding_row(found), **values}, "listing_photo": PHOTO, "reference_photo": PHOTO,
            "troubles": [], "thresholds": None}  # fmt: skip


def page(**values: Any) -> str:
    text = statement_page(1, said(**values), made_by=MADE_BY, pictures=Pictures(), names={}).decode()
    return " ".join(text.split())


def test_says_rights_and_their_basis_in_words() -> None:
    rights = [{"ground": "right", "kind": "trademark", "number": "<7>", "territory": "EU"},
              {"ground": "right", "kind": "copyright", "number": None, "territory": "*"}]  # fmt: skip
    basis = {"day": "2026-11-24", "claims": "1f0c2b3a", "rights": "3b9a4c5d"}
    text = page(rights=json.dumps(rights), rights_basis=json.dumps(basis))
    assert (
        "Rights and sellers (by <bdi>the tables as of 2026-11-24: claims 1f0c2b3a, rights 3b9a4c5d</bdi>): "
        "<bdi>trademark &lt;7&gt; in EU, copyright everywhere</bdi>."
    ) in text


def test_words_of_an_older_version_stay_as_they_are() -> None:
    text = page(rights="trademark 7 in EU; conflict", rights_basis="2026-11-24 claims@1f0c rights@3b9a")
    assert "(by <bdi>2026-11-24 claims@1f0c rights@3b9a</bdi>): <bdi>trademark 7 in EU; conflict</bdi>." in text
    assert "Rights and sellers" not in page()


def test_says_what_the_labels_say_and_keeps_it_inert() -> None:
    cell = NameReading("one letter off", "Quorlith", "<b>Quorlifh", 0.875).to_cell()
    text = page(label_name=cell)
    assert (
        "Read by a program, which may misread letters: "
        "<bdi>one letter off: the label says “&lt;b&gt;Quorlifh”, the genuine one “Quorlith”</bdi>."
    ) in text
    assert "Read by a program" not in page() and "Read by a program" not in page(label_name="[1]")


@needs_browser
def test_no_heading_of_a_printed_statement_is_the_last_line_of_its_sheet(tmp_path: Path) -> None:
    headings = ("The two photos compared", "The listing", "The numbers", "Made with", "File hashes (sha256)")
    numbers = {"probability": 0.98, "look": 0.6, "inliers": 30, "coverage": 0.5, "threshold": 0.877}
    met = set()
    for height in range(300, 1500, 300):  # of what stands above the headings
        pictures = Pictures(composed=Image.new("RGB", (1200, height), (200, 210, 220)))
        names = {"picture": "picture.png"}
        (tmp_path / "s.html").write_bytes(
            statement_page(1, said(**numbers), made_by=MADE_BY, pictures=pictures, names=names)
        )
        printed = sheets(tmp_path / "s.html", tmp_path)
        assert len(printed) <= 3
        assert not {lines[-1].strip() for lines in printed} & set(headings), height
        met |= {line.strip() for lines in printed for line in lines} & set(headings)
    assert met == set(headings)
