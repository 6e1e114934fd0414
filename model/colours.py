"""Turns any picture mode into RGB as a shopper sees it: profiles applied, transparency on white, 16 bits scaled."""

from __future__ import annotations

import io
import threading
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_MAX_PROFILE_BYTES = 4 << 20
_IDENTITY_TOLERANCE = 2  # of 255; rounding alone moves an sRGB photo's values by one
_SCREEN_GAMMA = 2.2
_GAMMA_TOLERANCE = 0.05

_cms_lock = threading.Lock()


def to_rgb(image: Image.Image, *, format: str) -> tuple[Image.Image, str | None]:
    """The picture as RGB, and a hint if its colour profile had to be ignored."""
    profile = image.info.get("icc_profile")
    base, alpha = _split_alpha(_eight_bits(image))
    hint = None
    if profile and base.mode == "L" and profile[16:20] == b"RGB ":  # ICC.1, 7.2.6; common for grey photos
        base = base.convert("RGB")
    if profile and base.mode in ("RGB", "L", "CMYK", "LAB"):
        converted = _by_profile(base, profile)
        hint = "its colour profile can't be used and was ignored" if converted is None else None
        base = base if converted is None else converted
    elif format == "PNG" and "srgb" not in image.info:
        base = _by_gamma(base, image.info.get("gamma"))
    rgb = _lab_to_rgb(base) if base.mode == "LAB" else base.convert("RGB")
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    return rgb, hint


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pictures of 16 or 32 bits or floats, scaled to 8 bits; others as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    transparent = image.info.get("transparency")
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and values.max() > 255 and values.max() <= 65535):
        scaled = (values.astype(np.float32) / 257 + 0.5).clip(0, 255).astype(np.uint8)
    else:
        scaled = _scaled_by_range(values.astype(np.float32))
    grey = Image.fromarray(scaled)
    if isinstance(transparent, int):
        alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
        grey = Image.merge("LA", (grey, Image.fromarray(alpha)))
    return grey


def _scaled_by_range(values: np.typing.NDArray[np.float32]) -> np.typing.NDArray[np.uint8]:
    """Values within 0..1 or 0..255 keep that scale; any other range is stretched to 0..255, as viewers do."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    with np.errstate(over="ignore", invalid="ignore"):  # a range wider than float32 holds
        return ((values - low) * (255 / max(high - low, 1e-12)) + 0.5).clip(0, 255).astype(np.uint8)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours alone, and the opacity of each pixel (None if all are opaque)."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # from a 16-bit PNG, of which Pillow keeps the upper 8 bits
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in ("RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        whole = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    if image.mode == "P":
        return image.convert("RGB"), None
    return image.convert("L") if image.mode == "1" else image, None


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture converted to sRGB with its ICC profile; None if the profile can't be used."""
    if len(profile) > _MAX_PROFILE_BYTES:
        return None
    with _cms_lock:  # building and applying share lcms state
        transform = _transform(profile, image.mode)
        if transform == "unusable":
            return None
        if isinstance(transform, str):
            return image.convert("RGB")
        return _applied(image, transform)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str:
    """The transform to sRGB; "identity" if it changes next to nothing; "unusable" for a broken profile."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
        return "identity" if _is_identity(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return "unusable"


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    if mode not in ("RGB", "L"):
        return False
    if mode == "L":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        steps = np.arange(0, 256, 51, dtype=np.uint8)
        probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3))
    changed = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
    return bool(np.abs(changed - np.asarray(probe.convert("RGB"), np.int16)).max() <= _IDENTITY_TOLERANCE)


def _by_gamma(image: Image.Image, gamma: object) -> Image.Image:
    """Apply a PNG's gAMA chunk (PNG specification, 13.13), as browsers do and Pillow doesn't."""
    if not isinstance(gamma, float) or gamma <= 0 or image.mode not in ("L", "RGB"):
        return image
    exponent = 1 / (gamma * _SCREEN_GAMMA)
    if abs(exponent - 1) < _GAMMA_TOLERANCE or not 0.05 < exponent < 20:
        return image
    table = [round(255 * (value / 255) ** exponent) for value in range(256)]
    return image.point(table * len(image.getbands()))


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    with _cms_lock:
        return _applied(image, _lab_transform())


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "it is None only for a change in place"
    return converted


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
