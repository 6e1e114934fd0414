"""Files of two people become one, twice the same, and Cohen's kappa is the published one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.errors import TableError
from lookalike.review.agreement import Agreement, agreement_in, merge_verdicts
from lookalike.scripts.verdicts import main
from lookalike.tables.reviews import read_reviews
from lookalike.tables.verdicts import Judgement, Mode, ReviewVerdict, verdict_file

YES, NO = Judgement.LOOKALIKE, Judgement.NOT_LOOKALIKE


def said(listing: str, verdict: Judgement, who: str, minute: int = 0, **more: object) -> ReviewVerdict:
    when = f"2026-11-24T09:{minute:02}:00+00:00"
    return ReviewVerdict(listing, verdict, who, product="p", brand="b", photo="f", when=when, **more)  # type: ignore[arg-type]


def written(path: Path, *verdicts: ReviewVerdict) -> Path:
    verdict_file(path).add(lambda _: verdicts)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        written(
            tmp_path / "anna.jsonl", said("L1", YES, "anna", 1), said("L2", YES, "anna", 3), said("L3", NO, "anna", 5)
        ),
        written(tmp_path / "ben.jsonl", said("L1", YES, "ben", 2), said("L2", NO, "ben", 4)),
    ]


def test_kappa_is_that_of_cohens_own_example() -> None:
    # the matrix of proportions in Cohen, "Weighted kappa", Psychological Bulletin 70, 1968, times 200
    a, b, c = Judgement.LOOKALIKE, Judgement.NOT_LOOKALIKE, Judgement.UNSURE
    counts = Counter(
        {(a, a): 88, (a, b): 14, (a, c): 18, (b, a): 10, (b, b): 40, (b, c): 10, (c, a): 2, (c, b): 6, (c, c): 12}
    )
    assert Agreement("x", "y", counts, 0).kappa == pytest.approx(0.492, abs=5e-4)


def test_kappa_is_not_known_where_chance_explains_all() -> None:
    assert Agreement("x", "y", Counter({(YES, YES): 9}), 0).kappa is None
    assert Agreement("x", "y", Counter(), 0).kappa is None
    assert Agreement("x", "y", Counter({(YES, YES): 5, (NO, NO): 5}), 0).kappa == 1


def test_merged_files_hold_each_verdict_once_in_the_order_of_time(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both.jsonl"
    assert merge_verdicts(files, out) == (5, 0)
    entries = verdict_file(out).entries()
    assert [(e.said.listing, e.said.who) for e in entries] == [
        ("L1", "anna"), ("L1", "ben"), ("L2", "anna"), ("L2", "ben"), ("L3", "anna"),
    ]  # fmt: skip
    originals = {e.hash for file in files for e in verdict_file(file).entries()}
    assert {e.said.origin for e in entries} == originals
    assert merge_verdicts([*files, files[0]], out) == (0, 8)
    written(files[0], said("L4", YES, "anna", 9))
    assert merge_verdicts(files, out) == (1, 5)
    again = tmp_path / "again.jsonl"
    merge_verdicts([out], again)
    assert merge_verdicts(files, again) == (0, 6), "also by way of a merged file"


def test_a_withdrawal_holds_in_the_merged_file_as_well(files: list[Path], tmp_path: Path) -> None:
    (first, *_) = verdict_file(files[1]).entries()
    written(files[1], replace(first.said, withdraws=first.hash, when="2026-11-24T09:08:00+00:00"))
    merge_verdicts(files, tmp_path / "both.jsonl")
    found, _ = agreement_in(tmp_path / "both.jsonl")
    assert [(each.one, each.other, each.both) for each in found] == [("anna", "ben", 1)]


def test_conflicts_are_open_until_somebody_settles_them(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both.jsonl"
    merge_verdicts(files, out)
    (both,), conflicts = agreement_in(out)
    assert (both.both, both.same, both.conflicts) == (2, 1, 1)
    assert [each.verdicts[0].said.listing for each in conflicts] == ["L2"]
    assert {review.listing_id for review in read_reviews(out).reviews} == {"L1", "L3"}
    written(out, said("L2", YES, "cleo", 10, mode=Mode.CONFLICT))
    (same,), conflicts = agreement_in(out)
    assert (same.both, same.same, same.conflicts, conflicts) == (2, 1, 1, [])
    assert {review.listing_id: review.lookalike for review in read_reviews(out).reviews} == {
        "L1": True, "L2": True, "L3": False,
    }  # fmt: skip


def test_a_file_is_not_merged_into_itself(files: list[Path]) -> None:
    with pytest.raises(TableError, match="is one of the files to merge"):
        merge_verdicts(files, files[0])


def test_the_commands_say_it(files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "both.jsonl")
    assert main(["merge", *map(str, files), "--out", out]) == 0
    assert capsys.readouterr().err == f"5 verdicts added to {out}, 0 were there\n"
    assert main(["agreement", out]) == 0
    text = capsys.readouterr().out
    assert "anna and ben" in text and "open: listing L2 (anna: look-alike, ben: not a look-alike)" in text
    assert main(["show", out]) == 0
    assert "3 findings judged, 1 conflict open" in capsys.readouterr().out
    assert main(["verify", out]) == 0
    assert capsys.readouterr().out.startswith("as it was written: 5 entries, seal ")
    file = Path(out)
    file.write_bytes(file.read_bytes().replace(b'"L1"', b'"L9"', 1))
    assert main(["verify", out]) == 1
    assert "entry 1 (listing L9): it was changed" in capsys.readouterr().out
