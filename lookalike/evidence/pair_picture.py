"""A listing's photo and the genuine one as one picture: the points that match, and what differs once aligned."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .alignment import Alignment, Pair, bring_to_size, depths, through
from .comparison import Comparison, compare_in_view
from .differences import Difference, Region
from .drawing import (
    COLOURS,
    FRAME,
    GREY,
    INK,
    INNER,
    MARGIN,
    MARK,
    PART,
    WHITE,
    Fitted,
    box_ring,
    draw_box,
    draw_outline,
    fit_into,
    stacked,
    text_strip,
)
from .matching import Mask, Pixels

_PHOTO_HEIGHT = 440
_MOST_LINES = 60
_CLOSE_UPS = 4
_NARROWEST, _WIDEST = 0.4, 2.2
_NAME_HEIGHT = 28


def compose_pair(
    reference: Image.Image,
    listing: Image.Image,
    alignment: Alignment | None = None,
    *,
    numbers: str = "",
    region: tuple[float, float, float, float] | None = None,
    inliers: int | None = None,
    caption: str = "",
    name: str = "",
) -> Image.Image:
    """One RGB picture, 1,200 pixels wide, that shows why a listing's photo resembles a genuine one.

    It shows the photos side by side with matching points joined, and below them, aligned, what differs: the places are
    boxed, numbered and enlarged. Without an alignment, it shows the two photos and says that no points match.
    `region` is the part of the listing's photo that was found, in 0 to 1 of its width and height; it is boxed.
    `caption` is one line of text, `numbers` the start of the next one, and `name` another one of what the labels say;
    `inliers` is the number of matching points to write, by default all of them.

    >>> photo = Image.new("RGB", (300, 200), "white")
    >>> compose_pair(photo, photo, numbers="similarity 0.912, flag from 0.850").width
    1200
    """
    pair = bring_to_size(reference, listing, alignment)
    comparison = compare_in_view(pair)
    facts = _facts(numbers, inliers, pair.alignment)
    strips = [text_strip(line, 18) for line in (caption, facts, name) if line]
    if region is not None:
        strips.append(text_strip("Green box: the part of the listing's photo that was found.", 16))
    strips.append(_photos(pair, comparison, region))
    if comparison is not None:
        strips += [text_strip(_summary(comparison), 16), _panels(comparison)]
        if comparison.difference.regions:
            strips.append(_close_ups(comparison))
    elif pair.alignment is not None:
        strips.append(text_strip("The photos overlap too little to be compared.", 16))
    return stacked(strips)


def _facts(numbers: str, inliers: int | None, alignment: Alignment | None) -> str:
    facts = [numbers] if numbers else []
    if alignment is None:
        facts.append("no matching points")
    else:
        count = len(alignment.points) if inliers is None else inliers
        facts.append(f"{count:,} matching points")
        if alignment.mirrored:
            facts.append("the listing's photo is mirrored")
    line = " · ".join(facts)
    return line[0].upper() + line[1:]


def _summary(comparison: Comparison) -> str:
    count = len(comparison.difference.regions)
    where = "everything the photos share" if comparison.whole else "the print around the matching points"
    outline = "Blue outline: where the genuine photo lies." if comparison.whole else "Blue outline: what was compared."
    if count == 0:
        return f"{outline} Compared: {where}; nothing stands out as different."
    places = "one place differs" if count == 1 else f"the {count} places that differ most are marked"
    return f"{outline} Compared: {where}; {places}."


def _photos(pair: Pair, comparison: Comparison | None, region: tuple[float, float, float, float] | None) -> Image.Image:
    """Listing and reference at the same height, with the outline, the region and lines between matching points."""
    names = [
        "Listing, shown mirrored" if pair.alignment and pair.alignment.mirrored else "Listing",
        "Genuine reference",
    ]
    photos = [pair.listing, pair.reference]
    gap = 3 * MARGIN
    ratios = [float(np.clip(each.shape[1] / each.shape[0], _NARROWEST, _WIDEST)) for each in photos]
    height = min(_PHOTO_HEIGHT, int((INNER - gap) / sum(ratios)))
    fitted = [fit_into(photo, (int(height * ratio), height)) for photo, ratio in zip(photos, ratios, strict=True)]
    if region is not None:
        _part(fitted[0], pair, region)
    _outline(fitted, pair, comparison)
    left = (INNER - gap - sum(each.picture.width for each in fitted)) // 2
    places = [(left, _NAME_HEIGHT), (left + fitted[0].picture.width + gap, _NAME_HEIGHT)]
    strip = Image.new("RGB", (INNER, height + _NAME_HEIGHT), WHITE)
    for name, each, place in zip(names, fitted, places, strict=True):
        strip.paste(text_strip(name, 17, max(each.picture.width, 180)), (place[0], 0))
        strip.paste(each.picture, place)
    return strip if pair.alignment is None else _joined(strip, pair.alignment, fitted, places)


def _part(listing: Fitted, pair: Pair, region: tuple[float, float, float, float]) -> None:
    """Draw the part of the listing's photo that was found."""
    height, width = pair.listing.shape[:2]
    left, top, right, bottom = region
    if pair.alignment is not None and pair.alignment.mirrored:  # so is what is shown
        left, right = 1 - right, 1 - left
    ring = box_ring((left * width - 0.5, top * height - 0.5, right * width - 0.5, bottom * height - 0.5))
    draw_outline(listing, ring, colour=PART, width=9)  # so that it shows on both sides of an outline on top of it


def _outline(fitted: Sequence[Fitted], pair: Pair, comparison: Comparison | None) -> None:
    """Draw where the reference lies in the listing; if only a part was compared, draw that part in both."""
    if pair.alignment is None:
        return
    height, width = pair.reference.shape[:2]
    ring = box_ring((-0.5, -0.5, width - 0.5, height - 0.5))
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
    draw_outline(fitted[0], through(matrix, ring[ahead]))
    if both:
        draw_outline(fitted[1], ring)


def _joined(
    strip: Image.Image, alignment: Alignment, fitted: Sequence[Fitted], places: Sequence[tuple[int, int]]
) -> Image.Image:
    """Lines between matching points, half transparent, so that the photos stay visible."""
    points = spread_out(alignment.points, _MOST_LINES)
    ends = [
        through(each.matrix, part) + place
        for each, part, place in zip(fitted, (points[:, 2:], points[:, :2]), places, strict=True)
    ]
    lines = strip.copy()
    draw = ImageDraw.Draw(lines)
    paths = [((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))) for a, b in zip(*ends, strict=True)]
    for number, path in enumerate(paths):
        draw.line(path, COLOURS[number % len(COLOURS)], 2)
    blended = Image.blend(strip, lines, 0.6)
    draw = ImageDraw.Draw(blended)
    for number, path in enumerate(paths):
        for x, y in path:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), COLOURS[number % len(COLOURS)], INK)
    return blended


def spread_out(points: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """At most `most` of the points (n, 4), each the farthest in the reference from those already taken."""
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
    """Reference, aligned listing and the difference side by side, with places boxed and numbered."""
    found = comparison.difference
    width = (INNER - 2 * MARGIN) // 3
    pictures = {
        "Genuine reference": dimmed(comparison.reference, found.mask),
        "Listing, aligned": dimmed(found.aligned, found.mask),
        "What differs": _heat(comparison.reference, found),
    }
    ratio = comparison.reference.shape[0] / comparison.reference.shape[1]
    height = int(np.clip(width * ratio, 40, 1.3 * width))
    strip = Image.new("RGB", (INNER, height + _NAME_HEIGHT), WHITE)
    for number, (name, pixels) in enumerate(pictures.items()):
        fitted = fit_into(pixels, (width, height))
        for place, region in enumerate(found.regions, 1):
            draw_box(fitted, region, str(place))
        strip.paste(text_strip(name, 17, width), (number * (width + MARGIN), 0))
        strip.paste(fitted.picture, (number * (width + MARGIN), _NAME_HEIGHT))
    return strip


def dimmed(pixels: Pixels, mask: Mask) -> Pixels:
    """The picture, grey and pale outside the mask."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    pale = np.asarray(170 + 0.25 * grey.astype(np.float32), np.uint8)
    return np.where(mask[..., None], pixels, pale)


def _heat(reference: Pixels, found: Difference) -> Pixels:
    """The reference, pale, with differences in colour."""
    grey = cv2.cvtColor(reference, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    share = np.clip((found.shown - 0.3) / 0.3, 0, 1)[..., None] * found.mask[..., None]
    pale = 255 - 0.4 * (255 - grey)
    heat = np.asarray(pale * (1 - 0.85 * share) + 0.85 * share * np.array(MARK, np.float32), np.uint8)
    return np.where(found.mask[..., None], heat, dimmed(reference, found.mask))


def _close_ups(comparison: Comparison) -> Image.Image:
    """The first places enlarged, from the genuine photo on the left and from the listing's on the right."""
    found = comparison.difference
    width = (INNER - (_CLOSE_UPS - 1) * MARGIN) // _CLOSE_UPS
    side = (width - 4) // 2
    strip = Image.new("RGB", (INNER, side + 26), WHITE)
    pictures = [dimmed(pixels, found.mask) for pixels in (comparison.reference, found.aligned)]
    for number, region in enumerate(found.regions[:_CLOSE_UPS]):
        left = number * (width + MARGIN)
        strip.paste(text_strip(f"{number + 1}: genuine, listing", 15, width, GREY), (left, 0))
        for offset, pixels in zip((0, side + 4), pictures, strict=True):
            strip.paste(close_up(pixels, region, side), (left + offset, 24))
    return strip


def close_up(pixels: Pixels, region: Region, side: int) -> Image.Image:
    """A square around the region, with half its size added on each side."""
    height, width = pixels.shape[:2]
    extent = min(max(2 * max(region.right - region.left, region.bottom - region.top), 150), max(height, width))
    x, y = (region.left + region.right - extent) / 2, (region.top + region.bottom - extent) / 2
    box = (min(max(x, 0), max(width - extent, 0)), min(max(y, 0), max(height - extent, 0)))
    view = np.array([[extent / side, 0, box[0]], [0, extent / side, box[1]], [0, 0, 1]], np.float64)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    square = cv2.warpPerspective(pixels, view, (side, side), flags=how, borderValue=FRAME)
    picture = Image.fromarray(np.asarray(square, np.uint8))
    corners = np.array([[region.left, region.top], [region.right, region.bottom]], np.float64)
    (left, top), (right, bottom) = through(np.linalg.inv(view), corners)
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), None, MARK, 1)
    return picture
