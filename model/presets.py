"""The named models: which weights, under which licence, how big.

The public ones are the image towers of SigLIP 2 (arXiv 2502.14786). Contrastive image-text towers of
this family lead image-to-image instance retrieval among models of their size (ILIAS, arXiv 2502.11748,
table of global representations), and their licence allows commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A model by a short name.

    `parameters` counts the image tower, in millions; `image_size` is the input's side in pixels;
    `download_mb` is that of image and text tower at 4 bytes a parameter, in 10^6 bytes, and 0 for weights
    that ship in the package; `source` says where weights come from.
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


_PRESETS = (
    Preset(
        name="embedded",
        architecture="lookalike-embedded",
        tag=None,
        image_size=144,
        dim=256,
        parameters=3.7,
        download_mb=0,
        licence="Apache-2.0",
        source="ships in the package",
        purpose="edited copies, packaged goods; no download",
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
