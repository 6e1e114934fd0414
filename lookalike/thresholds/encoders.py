"""Which encoder finds more on labelled photos of one's own, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import ImageReadError, TableError
from lookalike.records import BadRow, Reference
from lookalike.tables.labels import LabelledPhoto

from .evaluation import Answers, evaluate, plain
from .metrics import Retrieval, bootstrap_retrieval
from .photos import Progress

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.index.embedding import PhotoReader
    from lookalike.model.encoder import Encoder

_TIMED, _TIMINGS = 16, 3


@dataclass(frozen=True)
class EncoderFigures:
    """How well one encoder finds labelled photos, and its cost.

    `low` and `high` are the ends of the 95 % bootstrap intervals of the metrics in `found`. `milliseconds` is the time
    from a decoded picture to its vector on one core (or one GPU), `weights_bytes` the size of the weights (0 if the
    encoder doesn't tell) and `vector_bytes` that of a stored vector. `failed` says what could not be read.
    """

    encoder: str
    found: Retrieval
    low: Retrieval
    high: Retrieval
    milliseconds: float
    weights_bytes: int
    vector_bytes: int
    failed: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures for JSON. NaN becomes None."""
        figures: dict[str, Any] = plain(asdict(self))
        return figures


def compare_encoders(
    photos: Sequence[LabelledPhoto],
    references: Iterable[Reference | BadRow],
    encoders: Iterable[Callable[[], Encoder]],
    *,
    reader: PhotoReader | None = None,
    rounds: int = 200,
    progress: Progress | None = None,
) -> list[EncoderFigures]:
    """Look labelled photos up among references with each encoder in turn; nothing is compared point by point.

    Each encoder is opened when its turn comes, and no two are held at once. The answers are ranked by similarity. All
    encoders get the same `rounds` resamplings, by product. `progress` is called with 1 for each picture. Raises
    TableError if no reference, or no photo with a right product, could be read, and what opening an encoder raises.
    """
    from lookalike.index.embedding import PhotoReader

    genuine, reader = list(references), reader or PhotoReader()
    if not any(photo.products for photo in photos):
        raise TableError("no photo has a right product; expected a row with a product_id and lookalike true")
    return [_measured(open_encoder(), photos, genuine, reader, rounds, progress) for open_encoder in encoders]


def _measured(
    encoder: Encoder,
    photos: Sequence[LabelledPhoto],
    references: Sequence[Reference | BadRow],
    reader: PhotoReader,
    rounds: int,
    progress: Progress | None,
) -> EncoderFigures:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.build import build_index
    from lookalike.index.reference_index import ReferenceIndex

    with TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        built = build_index(references, index=index, encoder=encoder, reader=reader, progress=progress, features=False)
        lookup = Lookup(encoder, ReferenceIndex.load(index), reader, top=1)
        result = evaluate(photos, lookup, progress=progress)
    low, high = _intervals(result.answers, rounds)
    return EncoderFigures(
        encoder=str(encoder.spec),
        found=result.overall,
        low=low,
        high=high,
        milliseconds=_milliseconds(encoder, references, reader),
        weights_bytes=int(getattr(encoder, "weights_bytes", 0)),
        vector_bytes=4 * encoder.spec.width,
        failed=(*(row.error for row in built.failed), *result.failed),
    )


def _intervals(answers: Answers, rounds: int) -> tuple[Retrieval, Retrieval]:
    """The ends of the intervals. A photo of several products counts with all of them, an unrelated one alone."""
    groups = [str(sorted(map(str, photo.products)) or at) for at, photo in enumerate(answers.photos)]
    return bootstrap_retrieval(
        answers.similarity, answers.correct, related=answers.related, groups=groups, rounds=rounds
    )


def _milliseconds(encoder: Encoder, references: Iterable[Reference | BadRow], reader: PhotoReader) -> float:
    """The time for one picture: the least of some rounds, since other work can only lengthen it."""
    from lookalike.model.encoder import in_threads
    from lookalike.model.images import read_image

    pictures: list[Image.Image] = []
    for row in references:
        if isinstance(row, Reference) and len(pictures) < _TIMED:
            try:
                pictures.append(read_image(row.image, limits=reader.limits, access=reader.access).image)
            except ImageReadError:
                continue  # reported as failed already
    alone = in_threads(encoder, 1)
    alone.encode(pictures)
    taken = []
    for _ in range(_TIMINGS):
        start = time.perf_counter()
        alone.encode(pictures)
        taken.append(time.perf_counter() - start)
    return float(1000 * np.min(taken) / len(pictures))
