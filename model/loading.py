"""Loads encoders: a preset, any open_clip model, or local weights of an architecture."""

from __future__ import annotations

from importlib.resources import as_file, files
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


def load_encoder(
    model: str = "embedded",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    arithmetic: str | None = None,
) -> ClipEncoder:
    """Load a preset (see `presets`), any open_clip model as "ARCHITECTURE/TAG", or an architecture with `weights`.

    `device` is "cpu", "cuda" or "cuda:N"; by default a GPU if there is one. Public weights are downloaded once and kept
    in the Hugging Face cache. `weights` is a local safetensors file or a torch checkpoint, which is read without
    unpickling code. `arithmetic` is one of `ARITHMETICS`; by default the one that `calibration` keeps for these weights
    on this machine, otherwise float32 with torch. The encoder's spec names it.

    Raises UnknownModelError if there is no model of that name; WeightsError if weights are missing, can't be fetched or
    belong to another architecture; EncoderError for a device or an arithmetic that can't be used here; and
    MissingExtraError if OpenVINO is needed but not installed.
    """
    architecture, tag = _resolve(model)
    device = _device(device)
    if weights is None and tag is None and model != "embedded":
        raise WeightsError(
            f"{model} names an architecture without weights; give {model}/TAG with a TAG of "
            f"{', '.join(open_clip.list_pretrained_tags_by_model(architecture)) or 'none'}, or --weights FILE"
        )
    if weights is not None:
        return _load(model, architecture, tag, Path(weights), device, arithmetic)
    if model == "embedded":
        with as_file(files("lookalike.model") / "embedded.safetensors") as path:
            return _load(model, architecture, tag, path, device, arithmetic)
    return _load(model, architecture, tag, fetched_weights(model, architecture, str(tag)), device, arithmetic)


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
        arithmetic=_arithmetic(arithmetic, device),
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
            f"there is no model {model!r}; choose a preset ({', '.join(PRESETS)}), or an open_clip model as "
            "ARCHITECTURE/TAG, for example ViT-B-32/laion2b_s34b_b79k"
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
        arithmetic=_arithmetic(arithmetic if found is None else found.arithmetic, device),
    )
    encoder = ClipEncoder(clip.visual, spec, device=device)
    return encoder if found is None else encoder.in_batches(found.batch)


def _device(device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda") and not device.startswith("cuda:"):
        raise EncoderError(f"there is no device {device!r}; use cpu, cuda or cuda:N")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EncoderError(f"torch finds no GPU here for device {device!r}; use --device cpu")
    return device


def _arithmetic(name: str | None, device: str) -> str:
    if name is None:
        return ARITHMETICS[0]
    if name not in ARITHMETICS:
        raise EncoderError(f"there is no arithmetic {name!r}; use one of {', '.join(ARITHMETICS)}")
    if name.startswith("openvino") and device != "cpu":
        raise EncoderError(f"{name} computes on a CPU, not on {device}; use --device cpu")
    return name


def _dim(clip: Any) -> int:
    height, width = input_size(clip.visual)
    with torch.inference_mode():
        return int(clip.visual.eval()(torch.zeros(1, 3, height, width)).shape[-1])
