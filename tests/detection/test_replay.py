"""Judging stored findings again says what a scan with the other policy would say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy import ToyEncoder, save_pictures, unit_vectors

from lookalike import Detector, Listing, Policy, Scope
from lookalike.detection.lookup import Lookup
from lookalike.detection.replay import compare_policies, replay
from lookalike.errors import PolicyError, TableError
from lookalike.index.build import add_harmless, build_index
from lookalike.policy.cohort import Cohort
from lookalike.policy.fusion import Fusion
from lookalike.policy.terms import Reach
from lookalike.records import Finding, Reference
from lookalike.scanning.scan import scan_listings
from lookalike.tables.findings import read_findings

BEFORE = Policy("before", 0.97, 0.9)
AFTER = Policy("after", 0.99, 0.8, scopes=(Scope(0.85, 0.8, brand="B1"), Scope(None, 0.8, brand="B2", territory="DE")))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    paths = save_pictures(folder / "photos", 30)
    rows = [Reference(f"r{i}", f"p{i}", f"B{i % 3}", path) for i, path in enumerate(paths) if i != 7]
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    add_harmless([Reference("stock", "stock", "", paths[7])], index=folder / "index", encoder=ToyEncoder())
    return folder / "index"


def listings(folder: Path) -> list[Listing]:
    """Genuine photos, each a little or a lot recoloured, of one to three photos a listing."""
    from PIL import Image

    rng = np.random.default_rng(0)
    sources = sorted((folder / "photos").glob("*.png"))
    made = []
    for number in range(60):
        images = []
        for path in rng.choice(np.array(sources, str), rng.integers(1, 4)):
            pixels = np.asarray(Image.open(path), float)
            noisy = pixels + rng.normal(0, rng.uniform(0, 90), (3, 3, 3)).repeat(10, 0).repeat(10, 1)
            images.append(np.clip(noisy, 0, 255).astype(np.uint8))
        made.append(Listing(f"L{number}", images, seller=f"s{number % 4}", territory=("DE", "US")[number % 2]))
    return [*made, Listing("none", ())]


@pytest.mark.parametrize("cohort", [None, Cohort(unit_vectors(50), "subtract", nearest=5, share=0.2),
                                    Cohort(unit_vectors(50), "s-norm", nearest=5)])  # fmt: skip
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_equals_scanning_again(index: Path, tmp_path: Path, cohort: Cohort | None, ending: str) -> None:
    from lookalike.index.build import load_harmless
    from lookalike.index.embedding import PhotoReader
    from lookalike.index.reference_index import ReferenceIndex

    def scanned(policy: Policy) -> list[dict[str, object]]:
        detector = Detector(
            Lookup(ToyEncoder(), ReferenceIndex.load(index), PhotoReader(), harmless=load_harmless(index)), policy
        )
        scan_listings(listings(index.parent), detector=detector, out=tmp_path / f"f.{ending}")
        return list(read_findings(tmp_path / f"f.{ending}"))

    if cohort is not None and cohort.method == "s-norm":
        before, after = replace(BEFORE, flag=4.0, review=3.0, cohort=cohort), replace(
            AFTER, flag=3.5, review=2.0, scopes=(Scope(2.5, 2.0, brand="B1"),), cohort=cohort
        )  # fmt: skip
    else:
        before, after = replace(BEFORE, cohort=cohort), replace(AFTER, cohort=cohort)
    first, again = scanned(before), scanned(after)
    replayed = [replay(row, after) for row in first]
    kept = ("verdict", "brand", "product_id", "threshold", "suppressed_by", "image", "policy", "error")
    for row, finding in zip(again, replayed, strict=True):
        ours = {"verdict": str(finding.verdict), "brand": finding.brand, "product_id": finding.product,
                "threshold": finding.threshold, "suppressed_by": finding.suppressed_by, "image": finding.image,
                "policy": finding.policy, "error": finding.error}  # fmt: skip
        assert ours == {name: row[name] for name in kept}
        assert finding.similarity == (None if row["similarity"] is None else pytest.approx(row["similarity"], abs=1e-6))
    assert len({row["verdict"] for row in again}) >= 3 and any(row["suppressed_by"] for row in again)
    assert [row["verdict"] for row in first] != [row["verdict"] for row in again]


def row(listing: str, brand: str, similarity: float, *, seller: str = "s") -> dict[str, object]:
    import json

    candidate = {"reference_id": "r", "product_id": "p", "brand": brand, "reference_image": "r.jpg", "image": "a.jpg",
                 "similarity": similarity, "normalised_similarity": None, "suppressed_by": None}  # fmt: skip
    return {"listing_id": listing, "verdict": "clear", "encoder": "toy@00000000", "policy": "x", "seller_id": seller,
            "territory": "DE", "similarity": similarity, "candidates": json.dumps([candidate])}  # fmt: skip


def test_knows_the_sha256_only_of_the_photo_that_decided_before() -> None:
    import json

    found = {**row("1", "A", 0.85), "image": "a.jpg", "image_sha256": "aa"}
    assert replay(found, BEFORE).image_sha256 == "aa"
    assert replay({**found, "image": "b.jpg"}, BEFORE).image_sha256 is None
    pixels = json.dumps([{**json.loads(str(found["candidates"]))[0], "image": "(given as pixels)"}])
    assert replay({**found, "image": "(given as pixels)", "candidates": pixels}, BEFORE).image_sha256 is None


def test_counts_what_a_change_does() -> None:
    rows = [row("1", "A", 0.85), row("2", "A", 0.85, seller="partner"), row("3", "B", 0.95), row("4", "B", 0.5)]
    before, after = Policy("b", 0.9, 0.8), Policy("a", 0.96, 0.8, scopes=(Scope(0.8, 0.7, brand="A"),))

    def authorised(findings: Sequence[Finding]) -> int:
        return sum(finding.listing.seller == "partner" for finding in findings)

    diff = compare_policies(rows, before, after, authorised=authorised)
    assert (diff.gained, diff.lost, diff.authorised) == ({"A": 2}, {"B": 1}, 1)
    assert diff.moved == {("review", "flagged"): 2, ("flagged", "review"): 1, ("clear", "clear"): 1}
    assert (diff.total(before.verdict(0.95), after=False), diff.total(before.verdict(0.95), after=True)) == (1, 2)


def test_refuses_policies_that_the_findings_can_not_tell_of() -> None:
    rows = [row("1", "A", 0.85)]
    cohort = replace(BEFORE, cohort=Cohort(unit_vectors(20), nearest=5))
    with pytest.raises(PolicyError, match="different cohorts"):
        compare_policies(rows, BEFORE, cohort)
    with pytest.raises(PolicyError, match="not normalised; scan again"):
        compare_policies(rows, cohort, cohort)
    with pytest.raises(PolicyError, match="for an encoder with weights abababab"):
        compare_policies(rows, BEFORE, replace(AFTER, weights_sha256="ab" * 32))
    fused = replace(BEFORE, fusion=Fusion(-6.0, 1.0, 0.0, 2.0, 0.0), flag=0.9, review=0.1)
    with pytest.raises(PolicyError, match="compares more photos point by point"):
        compare_policies(rows, replace(fused, reach=Reach(0.5)), fused)
    with pytest.raises(PolicyError, match="give the policy that made them, x, with --made-by"):
        compare_policies(rows, BEFORE, cohort)
    for damaged in (None, "[", '[{"brand": 1}]', "{}"):
        with pytest.raises(TableError, match="scan again"):
            compare_policies([{**rows[0], "candidates": damaged}], BEFORE, AFTER)


FUSED = Policy("fused", 0.9, 0.1, fusion=Fusion(-6.0, 4.0, 0.0, 2.0, 0.0))


def found_by(maker: Policy, similarity: float, inliers: int | None) -> dict[str, object]:
    """A finding of that policy whose one match has so many matching points, None if it wasn't compared."""
    import json

    found = row("1", "A", similarity)
    verification = None if inliers is None else {"inliers": inliers, "coverage": 0.5, "mirrored": False,
                                                 "kind": "same_print", "outline": []}  # fmt: skip
    candidates = [{**json.loads(str(found["candidates"]))[0], "verification": verification}]
    return {**found, "policy": str(maker), "candidates": json.dumps(candidates)}


def test_compares_a_policy_that_compares_points_with_one_that_does_not_on_the_findings_of_the_first() -> None:
    rows = [found_by(FUSED, 0.6, 30), found_by(FUSED, 0.95, 0)]
    diff = compare_policies(rows, FUSED, replace(BEFORE, review=0.5))
    assert diff.moved == {("flagged", "review"): 1, ("clear", "review"): 1}


def test_the_policy_that_made_the_findings_decides_what_they_can_tell() -> None:
    near, far = replace(FUSED, name="near", reach=Reach(0.5)), replace(FUSED, name="far", reach=Reach(0.2))
    rows = [found_by(near, 0.6, 30)]
    assert compare_policies(rows, near, replace(near, flag=0.95), made_by=far).moved == {("flagged", "flagged"): 1}
    with pytest.raises(PolicyError, match="far@.* compares more photos point by point than near@"):
        compare_policies(rows, near, far)
    with pytest.raises(PolicyError, match="fused@.* compares more photos point by point than near@"):
        compare_policies(rows, BEFORE, FUSED, made_by=near)


def test_points_beyond_a_policys_reach_do_not_count_for_it() -> None:
    rows = [found_by(FUSED, 0.6, 30)]
    assert replay(rows[0], replace(FUSED, name="all")).verdict == "flagged"
    assert replay(rows[0], replace(FUSED, name="near", reach=Reach(0.7))).verdict == "clear"


def test_findings_that_were_not_compared_point_by_point_are_refused_for_a_policy_that_needs_points() -> None:
    from lookalike.detection.replay import require_fit

    with pytest.raises(PolicyError, match=r"not compared point by point that far \(first: listing 1\); scan again"):
        require_fit(found_by(BEFORE, 0.95, None), FUSED)
    require_fit(found_by(BEFORE, 0.95, 0), FUSED)
    require_fit(found_by(BEFORE, 0.4, None), replace(FUSED, reach=Reach(0.5)))
    require_fit({**found_by(BEFORE, 0.95, None), "hint": "a.jpg: not compared point by point: it changed"}, FUSED)
