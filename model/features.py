"""Local features of a photo: where its details are, and what each of them looks like.

RootSIFT (Lowe, IJCV 2004; Arandjelović and Zisserman, CVPR 2012) on the grey picture, with OpenCV and without weights.
The features of the mirror image follow from those of the picture by reordering numbers, so they aren't searched again.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import FeaturesError

MOST_REFERENCE, MOST_LISTING = 300, 600
"""How many features are kept for a reference, which fills its photo, and for a listing photo, which shows more."""

COARSE_REFERENCE = 100
"""How many of a reference's features are coarse ones, if there are as many: a blurred or shrunk copy has no others.

Of 257 edited copies of held-out photos, 90.5 % then have 8 or more points that agree, 88.3 % without (scripts/training/
set_default_policy.py makes such copies).
"""

REFERENCE_PICTURE = 128
"""The longer side, in pixels, of the grey picture that is stored with the features of a reference."""

VERSION = 3
"""Features of another version are computed again. Raise it with any change to what is found or kept."""

MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()
"""Which number of a descriptor comes where in that of the mirror image.

A descriptor has 4 by 4 cells of 8 directions, relative to the direction of the feature. Mirroring swaps the rows of
cells across that direction, and reverses the sense of rotation of the directions.
"""

_SIDE = 256  # longer side, in pixels, of the picture in which features are found; SIFT itself doubles it first
_KEPT_SIDE = 400  # of the grey picture that is kept of a listing photo
_LEAST_SIDE = 8  # of the shorter side; below it there is nothing to describe
_COARSE = 6.0  # diameter in pixels of the picture in which features are found
_MOST_FOUND = 1500  # from which coarse ones are chosen
_CONTRAST = 0.006  # OpenCV's default is 0.04; blurred, faded and plain goods need a lower one
_UNIT = 512.0  # a RootSIFT number is multiplied by this when stored; few are above 0.5
_FORMAT = b"LKF%d" % VERSION
_HEADER = struct.Struct("<4sHHHHH32s")
HEAD = _HEADER.size
"""Packed features begin with this many bytes, which hold a digest of the others."""

_MOST_STORED, _LARGEST = 2_000, 512  # the most features, and the longest side in pixels, that stored features can claim


@dataclass(frozen=True)
class LocalFeatures:
    """The features of one photo, strongest first.

    `size` is (width, height) in pixels of the picture they were found in, the photo itself or one of another size.
    `points`, float32 (n, 2), are (x, y) in that picture; `scales`, float32 (n,), are diameters in its pixels; `angles`,
    float32 (n,), are directions in degrees, clockwise from the x axis; `descriptors`, uint8 (n, 128), are RootSIFT
    vectors of length 512. `picture`, uint8 (height, width), is the photo in grey, at a size of its own; its shape is
    (0, 0) if it was not kept.
    """

    size: tuple[int, int]
    points: NDArray[np.float32]
    scales: NDArray[np.float32]
    angles: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    picture: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def nbytes(self) -> int:
        """The bytes of memory that the arrays take."""
        arrays = self.points, self.scales, self.angles, self.descriptors, self.picture
        return sum(each.nbytes for each in arrays)

    @cached_property
    def mirrored(self) -> LocalFeatures:
        """The features of the same photo with left and right swapped, without searching it again (see MIRRORED)."""
        points = self.points.copy()
        points[:, 0] = self.size[0] - 1 - points[:, 0]
        return replace(
            self,
            points=points,
            angles=np.mod(180 - self.angles, np.float32(360)),
            descriptors=self.descriptors[:, MIRRORED],
            picture=np.ascontiguousarray(self.picture[:, ::-1]),
        )

    def to_bytes(self) -> bytes:
        """Pack the features with a checksum: about 150 bytes per feature before compression, plus the picture.

        Positions lose up to 1/131,072 of the side, directions up to 0.7 degrees, scales up to 1.5 %.
        """
        width, height = self.size
        parts = (
            np.clip(np.round(self.points * (65_535 / np.array(self.size, np.float32))), 0, 65_535).astype("<u2"),
            np.clip(np.round(np.log2(self.scales) * 24), 0, 255).astype(np.uint8),
            (np.round(self.angles * (256 / 360)).astype(np.int64) % 256).astype(np.uint8),
            self.descriptors,
            self.picture,
        )
        body = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        head = (width, height, len(self), *self.picture.shape[::-1])
        return _HEADER.pack(_FORMAT, *head, _digest(head, body)) + zlib.compress(body, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> LocalFeatures:
        """Unpack what `to_bytes` returned. Raises FeaturesError for anything else, before taking much memory."""
        if len(data) < _HEADER.size or data[:4] != _FORMAT:
            raise FeaturesError("these are not local features of this version; compute them again from the photo")
        _, width, height, count, across, down, digest = _HEADER.unpack_from(data)
        if not (0 < width <= _LARGEST and 0 < height <= _LARGEST and max(across, down) <= _LARGEST):
            raise FeaturesError(
                f"stored local features claim pictures of {width} x {height} and {across} x {down} pixels, but a side "
                f"has at most {_LARGEST}; compute them again from the photo"
            )
        if count > _MOST_STORED:
            raise FeaturesError(
                f"stored local features claim {count} points, but there are at most {_MOST_STORED}; compute them again"
            )
        body = _unpack(data[_HEADER.size :], count * (4 + 1 + 1 + 128) + across * down)
        if body is None or _digest((width, height, count, across, down), body) != digest:
            raise FeaturesError("stored local features are damaged; compute them again from the photo")
        bytes_ = np.frombuffer(body, np.uint8)
        ends = np.cumsum([4 * count, count, count, 128 * count])
        points, scales, angles, descriptors, picture = np.split(bytes_, ends)
        return cls(
            (width, height),
            (points.view("<u2").reshape(-1, 2) * (np.array([width, height]) / 65_535)).astype(np.float32),
            np.exp2(scales.astype(np.float32) / 24),
            angles.astype(np.float32) * np.float32(360 / 256),
            descriptors.reshape(-1, 128),
            picture.reshape(down, across),
        )


def is_packed(data: bytes | memoryview) -> bool:
    """Whether these bytes start like those of `LocalFeatures.to_bytes` in this version; the rest is not checked."""
    return bytes(data[:4]) == _FORMAT


def reference_features(image: Image.Image) -> LocalFeatures:
    """The features to keep of a genuine photo: fewer, with a small picture, and rounded as they are when stored."""
    return LocalFeatures.from_bytes(
        local_features(image, most=MOST_REFERENCE, coarse=COARSE_REFERENCE, picture_side=REFERENCE_PICTURE).to_bytes()
    )


def local_features(
    image: Image.Image, *, most: int = MOST_LISTING, coarse: int = 0, picture_side: int = _KEPT_SIDE
) -> LocalFeatures:
    """Find up to `most` features of an RGB photo, and keep it in grey with a longer side of `picture_side` pixels.

    They are the strongest, but among them are up to `coarse` that cover more than 6 pixels, where others are stronger.

    A picture without details has none, nor does one with a side of less than 8 pixels at the size of the search.

    >>> len(local_features(Image.new("RGB", (300, 200), "white")))
    0
    """
    return features_in(grey_picture(image), most=most, coarse=coarse, picture_side=picture_side)


def grey_picture(image: Image.Image) -> NDArray[np.uint8]:
    """An RGB photo in grey, uint8 (height, width), in the size from which its features are found.

    Its longer side has 400 pixels; small photos grow to at most twice their size.
    """
    if max(image.size) > 4 * _KEPT_SIDE:  # first by a whole factor, so that no large grey copy is made
        image = image.reduce(max(image.size) // (2 * _KEPT_SIDE))
    image = image.convert("L")
    factor = min(2.0, _KEPT_SIDE / max(image.size))
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.asarray(image), size, interpolation=method), np.uint8)


def features_in(
    picture: NDArray[np.uint8], *, most: int = MOST_LISTING, coarse: int = 0, picture_side: int = _KEPT_SIDE
) -> LocalFeatures:
    """The same for a photo of which there is its `grey_picture`."""
    grey = _shrink(picture, _SIDE)
    size, picture = (grey.shape[1], grey.shape[0]), _shrink(picture, picture_side)
    # one call, so that the pyramid of scales, which costs most, is made once
    sift = cv2.SIFT.create(_MOST_FOUND if coarse else most, contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    everywhere = np.full_like(grey, 255 if min(size) >= _LEAST_SIDE else 0)
    found, described = sift.detectAndCompute(grey, everywhere)
    if not found:
        none = np.zeros(0, np.float32)
        return LocalFeatures(size, none.reshape(0, 2), none, none, np.zeros((0, 128), np.uint8), picture)
    points = np.asarray(cv2.KeyPoint.convert(found), np.float32)
    scales, angles, strengths = (
        np.fromiter(map(attrgetter(name), found), np.float32, len(found)) for name in ("size", "angle", "response")
    )
    order = np.argsort(-strengths, kind="stable")
    order = order[_strongest(scales[order], most, coarse)]
    root = np.sqrt(described / np.maximum(described.sum(axis=1, keepdims=True), 1e-6))[order]
    descriptors = np.clip(np.round(root * _UNIT), 0, 255).astype(np.uint8)
    return LocalFeatures(size, points[order], scales[order], angles[order], descriptors, picture)


def _strongest(scales: NDArray[np.float32], most: int, coarse: int) -> NDArray[np.int64]:
    """Which of the features, strongest first and with diameters `scales` (n,), are kept.

    >>> _strongest(np.float32([2, 2, 9, 2, 9]), 2, 1), _strongest(np.float32([2, 2, 9]), 9, 1)
    (array([0, 2]), array([0, 1, 2]))
    """
    large = np.flatnonzero(scales > _COARSE)[:coarse]
    others = np.setdiff1d(np.arange(len(scales)), large)[: most - len(large)]  # of equals, OpenCV finds more than asked
    return np.sort(np.concatenate([large, others]))


def _shrink(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    factor = side / max(grey.shape)
    if factor >= 1:
        return grey
    size = max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _digest(head: tuple[int, ...], body: bytes) -> bytes:
    return hashlib.sha256(struct.pack("<5H", *head) + body).digest()


def _unpack(data: bytes, size: int) -> bytes | None:
    """The unpacked bytes, if they are exactly `size` and nothing follows; stops as soon as there are more."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(data, size + 1)
    except zlib.error:
        return None
    return body if len(body) == size and unpacker.eof and not unpacker.unused_data else None
