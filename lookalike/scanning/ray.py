"""Builds and scans on Ray: the stages of the local engine, part by part, on workers that may die.

The table is read once and cut into parts of whole listings. Ray Data hands the parts to a pool of actors. Each actor
opens encoder, index and policy once, does parts with the same functions as the local engine, and writes each as one
Parquet file. A part that is written stays written, whichever process dies. Workers share files: the folder of parts,
the index and local pictures must have the same path on every machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.detection.detector import Detector
from lookalike.disk import clear
from lookalike.errors import TableError
from lookalike.records import BadRow, ImageSource, Listing, Reference
from lookalike.tables.files import require_ending
from lookalike.tables.findings import finding_row, finding_schema

from .basis import Basis, reading_text
from .cluster import Cluster, Rows, Work, cut_table, do_parts, done_parts, read_part, require_ray
from .parts import ScanSummary, begin_parts, join_parts, writing_findings
from .verified_pairs import pairs_beside

if TYPE_CHECKING:
    import pyarrow as pa

    from lookalike.index.build import BuildSummary, Embed
    from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
    from lookalike.index.features import Packed
    from lookalike.model.encoder import Encoder

_PART = 256


def scan_on_ray(
    listings: Iterable[Listing],
    *,
    open_detector: Callable[[], Detector],
    out: str | Path,
    cluster: Cluster | None = None,
    fingerprint: str = "",
    progress: Callable[[int], None] | None = None,
    cache: Path | None = None,
    part: int = _PART,
) -> ScanSummary:
    """Judge listings on a cluster; the table `out` equals that of `scan_listings` row by row, and resumes the same way.

    `open_detector` is called once in each worker; what it refers to is sent there. `cache` is the path of the vector
    cache, of which each machine has its own. Pictures must be paths or URLs. `part` listings go to a worker at a time.
    Raises EngineError if the cluster can't be reached or a part fails again and again, MissingExtraError without Ray,
    and TableError for another ending or other pictures, or while another process writes the same table.
    """
    require_ray()
    out = Path(out).absolute()
    require_ending(out)
    basis = f"ray, parts of {part}\nlistings {fingerprint}\n{Basis.of(open_detector())}"
    with writing_findings(out) as folder:
        resumed = begin_parts(folder, basis)
        if progress is not None and resumed:
            progress(resumed)
        cut_table((_listing_row(listing) for listing in listings), _listing_schema(), folder, part)
        do_parts(folder, partial(_judging, open_detector, cache), finding_schema(), cluster or Cluster(), progress)
        summary = join_parts(folder, out, basis=basis, count=len(done_parts(folder)), resumed=resumed)
        clear(folder)
    return summary


def build_on_ray(
    references: Iterable[Reference | BadRow],
    *,
    index: str | Path,
    open_encoder: Callable[[], Encoder],
    reader: PhotoReader,
    cluster: Cluster | None = None,
    fingerprint: str = "",
    progress: Callable[[int], None] | None = None,
    features: bool = True,
    exact_up_to: int | None = None,
    cache: Path | None = None,
    part: int = _PART,
) -> BuildSummary:
    """Make the folder `index` hold these references, as `build_index` does, with photos embedded on a cluster.

    An interrupted build resumes if `fingerprint`, encoder and reader are the same. The other arguments and errors are
    those of `build_index` and `scan_on_ray`.
    """
    from lookalike.index.build import build_index
    from lookalike.index.reference_index import EXACT_UP_TO

    require_ray()
    encoder = open_encoder()
    folder = Path(index).absolute() / "building.ray"
    basis = f"ray, parts of {part}\n{fingerprint} {encoder.spec.to_json()} {reading_text(reader)} {features}"

    def embed(sources: Iterator[ImageSource]) -> Iterator[tuple[EmbeddedPhoto, Packed]]:
        begin_parts(folder, basis)
        names = [{"image": _name(source)} for source in sources]  # all of them, even if the table is cut already
        cut_table(iter(names), _photo_schema(), folder, part)
        work = partial(_embedding, open_encoder, reader, features, cache)
        do_parts(folder, work, _embedded_schema(), cluster or Cluster(), progress)
        return (_embedded(row) for path in done_parts(folder) for row in read_part(path))

    embedding: Embed = embed
    return build_index(
        references,
        index=index,
        encoder=encoder,
        reader=reader,
        features=features,
        exact_up_to=EXACT_UP_TO if exact_up_to is None else exact_up_to,
        embed=embedding,
    )


def _judging(open_detector: Callable[[], Detector], cache: Path | None) -> Work:
    from lookalike.index.vector_cache import VectorCache

    detector = open_detector()
    vectors = None if cache is None else VectorCache(cache, detector.encoder.spec, optional=True)
    pairs = None if cache is None else pairs_beside(cache)

    def judge(rows: Rows) -> Rows:
        return [finding_row(found) for found in detector.stream(map(_listing, rows), cache=vectors, verified=pairs)]

    return judge


def _embedding(open_encoder: Callable[[], Encoder], reader: PhotoReader, features: bool, cache: Path | None) -> Work:
    from lookalike.index.build import embed_references
    from lookalike.index.features import FeatureJournal
    from lookalike.index.vector_cache import VectorCache

    encoder = open_encoder()
    vectors = None if cache is None else VectorCache(cache, encoder.spec, optional=True)

    def embed(rows: Rows) -> Rows:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lookalike-")))
            journal = FeatureJournal(folder / "features.sqlite", {}) if features else None
            if journal is not None:
                stack.enter_context(closing(journal))
            photos = embed_references(
                (row["image"] for row in rows), encoder=encoder, reader=reader, cache=vectors, journal=journal
            )
            return [{**asdict(photo), "features": bytes(packed)} for photo, packed in photos]

    return embed


def _embedded(row: Mapping[str, Any]) -> tuple[EmbeddedPhoto, Packed]:
    from lookalike.index.embedding import EmbeddedPhoto

    vector = None if row["vector"] is None else np.array(row["vector"], np.float32)
    return EmbeddedPhoto(row["sha256"], vector, row["hint"], row["error"], row["fresh"]), row["features"]


def _name(image: ImageSource) -> str:
    if isinstance(image, str | Path):
        return str(image)
    raise TableError(f"a picture is given as {type(image).__name__}; give a path or URL, which workers can open")


def _listing_row(listing: Listing) -> dict[str, Any]:
    return {**vars(listing), "images": [_name(image) for image in listing.images]}


def _listing(row: Mapping[str, Any]) -> Listing:
    return Listing(**{**row, "price": None if row["price"] is None else Decimal(row["price"])})


def _listing_schema() -> pa.Schema:
    import pyarrow as pa

    names = vars(Listing("", ()))  # a price is decimal text
    return pa.schema([(name, pa.list_(pa.string()) if name == "images" else pa.string()) for name in names])


def _photo_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("image", pa.string())])


def _embedded_schema() -> pa.Schema:
    import pyarrow as pa

    names = ("sha256", "hint", "error")
    more = {"vector": pa.list_(pa.float32()), "fresh": pa.bool_(), "features": pa.binary()}
    return pa.schema([*((name, pa.string()) for name in names), *more.items()])
