"""The forms of products: each is a function `(press, rng, model) -> None` that builds into the open Blender scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lookalike.scripts.marketplace.building.bottles import bottle, flacon, sauce, tube
from lookalike.scripts.marketplace.building.boxes import carton, gable, pouch, shoebox
from lookalike.scripts.marketplace.building.jars import can, candle, jar, pot, tin
from lookalike.scripts.marketplace.building.press import Press
from lookalike.scripts.marketplace.building.trainers import trainer
from lookalike.scripts.marketplace.building.wear import handbag, mug, watch

FORMS: dict[str, Callable[[Press, np.random.Generator, int], None]] = {
    "carton": carton, "gable": gable, "bottle": bottle, "sauce": sauce, "can": can, "jar": jar, "pot": pot, "tin": tin,
    "tube": tube, "pouch": pouch, "candle": candle, "shoebox": shoebox, "flacon": flacon, "mug": mug,
    "handbag": handbag, "watch": watch, "trainer": trainer,
}  # fmt: skip
