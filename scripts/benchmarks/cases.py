"""Measure cases: rings of sellers found, honest sellers left apart, and the time and memory that many findings take.

Rings: scripts/marketplace/sellers.py deals the rendered marketplace DATA to sellers, in each round from another seed.
The listings are scanned with the default policy, and the flagged and review findings are grouped in three ways: by
photos that are the same file, by similarity alone, and by similarity and comparison point by point, as
`lookalike cases` does. It reports the pairwise precision and recall of sellers, and the honest resellers that were
joined with anybody. A pair of sellers is right if both belong to one ring, and counts as one to be found if both have
flagged or review findings. Grouping: synthetic flagged findings go through `lookalike cases` in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import isnan
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.cases.comparison import find_shared
from lookalike.cases.grouping import build_cases
from lookalike.cases.shared_photos import SellerPhoto, SharedPhotos, same_files
from lookalike.cases.totals import seller_photos
from lookalike.detection.detector import Detector
from lookalike.index.build import build_index
from lookalike.index.neighbours import near_pairs
from lookalike.model.loading import load_encoder
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.benchmarks.harness import one_line_errors, run_command
from lookalike.scripts.benchmarks.vectors import unit
from lookalike.scripts.marketplace.sellers import deal
from lookalike.scripts.timing import Spread, show_table
from lookalike.tables.findings import finding_schema, read_findings
from lookalike.tables.inputs import read_listings, read_references

VERDICTS = ("flagged", "review")
WAYS = ("same file", "similarity", "similarity, points")


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of a rendered marketplace")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rings", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--findings", type=int, default=1_000_000, help="synthetic findings (default 1,000,000; 0 for none)"
    )
    parser.add_argument("--vectors", type=int, default=200_000, help="vectors to pair (default 200,000; 0 for none)")
    parser.add_argument("--keep", type=Path, help="folder to keep the dealt marketplaces in")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lookalike-benchmark-") as name:
        folder = arguments.keep or Path(name)
        seeds = range(arguments.seed, arguments.seed + arguments.rounds)
        measure_rings(arguments.data, folder, seeds, arguments.rings)
        if arguments.findings:
            measure_grouping(Path(name), arguments.findings)
        if arguments.vectors:
            measure_pairing(arguments.vectors)
    return 0


def measure_rings(data: Path, folder: Path, seeds: Iterable[int], rings: int) -> None:
    """Print, for each way of joining, the median and range of the rounds' figures."""
    rounds: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
    encoder, photos = load_encoder("embedded"), list[SellerPhoto]()
    for seed in seeds:
        dealt = folder / f"seed-{seed}"
        deal(data, dealt, seed=seed, rings=rings)
        build_index(read_references(dealt / "references.csv"), index=dealt / "index", encoder=encoder)
        detector = Detector.open(dealt / "index")
        scan_listings(read_listings(dealt / "listings.csv"), detector=detector, out=dealt / "findings.parquet")
        rows = list(read_findings(dealt / "findings.parquet"))
        photos = list(seller_photos(rows, verdicts=VERDICTS))
        with open(dealt / "sellers.csv", encoding="utf-8", newline="") as file:
            truth = {row["seller_id"]: row for row in csv.DictReader(file)}
        for way in WAYS:
            start = time.perf_counter()
            shared = _shared(way, photos, detector).shared
            seconds = time.perf_counter() - start
            groups = [case.sellers for case in build_cases(rows, verdicts=VERDICTS, shared=shared).cases]
            rounds[way].append((*_scores(groups, truth), seconds))
    print(f"{len(photos):,} photos of flagged and review findings in the last round; median (range) of all rounds")
    show_table(
        ("joined by", "precision", "recall", "rings whole", "honest joined", "seconds"),
        [(way, *map(_spread, zip(*each, strict=True))) for way, each in rounds.items()],
    )


def _shared(way: str, photos: Sequence[SellerPhoto], detector: Detector) -> SharedPhotos:
    if way == WAYS[0]:
        return same_files(photos)
    return find_shared(photos, index=detector.index, encoder=detector.encoder, reader=detector.reader,
                       verified=way == WAYS[2])  # fmt: skip


def _scores(groups: Sequence[Sequence[str]], truth: dict[str, dict[str, str]]) -> tuple[float, float, float, float]:
    """Pairwise precision and recall, the share of rings with all sellers in one case, and honest sellers joined."""
    ring = {seller: row["ring"] for seller, row in truth.items()}
    joined = {pair for group in groups for pair in combinations(sorted(group), 2)}
    found = sorted(seller for group in groups for seller in group)
    right = {pair for pair in combinations(found, 2) if ring[pair[0]] and ring[pair[0]] == ring[pair[1]]}
    of_group = {seller: number for number, group in enumerate(groups) for seller in group}
    members: dict[str, set[int]] = {}
    for seller in found:
        if ring[seller]:
            members.setdefault(ring[seller], set()).add(of_group[seller])
    honest = sum(truth[seller]["kind"] == "honest" and len(groups[of_group[seller]]) > 1 for seller in found)
    return (
        len(joined & right) / len(joined) if joined else float("nan"),
        len(joined & right) / max(1, len(right)),
        sum(len(cases) == 1 for cases in members.values()) / max(1, len(members)),
        honest,
    )


def _spread(values: Sequence[float]) -> str:
    values = [value for value in values if not isnan(value)]
    if not values:
        return "none joined"
    form = ".0f" if all(value == int(value) for value in values) and max(values) > 1 else ".2f"
    return "{} ({} to {})".format(*Spread.of(values).cells(form))


def measure_grouping(folder: Path, count: int) -> None:
    """Time `lookalike cases` on synthetic findings of a fifth as many sellers, with some photos shared."""
    rng = np.random.default_rng(0)
    path = folder / "findings.parquet"
    columns = {
        "listing_id": [f"L{number}" for number in range(count)],
        "seller_id": [f"s{number}" for number in (count // 5 * rng.random(count) ** 2).astype(int).tolist()],
        "image_sha256": [f"{number:064x}" for number in rng.integers(0, count * 4, count).tolist()],
        "price": [f"{price:.2f}" for price in rng.lognormal(3, 1, count).tolist()],
        "currency": rng.choice(["EUR", "GBP", "USD"], count),
        "territory": rng.choice(["DE", "FR", "GB", "US"], count),
        "brand": [f"brand {number}" for number in rng.integers(0, 500, count).tolist()],
        "product_id": [f"p{number}" for number in rng.integers(0, 20_000, count).tolist()],
        "kind": rng.choice(["lookalike", "same_print", "copied_photo"], count),
        "inliers": np.full(count, 20, np.int32),
        "similarity": np.full(count, 0.9, np.float32),
        **{name: [value] * count for name, value in (("verdict", "flagged"), ("policy", "p"), ("encoder", "e"))},
        "scanned_at": ["2026-11-24T09:05:00+00:00"] * count,
        "candidates": ["x" * 600] * count,
    }
    schema = finding_schema()
    table = {
        field.name: pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in schema
    }
    pq.write_table(pa.table(table, schema=schema), path, row_group_size=50_000)
    del columns, table
    (folder / "rates.csv").write_text("currency,rate\nGBP,1.16\nUSD,0.92\n", encoding="utf-8")
    used = run_command(
        "cases", path, "--out", folder / "cases.parquet", "--rates", folder / "rates.csv", "--currency", "EUR",
        "--quiet",
    )  # fmt: skip
    cases = pq.read_metadata(folder / "cases.parquet").num_rows
    print(f"{count:,} findings to {cases:,} cases in {used.seconds:.0f} s, {used.peak / 2**20:,.0f} MB at the most")


def measure_pairing(count: int) -> None:
    """Time finding near pairs by cells, and count how many of the planted pairs it finds."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(count, 256)).astype(np.float32)
    copies = rng.integers(0, count // 2, count // 10)
    vectors[-len(copies) :] = vectors[copies] + rng.normal(size=(len(copies), 256)).astype(np.float32) * 0.4
    vectors = unit(vectors)
    start = time.perf_counter()
    pairs, _ = near_pairs(vectors, threshold=0.85, exact=0)
    seconds = time.perf_counter() - start
    planted = {(int(old), count - len(copies) + at) for at, old in enumerate(copies)
               if float(vectors[old] @ vectors[count - len(copies) + at]) >= 0.85}  # fmt: skip
    found = len(planted & set(map(tuple, pairs.tolist())))
    print(f"{count:,} vectors paired by cells in {seconds:.0f} s: {found:,} of {len(planted):,} planted pairs found")


if __name__ == "__main__":
    raise SystemExit(main())
