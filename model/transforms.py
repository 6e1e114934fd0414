"""open_clip's preprocessing: which one a model's weights were trained with, and the transform it stands for."""

from __future__ import annotations

from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torchvision.transforms import Compose

from .encoder import Preprocessing
from .presets import PRESETS


def trained_preprocessing(architecture: str, tag: str | None, tower: torch.nn.Module) -> Preprocessing:
    """The preprocessing that weights were trained with: the tag's, or what all tags of the architecture share.

    For local files open_clip falls back to its own defaults, which are wrong for SigLIP and others.
    """
    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(architecture)
    keys = ("mean", "std", "interpolation", "resize_mode")
    known = [open_clip.get_pretrained_cfg(architecture, t) for t in tags]
    shared = {k: known[0][k] for k in keys if known and all(c.get(k) == known[0].get(k) for c in known)}
    embedded = architecture == PRESETS["embedded"].architecture
    if embedded:
        shared = {"resize_mode": "squash", "interpolation": "bilinear"}
    size = input_size(tower)
    cfg = PreprocessCfg(**{**shared, "size": size})
    return Preprocessing(
        size=size,
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        # open_clip resizes to an oblong's shorter side bicubically, whatever the weights were trained with
        interpolation="bicubic" if cfg.resize_mode == "shortest" and size[0] != size[1] else cfg.interpolation,
        resize_mode=cfg.resize_mode,
        fill_color=cfg.fill_color,
        # takes a quarter of the time of bicubic; the encoder was also trained on means of pixels
        reducing_gap=1.5 if embedded else None,
    )


def transform(preprocessing: Preprocessing) -> Compose:
    """open_clip's transform from an RGB picture to a float32 tensor (3, height, width)."""
    cfg = PreprocessCfg(
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        interpolation=preprocessing.interpolation,
        resize_mode=preprocessing.resize_mode,
        fill_color=preprocessing.fill_color,
    )
    return image_transform_v2(cfg, is_train=False)


def input_size(tower: Any) -> tuple[int, int]:
    """The (height, width) in pixels of an image tower's input."""
    size = tower.image_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
