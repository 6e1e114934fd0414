"""The lines of text in a picture, read by RapidOCR (extra `ocr`) with the models that its package holds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.cores import available_cores
from lookalike.errors import MissingExtraError

MOST_LINES = 60
MOST_LETTERS = 80
"""Of a picture, the tallest so many lines are kept, and of a line so many characters: anyone may print anything."""

_MOST_SIDE = 1280  # pixels; larger pictures are shrunk, so that reading one takes a second or two
_MODELS = {
    "Det.model_path": "PP-OCRv*_det_*.onnx",
    "Rec.model_path": "PP-OCRv*_rec_*.onnx",
    "Cls.model_path": "*_cls_*.onnx",
}


@dataclass(frozen=True)
class Line:
    """A line of text; `confidence` is 0 to 1.

    `corners` float64 (4, 2), x and y in pixels of the picture, are those of a box around the line in the order in which
    a reader who holds the line level sees them: top left, top right, bottom right, bottom left.
    """

    text: str
    confidence: float
    corners: NDArray[np.float64]

    @property
    def size(self) -> tuple[float, float]:
        """Length and height of the line, in pixels."""
        sides = np.linalg.norm(self.corners - np.roll(self.corners, -1, axis=0), axis=1)
        return float(sides[0::2].mean()), float(sides[1::2].mean())


def require_text_reader() -> None:
    """Raise MissingExtraError unless RapidOCR is installed."""
    if find_spec("rapidocr") is None:
        raise MissingExtraError("rapidocr", "ocr")


class TextReader:
    """Reads text in pictures, several threads one after another; nothing is downloaded.

    The models are PaddleOCR's PP-OCR for detection and recognition (Du et al., arXiv 2009.09941), under Apache-2.0.
    Raises MissingExtraError if RapidOCR is not installed.
    """

    def __init__(self) -> None:
        require_text_reader()
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        # a model that is named is never fetched
        models = {key: str(next(iter(sorted(folder.glob(name))), folder / name)) for key, name in _MODELS.items()}
        self._engine: Any = rapidocr.RapidOCR(
            params={
                **models,
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": available_cores(),
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.max_candidates": 2 * MOST_LINES,
            }
        )
        self._lock = Lock()

    def read(self, picture: Image.Image) -> tuple[Line, ...]:
        """The lines of an RGB picture, the tallest first; control characters are left out."""
        small = picture.copy()
        small.thumbnail((_MOST_SIDE, _MOST_SIDE))
        pixels = np.ascontiguousarray(np.asarray(small.convert("RGB"))[..., ::-1])
        with self._lock:
            found = self._engine(pixels, use_det=True, use_cls=True, use_rec=True)  # it remembers what it was told last
        if found.txts is None or found.boxes is None:
            return ()
        grow = picture.width / small.width
        corners = np.asarray(found.boxes, np.float64) * grow
        lines = [
            Line(_shown(text), float(confidence), _level(quad))
            for text, confidence, quad in zip(found.txts, found.scores, corners, strict=True)
        ]
        return tuple(sorted((line for line in lines if line.text), key=lambda line: -line.size[1])[:MOST_LINES])

    def read_line(self, picture: Image.Image) -> tuple[str, float]:
        """The one line that fills an RGB picture, and the confidence in it, 0 to 1; it may be empty."""
        pixels = np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
        with self._lock:
            found = self._engine(pixels, use_det=False, use_cls=False, use_rec=True)
        return (_shown(found.txts[0]), float(found.scores[0])) if found.txts else ("", 0.0)


def _shown(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable()).strip()[:MOST_LETTERS]


def _level(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners in a reader's order; a box one and a half times as high as wide holds a line that runs upwards."""
    wide, high = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[2] - corners[1])
    return np.roll(corners, 1, axis=0) if high >= 1.5 * wide else corners
