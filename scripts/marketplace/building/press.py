"""A press that prints the labels of a product."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lookalike.scripts.marketplace.brands import Product
from lookalike.scripts.marketplace.colours import Colour
from lookalike.scripts.marketplace.printing import labels
from lookalike.scripts.marketplace.printing.sheet import Label, Sheet, ground, rect

BLACK, WHITE, STEEL, GOLD = (24, 24, 27), (244, 243, 240), (196, 198, 202), (212, 172, 96)


class Press:
    """Prints a product's labels, with `density` pixels per 10 cm."""

    def __init__(self, product: Product, *, fonts: Path | None = None, density: int = 420) -> None:
        self.product, self.palette = product, product.design.palette
        self._fonts, self._density = fonts, density

    def sheet(self, width: float, height: float) -> Sheet:
        """An empty sheet for a label of this size, in units of 10 cm."""
        size = (max(32, round(width * self._density)), max(32, round(height * self._density)))
        return Sheet(self.product.design, self.product.form, *size, fonts=self._fonts)

    def front(self, width: float, height: float, *, free: float = 0.0) -> Label:
        """A front panel on the patterned ground, which shows alone in the share `free` at the top."""
        sheet = self.sheet(width, height)
        ground(sheet, rect(0, 0, sheet.width, sheet.height))
        labels.front(sheet, rect(0, sheet.height * free, sheet.width, sheet.height * (1 - free)))
        return sheet.pixels()

    def wrap(self, width: float, height: float, *, panel: float = 0.33, free: float = 0.0) -> Label:
        """A label around a body of this circumference; the ground shows alone in the share `free` at the top."""
        sheet = self.sheet(width, height)
        labels.wrap(sheet, panel=panel, free=free)
        return sheet.pixels()

    def side(self, width: float, height: float) -> Label:
        """A box's side."""
        sheet = self.sheet(width, height)
        labels.side(sheet)
        return sheet.pixels()

    def top(self, width: float, height: float) -> Label:
        """A lid."""
        sheet = self.sheet(width, height)
        labels.top(sheet)
        return sheet.pixels()

    def colour(self, rng: np.random.Generator, *also: Colour) -> Colour:
        """A colour for caps and lids: from the palette, black, white, or one of `also`."""
        palette = self.palette
        choices = [palette.ground.rgb, palette.accent.rgb, palette.panel.rgb, WHITE, BLACK, *also]
        return choices[int(rng.integers(len(choices)))]
