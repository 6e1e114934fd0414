"""Measure searching by size: exact search, this library's index, HNSW and others side by side, on the same vectors.

Draws clustered vectors, and with --vectors repeats the real ones of a .npy file with noise, as many as each of --sizes
asks for; builds every contestant, and looks up the same vectors in all of them in turns, several times. Measured of
each: queries a second in one batch, a single query's median and 99th percentile, bytes a vector in memory (anonymous
memory of a fresh process that opened it) and on disk, seconds to build and to open, and how often it decides as exact
search does. Of this library's index also adding and removing 1,000 references, and whether it still decides as exact
search over what it then holds. Each other contestant is measured beside exact search and this index in the same turns,
so that ratios hold on a machine that is not alone. Writes JSON after each, a table and a plot. `--embed FOLDER` makes
the .npy file of --vectors from the pictures in a folder, where it is not there yet.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lookalike.errors import MissingExtraError
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.index.partition import similarities_at
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import EncoderSpec, Preprocessing, load_encoder
from lookalike.records import Reference

Rows = NDArray[np.float32]
Answer = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Similarity and row, both (n,), of what was found to be nearest; row −1 where nothing was."""

EXACT, OURS = "Flat (FAISS)", "lookalike"
OTHERS = ("HNSW (FAISS)", "usearch", "hnswlib")
_THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.05), 2)
_SAME = 1e-5
_TOP, _CHANGED, _PER_PRODUCT, _BRANDS = 5, 1000, 4, 50
_MOST_HALVES = 200_000
_LINKS, _BUILDING, _LOOKING = 16, 64, 64  # of each graph: links a node, and how widely it is built and searched


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON, the plots and the indexes made")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512, help="numbers a drawn vector (default 512)")
    parser.add_argument("--data", choices=["drawn", "real"], nargs="+", default=["drawn"])
    parser.add_argument("--vectors", type=Path, help=".npy file of real vectors, float32 (n, dim) of length 1")
    parser.add_argument("--embed", type=Path, help="folder of pictures to make that file of")
    parser.add_argument("--others", choices=OTHERS, nargs="*", default=list(OTHERS))
    parser.add_argument("--queries", type=int, default=1000, help="in a batch (default 1,000)")
    parser.add_argument("--probes", type=int, default=4000, help="to compare decisions on (default 4,000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--opened", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.opened:
        print(json.dumps(_memory_of(*arguments.opened)))
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
    console = Console(highlight=False, width=200)
    console.print(table_of(results))
    for each in results:
        if each.get("half"):
            console.print(f"{each['data']} {each['size']:,}: {_said(each['half'])}")
    return 0


def drawn_vectors(count: int, dim: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Blocks of vectors of length 1 in clusters within clusters: kinds of goods, products of a kind, photos of one."""
    kinds = _unit(rng.standard_normal((max(8, count // 500), dim), dtype=np.float32))
    products = max(16, count // 8)
    around = _unit(rng.standard_normal((products, dim), dtype=np.float32))
    centres = _unit(kinds[rng.integers(0, len(kinds), products)] + 0.9 * around)
    for start in range(0, count, 1 << 16):
        rows = min(1 << 16, count - start)
        around = _unit(rng.standard_normal((rows, dim), dtype=np.float32))
        yield _unit(centres[rng.integers(0, products, rows)] + 0.6 * around)


def repeated_vectors(real: Rows, count: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Blocks of the real vectors, first as they are and then again with noise, at a similarity of 0.75 to 0.98."""
    for start in range(0, count, len(real)):
        block = real[: count - start]
        yield block if start == 0 else _moved(block, rng.uniform(0.75, 0.98, (len(block), 1)), rng)


def queries_near(vectors: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Half of them vectors moved to a similarity of 0.5 to 1, half on the way from one vector to another."""
    own, other = (np.asarray(vectors[rng.integers(0, len(vectors), count)]) for _ in range(2))
    moved = _moved(own, rng.uniform(0.5, 1, (count, 1)), rng)
    share = rng.uniform(0, 0.5, (count, 1)).astype(np.float32)
    return np.where(np.arange(count)[:, None] % 2, moved, _unit((1 - share) * own + share * other))


def _moved(vectors: Rows, similarity: NDArray[np.float64], rng: np.random.Generator) -> Rows:
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    noise = _unit(noise - np.sum(noise * vectors, axis=1, keepdims=True) * vectors)
    return _unit(similarity * vectors + np.sqrt(1 - similarity**2) * noise)


def _unit(vectors: NDArray[Any]) -> Rows:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _measure(data: str, size: int, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import faiss

    rng = np.random.default_rng(size)
    vectors = _vectors(data, size, arguments, rng)
    batch, probes = queries_near(vectors, arguments.queries, rng), queries_near(vectors, arguments.probes, rng)
    here = arguments.out / f"{data}-{size}"
    ours, seconds = _build_ours(vectors, here)
    start = time.perf_counter()
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    spent = time.perf_counter() - start
    truth = _exact(flat, probes)
    both: dict[str, Callable[[Rows], object]] = {
        EXACT: lambda rows: flat.search(rows, _TOP),
        OURS: lambda rows: ours.search(rows, top=_TOP),
    }
    common = {"data": data, "size": size, "dim": vectors.shape[1], "threads": faiss.omp_get_max_threads()}
    turns = _in_turns(both, batch, arguments.rounds)
    file = here.with_suffix(".flat")
    faiss.write_index(flat, str(file))
    yield common | {
        "name": EXACT, "build_s": spent, "disk": file.stat().st_size / size,
        "decisions": 1.0, "nearest": 1.0, "probes": len(probes), "misses": 0,
    } | turns[EXACT] | _opened(EXACT, file, vectors)  # fmt: skip
    file.unlink()
    agreement = ours.agreement
    yield common | {
        "name": OURS, "build_s": seconds, "disk": _bytes(here) / size, "exact": agreement is None,
        "agreement": agreement.to_json() if agreement is not None else None,
        "half": _stored_in_half(flat, vectors, probes) if size <= _MOST_HALVES else None,
    } | turns[OURS] | _agreement(_ours_answer(ours, probes), truth) | _opened(OURS, here, vectors) | _changes(
        ours, here, flat, vectors, probes
    )  # fmt: skip
    ours = ReferenceIndex.load(here)
    for name in arguments.others:
        gc.collect()
        start = time.perf_counter()
        search, save = _BUILD[name](vectors)
        spent = time.perf_counter() - start
        three = both | {name: lambda rows, search=search: search(rows)[0]}
        turns = _in_turns(three, batch, arguments.rounds)
        path = here.with_suffix("." + name.split()[0].lower())
        save(str(path))
        similarity, rows = search(probes)
        yield common | {
            "name": name, "build_s": spent, "disk": path.stat().st_size / size,
            "beside": {each: turns[each] for each in both},
        } | turns[name] | _agreement((similarity[:, 0], rows[:, 0]), truth) | _opened(name, path, vectors)  # fmt: skip
        path.unlink()
        del search, save, three


def _vectors(data: str, size: int, arguments: argparse.Namespace, rng: np.random.Generator) -> Rows:
    """The vectors, in a file that is mapped, so that what has to be in memory is the contestants'."""
    if data == "real":
        if arguments.vectors is None:
            raise SystemExit("real vectors were asked for; name their file with --vectors")
        if not arguments.vectors.exists():
            _embed(arguments.embed, arguments.vectors)
        real = np.load(arguments.vectors)
        blocks, dim = repeated_vectors(real, size, rng), real.shape[1]
    else:
        blocks, dim = drawn_vectors(size, arguments.dim, rng), arguments.dim
    path = arguments.out / f"{data}-{size}.npy"
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(size, dim))
    place = 0
    for block in blocks:
        mapped[place : place + len(block)] = block
        place += len(block)
    return np.asarray(mapped)


def _embed(folder: Path | None, path: Path) -> None:
    if folder is None:
        raise SystemExit(f"{path} is not there; name a folder of pictures to make it of with --embed")
    endings = {".jpg", ".jpeg", ".png", ".webp"}
    pictures = sorted(str(each) for each in folder.rglob("*") if each.suffix.lower() in endings)
    photos = embed_photos(pictures, encoder=load_encoder("embedded", device="cpu"), reader=PhotoReader())
    np.save(path, np.stack([photo.vector for photo in photos if photo.vector is not None]))


def _build_ours(vectors: Rows, folder: Path) -> tuple[ReferenceIndex, float]:
    references = [_reference(row) for row in range(len(vectors))]
    hashes = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(len(vectors))]
    start = time.perf_counter()
    index = ReferenceIndex(_spec(vectors.shape[1]))
    index.add(references, np.asarray(vectors), hashes=hashes)
    index.save(folder)
    spent = time.perf_counter() - start
    return ReferenceIndex.load(folder), spent


def _reference(row: int, *, fresh: bool = False) -> Reference:
    product = row // _PER_PRODUCT
    name = f"n{row}" if fresh else f"r{row}"
    return Reference(name, f"p{product}", f"brand {product % _BRANDS}", f"photos/{name}.jpg")


def _spec(dim: int) -> EncoderSpec:
    looks = Preprocessing((1, 1), (0.0,) * 3, (1.0,) * 3, "bicubic", "squash")
    return EncoderSpec("benchmark", "benchmark", "0" * 64, dim, looks)


def _changes(index: ReferenceIndex, folder: Path, flat: Any, vectors: Rows, probes: Rows) -> dict[str, Any]:
    """Seconds to add and to remove 1,000 references, opening and saving included; then decisions against exact search.

    The library's index is left changed. `flat` is as it was, again.
    """
    rng = np.random.default_rng(1)
    count = min(_CHANGED, len(vectors) // 10)
    fresh = queries_near(vectors, count, rng)
    gone = rng.choice(len(vectors), count, replace=False)
    seconds = {}
    start = time.perf_counter()
    index = ReferenceIndex.load(folder)
    index.add([_reference(row, fresh=True) for row in range(count)], fresh, hashes=["f" * 64] * count)
    index.save(folder)
    seconds["add_s"] = time.perf_counter() - start
    start = time.perf_counter()
    index = ReferenceIndex.load(folder)
    index.remove(references=[f"r{row}" for row in gone.tolist()])
    index.save(folder)
    seconds["remove_s"] = time.perf_counter() - start
    some = probes[:1000]
    similarity, rows = flat.search(some, 50)
    similarity[np.isin(rows, gone)] = -1
    truth = np.maximum(similarity.max(axis=1), (some @ fresh.T).max(axis=1))
    values, found = _ours_answer(ReferenceIndex.load(folder), some)
    return seconds | {"after_changes": _agreement((values, found), (truth, np.full_like(found, -1)))}


def _stored_in_half(flat: Any, vectors: Rows, probes: Rows) -> dict[str, Any]:
    """What storing vectors in half precision would come to: similarities, decisions, and seconds to compare candidates.

    Half-precision rows are taken and widened by numpy, as FAISS has no function that compares named rows of these.
    """
    some = probes[:1000]
    similarity, rows = flat.search(some, min(64, len(vectors)))
    halves = np.asarray(vectors, np.float16)
    start = time.perf_counter()
    similarities_at(some, vectors, rows)
    full_s = time.perf_counter() - start
    start = time.perf_counter()
    rounded = np.stack([halves[near].astype(np.float32) @ query for near, query in zip(rows, some, strict=True)])
    half_s = time.perf_counter() - start
    best = rounded.max(axis=1), rows[np.arange(len(some)), rounded.argmax(axis=1)]
    truth = similarity[:, 0], rows[:, 0]
    return {"most_off": float(np.abs(rounded - similarity).max()), "full_s": full_s, "half_s": half_s} | _agreement(
        best, truth
    )


def _said(half: dict[str, Any]) -> str:
    return (
        f"stored in half precision, similarities would be up to {half['most_off']:.1e} off, {half['misses']} of "
        f"{half['probes']} probes would find another reference, {half['decisions']:.5f} of decisions equal, "
        f"and comparing candidates would take {half['half_s'] / half['full_s']:.1f} times as long"
    )


def _ours_answer(index: ReferenceIndex, queries: Rows) -> Answer:
    matches = [found[0] for found in index.search(queries, top=1)]
    rows = np.array([int(match.reference.id[1:]) for match in matches], np.int64)
    return np.array([match.similarity for match in matches], np.float32), rows


def _exact(flat: Any, queries: Rows) -> Answer:
    similarity, rows = flat.search(queries, 1)
    return similarity[:, 0], rows[:, 0]


def _agreement(found: Answer, truth: Answer) -> dict[str, Any]:
    """Share of decisions (at every threshold from 0.5 to 0.95) as by exact search, and of nearest ones found."""
    near, exact = found[0], truth[0]
    clear = np.abs(exact[:, None] - _THRESHOLDS) > _SAME  # nearer to a threshold, exact sums differ among themselves
    same = ((near[:, None] >= _THRESHOLDS) == (exact[:, None] >= _THRESHOLDS)) | ~clear
    nearest = (found[1] == truth[1]) | (np.abs(near - exact) <= _SAME)
    return {
        "decisions": float(same.mean()), "nearest": float(nearest.mean()), "probes": len(near),
        "misses": int((~nearest).sum()),
    }  # fmt: skip


def _in_turns(searches: dict[str, Callable[[Rows], object]], batch: Rows, rounds: int) -> dict[str, dict[str, Any]]:
    """Of each: queries a second in a batch (median, least, most) and a single query's ms (median, 99th percentile)."""
    rates: dict[str, list[float]] = {name: [] for name in searches}
    single: dict[str, list[float]] = {name: [] for name in searches}
    for turn in range(rounds + 1):
        for name, search in searches.items():
            start = time.perf_counter()
            search(batch)
            spent = time.perf_counter() - start
            times = []
            for query in batch[np.arange(40 * turn, 40 * turn + 40) % len(batch)]:
                begin = time.perf_counter()
                search(query[None])
                times.append(1000 * (time.perf_counter() - begin))
            if turn:  # the first warms up
                rates[name].append(len(batch) / spent)
                single[name] += times
    return {
        name: {
            "rate": median(rates[name]), "rate_least": min(rates[name]), "rate_most": max(rates[name]),
            "p50_ms": float(np.percentile(single[name], 50)), "p99_ms": float(np.percentile(single[name], 99)),
            "load": os.getloadavg()[0],
        }
        for name in searches
    }  # fmt: skip


def _faiss_hnsw(vectors: Rows) -> tuple[Callable[[Rows], Answer], Callable[[str], None]]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = _BUILDING, _LOOKING
    index.add(np.ascontiguousarray(vectors))
    return lambda rows: index.search(rows, _TOP), lambda path: faiss.write_index(index, path)


def _usearch(vectors: Rows) -> tuple[Callable[[Rows], Answer], Callable[[str], None]]:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("usearch", "benchmark") from error
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=_LINKS, expansion_add=_BUILDING,
                  expansion_search=_LOOKING)  # fmt: skip
    threads = os.cpu_count() or 1
    index.add(np.arange(len(vectors)), np.asarray(vectors), threads=threads)

    def search(rows: Rows) -> Answer:
        found = index.search(rows, _TOP, threads=threads)
        return np.atleast_2d(1 - found.distances), np.atleast_2d(found.keys).astype(np.int64)

    def save(path: str) -> None:
        index.save(path)

    return search, save


def _hnswlib(vectors: Rows) -> tuple[Callable[[Rows], Answer], Callable[[str], None]]:
    try:
        import hnswlib
    except ImportError as error:
        raise MissingExtraError("hnswlib", "benchmark") from error
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=_LINKS, ef_construction=_BUILDING, random_seed=1)
    index.add_items(vectors, num_threads=os.cpu_count() or 1)
    index.set_ef(_LOOKING)

    def search(rows: Rows) -> Answer:
        labels, distances = index.knn_query(rows, k=_TOP, num_threads=os.cpu_count() or 1)
        return 1 - distances, labels.astype(np.int64)

    return search, index.save_index


_BUILD = {"HNSW (FAISS)": _faiss_hnsw, "usearch": _usearch, "hnswlib": _hnswlib}


def _opened(name: str, path: Path, vectors: Rows) -> dict[str, float]:
    """Bytes a vector in the memory of a fresh process that opened it and searched once, and seconds to open it."""
    command = [sys.executable, __file__, "--out", str(path.parent), "--opened", name, str(path), str(vectors.shape[1])]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    return {"memory": answer["anonymous"] / len(vectors), "open_s": answer["seconds"]}


def _memory_of(name: str, path: str, dim: str) -> dict[str, float]:
    import faiss

    if name == OURS:
        ReferenceIndex(_spec(8)).save(Path(path) / "warm")  # so that what is imported late is not counted
        ReferenceIndex.load(Path(path) / "warm")
        for each in (Path(path) / "warm").iterdir():
            each.unlink()
        (Path(path) / "warm").rmdir()
    elif name == "usearch":
        from usearch.index import Index
    elif name == "hnswlib":
        import hnswlib
    before, start = _anonymous(), time.perf_counter()
    index: Any
    if name == OURS:
        index = ReferenceIndex.load(path)
        spent = time.perf_counter() - start
        index.search(np.eye(1, index.spec.dim, dtype=np.float32))
    elif name == "usearch":
        index = Index.restore(path)
        spent = time.perf_counter() - start
    elif name == "hnswlib":
        index = hnswlib.Index(space="ip", dim=int(dim))
        index.load_index(path)
        spent = time.perf_counter() - start
    else:
        index = faiss.read_index(path)
        spent = time.perf_counter() - start
    return {"anonymous": _anonymous() - before, "seconds": spent}


def _anonymous() -> int:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def table_of(results: list[dict[str, Any]]) -> Table:
    """One row for each contestant and size."""
    table = Table("vectors", "n", "", "queries/s", "least–most", "× Flat", "p50 ms", "p99 ms", "B in memory",
                  "B on disk", "build s", "open s", "decisions", "nearest", "add s",
 "remove s", "load", box=None)  # fmt: skip
    for each in sorted(results, key=lambda result: (result["data"], result["size"])):
        flat = each.get("beside", {}).get(EXACT) or next(
            other for other in results
            if (other["data"], other["size"], other["name"]) == (each["data"], each["size"], EXACT)
        )  # fmt: skip
        cells = [
            f"{each['data']} {each['dim']}", f"{each['size']:,}", each["name"], f"{each['rate']:,.0f}",
            f"{each['rate_least']:,.0f}–{each['rate_most']:,.0f}", f"{each['rate'] / flat['rate']:.1f}",
            f"{each['p50_ms']:.2f}", f"{each['p99_ms']:.2f}", f"{each['memory']:,.0f}", f"{each['disk']:,.0f}",
            f"{each['build_s']:.1f}", f"{each['open_s']:.2f}", f"{each['decisions']:.5f}", f"{each['nearest']:.4f}",
            *(f"{each[key]:.2f}" if key in each else "" for key in ("add_s", "remove_s")), f"{each['load']:.1f}",
        ]  # fmt: skip
        table.add_row(*cells)
    return table


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """How each cost grows with the number of vectors, a panel for each of four, both axes logarithmic."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "benchmark") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
    panels = {
        "rate": "queries a second, batch", "p99_ms": "a single query, 99th percentile (ms)",
        "memory": "memory (bytes a vector)", "build_s": "build (s)",
    }  # fmt: skip
    for axis, (key, label) in zip(axes.flat, panels.items(), strict=True):
        for style, name in zip(("o-", "s-", "^--", "v--", "d--"), (EXACT, OURS, *OTHERS), strict=True):
            points = sorted((each["size"], each[key]) for each in results if each["name"] == name)
            if points:
                axis.plot(*zip(*points, strict=True), style, label=name, linewidth=2.2 if name == OURS else 1.4)
        axis.set(xscale="log", yscale="log", xlabel="vectors", ylabel=label)
        axis.grid(alpha=0.3, which="both")
    axes[0, 0].legend(frameon=False)
    figure.suptitle(f"Search by size: {results[0]['data']} vectors of {results[0]['dim']} numbers, "
                    f"{results[0]['threads']} threads")  # fmt: skip
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
