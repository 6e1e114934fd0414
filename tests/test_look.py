"""With an encoder that has a second head, what only looks alike is found, judged and told, from build to report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder, clustered, save_pictures, shuffled

from lookalike import Detector, Listing, Lookup, Policy, Reach, Reference, ReferenceIndex, add_harmless, build_index
from lookalike.detection.replay import replay
from lookalike.errors import EncoderMismatchError
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.index.vector_cache import VectorCache
from lookalike.policy.cohort import Cohort
from lookalike.policy.fusion import Fusion
from lookalike.policy.terms import Kinds, Thresholds
from lookalike.records import Finding, Verdict
from lookalike.scripts.cli import main
from lookalike.tables.candidates import match_of
from lookalike.tables.findings import finding_row, read_findings

COUNT = 9
LOOK = Fusion(-16.0, 8.0, 0.0, 8.0, 0.0, look=16.0)
"""A look of 1 with a similarity of 0 is worth 0.5."""
POLICY = Policy("look", 0.99, 0.9, fusion=LOOK, reach=Reach(0.9, 2, 1),
                kinds=Kinds(lookalike=Thresholds(0.45, 0.3)))  # fmt: skip


@dataclass(frozen=True)
class Market:
    """An index of nine products, and listings that are dressed like them, copies of them, or like nothing."""

    folder: Path

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def listings(self) -> list[Listing]:
        kinds = ("dressed", "copied", "other")
        return [Listing(f"{kind}{at}", str(self.folder / f"{kind}{at}.png")) for at in range(3) for kind in kinds]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("market")
    genuine = save_pictures(folder / "genuine", COUNT)
    references = [Reference(path.stem, f"p{at}", f"B{at % 2}", str(path)) for at, path in enumerate(genuine)]
    build_index(references, index=folder / "index", encoder=ToyEncoder(look=True))
    for at, other in enumerate(save_pictures(folder / "others", 3, seed=50)):
        shuffled(genuine[at], folder / f"dressed{at}.png", seed=at)
        Image.open(genuine[at + 3]).save(folder / f"copied{at}.png")
        Image.open(other).save(folder / f"other{at}.png")
    return Market(folder)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("lookalike.model.loading.load_encoder", lambda *_, **__: ToyEncoder(look=True))
    yield


def by_listing(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.listing.id: replace(finding, scanned_at=None) for finding in findings}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("partitioned", [False, True])
def test_finds_and_flags_what_only_looks_alike(
    partitioned: bool, normalised: bool, cached: bool, market: Market, tmp_path: Path
) -> None:
    index = ReferenceIndex.load(market.index)
    if partitioned:  # among so many others that the search is no more exact
        both = np.hstack([clustered(600, 28), clustered(600, 28, seed=7)])
        many = [Reference(f"m{at}", f"m{at}", "M", "m.jpg") for at in range(len(both))]
        index.add(many, both, hashes=[f"{at:064}" for at in range(len(both))])
        index.exact_up_to = 100
        index.save(tmp_path / "index")
        index = ReferenceIndex.load(tmp_path / "index")
        assert index.agreement is not None
    encoder = ToyEncoder(look=True)
    cohort = None
    if normalised:
        photos = embed_photos(save_pictures(tmp_path / "b", 6, seed=9), encoder=encoder, reader=PhotoReader(workers=1))
        vectors = np.stack([photo.vector for photo in photos if photo.vector is not None])
        cohort = Cohort(encoder.spec.parts(vectors)[0], share=0.1)
    policy = replace(POLICY, cohort=cohort, reach=Reach(0.85, 2, 1))
    detector = Detector(Lookup(encoder, index, PhotoReader(workers=1)), policy)
    cache = VectorCache(tmp_path / "v.sqlite", encoder.spec) if cached else None
    for _ in range(2):
        found = by_listing(list(detector.stream(market.listings, cache=cache)))
        for at in range(3):
            dressed, copied = found[f"dressed{at}"], found[f"copied{at}"]
            assert (dressed.verdict, dressed.kind, dressed.product) == (Verdict.FLAGGED, "lookalike", f"p{at}")
            assert dressed.look == pytest.approx(1, abs=1e-5) and dressed.similarity < 0.9  # type: ignore[operator]
            assert dressed.threshold == 0.45 and (dressed.normalised_similarity is not None) is normalised
            assert copied.product == f"p{at + 3}" and copied.similarity == pytest.approx(1, abs=1e-5)
            assert found[f"other{at}"].verdict is Verdict.CLEAR
    assert encoder.embedded == (9 if cached else 18) + (6 if normalised else 0)


def test_look_is_in_every_form_that_a_finding_takes(market: Market, tmp_path: Path) -> None:
    detector = Detector.open(market.index, policy=POLICY)
    finding = detector.check(market.listings[0])
    row = finding_row(finding)
    assert row["look"] == finding.look == finding.matches[0].look
    assert Finding.from_dict(finding.to_dict()) == finding
    assert match_of(row).look == finding.look
    assert replay(row, POLICY).matches == finding.matches
    stricter = replace(POLICY, kinds=Kinds(lookalike=Thresholds(0.99, 0.9)))
    assert replay(row, stricter).verdict is Verdict.CLEAR and replay(row, stricter).look == finding.look


def test_commands_scan_recheck_and_report_it(market: Market, tmp_path: Path) -> None:
    table, out, policy = tmp_path / "listings.csv", tmp_path / "f.parquet", tmp_path / "policy.toml"
    table.write_text("listing_id,image\n" + "".join(f"{each.id},{each.images[0]}\n" for each in market.listings))
    POLICY.save(policy)
    shared = ["--index", market.index, "--policy", policy]

    def run(*words: object) -> None:
        assert main([*map(str, words), "--quiet"]) == 0

    run("scan", table, *shared, "--out", out, "--no-cache")
    rows = {row["listing_id"]: row for row in read_findings(out)}
    assert rows["dressed0"]["look"] == pytest.approx(1, abs=1e-5) and rows["dressed0"]["verdict"] == "flagged"
    replace(POLICY, name="strict", kinds=Kinds()).save(policy)
    run("recheck", out, "--policy", policy, "--out", tmp_path / "again.csv")
    again = {row["listing_id"]: row for row in read_findings(tmp_path / "again.csv")}
    assert {row["verdict"] for name, row in again.items() if name.startswith("dressed")} == {"clear"}
    assert again["dressed0"]["look"] == rows["dressed0"]["look"]
    run("report", out, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "look <b>1.000</b>" in page
    POLICY.save(policy)
    run("bundle", "write", out, *shared, "--out", tmp_path / "evidence", "--verdict", "flagged")
    run("bundle", "verify", tmp_path / "evidence", "--index", market.index)
    statements = [path.read_text() for path in (tmp_path / "evidence").rglob("statement.html")]
    assert any("a look of <b>1.000</b>" in text for text in statements)


@pytest.mark.parametrize("since", [False, True])
def test_a_scan_of_changes_finds_what_a_new_reference_looks_like(since: bool, market: Market, tmp_path: Path) -> None:
    first, index = tmp_path / "first", tmp_path / "index"
    references = list(ReferenceIndex.load(market.index).references)
    build_index(references[1:], index=index, encoder=ToyEncoder(look=True))
    table, out, policy = tmp_path / "listings.csv", tmp_path / "f.parquet", tmp_path / "policy.toml"
    table.write_text("listing_id,image\n" + "".join(f"{each.id},{each.images[0]}\n" for each in market.listings))
    POLICY.save(policy)
    shared = ["--index", index, "--policy", policy, "--quiet"]
    assert main([*map(str, ["scan", table, "--out", out, "--since", first, *shared])]) == 0
    assert {row["listing_id"]: row["verdict"] for row in read_findings(out)}["dressed0"] == "clear"
    from lookalike import add_references

    add_references(references[:1], index=index, encoder=ToyEncoder(look=True))
    command = ["scan", table, "--out", out, "--since", first] if since else ["rescan", "--since", first, "--out", out]
    assert main([*map(str, [*command, *shared])]) == 0
    fresh = tmp_path / "fresh.parquet"
    assert main([*map(str, ["scan", table, "--out", fresh, *shared, "--no-cache"])]) == 0
    assert [{**row, "scanned_at": None} for row in read_findings(out)] == [
        {**row, "scanned_at": None} for row in read_findings(fresh)
    ]
    assert {row["listing_id"]: row["verdict"] for row in read_findings(out)}["dressed0"] == "flagged"


def test_a_harmless_photo_must_be_closer_by_similarity_and_by_look(market: Market, tmp_path: Path) -> None:
    index = tmp_path / "index"
    build_index(list(ReferenceIndex.load(market.index).references), index=index, encoder=ToyEncoder(look=True))
    dressed = Image.open(market.folder / "dressed0.png")
    pixels = np.asarray(dressed, float)
    near = Image.fromarray(np.clip(255 - (255 - pixels) * 0.3, 0, 255).astype(np.uint8))
    near.save(tmp_path / "paler.png")  # the same layout in other colours
    dressed.save(tmp_path / "same.png")
    listing = Listing("L", str(market.folder / "dressed0.png"))
    for name, suppressed in (("paler", None), ("same", "same")):
        add_harmless([Reference(name, "h", "H", str(tmp_path / f"{name}.png"))], index=index,
                     encoder=ToyEncoder(look=True))  # fmt: skip
        finding = Detector.open(index, policy=POLICY).check(listing)
        assert finding.suppressed_by == suppressed, (name, finding.similarity, finding.look)


def test_an_index_of_an_encoder_without_a_second_head_is_refused_in_one_line(market: Market, tmp_path: Path) -> None:
    references = list(ReferenceIndex.load(market.index).references)
    build_index(references, index=tmp_path, encoder=ToyEncoder())
    with pytest.raises(EncoderMismatchError, match="build the index again"):
        Detector.open(tmp_path, policy=POLICY)
    detector = Detector(Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path), PhotoReader(workers=1)), POLICY)
    finding = detector.check(market.listings[0])
    assert finding.look is None and finding.verdict is Verdict.CLEAR
    assert {match.look for match in finding.matches} == {None}
