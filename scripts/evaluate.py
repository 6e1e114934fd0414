"""Measure how well an index finds the products that labelled photos show, and whether a policy keeps its promise.

LABELS has image, product_id, lookalike, one row a photo and product; with a column stratum (an edit, another view, a
step of imitation) the photos of each are measured beside all unrelated ones, with a column territory the policy's
thresholds there count. Use other labels than those that the policy was tuned on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from lookalike.errors import ReferenceIndexError, TableError
from lookalike.policy.policy import Policy, default_policy
from lookalike.scripts.cli import (
    DONE,
    SOME_ROWS_FAILED,
    Device,
    Model,
    PolicyFile,
    Private,
    Quiet,
    Scheme,
    Truncated,
    Weights,
    note,
    photo_reader,
    progress,
    run,
)
from lookalike.scripts.evaluate_tables import brand_table, realised_table, retrieval_table
from lookalike.tables.inputs import LabelledPhoto, read_labelled_photos
from lookalike.thresholds.brands import BrandFigures, Opis, Spread, brand_figures, opis, spread
from lookalike.thresholds.kept import Realised, realised_promise
from lookalike.thresholds.metrics import Retrieval, evaluate_retrieval, most_hit, precision_at_budget

if TYPE_CHECKING:
    from lookalike.detection.detector import Detector
    from lookalike.records import Finding

_NOT_IN_INDEX = "(not in the index)"
_NO_POLICY = Policy("none", flag=None, review=1.0)


def evaluate(
    labels: Annotated[Path, typer.Argument(help="Table with image, product_id, lookalike (true or false).")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    policy: PolicyFile = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="How many of the photos a person has time to look at.")
    ] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder to draw figures in, as PNG.")] = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    allow_scheme: Scheme = None,
    allow_private: Private = False,
    accept_truncated: Truncated = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.detection.detector import Detector

    if plots is not None:
        from lookalike.plots.style import require_matplotlib

        require_matplotlib()
    photos = read_labelled_photos(labels)
    if not any(photo.products for photo in photos):
        raise TableError(f"{labels} has no row with a product_id and lookalike true; needed at least one to be found")
    reader = photo_reader(allow_scheme, private=allow_private, truncated=accept_truncated)
    detector = Detector.open(
        index, policy=policy or _NO_POLICY, model=model, weights=weights, device=device, reader=reader
    )
    if policy is None and (shipped := default_policy(detector.encoder.spec.weights_sha256)):
        detector = replace(detector, policy=shipped)
    if not len(detector.index):
        raise ReferenceIndexError(f"the index {index} holds no references any more; add some with: lookalike add")
    answers = _ask(photos, detector, quiet=quiet)
    if not answers.related.any():
        raise TableError(f"none of the photos of {labels} that have a product could be read")
    result = measure(answers, detector.policy, budget=budget)
    if as_json:
        print(json.dumps(_plain(result.to_json()), indent=2, ensure_ascii=False))
    else:
        result.print(Console(highlight=False, markup=False))
    if plots is not None:
        draw(answers, result, plots)
        note(f"figures: {plots}", quiet=quiet)
    return DONE if len(answers.photos) == len(photos) else SOME_ROWS_FAILED


@dataclass(frozen=True)
class Answers:
    """What n labelled photos were answered with: arrays (n,), of the strongest answer and of the one that decides.

    They differ where a weaker answer has lower thresholds of its own, or a harmless photo is nearer than the strongest;
    one that harmless photos suppress decides nothing and has a similarity of −inf. `brand` is that of the right
    product, or of the strongest answer to an unrelated photo.
    """

    photos: list[LabelledPhoto]
    related: NDArray[np.bool_]
    similarity: NDArray[np.float64]
    correct: NDArray[np.bool_]
    brand: list[str]
    decided_similarity: NDArray[np.float64]
    decided_correct: NDArray[np.bool_]
    decided_brand: list[str]


def _ask(photos: Sequence[LabelledPhoto], detector: Detector, *, quiet: bool) -> Answers:
    """Look up every photo, as a listing of its own; those that can't be read are told of and left out."""
    from lookalike.records import Listing

    catalogue = detector.index.catalogue
    brands = dict(zip(catalogue["product_id"].to_pylist(), catalogue["brand"].to_pylist(), strict=True))
    listings = (Listing(photo.image, (photo.image,), territory=photo.territory) for photo in photos)
    read: list[LabelledPhoto] = []
    rows: list[tuple[float, bool, str, float, bool, str]] = []
    with progress("embedding labelled photos", total=len(photos), quiet=quiet) as advance:
        for photo, finding in zip(photos, detector.stream(listings), strict=True):
            advance(1)
            if finding.error:
                note(finding.error)
            if finding.matches:
                read.append(photo)
                rows.append(_answer(photo, finding, brands))
    columns = list(zip(*rows, strict=True)) or [()] * 6
    return Answers(
        photos=read,
        related=np.array([bool(photo.products) for photo in read], bool),
        similarity=np.array(columns[0], float),
        correct=np.array(columns[1], bool),
        brand=list(columns[2]),
        decided_similarity=np.array(columns[3], float),
        decided_correct=np.array(columns[4], bool),
        decided_brand=list(columns[5]),
    )


def _answer(
    photo: LabelledPhoto, finding: Finding, brands: dict[str, str]
) -> tuple[float, bool, str, float, bool, str]:
    best, decided = max(finding.matches, key=lambda match: match.strength), finding.matches[0]
    known = sorted({brands[product] for product in photo.products if product in brands})
    right = best.reference.product in photo.products
    brand = best.reference.brand if right or not photo.products else (known or [_NOT_IN_INDEX])[0]
    strength = decided.strength if decided.suppressed_by is None else -math.inf
    decided_right = decided.reference.product in photo.products
    return best.strength, right, brand, strength, decided_right, decided.reference.brand


@dataclass(frozen=True)
class Evaluation:
    """All that was measured: of all photos and by stratum, by brand at one threshold, and against the promise."""

    similarity: str
    policy: str | None
    overall: Retrieval
    strata: dict[str, Retrieval]
    budget: int | None
    precision_at_budget: float | None
    threshold: float | None
    threshold_of: str
    brands: list[BrandFigures]
    recall_spread: Spread
    false_flags_spread: Spread
    opis: Opis
    realised: list[Realised]

    def to_json(self) -> dict[str, Any]:
        """The same as tables; what is measured of all photos stands at the top."""
        said = asdict(self)
        realised = [{**asdict(each), "broken": each.broken} for each in self.realised]
        return {**said.pop("overall"), **said, "realised": realised}

    def print(self, console: Console) -> None:
        """The same as tables for a terminal."""
        console.print(f"similarity: {self.similarity}")
        console.print(retrieval_table({"all": self.overall, **self.strata}))
        if self.precision_at_budget is not None:
            console.print(f"\nof the {self.budget:,} strongest {100 * self.precision_at_budget:.1f} % are right")
        if self.brands:
            title = f"by brand at {self.threshold:.3f} ({self.threshold_of})"
            console.print(brand_table(title, self.brands, self.recall_spread, self.false_flags_spread, self.opis))
        if self.realised:
            console.print(realised_table(f"promised and realised by {self.policy}", self.realised))


def measure(answers: Answers, policy: Policy, *, budget: int | None = None) -> Evaluation:
    """All the figures; those of brands at the policy's flag threshold, or where 1 % of the unrelated are hit."""
    similarity, correct, related = answers.similarity, answers.correct, answers.related
    threshold, threshold_of = policy.flag, f"flag of {policy.name}"
    if threshold is None and not related.all():
        threshold = float(np.nextafter(most_hit(similarity[~related], 0.01), np.inf))
        threshold_of = "1 % of the unrelated are hit"
    brands = [] if threshold is None else brand_figures(
        similarity, correct, related=related, brand=answers.brand, threshold=threshold
    )  # fmt: skip
    return Evaluation(
        similarity=_told(policy),
        policy=None if policy is _NO_POLICY else str(policy),
        overall=evaluate_retrieval(similarity, correct, related=related),
        strata=dict(_by_stratum(answers)),
        budget=budget,
        precision_at_budget=precision_at_budget(similarity, correct, budget) if budget else None,
        threshold=threshold,
        threshold_of=threshold_of,
        brands=brands,
        recall_spread=spread([each.recall.value for each in brands]),
        false_flags_spread=spread([each.false_flags.value for each in brands]),
        opis=opis(similarity, correct, related=related, brand=answers.brand),
        realised=realised_promise(
            answers.decided_similarity,
            answers.decided_correct,
            answers.decided_brand,
            related=related,
            policy=policy,
            territory=[photo.territory for photo in answers.photos],
        ) if policy.promise else [],
    )  # fmt: skip


def _told(policy: Policy) -> str:
    """What is ranked."""
    if policy.fusion is not None:
        return f"probability by {policy.name}"
    return "cosine" if policy.cohort is None else f"normalised by the cohort of {policy.name}"


def _by_stratum(answers: Answers) -> Iterable[tuple[str, Retrieval]]:
    """The metrics of each stratum that has a photo to be found, beside all unrelated photos."""
    for name in sorted({stratum for photo in answers.photos if photo.products for stratum in photo.strata}):
        rows = ~answers.related | np.array([name in photo.strata for photo in answers.photos])
        yield name, evaluate_retrieval(answers.similarity[rows], answers.correct[rows], related=answers.related[rows])


def draw(answers: Answers, result: Evaluation, folder: Path) -> None:
    """Draw what there is to draw into the folder: similarities, precision-recall, det and brands, as PNG."""
    from lookalike.plots.quality import plot_brands, plot_det, plot_precision_recall, plot_similarities
    from lookalike.thresholds.metrics import det_curve

    folder.mkdir(parents=True, exist_ok=True)
    similarity, correct, related = answers.similarity, answers.correct, answers.related
    marks = {} if result.threshold is None else {result.threshold_of: result.threshold}
    unit = result.similarity.split(" ")[0]
    figures = {
        "similarities": plot_similarities(similarity[related], similarity[~related], thresholds=marks, unit=unit)
    }
    if correct.any():
        figures["precision-recall"] = plot_precision_recall(similarity, correct, positives=int(related.sum()))
    if not related.all():
        figures["det"] = plot_det({"all photos": det_curve(similarity, correct, related=related)}, thresholds=marks)
    if result.brands and result.threshold is not None:
        figures["brands"] = plot_brands(result.brands, threshold=result.threshold)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)


def _plain(value: Any) -> Any:
    """The same without numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(argv: list[str] | None = None) -> int:
    return run(evaluate, argv)


if __name__ == "__main__":
    raise SystemExit(main())
