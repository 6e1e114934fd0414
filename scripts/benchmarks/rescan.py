"""Measure what scans of changes spare: everything unchanged, saved again, and new references against stored vectors.

Copies a folder's JPEGs, each a little narrower than the one before, so that no two pictures are equal, and scans them:
for the first time, unchanged with the state of that scan, unchanged with the cache of vectors alone, and with new
metadata in every file. Then holds new references against listings' vectors that are made up, beside looking all of
them up again. Prints medians of several rounds, ratios, and whether the findings are the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from lookalike.detection.detector import Detector
from lookalike.index.build import build_index
from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.encoder import Encoder, load_encoder
from lookalike.policy.policy import Policy, Reach
from lookalike.records import Listing, Reference
from lookalike.scanning.changes import rescan_references, scan_changes
from lookalike.scanning.scan import scan_listings
from lookalike.tables.findings import read_findings

_POLICY = Policy("measured", flag=0.9, review=0.8, reach=Reach(references=0))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of JPEGs")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--stored", type=int, default=200_000, help="listings' vectors that new references meet")
    parser.add_argument("--new", type=int, default=1_000, help="new references")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    encoder = load_encoder("embedded", device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        rows = _scans(arguments, encoder, Path(scratch)) + _references(arguments, encoder, Path(scratch))
    table = Table("", "seconds", "least", "most", "times faster", "findings", box=None)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=120).print(table)
    print(f"load of the machine {os.getloadavg()[0]:.1f}; {arguments.rounds} rounds")
    return 0


def _scans(arguments: argparse.Namespace, encoder: Encoder, scratch: Path) -> list[tuple[str, ...]]:
    genuine = sorted(arguments.folder.glob("*.jpg"))
    listings = [
        Listing(f"L{i}", (_crop(genuine[i % len(genuine)], scratch / f"{i}.jpg", i // len(genuine)),))
        for i in range(arguments.pictures)
    ]
    references = [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(genuine[:100])]
    build_index(references, index=scratch / "index", encoder=encoder, features=False)
    detector = Detector(encoder, ReferenceIndex.load(scratch / "index"), _POLICY, PhotoReader())
    state, file = scratch / "state", scratch / "vectors.sqlite"
    names = ("first", "unchanged, with its state", "unchanged, with the cache", "saved again, with the cache")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    same = dict.fromkeys(names, True)
    for _ in range(arguments.rounds):
        shutil.rmtree(state, ignore_errors=True)
        file.unlink(missing_ok=True)
        out = scratch / "out.parquet"

        def changes(cache: VectorCache, out: Path = out) -> object:
            return scan_changes(listings, detector=detector, since=state, out=out, cache=cache)

        def everything(cache: VectorCache, out: Path = out) -> object:
            return scan_listings(listings, detector=detector, out=out, cache=cache)

        first: list[dict[str, Any]] = []
        for name, work in zip(names, (changes, changes, everything, everything), strict=True):
            if name == names[3]:
                for i, listing in enumerate(listings):
                    _comment(Path(str(listing.images[0])), f"again {i}")
            seconds[name].append(_seconds(lambda work=work: _with_cache(file, encoder, work)))  # type: ignore[misc]
            found = _rows(out)
            first = first or found
            same[name] &= _agree(found, first)
    return [_line(name, seconds[name], seconds[names[0]], same[name]) for name in names]


def _references(arguments: argparse.Namespace, encoder: Encoder, scratch: Path) -> list[tuple[str, ...]]:
    """New references against listings' vectors; the pictures are nowhere, so none can be opened."""
    rng = np.random.default_rng(0)
    dim = encoder.spec.dim
    genuine = _unit(rng.normal(size=(5_000 + arguments.new, dim)))
    offered = _unit(
        0.5 * genuine[rng.integers(len(genuine), size=arguments.stored)] + _noise(rng, arguments.stored, dim)
    )
    index = ReferenceIndex(encoder.spec)
    _add(index, genuine[:5_000], 0)
    index.save(scratch / "made-up")
    detector = Detector(encoder, ReferenceIndex.load(scratch / "made-up"), _POLICY, PhotoReader())
    known = [(Listing(f"L{i}", (f"{i}.jpg",)), [EmbeddedPhoto(f"{i:064}", vector)]) for i, vector in enumerate(offered)]
    _keep(detector, known, scratch / "stored")
    _add(index, genuine[5_000:], 5_000)
    index.save(scratch / "made-up")
    later = replace(detector, index=ReferenceIndex.load(scratch / "made-up"))
    again, fresh = [], []
    for _ in range(arguments.rounds):
        shutil.copytree(scratch / "stored", scratch / "copy")
        again.append(
            _seconds(lambda: rescan_references(detector=later, since=scratch / "copy", out=scratch / "new.parquet"))
        )
        shutil.rmtree(scratch / "copy")
        fresh.append(_seconds(lambda: _keep(later, known, scratch / "fresh")))
    rescan_references(detector=later, since=scratch / "fresh", out=scratch / "fresh.parquet")
    same = _agree(_rows(scratch / "new.parquet"), _rows(scratch / "fresh.parquet"))
    return [
        _line(f"{arguments.stored:,} stored vectors all looked up again", fresh, fresh, True),
        _line(f"{arguments.new:,} new references held against them", again, fresh, same),
    ]


def _keep(detector: Detector, known: Sequence[tuple[Listing, list[EmbeddedPhoto]]], folder: Path) -> None:
    from lookalike.scanning.changes import state_of

    state_of(detector, known).save(folder)


def _add(index: ReferenceIndex, vectors: np.ndarray[Any, np.dtype[np.float32]], start: int) -> None:
    names = [f"r{start + i}" for i in range(len(vectors))]
    index.add([Reference(n, n, "Brand", f"{n}.jpg") for n in names], vectors, hashes=names)


def _unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    unit: np.ndarray[Any, np.dtype[np.float32]] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


def _noise(rng: np.random.Generator, count: int, dim: int) -> np.ndarray[Any, Any]:
    return 0.5 * _unit(rng.normal(size=(count, dim)))


def _crop(source: Path, target: Path, margin: int) -> Path:
    """The same picture, so many pixels narrower: another picture for whoever compares pixels."""
    with Image.open(source) as image:
        image.crop((margin, 0, *image.size)).save(target, quality=90)
    return target


def _comment(path: Path, comment: str) -> None:
    """Save the file again with a comment behind its first marker."""
    data, text = path.read_bytes(), comment.encode()
    path.write_bytes(data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + data[2:])


def _with_cache(file: Path, encoder: Encoder, work: Callable[[VectorCache], object]) -> None:
    with VectorCache(file, encoder.spec) as cache:
        work(cache)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read_findings(path))


def _agree(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> bool:
    """Whether listings, verdicts and references are the same, and similarities to six digits."""
    names = ("listing_id", "verdict", "kind", "reference_id", "product_id", "threshold")
    return len(found) == len(expected) and all(
        all(a[name] == b[name] for name in names) and abs((a["similarity"] or 0) - (b["similarity"] or 0)) < 1e-6
        for a, b in zip(found, expected, strict=True)
    )


def _line(name: str, seconds: Sequence[float], first: Sequence[float], same: bool) -> tuple[str, ...]:
    values = [f"{value:.2f}" for value in (median(seconds), min(seconds), max(seconds))]
    return (name, *values, f"{median(first) / median(seconds):.1f}", "the same" if same else "OTHERS")


if __name__ == "__main__":
    raise SystemExit(main())
