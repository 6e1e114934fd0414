"""Measure what scans of changes save: nothing changed, files saved again, and new references for stored vectors.

Copies a folder's JPEGs, each a little narrower than the one before, so that no two pictures are equal, and scans them:
for the first time, unchanged with the state of that scan, unchanged with only the cache of vectors, and with new
metadata in every file. Then compares new references with stored vectors of listings, beside looking all listings up
again. Prints the median and range of several rounds, ratios, and whether the findings are the same.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.index.build import build_index
from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.encoder import Encoder, Vectors
from lookalike.model.loading import load_encoder
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Reach
from lookalike.records import Listing, Reference
from lookalike.scanning.changes import rescan_references, save_state_of, scan_changes
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.benchmarks.vectors import unit_parts
from lookalike.scripts.timing import Spread, in_turns, load, seconds_of, show_table
from lookalike.tables.findings import read_findings

Findings = Sequence[Mapping[str, Any]]
_POLICY = Policy("measured", flag=0.9, review=0.8, reach=Reach(references=0))
_FIRST, _STATE, _CACHE, _SAVED_AGAIN = (
    "first", "unchanged, with its state", "unchanged, with the cache", "saved again, with the cache",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of JPEGs")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--stored", type=int, default=200_000, help="stored vectors of listings")
    parser.add_argument("--new", type=int, default=1_000, help="new references")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    encoder = load_encoder("embedded", device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        rows = _scans(arguments, encoder, Path(scratch)) + _references(arguments, encoder, Path(scratch))
    show_table(("", "seconds", "least", "most", "times faster", "findings"), rows)
    print(f"load of the machine {load():.1f}; {arguments.rounds} rounds")
    return 0


def _scans(arguments: argparse.Namespace, encoder: Encoder, scratch: Path) -> list[tuple[str, ...]]:
    """Scan the pictures for the first time, and then again in three ways."""
    genuine = sorted(arguments.folder.glob("*.jpg"))
    listings = [
        Listing(f"L{i}", (_crop(genuine[i % len(genuine)], scratch / f"{i}.jpg", i // len(genuine)),))
        for i in range(arguments.pictures)
    ]
    references = [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(genuine[:100])]
    build_index(references, index=scratch / "index", encoder=encoder, features=False)
    detector = Detector(Lookup(encoder, ReferenceIndex.load(scratch / "index"), PhotoReader()), _POLICY)
    state, vectors, out = scratch / "state", scratch / "vectors.sqlite", scratch / "out.parquet"

    def changes(cache: VectorCache) -> None:
        scan_changes(listings, detector=detector, since=state, out=out, cache=cache)

    def everything(cache: VectorCache) -> None:
        scan_listings(listings, detector=detector, out=out, cache=cache)

    ways = {_FIRST: changes, _STATE: changes, _CACHE: everything, _SAVED_AGAIN: everything}
    same, expected = dict.fromkeys(ways, True), list[Findings]()

    def measure(name: str) -> float:
        if name == _FIRST:
            shutil.rmtree(state, ignore_errors=True)
            vectors.unlink(missing_ok=True)
        if name == _SAVED_AGAIN:
            for i, listing in enumerate(listings):
                _comment(Path(str(listing.images[0])), f"again {i}")
        seconds = seconds_of(partial(_with_cache, vectors, encoder, ways[name]))
        if name == _FIRST:
            expected[:] = [_rows(out)]
        same[name] &= _agree(_rows(out), expected[0])
        return seconds

    seconds = in_turns({name: name for name in ways}, rounds=arguments.rounds, measure=measure, warm_up=False)
    return [_line(name, seconds[name], seconds[_FIRST], same[name]) for name in ways]


def _references(arguments: argparse.Namespace, encoder: Encoder, scratch: Path) -> list[tuple[str, ...]]:
    """Compare new references with listings' vectors. Both are random, and there are no pictures to open."""
    rng = np.random.default_rng(0)
    spec = encoder.spec
    genuine = unit_parts(rng.normal(size=(5_000 + arguments.new, spec.width)), spec)
    near = 0.5 * genuine[rng.integers(len(genuine), size=arguments.stored)]
    offered = unit_parts(near + 0.5 * unit_parts(rng.normal(size=near.shape), spec), spec)
    index = ReferenceIndex(encoder.spec)
    _add(index, genuine[:5_000], 0)
    index.save(scratch / "made-up")
    detector = Detector(Lookup(encoder, ReferenceIndex.load(scratch / "made-up"), PhotoReader()), _POLICY)
    known = [(Listing(f"L{i}", (f"{i}.jpg",)), [EmbeddedPhoto(f"{i:064}", vector)]) for i, vector in enumerate(offered)]
    save_state_of(detector, known, scratch / "stored")
    _add(index, genuine[5_000:], 5_000)
    index.save(scratch / "made-up")
    later = replace(detector, lookup=replace(detector.lookup, index=ReferenceIndex.load(scratch / "made-up")))

    def new_references() -> float:
        shutil.rmtree(scratch / "copy", ignore_errors=True)
        shutil.copytree(scratch / "stored", scratch / "copy")
        return seconds_of(
            lambda: rescan_references(detector=later, since=scratch / "copy", out=scratch / "new.parquet")
        )

    def all_again() -> float:
        return seconds_of(lambda: save_state_of(later, known, scratch / "fresh"))

    jobs = {
        f"{arguments.stored:,} stored vectors, all looked up again": all_again,
        f"{arguments.new:,} new references compared with them": new_references,
    }
    seconds = in_turns(jobs, rounds=arguments.rounds, measure=lambda job: job(), warm_up=False)
    rescan_references(detector=later, since=scratch / "fresh", out=scratch / "fresh.parquet")
    same = _agree(_rows(scratch / "new.parquet"), _rows(scratch / "fresh.parquet"))
    (all_name, again), (new_name, fresh) = seconds.items()
    return [_line(all_name, again, again, True), _line(new_name, fresh, again, same)]


def _add(index: ReferenceIndex, vectors: Vectors, start: int) -> None:
    names = [f"r{start + i}" for i in range(len(vectors))]
    index.add([Reference(n, n, "Brand", f"{n}.jpg") for n in names], vectors, hashes=names)


def _crop(source: Path, target: Path, margin: int) -> Path:
    """The same picture, this many pixels narrower, so that its pixels are others."""
    with Image.open(source) as image:
        image.crop((margin, 0, *image.size)).save(target, quality=90)
    return target


def _comment(path: Path, comment: str) -> None:
    """Save the file again with a comment behind its first marker."""
    data, text = path.read_bytes(), comment.encode()
    path.write_bytes(data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + data[2:])


def _with_cache(file: Path, encoder: Encoder, work: Callable[[VectorCache], None]) -> None:
    with VectorCache(file, encoder.spec) as cache:
        work(cache)


def _rows(path: Path) -> Findings:
    return list(read_findings(path))


def _agree(found: Findings, expected: Findings) -> bool:
    """Whether listings, verdicts and references are the same, and similarities to six digits."""
    names = ("listing_id", "verdict", "kind", "reference_id", "product_id", "threshold")
    return len(found) == len(expected) and all(
        all(a[name] == b[name] for name in names) and abs((a["similarity"] or 0) - (b["similarity"] or 0)) < 1e-6
        for a, b in zip(found, expected, strict=True)
    )


def _line(name: str, seconds: Sequence[float], first: Sequence[float], same: bool) -> tuple[str, ...]:
    spread = Spread.of(seconds)
    faster = Spread.of(first).median / spread.median
    return (name, *spread.cells(".2f"), f"{faster:.1f}", "the same" if same else "DIFFERENT")


if __name__ == "__main__":
    raise SystemExit(main())
