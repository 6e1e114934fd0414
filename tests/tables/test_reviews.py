"""A file of verdicts: which of them stand, which a promise may rest on, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from lookalike.errors import HistoryError, TableError
from lookalike.tables.labels import Review, deciding_review, read_labels
from lookalike.tables.reviews import Verdicts, read_reviews, standing
from lookalike.tables.verdicts import Draw, Judgement, Mode, ReviewVerdict, is_verdict_file, verdict_file

WHEN = "2026-11-24T09:00:00+00:00"
DRAW = Draw("aaaa", 7, 2, 40, "flagged", 12)


def said(listing: str, verdict: str = "lookalike", who: str = "anna", **more: object) -> ReviewVerdict:
    values = {"product": "p1", "brand": "Acme", "photo": "f00d", "when": WHEN, **more}
    return ReviewVerdict(listing, Judgement(verdict), who, **values)  # type: ignore[arg-type]


def drawn(listing: str, verdict: str = "lookalike", who: str = "anna", draw: Draw = DRAW) -> ReviewVerdict:
    return said(listing, verdict, who, mode=Mode.AUDIT, draw=draw)


def written(path: Path, *verdicts: ReviewVerdict) -> Path:
    file = path / "verdicts.jsonl"
    verdict_file(file).add(lambda _: verdicts)
    return file


def test_what_is_written_is_read_again_and_every_field_is_kept(tmp_path: Path) -> None:
    full = said(
        "L1", "other_product", instead_product="p2", instead_brand="Brio", note="see label", reason="same photo",
        seconds=2.5, policy="x@1234", mode=Mode.AUDIT, draw=DRAW, withdraws="ab", origin="cd",
    )  # fmt: skip
    file = written(tmp_path, full, said("L2"))
    assert [entry.said for entry in verdict_file(file).entries()] == [full, said("L2")]
    assert is_verdict_file(file)


def test_a_table_of_labels_is_no_file_of_verdicts(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"listing_id": "L1", "lookalike": true}\n')
    assert not is_verdict_file(tmp_path / "labels.jsonl")
    assert read_reviews(tmp_path / "labels.jsonl", promise=True) == Verdicts((Review("L1", True),))


def test_where_labels_of_photos_are_needed_a_file_of_verdicts_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match="a review's verdicts, which are about findings; name the findings with --find"
    ):
        read_labels(written(tmp_path, said("L1")))


def test_a_file_whose_first_line_was_changed_is_not_read_as_a_table(tmp_path: Path) -> None:
    file = written(tmp_path, said("L1"))
    file.write_bytes(file.read_bytes().replace(b'"lookalike"', b'"whatever"'))
    with pytest.raises(HistoryError, match="lookalike verdicts verify"):
        read_reviews(file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"who": " "}, "say who judges with --who NAME"),
        ({"note": "x" * 4001}, "shorten the note"),
        ({"instead_product": "p2"}, "names another product"),
        ({"mode": Mode.AUDIT}, "belongs to a draw"),
        ({"draw": DRAW}, "belongs to a draw"),
        ({"product": 7}, "no text"),
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        replace(said("L1"), **values)  # type: ignore[arg-type]


def labels(path: Path, *, promise: bool = False) -> dict[str, bool]:
    return {review.listing_id: review.lookalike for review in read_reviews(path, promise=promise).reviews}


def test_a_later_verdict_of_the_same_person_takes_the_place_of_the_earlier_one(tmp_path: Path) -> None:
    assert labels(written(tmp_path, said("L1"), said("L2"), said("L1", "not_lookalike"))) == {"L1": False, "L2": True}


def test_a_withdrawn_verdict_counts_no_more_and_the_one_before_it_stands_again(tmp_path: Path) -> None:
    file = written(tmp_path, said("L1"), said("L2"), said("L1", "not_lookalike"))
    last = verdict_file(file).entries()[-1]
    verdict_file(file).add(lambda _: [replace(last.said, withdraws=last.hash)])
    assert labels(file) == {"L1": True, "L2": True}


def test_what_each_verdict_says_about_the_product(tmp_path: Path) -> None:
    file = written(tmp_path, *(said(each, each) for each in Judgement))
    assert labels(file) == {
        "lookalike": True,
        "authorised": True,
        "not_lookalike": False,
        "other_product": False,
        "harmless": False,
    }
    assert read_reviews(file).undecided == 1


def test_a_verdict_for_another_product_is_an_error_of_the_finding_and_names_the_right_one(tmp_path: Path) -> None:
    file = written(tmp_path, said("L1", "other_product", instead_product="p2", instead_brand="Brio"))
    (review,) = read_reviews(file).reviews
    assert (review.lookalike, review.product_id, review.brand, review.day) == (True, "p2", "Brio", date(2026, 11, 24))
    assert deciding_review([review], "p1", "Acme", "f00d") is review
    assert not review.is_about("p1", "Acme")


def test_a_verdict_on_another_photo_says_nothing_about_the_finding(tmp_path: Path) -> None:
    (review,) = read_reviews(written(tmp_path, said("L1"))).reviews
    assert deciding_review([review], "p1", "Acme", "f00d") is review
    assert deciding_review([review], "p1", "Acme", None) is review
    assert deciding_review([review], "p1", "Acme", "beef") is None


def test_two_people_who_disagree_decide_nothing_until_one_settles_it(tmp_path: Path) -> None:
    file = written(tmp_path, said("L1"), said("L1", "not_lookalike", "ben"), said("L2"), said("L2", "unsure", "ben"))
    assert labels(file) == {"L2": True}
    assert read_reviews(file).remarks() == [
        "verdicts left out: 1 about which a person is unsure, or people disagree",
        "findings not drawn from all: 1, so shares of the verdicts are not those of all findings",
    ]
    verdict_file(file).add(lambda _: [said("L1", "harmless", "cleo", mode=Mode.CONFLICT)])
    assert labels(file) == {"L1": False, "L2": True}
    assert [len(each.verdicts) for each in standing(verdict_file(file).entries())] == [3, 2]


def test_a_promise_rests_on_a_finished_draw_alone(tmp_path: Path) -> None:
    file = written(tmp_path, said("T1"), drawn("L1"))
    with pytest.raises(TableError, match="1 of the 2 findings of the draw are judged"):
        read_reviews(file, promise=True)
    verdict_file(file).add(lambda _: [drawn("L2", "not_lookalike")])
    assert labels(file, promise=True) == {"L1": True, "L2": False}
    other = Draw("aaaa", 8, 5, 40, "flagged", 12)
    verdict_file(file).add(lambda _: [drawn("L3", draw=other)])
    assert labels(file, promise=True) == {"L1": True, "L2": False}
    assert read_reviews(file, promise=True).remarks() == [
        "verdicts left out: 1 chosen by triage or to teach, so no promise rests on them",
        "verdicts left out: 1 of a draw that is not judged to its end",
    ]


def test_from_triage_alone_no_promise_is_made(tmp_path: Path) -> None:
    file = written(tmp_path, said("L1"), said("L2"))
    with pytest.raises(
        TableError, match=r"their 2 findings were chosen, by triage or to teach, and a promise .* drawn at random"
    ):
        read_reviews(file, promise=True)


def test_in_a_promise_unsure_and_disputed_findings_count_as_wrong(tmp_path: Path) -> None:
    file = written(tmp_path, drawn("L1", "unsure"), drawn("L2"), drawn("L2", "not_lookalike", "ben"))
    assert labels(file, promise=True) == {"L1": False, "L2": False}
    assert labels(file) == {}
