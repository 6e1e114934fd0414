"""Every notebook runs from top to bottom, says what is so, and defines nothing that belongs in the library."""

from __future__ import annotations

import ast
import csv
import json
import re
import tomllib
from collections import Counter
from functools import cache
from math import comb, exp, log1p
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.policy.terms import Reach

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "lookalike" / "sample"
FIGURES = {"tune_threshold": 7, "error_analysis": 9}
JUDGED = {"tune_threshold": "fused", "error_analysis": "findings"}  # by the shipped policy


def notebook(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return read


def code(name: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]


@cache
def ran(name: str) -> tuple[dict[str, Any], list[Any]]:
    """The notebook's names after its last cell, and the figures that its cells end in, as Jupyter would show them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("Agg")
    names: dict[str, Any] = {}
    figures = []
    for cell in code(name):
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        shown = eval(compile(ast.Expression(last.value), name, "eval"), names) if isinstance(last, ast.Expr) else None
        figures += [shown] if isinstance(shown, Figure) else []
    return names, figures


@cache
def vectors() -> dict[str, NDArray[np.float32]]:
    """The vector of each of the sample's pictures, by its path in the tables, embedded one at a time."""
    from lookalike.model.images import read_image
    from lookalike.model.loading import load_encoder

    encoder = load_encoder()
    images = {row["image"] for table in ("references", "listings") for row in rows(table)}
    return {
        image: encoder.encode([read_image(SAMPLE / image).image])[0][: encoder.spec.dim] for image in sorted(images)
    }


@cache
def looks() -> dict[str, NDArray[np.float32]]:
    """The second vector of each of the sample's pictures, which tells the look."""
    from lookalike.model.images import read_image
    from lookalike.model.loading import load_encoder

    encoder = load_encoder()
    return {image: encoder.encode([read_image(SAMPLE / image).image])[0][encoder.spec.dim :] for image in vectors()}


def rows(table: str) -> list[dict[str, str]]:
    with open(SAMPLE / f"{table}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def standing(image: str, top: int) -> dict[str, float]:
    """The products that a listing's picture is matched with, and its similarity to the reference that stands for each.

    They are the `top` nearest by similarity and as many by look. Of the two references that these find, the one with
    the greater sum stands for the product.
    """
    cosines = [
        {row["image"]: float(own[image] @ own[row["image"]]) for row in rows("references")}
        for own in (vectors(), looks())
    ]
    best: list[dict[str, str]] = [{}, {}]  # by similarity and by look, each product's nearest reference
    for values, nearest_of in zip(cosines, best, strict=True):
        for row in sorted(rows("references"), key=lambda each: -values[each["image"]]):
            nearest_of.setdefault(row["product_id"], row["image"])
    found: dict[str, list[str]] = {}
    for nearest_of in best:
        for product, genuine in list(nearest_of.items())[:top]:
            found.setdefault(product, []).append(genuine)
    chosen = {
        product: max(images, key=lambda each: cosines[0][each] + cosines[1][each]) for product, images in found.items()
    }
    return {product: cosines[0][genuine] for product, genuine in chosen.items()}


@cache
def shipped() -> dict[str, Any]:
    """The policy that ships with the encoder, as its file says it."""
    return tomllib.loads((ROOT / "lookalike" / "policy" / "shipped" / "embedded.toml").read_text(encoding="utf-8"))


def kind_limits(finding: Any) -> dict[str, float]:
    """The thresholds of the shipped policy that count for the finding's strongest match."""
    limits = shipped()["thresholds"]
    return limits if finding.matches[0].agrees else limits["kinds"]["lookalike"]  # type: ignore[no-any-return]


def probable(match: Any) -> float:
    """The probability that the shipped policy gives a match, by the formula that is written in it."""
    weights, found = shipped()["fusion"], match.verification
    terms = weights["intercept"] + weights["similarity"] * match.similarity + weights["margin"] * match.margin
    if match.agrees:
        terms += weights["inliers"] * log1p(found.inliers) + weights["coverage"] * found.coverage
    else:
        terms += weights["look"] * match.look + weights["look_margin"] * match.look_margin
    return 1 / (1 + exp(-terms))


def name_of(image: object) -> str:
    """A picture's path in the tables."""
    return Path(str(image)).relative_to(SAMPLE).as_posix()


@cache
def nearest() -> dict[str, tuple[float, str, str]]:
    """For each listing its highest similarity to a product, and that product and its brand."""
    found: dict[str, tuple[float, str, str]] = {}
    brands = {row["product_id"]: row["brand"] for row in rows("references")}
    for row in rows("listings"):
        best = max((value, product, brands[product]) for product, value in standing(row["image"], 5).items())
        found[row["listing_id"]] = max(best, found.get(row["listing_id"], best))
    return found


def truth(column: str) -> dict[str, str]:
    return {row["listing_id"]: row[column] for row in rows("listings")}


def chance_of_so_few_errors(flags: int, errors: int, precision: float) -> float:
    return sum(comb(flags, k) * (1 - precision) ** k * precision ** (flags - k) for k in range(errors + 1))


@pytest.mark.parametrize("name", FIGURES)
def test_runs_from_top_to_bottom_and_draws_its_figures(name: str) -> None:
    _, figures = ran(name)
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


def test_the_findings_by_similarity_are_those_of_a_plain_search() -> None:
    names, _ = ran("tune_threshold")
    found, right = nearest(), truth("truth_product")
    ids = [finding.listing.id for finding in names["findings"]]
    assert ids == list(right)
    assert names["similarity"] == pytest.approx([found[each][0] for each in ids], abs=1e-4)
    assert names["correct"].tolist() == [found[each][1] == right[each] for each in ids]
    assert names["related"].tolist() == [right[each] != "" for each in ids]


@pytest.mark.parametrize("name", FIGURES)
def test_the_shipped_policy_compares_what_is_in_its_reach_and_answers_with_the_most_probable_product(name: str) -> None:
    findings, reach = ran(name)[0][JUDGED[name]], Reach()
    assert [finding.listing.id for finding in findings] == list(truth("truth"))
    for finding in findings:
        images = [name_of(image) for image in finding.listing.images]
        assert len(images) <= reach.photos and "verification" not in shipped()
        probabilities = []
        for match in finding.matches:
            image, genuine = name_of(match.image), name_of(match.reference.image)
            product = match.reference.product
            similarities = standing(image, reach.references)
            near = sorted(similarities, key=lambda each: -similarities[each])[: reach.references]
            assert match.verification is not None or product not in near
            assert match.similarity == pytest.approx(float(vectors()[image] @ vectors()[genuine]), abs=1e-4)
            assert match.look == pytest.approx(float(looks()[image] @ looks()[genuine]), abs=1e-4)
            probabilities.append(probable(match))
            assert match.probability == pytest.approx(probabilities[-1], abs=1e-3)
        assert finding.verdict != "clear" or np.argmax(probabilities) == 0


@pytest.mark.parametrize("name", FIGURES)
def test_what_the_shipped_policy_answers_is_held_against_its_thresholds(name: str) -> None:
    names, _ = ran(name)
    findings, right = names[JUDGED[name]], truth("truth_product")
    strength, correct = ("strength", "correct") if name == "error_analysis" else ("probability", "fused_correct")
    assert names[strength].tolist() == [finding.probability for finding in findings]
    assert names[correct].tolist() == [finding.product == right[finding.listing.id] for finding in findings]
    for finding in findings:
        p, limits = finding.probability, kind_limits(finding)
        assert finding.verdict == ("flagged" if p >= limits["flag"] else "review" if p >= limits["review"] else "clear")
    limits = shipped()["thresholds"]
    assert limits["kinds"]["lookalike"]["flag"] == limits["flag"]
    if name == "tune_threshold":
        assert names["marks"] == {each: limits[each] for each in ("flag", "review")}
    else:
        assert names["threshold"] == limits["flag"]


def test_points_put_an_answer_right_and_confirm_no_unrelated_listing_and_the_sample_is_too_small_to_fit_to() -> None:
    from lookalike.errors import TableError
    from lookalike.thresholds.fusing import fuse
    from lookalike.thresholds.labels import LabelledMatches

    names, figures = ran("tune_threshold")
    correct, fused_correct, related = names["correct"], names["fused_correct"], names["related"]
    assert ((fused_correct & ~correct).sum(), (correct & ~fused_correct).sum()) == (1, 0)
    assert not (names["agree"] & ~related).any()
    assert not (names["agree"] & ~names["compared"]).any()
    flagged = names["probability"] >= shipped()["thresholds"]["flag"]
    assert (flagged & ~names["agree"]).sum() <= 2  # as the text below the figure says
    (axes,) = figures[-1].axes
    assert {round(float(np.asarray(line.get_xdata())[0]), 3) for line in axes.lines} == set(names["marks"].values())
    photos = [
        LabelledMatches(finding.matches, frozenset({right} if right else ()))
        for finding, right in zip(names["fused"], names["truth"], strict=True)
    ]
    with pytest.raises(TableError, match="expected at least 10 of each"):
        fuse(photos)


def test_a_threshold_that_is_promised_passes_the_exact_test_and_a_shortfall_is_as_large_as_said() -> None:
    from lookalike.thresholds.guarantees import Kept

    names, _ = ran("tune_threshold")
    similarity, correct = names["similarity"], names["correct"]
    assert set(names["supported"]) == {(0.8, 0.95), (0.9, 0.95), (0.95, 0.95), (0.8, 0.9)}
    wrong_so_far = np.cumsum(~correct[np.argsort(-similarity)])
    for (precision, confidence), found in names["supported"].items():
        if isinstance(found, Kept):
            flagged = similarity >= found.threshold
            assert (flagged.sum(), (flagged & ~correct).sum()) == (found.count, found.errors)
            assert chance_of_so_few_errors(found.count, found.errors, precision) <= 1 - confidence
            continue
        enough = [
            min(n for n in range(errors + 1, 999) if chance_of_so_few_errors(n, errors, precision) <= 1 - confidence)
            - int((wrong_so_far <= errors).sum())
            for errors in range(int(wrong_so_far[-1]) + 1)
        ]
        assert found.needed == min(enough) > 0
    # 49 look-alikes can't show 95 %, which takes 59 flags without an error
    assert not isinstance(names["supported"][0.95, 0.95], Kept)
    assert isinstance(names["supported"][0.8, 0.9], Kept)


def test_normalised_similarities_are_less_half_the_mean_of_the_nearest_background_photos() -> None:
    names, _ = ran("tune_threshold")
    ids = [finding.listing.id for finding in names["findings"]]
    images: dict[str, list[str]] = {}
    for row in rows("listings"):
        images.setdefault(row["listing_id"], []).append(row["image"])
    background = np.stack([vectors()[images[ids[k]][0]] for k in names["background"]])
    assert not set(names["background"]) & set(names["judged"])
    assert all(truth("truth")[ids[k]] == "unrelated" for k in names["background"])
    single = [at for at, k in enumerate(names["judged"]) if len(images[ids[k]]) == 1]
    expected = []
    for at in single:
        listing = ids[names["judged"][at]]
        (image,) = images[listing]
        expected.append(nearest()[listing][0] - 0.5 * np.sort(background @ vectors()[image])[-3:].mean())
    assert names["normalised"][single] == pytest.approx(expected, abs=1e-4)


def test_each_brand_has_thresholds_of_its_own_or_those_of_a_lender_that_passes_the_exact_test() -> None:
    names, _ = ran("tune_threshold")
    tuned, pairs, categories = names["tuned"], names["pairs"], names["categories"]
    assert {scope.brand for scope in tuned.scopes} == {row["brand"] for row in rows("references")} == set(categories)
    for scope in tuned.scopes:
        lender = scope.evidence.of
        members = {
            scope.brand: [scope.brand],
            "all": list(categories),
            f"category {categories[scope.brand]}": [b for b, of in categories.items() if of == categories[scope.brand]],
        }[lender]
        mine = np.isin(pairs.brand, members) & (pairs.similarity >= scope.flag)
        errors = int((mine & ~pairs.lookalike).sum())
        assert (scope.evidence.flags, scope.evidence.errors) == (mine.sum(), errors)
        assert chance_of_so_few_errors(int(mine.sum()), errors, 0.8) <= 0.1
        assert (scope.evidence.more_needed == 0) == (lender == scope.brand)


def test_the_change_of_policy_is_what_each_policy_says_of_the_candidates() -> None:
    names, _ = ran("tune_threshold")
    diff, tuned, findings = names["diff"], names["tuned"], names["findings"]
    flag = {scope.brand: scope.flag for scope in tuned.scopes}
    flagged = sum(any(m.similarity >= flag[m.reference.brand] for m in f.matches) for f in findings)
    before = sum(nearest()[f.listing.id][0] >= names["one"].flag for f in findings)
    assert diff.total("flagged", after=True) == flagged < before
    assert diff.total("flagged", after=False) == before
    assert diff.total("review", after=False) == sum(
        names["one"].review <= nearest()[f.listing.id][0] < names["one"].flag for f in findings
    )
    assert sum(sum(after.values()) for after in names["moved"].values()) == len(findings)
    assert sum(diff.gained.values()) - sum(diff.lost.values()) == flagged - before


def test_every_error_is_shown_where_it_belongs_the_worst_first() -> None:
    names, figures = ran("error_analysis")
    right, threshold = truth("truth_product"), shipped()["thresholds"]["flag"]
    found = {f.listing.id: f for f in names["findings"]}
    strength = {each: finding.probability for each, finding in found.items()}
    wrong = [each for each in right if found[each].product != right[each]]
    missed = {each for each in right if right[each] and (each in wrong or strength[each] < threshold)}
    assert [title.split(",")[0] for title in names["wrong"]] == sorted(wrong, key=lambda each: -strength[each])
    assert names["false_flags"].sum() == sum(strength[each] >= threshold for each in wrong)
    brands = {row["product_id"]: row["brand"] for row in rows("references")}
    for groups, of in (
        (names["misses"], truth("truth")),
        (names["of_brand"], {k: brands.get(v) for k, v in right.items()}),
    ):
        shown = [(title.split(",")[0], name) for name, cases in groups.items() for title in cases]
        assert sorted(shown) == sorted((each, of[each]) for each in missed)
        for cases in groups.values():
            assert (np.diff([strength[title.split(",")[0]] for title in cases]) >= 0).all()
    for title, pictures in names["wrong"].items():
        listing = title.split(",")[0]
        assert any(caption.startswith("right: ") for caption in pictures) == bool(right[listing])
        assert right[listing] or not found[listing].matches[0].agrees  # as the text below the pictures says
    for title in {title for cases in [names["wrong"], *names["misses"].values()] for title in cases}:
        finding = found[title.split(",")[0]]
        points = finding.matches[0].verification
        said = "not compared" if points is None else f"{points.inliers} points agree"
        assert f"probability {finding.probability:.3f}, flag from {threshold:.3f}" in title
        assert f"similarity {finding.similarity:.3f}, {said}" in title
    assert next(axes.get_title() for axes in figures[1].axes if axes.get_title()) == "listing"


def test_every_miss_has_the_cause_that_its_comparison_tells() -> None:
    names, _ = ran("error_analysis")
    kinds, right = truth("truth"), truth("truth_product")
    expected: dict[str, Counter[str]] = {kinds[each]: Counter() for each in right if right[each]}
    for finding in names["findings"]:
        listing, points = finding.listing.id, finding.matches[0].verification
        if not right[listing] or (finding.product == right[listing] and finding.verdict == "flagged"):
            continue
        cause = "no points agree" if points is not None and not points.inliers else "points agree"
        cause = "not compared" if points is None else cause
        expected[kinds[listing]]["another product" if finding.product != right[listing] else cause] += 1
    assert {kind: +Counter(causes) for kind, causes in names["reasons"].items()} == expected
    assert sum(expected.values(), Counter()).total() == names["missed"].sum()


def test_the_figures_by_kind_and_brand_count_every_listing_once() -> None:
    names, _ = ran("error_analysis")
    kinds, right = truth("truth"), truth("truth_product")
    brands = {row["product_id"]: row["brand"] for row in rows("references")}
    assert {kind: sum(parts.values()) for kind, parts in names["outcomes"].items()} == Counter(kinds.values())
    assert {each.brand: each.recall.total for each in names["figures"] if each.recall.total} == Counter(
        brands[product] for product in right.values() if product
    )
    assert sum(each.false_flags.total for each in names["figures"]) == sum(not product for product in right.values())


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
