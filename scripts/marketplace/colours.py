"""Palettes of the rendered marketplace, drawn in OKLCH, so that equal steps look equally different.

Source of the colour space: Björn Ottosson, "A perceptual color space for image processing", 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Tone:
    """A colour as lightness 0 to 1, chroma 0 to 0.3 and hue in degrees."""

    lightness: float
    chroma: float
    hue: float

    def turned(self, degrees: float) -> Tone:
        """The same tone at another hue."""
        return replace(self, hue=(self.hue + degrees) % 360)

    @property
    def rgb(self) -> Colour:
        """The nearest sRGB colour, with the chroma lowered until it is within the gamut.

        >>> Tone(1.0, 0.0, 0.0).rgb
        (255, 255, 255)
        """
        for chroma in np.linspace(self.chroma, 0.0, 24):
            linear = _linear(self.lightness, float(chroma), self.hue)
            if linear.min() >= -0.002 and linear.max() <= 1.002:
                break
        clipped = np.clip(linear, 0, 1)
        encoded = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
        red, green, blue = np.round(encoded * 255).astype(int).tolist()
        return red, green, blue


@dataclass(frozen=True)
class Palette:
    """The colours of a label: `ground` and `panel` are surfaces, `accent` and `extra` decorate, `ink` is for type."""

    ground: Tone
    panel: Tone
    ink: Tone
    accent: Tone
    extra: Tone

    def shifted(self, degrees: float, *, lighter: float = 0.0) -> Palette:
        """The palette with every hue turned, and the ground lighter by that much."""
        moved = [tone.turned(degrees) for tone in (self.ground, self.panel, self.ink, self.accent, self.extra)]
        moved[0] = replace(moved[0], lightness=float(np.clip(moved[0].lightness + lighter, 0.16, 0.97)))
        return Palette(*moved)

    def type_on(self, surface: Tone) -> Tone:
        """Ink or its opposite, whichever is readable on this surface."""
        light, dark = sorted((self.ink, Tone(0.97, 0.01, self.panel.hue)), key=lambda tone: -tone.lightness)
        if self.ink.lightness > 0.6:
            dark = Tone(0.24, min(self.ground.chroma, 0.05), self.ground.hue)
        return dark if surface.lightness > 0.66 else light

    def mark_on(self, surface: Tone) -> Tone:
        """The first tone of the palette that stands out from this surface."""
        for tone in (self.accent, self.extra, self.panel, self.ground):
            if abs(tone.lightness - surface.lightness) > 0.25:
                return tone
        return self.type_on(surface)


_GROUNDS = {
    "deep": (0.36, 0.10),
    "bright": (0.64, 0.17),
    "warm": (0.74, 0.15),
    "pastel": (0.87, 0.055),
    "cream": (0.95, 0.022),
    "white": (0.98, 0.004),
    "night": (0.23, 0.025),
}


def draw_palette(rng: np.random.Generator) -> Palette:
    """A palette around one hue, with the accent at one of the usual angles to it."""
    base = float(rng.uniform(0, 360))
    names = list(_GROUNDS)
    kind = names[int(rng.choice(len(names), p=[0.24, 0.2, 0.14, 0.16, 0.1, 0.08, 0.08]))]
    if kind == "deep" and 60 < base < 130:  # a deep yellow would be olive, which nobody prints
        kind = "warm"
    lightness, chroma = _GROUNDS[kind]
    away = float(rng.choice([35, -40, 120, 150, 180, 205]))
    ground = Tone(lightness + float(rng.uniform(-0.04, 0.02)), chroma, base)
    dark = lightness < 0.6
    panel = Tone(0.95, 0.025, (base + away / 3) % 360) if rng.random() < 0.75 else Tone(0.3, 0.07, base)
    if abs(panel.lightness - ground.lightness) < 0.2:
        panel = Tone(0.32, 0.09, (base + away) % 360) if not dark else Tone(0.94, 0.03, (base + away) % 360)
    accent = Tone(0.78 if dark else 0.55, float(rng.uniform(0.12, 0.19)), (base + away) % 360)
    extra = Tone(0.62 if dark else 0.72, 0.13, (base + away * 0.5) % 360)
    ink = Tone(0.26, 0.05, base) if rng.random() < 0.8 else Tone(0.42, 0.12, base)
    return Palette(ground, panel, ink, accent, extra)


def _linear(lightness: float, chroma: float, hue: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """OKLCH to linear sRGB."""
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    lms = np.array(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    matrix = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return np.asarray(matrix @ lms**3)
