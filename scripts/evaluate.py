"""Measure how well labelled photos' products are found.

It also says whether a policy keeps its promise. LABELS has image, product_id and lookalike, one row per photo and
product. With a column stratum (an edit, another view, a step of imitation), the photos of each stratum are measured
beside all unrelated ones. With a column territory, the policy's thresholds for that territory count. Use other labels
than those that the policy was tuned on.

Examples:
lookalike evaluate labels.csv --index genuine.index
lookalike evaluate labels.csv --index i --policy policy.toml --plots plots
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.disk import written
from lookalike.errors import TableError
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import (
    EncoderOptions,
    IndexFolder,
    Json,
    PhotoOptions,
    PolicyFile,
    Quiet,
)
from lookalike.scripts.outputs import FOLDER, require_outputs
from lookalike.scripts.terminal import counted, note, output, print_json, progress

if TYPE_CHECKING:
    from lookalike.thresholds.evaluation import Evaluation


def evaluate(
    labels: Annotated[Path, typer.Argument(help="Table with image, product_id, lookalike (true or false).")],
    index: IndexFolder,
    *,
    policy: PolicyFile = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="How many photos a person has time to review.")
    ] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder to write figures to, as PNG.")] = None,
    encoder: EncoderOptions,
    photos: PhotoOptions,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from lookalike.detection.lookup import Lookup
    from lookalike.policy.shipped import default_policy, open_policy
    from lookalike.scripts.evaluate_tables import print_evaluation
    from lookalike.tables.labels import read_labelled_photos
    from lookalike.thresholds.evaluation import evaluate as measure

    require_outputs(
        {"--plots": (plots, FOLDER)},
        {"LABELS": labels, "--index": index, "--policy": policy, "--weights": encoder.weights},
    )
    if plots is not None:
        from lookalike.plots.style import require_matplotlib

        require_matplotlib()
    labelled = read_labelled_photos(labels)
    if not any(photo.products for photo in labelled):
        raise TableError(f"{labels} has no row with a product_id and lookalike true; expected at least one to be found")
    lookup = Lookup.open(index, reader=photos.reader(), **vars(encoder))
    spec = lookup.encoder.spec
    used = default_policy(spec.weights_sha256) if policy is None else open_policy(policy, encoder=str(spec))
    with progress("embedding labelled photos", total=len(labelled), quiet=quiet) as advance:
        result = measure(labelled, lookup, used, budget=budget, progress=advance)
    if result.fitted_on:
        of = counted(len(labelled), "photo")
        note(f"the index's adapter was fitted to {result.fitted_on:,} of {of}, so figures flatter it")
    if result.tuned_on:
        which = f"{counted(result.tuned_on, 'photo')} of {len(labelled):,} are labels that {used} was tuned on"
        note(f"{which}; its promise is not put to the test on those")
    for failure in result.failed:
        note(failure)
    if as_json:
        print_json(result.to_json(), indent=2)
    else:
        print_evaluation(result, output())
    if plots is not None:
        _draw(result, plots)
        note(f"figures: {plots}", quiet=quiet)
    return Exit.SOME_ROWS_FAILED if result.failed else Exit.DONE


def _draw(result: Evaluation, folder: Path) -> None:
    from lookalike.plots.evaluation import plot_evaluation

    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in plot_evaluation(result).items():
        with written(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=120, format="png")


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
