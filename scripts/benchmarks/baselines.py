"""What the embedded encoder is compared with: perceptual hashes, a hand-made grid, CLIP models.

Each is a function from pictures to unit vectors, float32 (n, dim), whose dot products are similarities. For a hash of b
bits, the entries are ±b^-1/2, so a similarity is 1 − 2 · (bits that differ) / b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import MissingExtraError
from lookalike.model.encoder import Encoder, Vectors
from lookalike.model.loading import load_encoder
from lookalike.scripts.benchmarks.sets import similarity_of

Describe = Callable[[Sequence[Image.Image]], Vectors]
GRID, ANGLES = 6, 8


def describers(models: Sequence[str], weights: Sequence[Path]) -> dict[str, Describe]:
    """The embedded encoder, other models (a preset, ARCHITECTURE/TAG or ARCHITECTURE=FILE), the baselines."""
    encoders = {"embedded": load_encoder("embedded"), **{model: load_encoder(model) for model in models}}
    for given in weights:
        architecture, _, file = str(given).rpartition("=")
        encoders[str(given)] = load_encoder(architecture or "embedded", weights=file)
    found: dict[str, Describe] = {}
    for name, encoder in encoders.items():
        found[name] = similarity_of(encoder)
        if encoder.spec.look_dim:
            found[f"{name}, look"] = _look_of(encoder)
    return {**found, "PDQ": pdq, "perceptual hash": perceptual_hash, "colour and gradient grid": grid,
            "ViT-B-32, untrained": _untrained}  # fmt: skip


def _look_of(encoder: Encoder) -> Describe:
    return lambda images: np.ascontiguousarray(encoder.spec.parts(encoder.encode(images))[1])


def pdq(images: Sequence[Image.Image]) -> Vectors:
    """PDQ, 256 bits (Meta's ThreatExchange). Raises MissingExtraError without the package pdqhash."""
    try:
        import pdqhash
    except ImportError as error:
        raise MissingExtraError("pdqhash", "benchmark") from error
    return _signs(np.stack([pdqhash.compute(np.asarray(image))[0] for image in images]).astype(bool))


def perceptual_hash(images: Sequence[Image.Image]) -> Vectors:
    """The 64-bit perceptual hash of the package imagehash. Raises MissingExtraError without it."""
    try:
        import imagehash
    except ImportError as error:
        raise MissingExtraError("imagehash", "benchmark") from error
    return _signs(np.stack([imagehash.phash(image).hash.ravel() for image in images]))


def grid(images: Sequence[Image.Image]) -> Vectors:
    """The mean colour (CIE Lab) and the gradient directions in each cell of a 6 × 6 grid, both centred."""
    rows = []
    for image in images:
        pixels = cv2.resize(np.asarray(image), (96, 96), interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
        colour = cv2.resize(lab, (GRID, GRID), interpolation=cv2.INTER_AREA)
        dx, dy = (cv2.Sobel(lab[..., 0], cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
        strength, angle = cv2.cartToPolar(dx, dy)
        bins = (angle / (2 * np.pi) * ANGLES).astype(int) % ANGLES
        layers = [cv2.resize(strength * (bins == k), (GRID, GRID), interpolation=cv2.INTER_AREA) for k in range(ANGLES)]
        shape = np.stack(layers, -1)
        rows.append(np.concatenate([_centred(colour - colour.mean((0, 1))), _centred(shape - shape.mean())]))
    return np.asarray(np.stack(rows), np.float32)


def _centred(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Half of a unit vector: two of them make one."""
    flat = values.ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6) / np.sqrt(2), np.float32)


def _signs(bits: NDArray[np.bool_]) -> Vectors:
    return np.asarray(np.where(bits, 1.0, -1.0) / np.sqrt(bits.shape[1]), np.float32)


def _untrained(images: Sequence[Image.Image]) -> Vectors:
    import torch

    from lookalike.model.clip_loading import untrained_encoder

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return untrained_encoder("ViT-B-32").encode(images)
