"""Reads the name on a listing's label and the one on the genuine label, and compares them letter by letter."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from lookalike.model.text import Line, TextReader
from lookalike.tables.names import NameReading

from .alignment import Alignment, Matrix, through

Box = tuple[float, float, float, float]

_LETTERS = 48  # height in pixels that letters are brought to before they are read
_LEAST_LETTERS = 6.0  # pixels of the listing's photo; smaller letters can't be told apart
_CONFIDENT = 0.8
_VISIBLE = 0.7
_ALIKE = 0.6  # texts that are at least as similar are one name, perhaps misread
_UNLIKE = 0.5  # texts that are less similar are two names
_MARGINS = (0.05, 0.2)  # around the line, of its height: what is misread is seldom misread alike
_REFERENCES_KEPT = 256
_LONGEST = 1280


class NameReader:
    """Compares names on labels; what genuine photos say is kept for the next findings of the same product.

    Raises MissingExtraError if RapidOCR (extra `ocr`) is not installed.
    """

    def __init__(self) -> None:
        self._text = TextReader()
        self._named = lru_cache(maxsize=_REFERENCES_KEPT)(self._name_on)

    def compare(
        self,
        reference: Image.Image,
        listing: Image.Image,
        alignment: Alignment | None,
        *,
        brand: str = "",
        region: Box | None = None,
    ) -> NameReading:
        """What the labels in two RGB photos say.

        The name is the text of the genuine photo that is most like `brand`, else its tallest line. With the alignment
        of the two, the listing's label is read in the same place; without it, anywhere in the photo, or in `region` of
        it, in 0 to 1 of its width and height.
        """
        genuine = self._named(_Photo(reference), brand)
        if genuine is None:
            return NameReading("unreadable")
        if alignment is None:
            part = listing if region is None else _part(listing, region)
            return _answer(genuine.text, brand, _most_alike(self._text.read(part), genuine.text))
        if _visible(alignment.homography, genuine, listing.size) < _VISIBLE:
            return NameReading("covered", genuine.text)
        if genuine.size[1] * _scale(alignment.homography, genuine) < _LEAST_LETTERS:
            return NameReading("unreadable", genuine.text)
        facing = listing.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if alignment.mirrored else listing
        answers = []
        for margin in _MARGINS:
            view, size = _view(genuine, margin)
            here, there = _warped(reference, view, size), _warped(facing, alignment.homography @ view, size)
            turned, (also, _) = self._upright(here, genuine.text)
            read = self._text.read_line(there.rotate(turned))
            # letters that are large enough, but blurred, are misread; of a sticker at most one is read
            bare = len(_letters(read[0])) < 2
            said = NameReading("covered", genuine.text) if bare else _answer(genuine.text, brand, read, also=also)
            answers.append(said)
        return answers[0] if answers[0].answer == answers[1].answer else _undecided(answers)

    def _upright(self, line: Image.Image, text: str) -> tuple[int, tuple[str, float]]:
        """By how many degrees the picture of a line has to be turned to read the text, and what is read then."""
        readings = {turned: self._text.read_line(line.rotate(turned)) for turned in (0, 180)}
        turned = max(readings, key=lambda each: _similarity(readings[each][0], text))
        return turned, readings[turned]

    def _name_on(self, photo: _Photo, brand: str) -> Line | None:
        lines = [line for line in self._text.read(photo.image) if len(_letters(line.text)) > 2]
        if brand:
            best = max(lines, key=lambda line: (_likeness(line.text, brand), line.size[1]), default=None)
            return best if best is not None and _likeness(best.text, brand) >= _ALIKE else None
        return next((line for line in lines if line.confidence >= _CONFIDENT), None)


class _Photo:
    """A photo that equals another with the same pixels."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self._key = (image.size, hash(image.tobytes()))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Photo) and self._key == other._key


def _answer(name: str, brand: str, read: tuple[str, float], *, also: str = "") -> NameReading:
    """The answer for what was `read` in place of a name; `also` is another reading of the genuine label."""
    text, confidence = read
    if not _letters(text):
        return NameReading("unreadable", name)
    genuine = [name, *(each for each in (*_names_of(brand), also) if _similarity(each, name) >= _ALIKE)]
    closest = max(genuine, key=lambda each: _similarity(each, text))
    similarity = round(_similarity(closest, text), 3)
    off = _distance(closest, text)
    if off and _letters(text) in _letters(closest):
        return NameReading("covered", closest, text, similarity)  # in part: a letter at an end may be cut off
    answer = "same" if not off else "one letter off" if off == 1 else "another name" if similarity < _UNLIKE else None
    sure = answer == "same" or (confidence >= _CONFIDENT and len(_letters(text)) > 2)
    return NameReading(answer if answer and sure else "unreadable", closest, text, similarity)


def _undecided(answers: Sequence[NameReading]) -> NameReading:
    """Of two readings that disagree, the genuine name if one of them is that; else nothing was read."""
    best = max(answers, key=lambda each: each.similarity or 0)
    if best.answer == "same":
        return best
    return NameReading("unreadable", best.reference, best.listing, best.similarity)


def _most_alike(lines: Sequence[Line], name: str) -> tuple[str, float]:
    """The line most like the name, as text and confidence; if none is like it, the tallest."""
    lines = [line for line in lines if len(_letters(line.text)) > 2]
    best = max(lines, key=lambda line: _similarity(line.text, name), default=None)
    if best is None:
        return "", 0.0
    best = best if _similarity(best.text, name) >= _ALIKE else lines[0]
    return best.text, best.confidence


def _names_of(brand: str) -> list[str]:
    """The brand, and those of its words that are long enough to be a name.

    >>> _names_of("Quorlith GmbH & Co"), _names_of("")
    (['Quorlith GmbH & Co', 'Quorlith'], [])
    """
    words = [word for word in brand.split() if len(_letters(word)) > 4]
    return [brand, *(words if len(brand.split()) > 1 else [])] if brand else []


def _likeness(text: str, brand: str) -> float:
    return max(_similarity(text, each) for each in _names_of(brand))


def _letters(text: str) -> str:
    """What counts of a text: letters and digits, without case, width and accents.

    >>> _letters("L’Été 100 ml")
    'lete100ml'
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum())


def _distance(one: str, other: str) -> int:
    """How many letters have to be put in, taken out or changed (Levenshtein)."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(_letters(one), _letters(other))


def _similarity(one: str, other: str) -> float:
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.normalized_similarity(_letters(one), _letters(other)) if one and other else 0.0


def _view(line: Line, margin: float) -> tuple[Matrix, tuple[int, int]]:
    """The line held level with a margin around it: a matrix from its pixels to those of the photo, and its size."""
    length, height = line.size
    scale = min(_LETTERS / height, _LONGEST / length)
    wide, high, more = length * scale, height * scale, margin * height * scale
    level = np.array([[more, more], [more + wide, more], [more + wide, more + high], [more, more + high]], np.float32)
    matrix = cv2.getPerspectiveTransform(level, line.corners.astype(np.float32))
    return np.asarray(matrix, np.float64), (max(8, round(wide + 2 * more)), max(8, round(high + 2 * more)))


def _part(photo: Image.Image, region: Box) -> Image.Image:
    left, top, right, bottom = (round(at * size) for at, size in zip(region, 2 * photo.size, strict=True))
    return photo.crop((left, top, max(left + 1, right), max(top + 1, bottom)))


def _warped(photo: Image.Image, matrix: Matrix, size: tuple[int, int]) -> Image.Image:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpPerspective(np.asarray(photo), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return Image.fromarray(np.asarray(pixels, np.uint8))


def _visible(homography: Matrix, line: Line, size: tuple[int, int]) -> float:
    """The share of the line that lies within the listing's photo."""
    across, down = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 6))
    along = line.corners[:2, None, None] * 1.0
    below = line.corners[[3, 2], None, None]
    top, bottom = (side[0] + across[..., None] * (side[1] - side[0]) for side in (along, below))
    places = through(homography, (top + down[..., None] * (bottom - top)).reshape(-1, 2))
    return float(np.mean(np.all((places >= 0) & (places < size), axis=1)))


def _scale(homography: Matrix, line: Line) -> float:
    """How many pixels of the listing's photo a pixel of the genuine one becomes at the name's place."""
    x, y = line.corners.mean(axis=0).tolist()
    moved = through(homography, np.array([[x, y], [x + 1, y], [x, y + 1]]))
    return float(np.sqrt(abs(np.linalg.det(moved[1:] - moved[0]))))
