"""The pictures of a report as text for its page: thumbnails, each stored once, and composed evidence."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from lookalike.records import Verdict

if TYPE_CHECKING:
    from PIL import Image

_SIDE, _LARGE, _QUALITY = 200, 640, 72
_EVIDENCE_SIZE, _EVIDENCE_QUALITY = (1200, 1600), 70
_WORKERS = min(8, os.cpu_count() or 1)
MOST_EVIDENCE_BYTES = 24 << 20
"""How many base64 characters the composed pictures of a page may take in all; browsers open such a page at once."""
MOST_LARGE_BYTES = 16 << 20
"""How many base64 characters the large pictures of a page may take in all."""

_PART, _AROUND = (0, 158, 115), (255, 255, 255)

Row = Mapping[str, Any]
Region = tuple[float, float, float, float]
"""A part of a photo: left, top, right and bottom in 0 to 1 of its width and height."""

Thumbnail = Callable[[str], "Image.Image | None"]
Evidence = Callable[[Row], "Image.Image | None"]


class Thumbnails:
    """Small pictures as CSS classes, so that a picture on many cards is stored once. Some are there in large, too."""

    def __init__(self, thumbnail: Thumbnail) -> None:
        self._thumbnail = thumbnail
        self._names: dict[tuple[str, Region | None], str | None] = {}
        self._classes: dict[str, str] = {}
        self._large: dict[str, str] = {}
        self._room = MOST_LARGE_BYTES

    def name(self, image: str | None, region: Region | None = None, *, large: bool = False) -> str | None:
        """The CSS class that shows the picture, with a box around the `region`; None if there is no picture.

        With `large`, the page also has the picture in large if there is room (see `is_large`); it has to be asked for
        first.
        """
        if image is None:
            return None
        if (image, region) not in self._names:
            picture = self._thumbnail(image)
            self._names[image, region] = None if picture is None else self._class(picture, region, large)
        return self._names[image, region]

    def is_large(self, name: str | None) -> bool:
        """Whether the page has this picture in large, too."""
        return name in self._large

    def _class(self, picture: Image.Image, region: Region | None, large: bool) -> str:
        data = _webp(picture, region, _SIDE)
        name = self._classes.setdefault(data, f"p{len(self._classes)}")
        if (
            large
            and name not in self._large
            and self._room > 0
            and len(more := _webp(picture, region, _LARGE)) <= self._room
        ):
            self._large[name] = more
            self._room -= len(more)
        return name

    def css(self) -> Iterator[str]:
        """The CSS rules: one for each picture, and one for each large picture, which the dialog `#view` shows."""
        for data, name in self._classes.items():
            yield f'.{name}{{background-image:url("data:image/webp;base64,{data}")}}\n'
        for name, data in self._large.items():
            yield f'#view .{name}{{background-image:url("data:image/webp;base64,{data}")}}\n'


def _webp(picture: Image.Image, region: Region | None, side: int) -> str:
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    if region is not None:
        _box(small, region)
    return _inlined(small, (side, side), "WEBP", quality=_QUALITY)[0]


@dataclass(frozen=True)
class Composed:
    """The evidence on a card: a picture, or a note that says why there is none.

    `address` is a data URL and `size` the picture's width and height in pixels. `tried` is true if a picture was
    asked for.
    """

    address: str | None = None
    size: tuple[int, int] = (0, 0)
    note: str | None = None
    tried: bool = False


def compose_evidence(
    rows: Sequence[Row], evidence: Evidence | None, most: int, progress: Callable[[int], None] | None = None
) -> list[Composed]:
    """The evidence for each row; pictures are composed for the first `most` rows in the order of `needing_a_look`.

    `evidence` gives the picture of a row, or None if a photo can't be read any more; it is called from several
    threads. The pictures take at most `MOST_EVIDENCE_BYTES` together; the rest are not composed. `progress` is called
    with the number of rows tried.
    """
    if evidence is None:
        return [Composed()] * len(rows)
    wanted = needing_a_look(rows)
    found = [Composed()] * len(rows)
    for at in wanted:
        found[at] = Composed(note="This page has no picture of what matches here; with a higher --evidence it has.")
    room, remaining = MOST_EVIDENCE_BYTES, iter(wanted[:most])
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="lookalike-evidence") as pool:
        while room > 0 and (batch := list(islice(remaining, 2 * _WORKERS))):
            for at, composed in zip(batch, pool.map(lambda at: _composed(evidence(rows[at])), batch), strict=True):
                if progress is not None:
                    progress(1)
                needed = len(composed.address or "")
                found[at] = composed if needed <= room else Composed(note="The page has no room for more pictures.")
                room = room - needed if needed <= room else 0
    return found


def needing_a_look(rows: Sequence[Row]) -> list[int]:
    """The places of the rows, strongest first, that a person has to decide, by how much that may change.

    Those in review come first, the strongest first, then what is flagged, the weakest first: errors are where the
    threshold is, and nobody doubts the strongest copies.
    """
    review = [at for at, row in enumerate(rows) if row["verdict"] == Verdict.REVIEW]
    flagged = [at for at, row in enumerate(rows) if row["verdict"] == Verdict.FLAGGED]
    return [*review, *reversed(flagged)]


def _composed(picture: Image.Image | None) -> Composed:
    if picture is None:
        return Composed(note="A photo can’t be read any more, so there is no picture.", tried=True)
    # browsers put a JPEG into a printed PDF as it is, but a WEBP becomes ten times as large
    data, size = _inlined(picture, _EVIDENCE_SIZE, "JPEG", quality=_EVIDENCE_QUALITY, optimize=True)
    return Composed(f"data:image/jpeg;base64,{data}", size, tried=True)


def _box(picture: Image.Image, region: Region) -> None:
    """Draw a box around a region of the picture."""
    from PIL import ImageDraw

    width, height = picture.size
    left, top, right, bottom = region
    corners = (round(left * width), round(top * height), round(right * width) - 1, round(bottom * height) - 1)
    draw = ImageDraw.Draw(picture)
    draw.rectangle(corners, outline=_AROUND, width=4)
    draw.rectangle(corners, outline=_PART, width=2)


def _inlined(picture: Image.Image, most: tuple[int, int], ending: str, **options: Any) -> tuple[str, tuple[int, int]]:
    """A copy no larger than `most`, encoded again, as base64, and its size in pixels."""
    small = picture.convert("RGB")
    small.thumbnail(most)
    data = io.BytesIO()
    small.save(data, ending, **options)
    return base64.b64encode(data.getvalue()).decode(), small.size
