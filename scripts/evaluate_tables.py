"""The figures of `lookalike evaluate` as tables for a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lookalike.binomial import Share
from lookalike.scripts.terminal import counted, print_table, visible
from lookalike.thresholds.evaluation import Evaluation
from lookalike.thresholds.metrics import Retrieval
from lookalike.thresholds.realised import Realised

_BRANDS_SHOWN = 20


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print what there is: the metrics, precision within the budget, the brands, and the promise."""
    console.print(f"similarity: {evaluation.similarity}")
    print_table(_retrieval_table({"all": evaluation.overall, **evaluation.strata}), console)
    if evaluation.precision_at_budget is not None:
        share = 100 * evaluation.precision_at_budget
        console.print()
        console.print(f"of the {evaluation.budget:,} strongest {share:.1f} % are right")
    if evaluation.brands:
        print_table(_brand_table(evaluation), console)
    if evaluation.realised:
        print_table(_realised_table(f"promised and realised by {evaluation.policy}", evaluation.realised), console)


def _retrieval_table(measured: Mapping[str, Retrieval]) -> Table:
    """A row of metrics for each name."""
    table = _table(
        "", "photos", "unre-\nlated", "R@1", "µAP", "recall at\nP 90 %", "\nP 95 %", "FNIR at\nFPIR 1 %", "\n0.3 %"
    )
    for name, each in measured.items():
        metrics = (each.recall_at_1, each.micro_average_precision, each.recall_at_precision_90,
                   each.recall_at_precision_95, each.fnir_at_fpir_1, each.fnir_at_fpir_03)  # fmt: skip
        table.add_row(name, f"{each.positives:,}", f"{each.queries - each.positives:,}", *(map(_figure, metrics)))
    return table


def _brand_table(evaluation: Evaluation) -> Table:
    """The brands with the least recall, and how far all lie apart."""
    title = f"by brand at {evaluation.threshold:.3f} ({evaluation.threshold_of})"
    table = _table("brand", "photos", "recall", "unrelated", "false flags", title=title)
    ordered = sorted(evaluation.brands, key=lambda each: (not each.recall.total, each.recall.value, each.brand))
    for each in ordered[:_BRANDS_SHOWN]:
        photos, unrelated = f"{each.recall.total:,}", f"{each.false_flags.total:,}"
        table.add_row(each.brand, photos, _share(each.recall), unrelated, _share(each.false_flags, 3))
    said = (
        [f"{counted(len(ordered) - _BRANDS_SHOWN, 'more brand')}, all with --json"]
        if len(ordered) > _BRANDS_SHOWN
        else []
    )
    for name, apart in (("recall", evaluation.recall_spread), ("false flags", evaluation.false_flags_spread)):
        if apart.count:
            said.append(f"{name} {apart.lowest:.3f} to {apart.highest:.3f}, median {apart.median:.3f}")
    if not math.isnan(evaluation.opis.score):
        said.append(f"OPIS {evaluation.opis.score:.2g} (0 is best)")
    table.caption = "; ".join(said)
    return table


def _realised_table(title: str, realised: Sequence[Realised]) -> Table:
    """What the flags turned out to be, beside what was promised."""
    table = _table("of", "flags", "wrong", "precision", "promised", "false flags", "promised", title=title)
    for each in realised:
        promised = [
            "" if share is None else Text(f"{sign} {share:g}\n{'broken' if broken else ''}")
            for sign, share, broken in (
                ("≥", each.promised_precision, each.precision_broken),
                ("≤", each.promised_false_flags, each.false_flags_broken),
            )
        ]
        flags, wrong = f"{each.precision.total:,}", f"{each.errors:,}"
        # the interval goes below its share, as side by side they are wider than a terminal
        precision, false_flags = (
            Text(_share(share, digits).replace(" ", "\n"))
            for share, digits in ((each.precision, 2), (each.false_flags, 3))
        )
        table.add_row(each.of, flags, wrong, precision, promised[0], false_flags, promised[1])
    return table


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(box=None, title_justify="left", caption_justify="left", pad_edge=False)
    for name in columns:
        table.add_column(Text(name))
    table.title = Text(f"\n{visible(title)}") if title else None
    for column in table.columns[1:]:
        column.justify = "right"
        column.overflow = "fold"
    table.columns[0].overflow = "fold"  # a name or number cut short is of no use
    return table


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _share(share: Share, digits: int = 2) -> str:
    return f"{share.value:.3f} ({share.low:.{digits}f}–{share.high:.{digits}f})" if share.total else ""
