"""Measure how long an index takes to adapt, and that it finds what exact search finds among vectors made so.

Vectors are drawn as scripts/benchmarks/index.py draws them, or are those of a file, repeated with noise. The index is
adapted, looked up in, and undone; beside it an index of the same vectors and the same adapter is searched exactly. No
picture is there to be opened.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from lookalike.index.build import adapt_index
from lookalike.index.reference_index import EXACT_UP_TO, ReferenceIndex
from lookalike.model.adapter import Adapter
from lookalike.model.encoder import Vectors
from lookalike.model.loading import load_encoder
from lookalike.records import Match
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.vectors import (
    drawn_vectors,
    mapped_vectors,
    queries_near,
    repeated_vectors,
    unit,
    unit_parts,
)
from lookalike.scripts.timing import load

TOGETHER = 64  # photos, as many as one search takes

Result = TypeVar("Result")


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--vectors", type=Path, help=".npy file of vectors of the embedded encoder, float32 (n, 384)")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    spec, count = load_encoder("embedded").spec, arguments.references
    with tempfile.TemporaryDirectory(prefix="lookalike-benchmark-") as name:
        folder = Path(name)
        if arguments.vectors is None:
            blocks = drawn_vectors(count, spec.width, rng)
        else:
            blocks = repeated_vectors(unit(np.load(arguments.vectors)), count, rng)
        vectors = mapped_vectors((unit_parts(block, spec) for block in blocks), folder / "vectors.npy",
                                 (count, spec.width))  # fmt: skip
        adapter = drawn_adapter(vectors)
        print(f"{count:,} references of {spec.width} numbers; load {load():.1f}")
        timed("made and saved", lambda: made(vectors, None, exact_up_to=EXACT_UP_TO).save(folder / "index"))
        start = time.perf_counter()
        plain = timed("  read", lambda: ReferenceIndex.load(folder / "index"))
        looked_up = plain.agreement
        adapted = timed("  adapted", partial(plain.adapted, adapter))
        timed("  saved", partial(adapted.save, folder / "index"))
        print(f"adapted in {time.perf_counter() - start:.1f} s in all; load {load():.1f}")
        print(f"before: {looked_up or 'exact'}\nafter: {adapted.agreement or 'exact'}")
        del plain, adapted
        beside = made(vectors, adapter, exact_up_to=count)
        queries = adapter.map(unit_parts(queries_near(vectors, arguments.queries, rng), spec))
        adapted = ReferenceIndex.load(folder / "index")
        found, wanted = (timed(f"searched {name}", partial(index.search, queries))
                         for name, index in (("through the partition", adapted), ("exactly", beside)))  # fmt: skip
        pairs = [(known(one), known(other)) for one, other in zip(found, wanted, strict=True)]
        print(f"of {len(pairs):,} queries, {sum(one[:1] == other[:1] for one, other in pairs):,} find the same nearest "
              f"product as exact search, and {sum(one == other for one, other in pairs):,} the same list")  # fmt: skip
        through = partial(adapted.seen_through(adapter).search, queries[:TOGETHER])
        timed(f"{TOGETHER} photos looked up as cross-fitted labels are, by all vectors", through)
        del adapted, beside, through
        timed("undone", lambda: adapt_index(None, index=folder / "index"))
        print(f"vectors as before: {np.array_equal(ReferenceIndex.load(folder / 'index').vectors, vectors)}")
    return 0


def timed(name: str, job: Callable[[], Result]) -> Result:
    """Do the job, and print how many seconds it took by the clock and of all cores together."""
    start, cores = time.perf_counter(), time.process_time()
    result = job()
    print(f"{name}: {time.perf_counter() - start:.1f} s, {time.process_time() - cores:.1f} s of one core", flush=True)
    return result


def known(matches: Sequence[Match]) -> list[tuple[str, float]]:
    """What was found, without what differs by rounding only."""
    return [(match.reference.id, round(match.similarity, 4)) for match in matches]


def made(vectors: Vectors, adapter: Adapter | None, *, exact_up_to: int) -> ReferenceIndex:
    """An index of these vectors, three photos to a product."""
    spec = load_encoder("embedded").spec
    rows = [str(row) for row in range(len(vectors))]
    products = [f"p{row // 3}" for row in range(len(vectors))]
    brands = ["Brand"] * len(rows)
    catalogue = pa.table({"reference_id": rows, "product_id": products, "brand": brands, "image": rows, "sha256": rows})
    spec = spec if adapter is None else adapter.adapted_spec
    index = ReferenceIndex(spec, exact_up_to=exact_up_to, adapter=adapter)
    index.add_rows(catalogue, vectors, [b""] * len(rows))
    return index


def drawn_adapter(vectors: Vectors) -> Adapter:
    """An adapter that whitens these vectors half way, as one fitted to labels does."""
    spec = load_encoder("embedded").spec
    some = spec.parts(np.asarray(vectors[:20_000]))[0].astype(np.float64)
    covariance = np.cov(some, rowvar=False)
    values, directions = np.linalg.eigh(covariance * spec.dim / np.trace(covariance) + np.eye(spec.dim))
    matrix = (directions / np.sqrt(values)) @ directions.T
    return Adapter(spec, matrix.astype(np.float32), some.mean(axis=0).astype(np.float32))


if __name__ == "__main__":
    raise SystemExit(main())
