"""Every notebook runs from top to bottom, says what is so, and defines nothing that belongs in the library."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections import Counter
from functools import cache, partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "lookalike" / "sample"
FIGURES = {"tune_threshold": 7, "error_analysis": 7, "what_an_adapter_learnt": 2}
ON_FINDINGS = ("tune_threshold", "error_analysis")


def notebook(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return read


def code(name: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]


@cache
def ran(name: str, own: tuple[tuple[str, str], ...] = ()) -> tuple[dict[str, Any], list[Any], str]:
    """The notebook's names after its last cell, the figures that its cells end in, and what it prints.

    `own` are the tables that a user names in place of None.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    names: dict[str, Any] = {}
    figures, printed = [], io.StringIO()
    names["print"] = partial(print, file=printed)
    for cell in code(name):
        for table, path in own:
            cell = re.sub(rf"^{table} = None", f"{table} = {path!r}", cell, flags=re.M)
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        shown = eval(compile(ast.Expression(last.value), name, "eval"), names) if isinstance(last, ast.Expr) else None
        figures += [shown] if isinstance(shown, Figure) else []
    return names, figures, printed.getvalue()


def rows(table: str) -> list[dict[str, str]]:
    with open(SAMPLE / f"{table}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def truth(column: str) -> dict[str, str]:
    return {row["listing_id"]: row[column] for row in rows("listings")}


def chance_of_so_few_errors(flags: int, errors: int, precision: float) -> float:
    return sum(comb(flags, k) * (1 - precision) ** k * precision ** (flags - k) for k in range(errors + 1))


@pytest.mark.parametrize("name", FIGURES)
def test_runs_from_top_to_bottom_and_draws_its_figures(name: str) -> None:
    _, figures, _ = ran(name)
    assert [len(figure.axes) > 0 for figure in figures] == [True] * FIGURES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_axes_say_what_they_measure_and_pictures_have_none(name: str) -> None:
    for figure in ran(name)[1]:
        for axes in figure.axes:
            beside = axes.get_shared_y_axes().get_siblings(axes)
            labelled = axes.get_xlabel() and any(each.get_ylabel() for each in beside)
            assert bool(labelled) == axes.axison
            assert not (axes.images and axes.axison)


@pytest.mark.parametrize("name", FIGURES)
def test_titles_and_captions_of_pictures_do_not_overlap(name: str) -> None:
    for figure in ran(name)[1]:
        if not any(axes.images for axes in figure.axes):
            continue
        figure.draw_without_rendering()
        # a panel that is left over has no title
        titles = [panel._suptitle for panel in figure.subfigs if panel._suptitle is not None]
        texts = titles + [axes.title for axes in figure.axes]
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        width, height = figure.canvas.get_width_height()
        assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
        assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, str], ...]:
    """Tables as a user has them: other brands and strata than the sample's, labels of yes or no, an own policy."""
    from lookalike import Detector, Policy
    from lookalike.index.build import build_index
    from lookalike.model.loading import load_encoder
    from lookalike.records import Listing, Reference
    from lookalike.scanning.scan import scan_listings

    folder = tmp_path_factory.mktemp("own")
    genuine = rows("references")[::2]
    references = [
        Reference(f"r{at}", f"article {at // 2}", ("Nordwand", "Süßkram & Co")[at % 2], SAMPLE / row["image"])
        for at, row in enumerate(genuine)
    ]
    build_index(references, index=folder / "index", encoder=load_encoder())
    Policy("mine", 0.7, 0.45).save(folder / "mine.toml")
    shown = rows("listings")[:40]
    listings = [Listing(f"{at:03}", SAMPLE / row["image"], title="=1+1") for at, row in enumerate(shown)]
    detector = Detector.open(folder / "index", policy=folder / "mine.toml")
    scan_listings(listings, detector=detector, out=folder / "findings.csv")
    lines = [f"{at:03},{'yes' if at % 3 else 'no'},{('shelf', 'studio', '')[at % 3]}\n" for at in range(36)]
    (folder / "labels.csv").write_text("listing_id,lookalike,stratum\n" + "".join(lines))
    names = {"findings": "findings.csv", "labels": "labels.csv", "index": "index", "policy": "mine.toml"}
    return tuple((name, str(folder / file)) for name, file in names.items())


@pytest.mark.parametrize("name", ON_FINDINGS)
def test_runs_on_tables_of_ones_own_and_names_nothing_of_the_sample(
    name: str, own: tuple[tuple[str, str], ...]
) -> None:
    names, figures, printed = ran(name, own)
    assert len(figures) == FIGURES[name]
    assert len(names["seen"]) == 36 and set(names["stratum"]) >= {"shelf", "studio"}
    assert set(names["brand"]) <= {"Nordwand", "Süßkram & Co"} and names["measure"] == "cosine"
    assert set(names["costs"]["brand"]) == set(names["brand"]) and "mine@" in printed
    words = {text.get_text() for figure in figures for text in figure.findobj(lambda each: hasattr(each, "get_text"))}
    prose = "".join("".join(cell["source"]) for cell in notebook(name)["cells"])
    for ours in {row["brand"] for row in rows("references")}:
        assert ours not in printed and ours not in prose and not any(ours in text for text in words), ours


@pytest.mark.parametrize("name", ON_FINDINGS)
def test_embeds_nothing_where_findings_are_named(
    name: str, own: tuple[tuple[str, str], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a notebook on findings embeds nothing")

    monkeypatch.setattr("lookalike.model.loading.load_encoder", forbidden)
    ran.__wrapped__(name, own)


@pytest.mark.parametrize("name", ON_FINDINGS)
def test_every_listing_of_the_sample_counts_once_by_what_it_is_in_truth(name: str) -> None:
    names, _, _ = ran(name)
    right, found = truth("truth_product"), {row["listing_id"]: row for row in names["mine"]}
    ids = [photo.name for photo in names["seen"]]
    assert sorted(ids) == sorted(right)
    assert names["stratum"].tolist() == [truth("truth")[each] for each in ids]
    assert names["correct"].tolist() == [found[each]["product_id"] == right[each] for each in ids]
    assert names["related"].tolist() == [right[each] != "" for each in ids]
    assert names["strength"].tolist() == [found[each]["probability"] for each in ids]


@pytest.mark.parametrize("name", ON_FINDINGS)
def test_a_cost_is_what_its_errors_and_minutes_cost(name: str) -> None:
    names, _, printed = ran(name)
    right, found = truth("truth_product"), names["rows"]
    wrong = sum(row["verdict"] == "flagged" and row["product_id"] != right[each] for each, row in found.items())
    missed = sum(row["verdict"] == "clear" and right[each] != "" for each, row in found.items())
    review = sum(row["verdict"] == "review" for row in found.values())
    for groups in names["costs"].values():
        each = [value[0] if isinstance(value, list) else value for value in groups.values()]
        assert sum(costs.wrong_flags for costs in each) == 20 * wrong
        assert sum(costs.misses for costs in each) == 50 * missed
        assert sum(costs.review for costs in each) == 0.5 * review
    assert f"{20 * wrong + 50 * missed + 0.5 * review:,.2f}" in printed


def test_a_threshold_that_is_promised_passes_the_exact_test_and_a_shortfall_is_as_large_as_said() -> None:
    from lookalike.thresholds.guarantees import Kept

    names, _, _ = ran("tune_threshold")
    strength, correct = names["strength"], names["correct"]
    wrong_so_far = np.cumsum(~correct[np.argsort(-strength)])
    for precision, found in names["supported"].items():
        if isinstance(found, Kept):
            flagged = strength >= found.threshold
            assert (flagged.sum(), (flagged & ~correct).sum()) == (found.count, found.errors)
            assert chance_of_so_few_errors(found.count, found.errors, precision) <= 0.05
            continue
        enough = [
            min(n for n in range(errors + 1, 999) if chance_of_so_few_errors(n, errors, precision) <= 0.05)
            - int((wrong_so_far <= errors).sum())
            for errors in range(int(wrong_so_far[-1]) + 1)
        ]
        assert found.needed == min(enough) > 0
    # 49 look-alikes can't show 95 %, which takes 59 flags without an error
    assert not isinstance(names["supported"][0.95], Kept) and names["best"] == 0.9


def test_the_tuned_policy_is_what_the_command_makes_and_the_change_what_it_says(tmp_path: Path) -> None:
    from lookalike.policy.policy import Policy
    from lookalike.scripts.cli import main

    names, _, _ = ran("tune_threshold")
    call = ["tune", str(names["labels"]), "--findings", str(names["findings"]), "--index", str(names["index"])]
    assert main([*call, "--precision", "0.9", "--out", str(tmp_path / "tuned.toml"), "--quiet"]) == 0
    assert str(Policy.load(tmp_path / "tuned.toml")) == str(names["tuned"])
    before = Counter(row["verdict"] for row in names["rows"].values())
    assert {verdict: sum(after.values()) for verdict, after in names["moved"].items()} == before
    now = Counter(str(verdict) for verdict in names["now"])
    assert {after: sum(each[after] for each in names["moved"].values()) for after in now} == now


def test_every_error_is_shown_where_it_belongs_the_worst_first() -> None:
    names, figures, _ = ran("error_analysis")
    right, found = truth("truth_product"), names["rows"]
    strength = {each: row["probability"] for each, row in found.items()}
    wrong = [each for each in right if found[each]["product_id"] != right[each]]
    missed = {each for each in right if right[each] and (each in wrong or found[each]["verdict"] != "flagged")}
    assert [title.split(",")[0] for title in names["wrong"]] == sorted(wrong, key=lambda each: -strength[each])
    assert names["false_flags"].sum() == sum(found[each]["verdict"] == "flagged" for each in wrong)
    shown = [(title.split(",")[0], of) for of, cases in names["misses"].items() for title in cases]
    assert sorted(shown) == sorted((each, truth("truth")[each]) for each in missed)
    assert sum(len(cases) for cases in names["of_brand"].values()) == len(missed)
    for cases in (*names["misses"].values(), *names["of_brand"].values()):
        assert (np.diff([strength[title.split(",")[0]] for title in cases]) >= 0).all()
    for title, pictures in names["wrong"].items():
        assert any(caption.startswith("right: ") for caption in pictures) == bool(right[title.split(",")[0]])
    assert sum(sum(causes.values()) for causes in names["reasons"].values()) == len(missed)
    assert {of: sum(parts.values()) for of, parts in names["outcomes"].items()} == Counter(truth("truth").values())
    assert next(axes.get_title() for axes in figures[1].axes if axes.get_title()) == "listing"


def test_an_adapter_is_shown_with_what_it_gains_and_what_it_costs() -> None:
    names, figures, printed = ran("what_an_adapter_learnt")
    assert "refused" in printed  # the sample has few labels, and the notebook says that they don't suffice
    counts = names["outcomes"]["photos of products"]
    assert sum(counts.values()) == sum(bool(truth("truth_product")[row["listing_id"]]) for row in rows("listings"))
    assert (
        counts["becomes right"] - counts["becomes wrong"]
        == names["right"]["after"].sum() - names["right"]["before"].sum()
    )
    shown = [axes.get_title() for axes in figures[1].axes if axes.get_title()]
    assert [title.split(":")[0] for title in shown[:4]] == ["photo", "before", "after", "right"]


@pytest.mark.parametrize("name", FIGURES)
def test_defines_no_functions(name: str) -> None:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for cell in code(name) for node in ast.walk(ast.parse(cell))]
    assert not any(isinstance(node, defined) for node in nodes)
    assert all(len(ast.unparse(node)) <= 60 for node in nodes if isinstance(node, ast.Lambda))


@pytest.mark.parametrize("name", FIGURES)
def test_is_a_notebook_of_format_4_with_ids_and_without_outputs(name: str) -> None:
    read = notebook(name)
    assert read["nbformat"] == 4
    assert read["nbformat_minor"] >= 5  # cells have ids from there on
    assert set(read) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert read["metadata"]["kernelspec"]["language"] == "python"
    ids = [cell["id"] for cell in read["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each) for each in ids)
    for cell in read["cells"]:
        keys = {"cell_type", "id", "metadata", "source"}
        assert set(cell) == (keys | {"execution_count", "outputs"} if cell["cell_type"] == "code" else keys)
        assert all(isinstance(line, str) for line in cell["source"])
        assert "".join(cell["source"]).strip()
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
        else:
            assert cell["cell_type"] == "markdown"


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == set(FIGURES)
