"""A listing's photo and the genuine one as one picture: what agrees point by point, and what differs once aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .comparison import (
    Alignment,
    Comparison,
    Matrix,
    Pair,
    between,
    bring_to_size,
    compare_in_view,
    compare_pair,
    depths,
    through,
)
from .differences import Difference, Mask, Pixels, Region

__all__ = ["WIDTH", "Alignment", "Comparison", "compare_pair", "compose_pair"]

Colour = tuple[int, int, int]

WIDTH = 1200
"""Width of the composed picture in pixels; its height follows from the photos."""
_MARGIN = 16
_PHOTO_HEIGHT = 440
_MOST_LINES = 60
_CLOSE_UPS = 4
_NARROWEST, _WIDEST = 0.4, 2.2
_WHITE, _INK, _GREY = (255, 255, 255), (34, 34, 34), (110, 110, 110)
_MARK, _OUTLINE = (213, 94, 0), (0, 114, 178)
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167))
"""Okabe and Ito's palette, which colour-blind people can tell apart, less what marks and outlines are drawn in."""


def compose_pair(
    reference: Image.Image,
    listing: Image.Image,
    alignment: Alignment | None = None,
    *,
    similarity: float | None = None,
    threshold: float | None = None,
    inliers: int | None = None,
    caption: str = "",
) -> Image.Image:
    """One RGB picture, `WIDTH` pixels wide, that shows why a listing's photo is held to be alike to a genuine one.

    Both photos side by side with matched points joined; below, after alignment, what differs, with its places boxed,
    numbered and enlarged. Without an alignment the two photos, and a line that says that no points agree.
    `similarity` is the cosine, `threshold` what it was held against, `inliers` a count; `caption` is one line of text.

    >>> photo = Image.new("RGB", (300, 200), "white")
    >>> compose_pair(photo, photo, similarity=0.91).width
    1200
    """
    pair = bring_to_size(reference, listing, alignment)
    comparison = compare_in_view(pair)
    facts = _facts(similarity, threshold, inliers, pair.alignment)
    strips = [_text(line, 18) for line in (caption, facts) if line]
    strips.append(_photos(pair, comparison))
    if comparison is not None:
        strips += [_text(_summary(comparison), 16), _panels(comparison)]
        if comparison.difference.regions:
            strips.append(_close_ups(comparison))
    elif pair.alignment is not None:
        strips.append(_text("The photos overlap too little to be compared.", 16))
    return _stacked(strips)


def _facts(similarity: float | None, threshold: float | None, inliers: int | None, alignment: Alignment | None) -> str:
    facts = []
    if similarity is not None:
        facts.append(f"similarity {similarity:.3f}")
    if threshold is not None:
        facts.append(f"threshold {threshold:.3f}")
    if alignment is None:
        facts.append("no points of the two photos agree")
    else:
        count = len(alignment.points) if inliers is None else inliers
        facts.append(f"{count:,} matching points")
        if alignment.mirrored:
            facts.append("the listing's photo is mirrored")
    line = ", ".join(facts)
    return line[0].upper() + line[1:]


def _summary(comparison: Comparison) -> str:
    count = len(comparison.difference.regions)
    where = "all that the photos have in common" if comparison.whole else "the print around the matching points"
    outline = "Blue outline: where the genuine photo lies." if comparison.whole else "Blue outline: what was compared."
    if count == 0:
        return f"{outline} Compared: {where}. No place stands out as different."
    places = "one place differs" if count == 1 else f"the {count} places that differ most are marked"
    return f"{outline} Compared: {where}; {places}."


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text(line: str, size: int, width: int = WIDTH - 2 * _MARGIN, colour: Colour = _INK) -> Image.Image:
    """One line as a strip, cut off with an ellipsis where it is too long."""
    font = _font(size)
    line = " ".join(line[:400].split())
    if font.getlength(line) > width:
        while line and font.getlength(line + "...") > width:
            line = line[:-1]
        line += "..."
    strip = Image.new("RGB", (width, round(1.4 * size)), _WHITE)
    ImageDraw.Draw(strip).text((0, round(0.15 * size)), line, colour, font)
    return strip


def _stacked(strips: Sequence[Image.Image]) -> Image.Image:
    height = sum(each.height for each in strips) + _MARGIN * (len(strips) + 1)
    picture = Image.new("RGB", (WIDTH, height), _WHITE)
    top = _MARGIN
    for strip in strips:
        picture.paste(strip, (_MARGIN, top))
        top += strip.height + _MARGIN
    return picture


def _photos(pair: Pair, comparison: Comparison | None) -> Image.Image:
    """Listing and reference at a common height, with the outline and lines between matched points."""
    names = [
        "Listing, shown mirrored" if pair.alignment and pair.alignment.mirrored else "Listing",
        "Genuine reference",
    ]
    photos = [pair.listing, pair.reference]
    gap = 3 * _MARGIN
    ratios = [float(np.clip(each.shape[1] / each.shape[0], _NARROWEST, _WIDEST)) for each in photos]
    height = min(_PHOTO_HEIGHT, int((WIDTH - 2 * _MARGIN - gap) / sum(ratios)))
    fitted = [_fitted(photo, (int(height * ratio), height)) for photo, ratio in zip(photos, ratios, strict=True)]
    _outline(fitted, pair, comparison)
    left = (WIDTH - 2 * _MARGIN - gap - sum(each.picture.width for each in fitted)) // 2
    places = [(left, 28), (left + fitted[0].picture.width + gap, 28)]
    strip = Image.new("RGB", (WIDTH - 2 * _MARGIN, height + 28), _WHITE)
    for name, each, place in zip(names, fitted, places, strict=True):
        strip.paste(_text(name, 17, max(each.picture.width, 180)), (place[0], 0))
        strip.paste(each.picture, place)
    return strip if pair.alignment is None else _joined(strip, pair.alignment, fitted, places)


class _Fitted(NamedTuple):
    """A photo in a frame, and what takes its pixels to the frame's."""

    picture: Image.Image
    matrix: Matrix


def _fitted(pixels: Pixels, frame: tuple[int, int]) -> _Fitted:
    height, width = pixels.shape[:2]
    factor = min(frame[0] / width, frame[1] / height)
    size = (max(1, min(frame[0], round(width * factor))), max(1, min(frame[1], round(height * factor))))
    left, top = (frame[0] - size[0]) // 2, (frame[1] - size[1]) // 2
    picture = Image.new("RGB", frame, (225, 225, 225))
    picture.paste(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), (left, top))
    shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
    return _Fitted(picture, shift @ between((width, height), size))


def _outline(fitted: Sequence[_Fitted], pair: Pair, comparison: Comparison | None) -> None:
    """Draw where the reference lies in the listing; of another photo, what of it was compared, in both."""
    if pair.alignment is None:
        return
    height, width = pair.reference.shape[:2]
    ring = _ring((-0.5, -0.5, width - 0.5, height - 0.5))
    both = comparison is not None and not comparison.whole
    if comparison is not None and both:
        seen = comparison.difference.mask.astype(np.uint8)
        contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        largest = max(contours, key=cv2.contourArea)[:, 0].astype(np.float32)
        ring = through(comparison.view, np.asarray(cv2.convexHull(largest)[:, 0], np.float64))
    matrix = pair.alignment.homography
    held = pair.alignment.points[:, :2] if len(pair.alignment.points) else ring
    middle = float(np.median(depths(matrix, held)))
    ahead = depths(matrix, ring) * np.sign(middle) > 0.05 * abs(middle)
    _line(fitted[0], through(matrix, ring[ahead]))
    if both:
        _line(fitted[1], ring)


def _ring(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Points along the edges of a box, so that an edge may vanish in part."""
    left, top, right, bottom = box
    steps = np.linspace(0, 1, 33)[:-1, None]
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return np.concatenate([a + steps * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])


def _line(fitted: _Fitted, ring: NDArray[np.float64]) -> None:
    if len(ring) < 3:
        return
    points = np.clip(through(fitted.matrix, ring), 1, np.array(fitted.picture.size) - 2)
    path = [(float(x), float(y)) for x, y in [*points, points[0]]]
    draw = ImageDraw.Draw(fitted.picture)
    draw.line(path, _WHITE, 5, "curve")
    draw.line(path, _OUTLINE, 3, "curve")


def _joined(
    strip: Image.Image, alignment: Alignment, fitted: Sequence[_Fitted], places: Sequence[tuple[int, int]]
) -> Image.Image:
    """Lines between matched points, half transparent, so that the photos stay to be seen."""
    points = _spread_out(alignment.points, _MOST_LINES)
    ends = [
        through(each.matrix, part) + place
        for each, part, place in zip(fitted, (points[:, 2:], points[:, :2]), places, strict=True)
    ]
    lines = strip.copy()
    draw = ImageDraw.Draw(lines)
    paths = [((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))) for a, b in zip(*ends, strict=True)]
    for number, path in enumerate(paths):
        draw.line(path, _COLOURS[number % len(_COLOURS)], 2)
    blended = Image.blend(strip, lines, 0.6)
    draw = ImageDraw.Draw(blended)
    for number, path in enumerate(paths):
        for x, y in path:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), _COLOURS[number % len(_COLOURS)], _INK)
    return blended


def _spread_out(points: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """At most `most` of the points, each the one farthest in the reference from those already taken."""
    points = points[:5000]
    if len(points) <= most:
        return points
    places = points[:, :2]
    taken = [int(np.argmin(np.linalg.norm(places - places.mean(axis=0), axis=1)))]
    away = np.linalg.norm(places - places[taken[0]], axis=1)
    while len(taken) < most:
        taken.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(places - places[taken[-1]], axis=1))
    return points[taken]


def _panels(comparison: Comparison) -> Image.Image:
    """Reference, aligned listing and the difference, side by side, the differing places boxed and numbered."""
    found = comparison.difference
    width = (WIDTH - 4 * _MARGIN) // 3
    pictures = {
        "Genuine reference": _dimmed(comparison.reference, found.mask),
        "Listing, aligned": _dimmed(found.aligned, found.mask),
        "What differs": _heat(comparison.reference, found),
    }
    ratio = comparison.reference.shape[0] / comparison.reference.shape[1]
    height = int(np.clip(width * ratio, 40, 1.3 * width))
    strip = Image.new("RGB", (WIDTH - 2 * _MARGIN, height + 28), _WHITE)
    for number, (name, pixels) in enumerate(pictures.items()):
        fitted = _fitted(pixels, (width, height))
        for place, region in enumerate(found.regions, 1):
            _box(fitted, region, str(place))
        strip.paste(_text(name, 17, width), (number * (width + _MARGIN), 0))
        strip.paste(fitted.picture, (number * (width + _MARGIN), 28))
    return strip


def _dimmed(pixels: Pixels, mask: Mask) -> Pixels:
    """The picture, grey and pale outside the mask."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    pale = np.asarray(170 + 0.25 * grey.astype(np.float32), np.uint8)
    return np.where(mask[..., None], pixels, pale)


def _heat(reference: Pixels, found: Difference) -> Pixels:
    """The reference, pale, with what differs in colour on it."""
    grey = cv2.cvtColor(reference, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    share = np.clip((found.score - 0.15) / 0.35, 0, 1)[..., None] * found.mask[..., None]
    pale = 255 - 0.4 * (255 - grey)
    heat = np.asarray(pale * (1 - 0.85 * share) + 0.85 * share * np.array(_MARK, np.float32), np.uint8)
    return np.where(found.mask[..., None], heat, _dimmed(reference, found.mask))


def _box(fitted: _Fitted, region: Region, name: str) -> None:
    corners = np.array([[region.left, region.top], [region.right, region.bottom]], np.float64)
    (left, top), (right, bottom) = through(fitted.matrix, corners - 0.5)
    draw = ImageDraw.Draw(fitted.picture)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), None, _WHITE, 4)
    draw.rectangle((left, top, right, bottom), None, _MARK, 2)
    font = _font(12)
    x = min(max(0.0, left), fitted.picture.width - 14)
    y = top - 15 if top >= 15 else min(bottom, fitted.picture.height - 15)
    draw.rectangle((x, y, x + 5 + font.getlength(name), y + 14), _MARK)
    draw.text((x + 3, y), name, _WHITE, font)


def _close_ups(comparison: Comparison) -> Image.Image:
    """The largest places enlarged, the genuine one left and the listing's right."""
    found = comparison.difference
    width = (WIDTH - 2 * _MARGIN - (_CLOSE_UPS - 1) * _MARGIN) // _CLOSE_UPS
    side = (width - 4) // 2
    strip = Image.new("RGB", (WIDTH - 2 * _MARGIN, side + 26), _WHITE)
    pictures = [_dimmed(pixels, found.mask) for pixels in (comparison.reference, found.aligned)]
    for number, region in enumerate(found.regions[:_CLOSE_UPS]):
        left = number * (width + _MARGIN)
        strip.paste(_text(f"{number + 1}: genuine, listing", 15, width, _GREY), (left, 0))
        for offset, pixels in zip((0, side + 4), pictures, strict=True):
            strip.paste(_close_up(pixels, region, side), (left + offset, 24))
    return strip


def _close_up(pixels: Pixels, region: Region, side: int) -> Image.Image:
    """A square around the region, with half as much again on each side."""
    height, width = pixels.shape[:2]
    extent = min(max(2 * max(region.right - region.left, region.bottom - region.top), 150), max(height, width))
    x, y = (region.left + region.right - extent) / 2, (region.top + region.bottom - extent) / 2
    box = (min(max(x, 0), max(width - extent, 0)), min(max(y, 0), max(height - extent, 0)))
    view = np.array([[extent / side, 0, box[0]], [0, extent / side, box[1]], [0, 0, 1]], np.float64)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    square = cv2.warpPerspective(pixels, view, (side, side), flags=how, borderValue=(225, 225, 225))
    picture = Image.fromarray(np.asarray(square, np.uint8))
    corners = np.array([[region.left, region.top], [region.right, region.bottom]], np.float64)
    (left, top), (right, bottom) = through(np.linalg.inv(view), corners)
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), None, _MARK, 1)
    return picture
