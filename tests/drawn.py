"""Queries to draw, and what a figure shows of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RNG = np.random.default_rng(0)
RELATED = RNG.random(800) < 0.4
SIMILARITY = np.where(RELATED, RNG.normal(0.75, 0.1, 800), RNG.normal(0.5, 0.1, 800))
CORRECT = RELATED & (RNG.random(800) < 0.9)
BRAND = RNG.choice([f"Brand {letter}" for letter in "ABCDEFGHIJKL"], 800)


def xy(line: object) -> NDArray[np.float64]:
    return np.asarray(line.get_xydata())  # type: ignore[attr-defined]


def annotations(axes: object) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]  # type: ignore[attr-defined]
