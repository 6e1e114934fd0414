"""Loads CLIP towers with torch: any open_clip model, or local weights of an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch

from lookalike.disk import file_sha256
from lookalike.errors import EncoderError, UnknownModelError, WeightsError

from .calibration import calibrated
from .clip import ClipEncoder
from .encoder import ARITHMETICS, EncoderSpec
from .presets import PRESETS
from .towers import architectures, check_weights_file, clip_model, fetched_weights, load_weights
from .transforms import input_size, trained_preprocessing


def load_clip(
    model: str, *, weights: str | Path | None = None, device: str | None = None, arithmetic: str | None = None
) -> ClipEncoder:
    """Load a CLIP tower; the arguments and errors are those of `load_encoder`."""
    architecture, tag = _resolve(model)
    device = _device(device)
    if weights is not None:
        return _load(model, architecture, tag, Path(weights), device, arithmetic)
    if tag is None:
        raise WeightsError(
            f"{model} names an architecture without weights; give {model}/TAG with a TAG of "
            f"{', '.join(open_clip.list_pretrained_tags_by_model(architecture)) or 'none'}, or --weights FILE"
        )
    return _load(model, architecture, tag, fetched_weights(model, architecture, tag), device, arithmetic)


def untrained_encoder(architecture: str, *, device: str | None = None, arithmetic: str | None = None) -> ClipEncoder:
    """An encoder of an architecture with random weights, for timing."""
    clip = clip_model(architecture)
    device = _device(device)
    spec = EncoderSpec(
        name=f"untrained {architecture}",
        architecture=architecture,
        weights_sha256="",
        dim=_dim(clip),
        preprocessing=trained_preprocessing(architecture, None, clip.visual),
        arithmetic=_arithmetic(arithmetic),
    )
    return ClipEncoder(clip.visual, spec, device=device)


def _resolve(model: str) -> tuple[str, str | None]:
    """The architecture and pretrained tag of a preset, "ARCHITECTURE/TAG" or "ARCHITECTURE"."""
    preset = PRESETS.get(model)
    if preset is not None:
        return preset.architecture, preset.tag
    architecture, _, tag = model.partition("/")
    if architecture not in architectures():
        raise UnknownModelError(
            f"there is no model {model!r}; choose a preset ({', '.join(PRESETS)}), an open_clip model as "
            "ARCHITECTURE/TAG, for example ViT-B-32/laion2b_s34b_b79k, or an ONNX file with --weights FILE"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        raise UnknownModelError(f"{architecture} has no weights {tag!r}; open_clip knows {', '.join(tags) or 'none'}")
    return architecture, tag or None


def _load(
    model: str, architecture: str, tag: str | None, path: Path, device: str, arithmetic: str | None
) -> ClipEncoder:
    check_weights_file(path)
    clip = clip_model(architecture)
    load_weights(clip, path, architecture)
    sha256 = file_sha256(path)
    found = calibrated(sha256, device) if arithmetic is None else None
    spec = EncoderSpec(
        name=model,
        architecture=architecture,
        weights_sha256=sha256,
        dim=_dim(clip),
        preprocessing=trained_preprocessing(architecture, tag, clip.visual),
        arithmetic=_arithmetic(arithmetic if found is None else found.arithmetic),
    )
    encoder = ClipEncoder(clip.visual, spec, device=device)
    return encoder if found is None else encoder.in_batches(found.batch)


def _device(device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EncoderError(f"torch finds no GPU here for device {device!r}; use --device cpu")
    return device


def _arithmetic(name: str | None) -> str:
    if name is None:
        return ARITHMETICS[0]
    if name not in ARITHMETICS:
        raise EncoderError(f"there is no arithmetic {name!r}; use one of {', '.join(ARITHMETICS)}")
    return name


def _dim(clip: Any) -> int:
    height, width = input_size(clip.visual)
    with torch.inference_mode():
        return int(clip.visual.eval()(torch.zeros(1, 3, height, width)).shape[-1])
