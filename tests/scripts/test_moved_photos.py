"""When the genuine photos of an index move, commands say so, and adding their table again mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import save_pictures

from lookalike.index.reference_index import ReferenceIndex
from lookalike.scripts.cli import main
from lookalike.tables.findings import read_findings


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A folder with an index of photos that were in old/ and now are in new/, a copy of one, and findings."""
    save_pictures(tmp_path / "old", 4)
    lines = "".join(f"r{i},old/0-{i}.png,p{i},Brand\n" for i in range(4))
    (tmp_path / "references.csv").write_text("reference_id,image,product_id,brand\n" + lines)
    (tmp_path / "new.csv").write_text("reference_id,image,product_id,brand\n" + lines.replace("old/", "new/"))
    (tmp_path / "copy.png").write_bytes((tmp_path / "old" / "0-2.png").read_bytes())
    (tmp_path / "listings.csv").write_text("listing_id,image\nL1,copy.png\n")
    assert main(["build", str(tmp_path / "references.csv"), "--index", str(tmp_path / "index"), "--quiet"]) == 0
    scan(tmp_path)
    (tmp_path / "old").rename(tmp_path / "new")
    return tmp_path


def scan(folder: Path) -> None:
    call = ["scan", str(folder / "listings.csv"), "--index", str(folder / "index"), "--out", str(folder / "f.csv")]
    assert main([*call, "--quiet"]) == 0


def explain(folder: Path) -> int:
    return main(["explain", str(folder / "copy.png"), "--index", str(folder / "index"), "--out", str(folder / "p.png")])


def test_says_that_genuine_photos_are_gone_and_what_to_do(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert explain(moved) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the genuine photo of r2 can't be shown" in said and "lookalike add TABLE --index INDEX" in said
    assert main(["report", str(moved / "f.csv"), "--out", str(moved / "report.html")]) == 0
    said = capsys.readouterr().err
    assert "the genuine photos of 1 finding can't be read any more (first: " in said
    assert str(moved / "old" / "0-2.png") in said and "lookalike add TABLE --index INDEX" in said
    assert "can't be read any more" in (moved / "report.html").read_text().replace("&#39;", "'")


def test_adding_the_table_with_new_paths_mends_it_without_embedding(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ReferenceIndex.load(moved / "index")
    capsys.readouterr()
    assert main(["add", str(moved / "new.csv"), "--index", str(moved / "index"), "--no-cache"]) == 0
    assert "4 references; embedded 0 pictures, knew 4, could not use 0 rows" in capsys.readouterr().err
    after = ReferenceIndex.load(moved / "index")
    assert sorted(after.catalogue["image"].to_pylist()) == [str(moved / "new" / f"0-{i}.png") for i in range(4)]
    assert after.packed_features == before.packed_features
    assert explain(moved) == 0
    scan(moved)
    assert [row["reference_image"] for row in read_findings(moved / "f.csv")] == [str(moved / "new" / "0-2.png")]
    capsys.readouterr()
    assert main(["report", str(moved / "f.csv"), "--out", str(moved / "report.html")]) == 0
    assert "can't be read" not in capsys.readouterr().err
