"""The named models: their weights, licences and sizes.

The public ones are the image towers of SigLIP 2 (arXiv 2502.14786). Contrastive image-text towers of this family lead
image-to-image instance retrieval among models of their size (ILIAS, arXiv 2502.11748, table of global
representations), and their licence allows commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A model with a short name.

    `parameters` are those of the image tower, in millions. `image_size` is the side of the input in pixels.
    `download_mb` is the size of image and text tower at 4 bytes per parameter, in 10^6 bytes; 0 if the weights ship in
    the package. `source` says where the weights come from.
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
