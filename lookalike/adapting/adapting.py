"""From labels to an adapter, or to the reason why there is none: what `lookalike adapt fit` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.model.adapter import Adapter, Fold
from lookalike.policy.tuned_on import TunedOn

from .fitting import fit_map
from .folds import CrossFitted, cross_fit
from .judging import Gain, judge_map
from .labelled import LabelledImage, take

if TYPE_CHECKING:
    from lookalike.detection.lookup import Lookup
    from lookalike.index.vector_cache import VectorCache
    from lookalike.thresholds.photos import Progress


@dataclass(frozen=True)
class Adaptation:
    """An adapter, None where it isn't better with confidence, and its `gain`, None with labels of too few products.

    It was fitted to `fitted` labels. `failed` says why photos could not be used, and `unknown` counts those of products
    that aren't in the index.
    """

    adapter: Adapter | None
    gain: Gain | None
    fitted: int
    products: int
    failed: tuple[str, ...] = ()
    unknown: int = 0


def adapt(
    images: Sequence[LabelledImage],
    *,
    lookup: Lookup,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Adaptation:
    """Fit an adapter for the index of `lookup` to labels, and judge it; see `labelled`, `folds` and `judging`.

    An index that is adapted already counts as it was before. Raises what `take` raises.
    """
    taken = take(images, lookup=lookup, cache=cache, progress=progress, seed=seed)
    labelled = taken.labelled
    crossed = cross_fit(labelled, seed=seed)
    gain = None if crossed is None else judge_map(labelled, crossed, seed=seed)
    adapter = None
    if crossed is not None and gain is not None and gain.is_certain:
        fitted = fit_map(labelled, labelled.partners(), np.arange(len(labelled.photos)))
        figures = {"gain": _figures(gain), "labels": len(labelled.photos)}
        spec, folds = lookup.encoder.spec.unadapted, tuple(_folds(crossed, taken.names))
        adapter = Adapter(spec, fitted.matrix, fitted.offset, folds, figures)
    return Adaptation(
        adapter=adapter,
        gain=gain,
        fitted=len(labelled.photos),
        products=len(set().union(*labelled.right)),
        failed=taken.failed,
        unknown=taken.unknown,
    )


def _folds(crossed: CrossFitted, names: Sequence[tuple[str, str]]) -> Iterator[Fold]:
    """The maps, each with the names of the labels that it has not seen."""
    for number, fitted in enumerate(crossed.maps):
        left_out = TunedOn.of(name for row in np.flatnonzero(crossed.fold == number).tolist() for name in names[row])
        yield Fold(fitted.matrix, fitted.offset, left_out.digests)


def _figures(gain: Gain) -> dict[str, Any]:
    """The gain as JSON values, with the metrics that need no unrelated photos."""
    names = ("recall_at_1", "micro_average_precision", "recall_at_precision_90")
    metrics = {
        when: {name: asdict(found)[name] for name in names}
        for when, found in (("before", gain.before), ("after", gain.after))
    }
    return {
        **metrics,
        "value": gain.value,
        "low": gain.low,
        "high": gain.high,
        "photos": gain.photos,
        "products": gain.products,
    }
