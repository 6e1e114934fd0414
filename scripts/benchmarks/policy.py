"""Measure tuning on many labels and replaying many findings: time, memory, and whether replay equals a new scan.

Tuning runs `lookalike tune` on simulated findings and labels of many brands, the large ones with most of the labels.
Replay scans listings of one to three photos, from a pool of edited copies of the embedded sample, with one policy, and
judges the findings again under another. A scan of some of them with the other policy must say the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from PIL import Image

from lookalike.detection.detector import Detector
from lookalike.detection.replay import compare_policies, replay
from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Scope
from lookalike.records import Listing
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.benchmarks.harness import one_line_errors, run_command
from lookalike.scripts.timing import seconds_of
from lookalike.scripts.training.edits import edit, random_edits
from lookalike.tables.findings import read_findings, write_findings
from lookalike.tables.inputs import read_references


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument("--brands", type=int, default=500)
    parser.add_argument("--pool", type=int, default=400, help="different photos among the listings (default 400)")
    parser.add_argument("--sample", type=int, default=1000, help="findings to compare with a new scan (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="lookalike-benchmark-") as name:
        folder = Path(name)
        sample = Path(str(files("lookalike") / "sample"))
        references = read_references(sample / "references.csv")
        encoder = load_encoder("embedded")
        build_index(references, index=folder / "index", encoder=encoder)
        measure_tuning(folder, arguments.listings, arguments.brands, rng, encoder=str(encoder.spec))
        photos = draw_pool(sample / "images", folder / "pool", arguments.pool, rng)
        measure_replay(folder, photos, arguments.listings, arguments.sample, rng)
    return 0


def measure_tuning(folder: Path, count: int, brands: int, rng: np.random.Generator, *, encoder: str) -> None:
    """Time `lookalike tune` in a process of its own."""
    brand = np.minimum(brands - 1, (brands * rng.random(count) ** 3).astype(int))
    lookalike = rng.random(count) < 0.3
    middle = np.where(lookalike, 0.8, 0.55) + rng.normal(0, 0.03, brands)[brand]
    similarity = np.clip(rng.normal(middle, 0.08), -1, 1)
    rows = ({"listing_id": f"L{k}", "verdict": "review", "brand": f"brand {brand[k]:03}", "product_id": f"p{brand[k]}",
             "similarity": float(similarity[k]), "territory": ("DE", "FR", "US")[k % 3], "policy": "p",
             "encoder": encoder}
            for k in range(count))  # fmt: skip
    write_findings(rows, folder / "labelled.parquet")
    day = np.datetime64("2026-08-01") + rng.integers(0, 90, count)
    labels = {
        "listing_id": [f"L{k}" for k in range(count)],
        "lookalike": np.where(lookalike, "true", "false"),
        "date": day.astype(str),
    }
    pyarrow.csv.write_csv(pa.table(labels), folder / "labels.csv")
    used = run_command(
        "tune", folder / "labels.csv", "--findings", folder / "labelled.parquet", "--index", folder / "index",
        "--out", folder / "tuned.toml", "--quiet",
    )  # fmt: skip
    evidence = [scope.evidence for scope in Policy.load(folder / "tuned.toml").scopes]
    own = sum(each is not None and each.more_needed == 0 for each in evidence)
    print(
        f"tune: {count:,} labelled pairs of {brands:,} brands in {used.seconds:.1f} s, {used.peak / 2**20:,.0f} MB at "
        f"the most; {own:,} brands and territories have thresholds of their own"
    )


def draw_pool(images: Path, out: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """Edited copies of the sample's pictures."""
    out.mkdir()
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(images.glob("*.jpg"))]
    paths = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        path = out / f"{number}.jpg"
        Image.fromarray(edit(picture, random_edits(rng, most=3), rng, others=pictures)).save(path, quality=88)
        paths.append(path)
    return paths


def measure_replay(folder: Path, photos: list[Path], count: int, sample: int, rng: np.random.Generator) -> None:
    """Time judging findings again, and compare the first of them with a scan that used the other policy."""
    names = sorted({row["brand"] for row in Detector.open(folder / "index").index.catalogue.to_pylist()})
    before = Policy("before", 0.8, 0.7)
    scopes = (Scope(0.65, 0.55, brand=names[0]), Scope(0.9, 0.6, brand=names[1]), Scope(None, 0.5, names[2], "DE"))
    after = Policy("after", 0.75, 0.6, scopes=scopes)
    chosen = [rng.choice(len(photos), rng.integers(1, 4), replace=False).tolist() for _ in range(count)]

    def listings(most: int) -> Iterator[Listing]:
        for number, rows in enumerate(chosen[:most]):
            yield Listing(f"L{number}", tuple(photos[row] for row in rows), territory=("DE", "FR", "US")[number % 3])

    def scan(policy: Policy, most: int, out: Path) -> float:
        detector = Detector.open(folder / "index", policy=policy)
        return seconds_of(lambda: scan_listings(listings(most), detector=detector, out=out))

    seconds = scan(before, count, folder / "b.parquet")
    print(f"scan: {count:,} listings of {len(photos):,} photos in {seconds:.1f} s, for comparison")
    start = time.perf_counter()
    diff = compare_policies(read_findings(folder / "b.parquet"), before, after)
    gained, lost = sum(diff.gained.values()), sum(diff.lost.values())
    print(f"replay: {count:,} findings under two policies in {time.perf_counter() - start:.1f} s; "
          f"+{gained:,} flagged, -{lost:,} no longer")  # fmt: skip
    scan(after, sample, folder / "a.parquet")
    differing = 0
    for old, new in zip(read_findings(folder / "b.parquet"), read_findings(folder / "a.parquet"), strict=False):
        again = replay(old, after)
        said = (str(again.verdict), again.brand, again.product, again.threshold, again.image)
        differing += said != (new["verdict"], new["brand"], new["product_id"], new["threshold"], new["image"])
    print(f"replay against a new scan: {differing:,} of {sample:,} differ")


if __name__ == "__main__":
    raise SystemExit(main())
