"""The encoder's benchmark: its figures, its tables, and baselines that recognise an edited picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import TableError
from lookalike.scripts.benchmarks.baselines import grid
from lookalike.scripts.benchmarks.encoder import MARKS, Answers, measure
from lookalike.scripts.benchmarks.sets import BenchmarkSet, add_market


def blocks(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (5, 5, 3)).astype(np.uint8)
    return Image.fromarray(cells).resize((100, 100), Image.Resampling.NEAREST)


def mean_colours(images: list[Image.Image]) -> np.ndarray:
    rows = np.stack(
        [np.asarray(image.resize((5, 5), Image.Resampling.BOX), np.float32).ravel() - 127 for image in images]
    )
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def small() -> BenchmarkSet:
    """Six products, a copy of each with one labelled wrongly, and four strangers."""
    made = BenchmarkSet("small")
    for k in range(6):
        made.refer(blocks(k), f"p{k}")
        made.ask(blocks(k), f"p{k}" if k else "p1", "copy", "copy: even" if k % 2 == 0 else "copy: odd")
        made.ask(blocks(k), f"p{k}", "imitation", "imitation, step 1")
    for k in range(4):
        made.ask(blocks(50 + k), "", "unrelated")
    return made


def test_figures_are_those_of_the_stratum(small: BenchmarkSet) -> None:
    answers = Answers.of(small, mean_colours)
    assert answers.names() == ["copy", "copy: even", "copy: odd", "imitation", "imitation, step 1"]
    whole, even, odd = (answers.figures(name, rounds=5)[0] for name in (None, "copy: even", "copy: odd"))
    assert (whole.positives, whole.queries) == (12, 16)
    assert whole.recall_at_1 == pytest.approx(11 / 12)
    assert (even.recall_at_1, odd.recall_at_1) == (pytest.approx(2 / 3), 1.0)
    assert (odd.fnir_at_fpir_1, odd.queries) == (0.0, 7)
    assert answers.to_right[1] == pytest.approx(1.0) and answers.to_right[0] < 0.9


def test_tables_show_every_method_and_every_stratum(small: BenchmarkSet) -> None:
    tables = list(measure([small], {"colours": mean_colours, "grid": grid}, rounds=5))
    assert [row[0] for row in tables[0].rows] == ["colours", "grid"]
    assert [row[0] for row in tables[1].rows] == ["copy", "copy: even", "copy: odd", "imitation", "imitation, step 1"]
    assert tables[2].rows[0][-2] == "1.000"
    assert tables[0].markdown().count("\n|") == 4


def test_the_grid_recognises_a_picture_after_a_change_of_light() -> None:
    pictures = [blocks(k) for k in range(12)]
    darker = [image.point(lambda value: value * 0.7) for image in pictures]
    rows, queries = grid(pictures), grid(darker)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (np.argmax(queries @ rows.T, axis=1) == np.arange(12)).all()


def test_refuses_a_marketplace_of_another_split(tmp_path: Path) -> None:
    (tmp_path / "pictures.csv").write_text("image,split,product_id,kind\nimages/a.jpg,train,p,packshot\n")
    with pytest.raises(TableError, match="holds the split 'train', expected test; render it with"):
        add_market(BenchmarkSet("x"), tmp_path, split="test")


def test_the_model_card_has_a_place_for_the_figures() -> None:
    card = Path(__file__).parents[3] / "model" / "embedded.md"
    assert MARKS.search(card.read_text(encoding="utf-8"))
