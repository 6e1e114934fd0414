"""Image towers as open_clip builds them: their weights, and the folding of their batch norms."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from timm.layers.norm_act import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lookalike.errors import EncoderError, WeightsError

from .presets import PRESETS

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".npz")


def architectures() -> list[str]:
    """The names of all architectures that can be built."""
    _register_embedded()
    names: list[str] = open_clip.list_models()
    return names


def clip_model(architecture: str) -> Any:
    """The whole CLIP model of an architecture with random weights; its image tower is `.visual`.

    Raises EncoderError if open_clip can't build it.
    """
    _register_embedded()
    try:
        with _root_logger_quiet():
            clip = open_clip.create_model(architecture, pretrained_text=False)
    except (ImportError, RuntimeError, OSError) as error:
        raise EncoderError(f"open_clip can't build {architecture}: {_first_line(error)}") from error
    if getattr(clip.visual, "output_tokens", False):
        clip.visual.output_tokens = False  # CoCa's towers also return a vector for each patch
    return clip


def image_tower(architecture: str) -> torch.nn.Module:
    """The image tower of an architecture with random weights. Raises EncoderError if open_clip can't build it."""
    tower: torch.nn.Module = clip_model(architecture).visual
    return tower


def fetched_weights(model: str, architecture: str, tag: str) -> Path:
    """The weights file of an open_clip tag, downloaded into the Hugging Face cache if it isn't there yet.

    `model` is the name the caller asked for. Raises WeightsError if the file can't be fetched.
    """
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # it warns at each retry; the error below says it once
    try:
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(architecture, tag)))
    except Exception as error:  # the hub's client raises dozens of kinds, one for each way a network can fail
        raise WeightsError(
            f"the weights of {model} ({architecture}/{tag}) could not be fetched "
            f"({type(error).__name__}: {_first_line(error)}); check the network, or give a local copy with "
            "--weights FILE, or use --model embedded, which needs no download"
        ) from error
    finally:
        hub.setLevel(level)


def check_weights_file(path: Path) -> None:
    """Raise WeightsError if the file is missing or its name has another ending than weights have."""
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; give an existing one with --weights FILE")
    if path.suffix not in _SUFFIXES:
        raise WeightsError(f"{path} is not a weights file; give one that ends in {', '.join(_SUFFIXES)}, .onnx")


def load_weights(clip: Any, path: Path, architecture: str) -> None:
    """Load a checkpoint into a CLIP model: a whole one, or the image tower alone (all names start with "visual.").

    Raises WeightsError if the file does not hold weights of the architecture.
    """
    try:
        tower = _tower_weights(path)
        if tower is None:
            with _no_stretching(clip.visual):
                open_clip.load_checkpoint(clip, str(path), strict=True, weights_only=True)
        else:
            clip.visual.load_state_dict(tower, strict=True)
    except (
        Exception
    ) as error:  # a foreign file makes open_clip stumble over a KeyError, RuntimeError, UnpicklingError …
        raise WeightsError(
            f"{path} does not hold weights of {architecture} ({type(error).__name__}: {_first_line(error)}); "
            "name the architecture it was trained with, with --model"
        ) from error


def folded(tower: torch.nn.Module) -> torch.nn.Module:
    """A copy of the tower with batch norms folded into the convolutions before them, which saves a third of the time.

    Vectors move by about 1e-6. Only the towers that `batch_norms` knows are folded; any other is returned as it is.
    """
    pairs = batch_norms(tower)
    if not pairs:
        return tower
    tower = copy.deepcopy(tower)
    for before, after in pairs:
        convolution: Any = tower.get_submodule(before)
        norm: Any = tower.get_submodule(after)
        tower.set_submodule(before, fuse_conv_bn_eval(convolution, norm))
        tower.set_submodule(after, torch.nn.Sequential(norm.drop, norm.act))
    return tower


def batch_norms(tower: torch.nn.Module) -> list[tuple[str, str]]:
    """The names of each convolution and of the batch norm that follows it.

    Only for towers of timm's EfficientNet class, whose blocks run in the order in which they are declared; empty for
    any other tower.
    """
    found: list[tuple[str, str]] = []
    if isinstance(getattr(tower, "trunk", None), EfficientNet):
        for name, block in tower.named_modules():
            for (before, convolution), (after, norm) in pairwise(block.named_children()):
                if isinstance(convolution, torch.nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                    found.append((f"{name}.{before}", f"{name}.{after}"))
    return found


def _first_line(error: BaseException) -> str:
    """The first two lines of a message, in at most 200 characters: torch lists every tensor that doesn't fit."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or "no reason given"
    return text if len(text) <= 200 else text[:199] + "…"


def _register_embedded() -> None:
    if PRESETS["embedded"].architecture not in open_clip.list_models():
        with as_file(files("lookalike.model") / "lookalike-embedded.json") as path:
            open_clip.add_model_config(path)


@contextmanager
def _root_logger_quiet() -> Iterator[None]:
    """Keep open_clip from warning about random weights, which are intended or replaced later, and from adding handlers.

    It calls `logging.warning`, which sets up the root logger of the whole program if nobody has.
    """
    root, handler = logging.getLogger(), logging.NullHandler()

    def refuse(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addHandler(handler)
    root.addFilter(refuse)
    try:
        yield
    finally:
        root.removeFilter(refuse)
        root.removeHandler(handler)


@contextmanager
def _no_stretching(tower: torch.nn.Module) -> Iterator[None]:
    """Keep open_clip from interpolating position embeddings made for another input size until they fit.

    It does so for towers that state the size of their grid. Without that attribute the sizes differ, and loading fails.
    """
    grid = vars(tower).pop("grid_size", None)
    try:
        yield
    finally:
        if grid is not None:
            tower.grid_size = grid


def _tower_weights(path: Path) -> dict[str, torch.Tensor] | None:
    if path.suffix != ".safetensors":
        return None
    weights = load_file(path)
    if not all(name.startswith("visual.") for name in weights):
        return None
    return {name.removeprefix("visual."): value for name, value in weights.items()}
