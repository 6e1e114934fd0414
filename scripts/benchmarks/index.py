"""Measure search by size: exact search, this library's index, HNSW and others on the same vectors, in turns.

Draws clustered vectors, or with `--data real` repeats those of a .npy file (--vectors) with noise, as many as --sizes
says. `--embed FOLDER` makes that file from a folder of pictures if it does not exist.

For each contestant it measures queries a second in a batch, the median and 99th percentile of a single query, bytes a
vector in memory (anonymous memory of a new process that opened the index) and on disk, seconds to build and to open,
and how often it decides as exact search does. For this library's index also: adding and removing 1,000 references, and
whether it still decides as exact search over what it then holds. Each of the others runs in turns with exact search
and this index, so that ratios hold on a busy machine. Writes index.json after each contestant; prints and plots it all.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import TableError
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.model.encoder import Vectors
from lookalike.model.loading import load_encoder
from lookalike.scripts.bench_pictures import pictures_below
from lookalike.scripts.benchmarks.contestants import (
    CONTESTANTS,
    EXACT,
    OTHERS,
    OURS,
    Answer,
    Contestant,
    memory_when_open,
    nearest_of,
)
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.index_decisions import agreement, measure_changes, measure_half
from lookalike.scripts.benchmarks.index_report import draw, show
from lookalike.scripts.benchmarks.vectors import drawn_vectors, mapped_vectors, queries_near, repeated_vectors
from lookalike.scripts.timing import Spread, in_turns, load, seconds_of

_SINGLE = 40  # queries a round that are timed one by one
_MOST_HALVES = 200_000


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON, the plots and the indexes made")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512, help="numbers in a drawn vector (default 512)")
    parser.add_argument("--data", choices=["drawn", "real"], nargs="+", default=["drawn"])
    parser.add_argument("--vectors", type=Path, help=".npy file of real vectors, float32 (n, dim), of length 1")
    parser.add_argument("--embed", type=Path, help="folder of pictures to make that file from")
    names = [each.name for each in OTHERS]
    parser.add_argument("--others", choices=names, nargs="*", default=names)
    parser.add_argument("--queries", type=int, default=1000, help="in a batch (default 1,000)")
    parser.add_argument("--probes", type=int, default=4000, help="to compare decisions on (default 4,000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--opened", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.opened:
        name, path, dim = arguments.opened
        print(json.dumps(memory_when_open(CONTESTANTS[name], path, int(dim))))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = arguments.out / "index.json"
    results: list[dict[str, Any]] = json.loads(report.read_text()) if report.exists() else []
    for data in arguments.data:
        for size in arguments.sizes:
            for result in _measure(data, size, arguments):
                same = [old for old in results if all(old[key] == result[key] for key in ("data", "size", "name"))]
                results = [old for old in results if old not in same] + [result]
                report.write_text(json.dumps(results, indent=1) + "\n")
        draw([result for result in results if result["data"] == data], arguments.out / f"index-{data}.png")
    show(results)
    return 0


@dataclass(frozen=True)
class _Built:
    """A contestant with the index it built in `seconds`, and where the index is saved."""

    contestant: Contestant
    index: Any
    seconds: float
    path: Path

    def search(self, queries: Vectors) -> Any:
        return self.contestant.search(self.index, queries)


def _measure(data: str, size: int, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The figures of each contestant on vectors of this kind and number."""
    rng = np.random.default_rng(size)
    vectors = _vectors(data, size, arguments, rng)
    batch, probes = queries_near(vectors, arguments.queries, rng), queries_near(vectors, arguments.probes, rng)
    path = arguments.out / f"{data}-{size}"
    flat, ours = _build(EXACT, vectors, path), _build(OURS, vectors, path)
    truth = _nearest(flat, probes)
    both = {EXACT.name: flat, OURS.name: ours}
    turns = _in_turns(both, batch, arguments.rounds)

    def result(built: _Built, found: Answer, **more: Any) -> dict[str, Any]:
        common = {"data": data, "size": size, "dim": vectors.shape[1], "threads": _threads()}
        return {**common, **turns[built.contestant.name], **agreement(found, truth), **_saved(built, vectors), **more}

    yield result(flat, truth)
    learnt = ours.index.agreement
    half = measure_half(flat.index, vectors, probes) if size <= _MOST_HALVES else None
    found = nearest_of(ours.index, probes)
    built = result(ours, found, exact=learnt is None, agreement=learnt and learnt.to_json(), half=half)
    yield {**built, **measure_changes(path, flat.index, vectors, probes)}
    both[OURS.name] = replace(ours, index=OURS.open(str(path), vectors.shape[1]))
    for name in arguments.others:
        gc.collect()
        other = _build(CONTESTANTS[name], vectors, path)
        turns = _in_turns({**both, name: other}, batch, arguments.rounds)
        yield result(other, _nearest(other, probes), beside={each: turns[each] for each in both})
        del other


def _threads() -> int:
    import faiss

    return int(faiss.omp_get_max_threads())


def _vectors(data: str, size: int, arguments: argparse.Namespace, rng: np.random.Generator) -> Vectors:
    path = arguments.out / f"{data}-{size}.npy"
    if data == "drawn":
        return mapped_vectors(drawn_vectors(size, arguments.dim, rng), path, (size, arguments.dim))
    if arguments.vectors is None:
        raise TableError("--data real needs real vectors; name their .npy file with --vectors")
    if not arguments.vectors.exists():
        _embed(arguments.embed, arguments.vectors)
    real = np.load(arguments.vectors)
    return mapped_vectors(repeated_vectors(real, size, rng), path, (size, real.shape[1]))


def _embed(folder: Path | None, path: Path) -> None:
    if folder is None:
        raise TableError(f"{path} does not exist; name a folder of pictures to make it from with --embed")
    encoder = load_encoder("embedded", device="cpu")
    photos = embed_photos(pictures_below(folder), encoder=encoder, reader=PhotoReader())
    np.save(path, np.stack([photo.vector for photo in photos if photo.vector is not None]))


def _build(contestant: Contestant, vectors: Vectors, path: Path) -> _Built:
    """Build an index and time it; this library's is also saved, which partitions it, and opened again."""
    start = time.perf_counter()
    index = contestant.build(vectors)
    if contestant is not OURS:
        place = path.with_suffix(f".{contestant.name.split()[0].lower()}")
        return _Built(contestant, index, time.perf_counter() - start, place)
    contestant.save(index, str(path))
    seconds = time.perf_counter() - start
    return _Built(contestant, contestant.open(str(path), vectors.shape[1]), seconds, path)


def _in_turns(searches: Mapping[str, _Built], batch: Vectors, rounds: int) -> dict[str, dict[str, Any]]:
    """Of each: queries a second in a batch (median, least, most), a single query's ms (median, 99th percentile)."""
    starts = {name: count(step=_SINGLE) for name in searches}

    def measure(name: str) -> tuple[float, list[float]]:
        search, start = searches[name].search, next(starts[name])
        rate = len(batch) / seconds_of(lambda: search(batch))
        some = batch[np.arange(start, start + _SINGLE) % len(batch)]
        return rate, [1000 * seconds_of(lambda query=query: search(query[None])) for query in some]  # type: ignore[misc]

    return {
        name: _speed([rate for rate, _ in turns], [each for _, single in turns for each in single])
        for name, turns in in_turns({name: name for name in searches}, rounds=rounds, measure=measure).items()
    }


def _speed(rates: Sequence[float], single: Sequence[float]) -> dict[str, Any]:
    rate = Spread.of(rates)
    return {
        "rate": rate.median, "rate_least": rate.least, "rate_most": rate.most,
        "p50_ms": float(np.percentile(single, 50)), "p99_ms": float(np.percentile(single, 99)), "load": load(),
    }  # fmt: skip


def _nearest(built: _Built, queries: Vectors) -> Answer:
    similarity, rows = built.search(queries)
    return similarity[:, 0], rows[:, 0]


def _saved(built: _Built, vectors: Vectors) -> dict[str, Any]:
    """Seconds to build, bytes a vector on disk and in the memory of a new process that opens it, seconds to open it."""
    name, path = built.contestant.name, built.path
    if name != OURS.name:
        built.contestant.save(built.index, str(path))
    command = [sys.executable, __file__, "--out", str(path.parent), "--opened", name, str(path), str(vectors.shape[1])]
    opened = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    files = [path] if path.is_file() else list(path.iterdir())
    disk = sum(file.stat().st_size for file in files)
    if name != OURS.name:
        path.unlink()
    return {
        "name": name, "build_s": built.seconds, "disk": disk / len(vectors),
        "memory": opened["anonymous"] / len(vectors), "open_s": opened["seconds"],
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
