"""Measure how long an index takes to adapt, and that it finds what an index made with the adapter finds.

Vectors are drawn as scripts/benchmarks/index.py draws them. The index is adapted, looked up in, and undone; beside it
an index is made of the same vectors and the same adapter. No picture is there to be opened.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lookalike.index.build import adapt_index
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.adapter import Adapter
from lookalike.model.encoder import Vectors
from lookalike.model.loading import load_encoder
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.vectors import drawn_vectors, mapped_vectors, queries_near, unit_parts
from lookalike.scripts.timing import seconds_of

TOGETHER = 64  # photos, as many as one search takes


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    spec, count = load_encoder("embedded").spec, arguments.references
    with tempfile.TemporaryDirectory(prefix="lookalike-benchmark-") as name:
        folder = Path(name)
        blocks = (unit_parts(block, spec) for block in drawn_vectors(count, spec.width, rng))
        vectors = mapped_vectors(blocks, folder / "vectors.npy", (count, spec.width))
        adapter = drawn_adapter(vectors)
        seconds = seconds_of(lambda: made(vectors, None).save(folder / "index"))
        print(f"{count:,} references: made and saved in {seconds:.1f} s")
        seconds = seconds_of(lambda: adapt_index(adapter, index=folder / "index"))
        print(f"adapted in {seconds:.1f} s, {1e6 * seconds / count:.0f} s for a million")
        beside = made(vectors, adapter)
        beside.compact()
        queries = adapter.map(unit_parts(queries_near(vectors, arguments.queries, rng), spec))
        adapted = ReferenceIndex.load(folder / "index")
        same = sum(
            [(match.reference.id, round(match.similarity, 5)) for match in one]
            == [(match.reference.id, round(match.similarity, 5)) for match in other]
            for one, other in zip(adapted.search(queries), beside.search(queries), strict=True)
        )
        print(f"{same:,} of {len(queries):,} queries find the same as in an index made with the adapter")
        print(f"search in the adapted index: {adapted.agreement or 'exact'}")
        seconds = seconds_of(partial(adapted.seen_through(adapter).search, queries[:TOGETHER]))
        print(f"{TOGETHER} photos looked up as cross-fitted labels are, by all vectors: {seconds:.1f} s")
        del adapted, beside
        print(f"undone in {seconds_of(lambda: adapt_index(None, index=folder / 'index')):.1f} s")
        print(f"vectors as before: {np.array_equal(ReferenceIndex.load(folder / 'index').vectors, vectors)}")
    return 0


def made(vectors: Vectors, adapter: Adapter | None) -> ReferenceIndex:
    """An index of these vectors, three photos to a product."""
    spec = load_encoder("embedded").spec
    rows = [str(row) for row in range(len(vectors))]
    products = [f"p{row // 3}" for row in range(len(vectors))]
    brands = ["Brand"] * len(rows)
    catalogue = pa.table({"reference_id": rows, "product_id": products, "brand": brands, "image": rows, "sha256": rows})
    index = ReferenceIndex(spec if adapter is None else adapter.adapted_spec, adapter=adapter)
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
