"""List the encoders, their sizes and licences.

Examples:
lookalike models
lookalike models --measure
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.errors import LookalikeError
from lookalike.model.presets import PRESETS, Preset
from lookalike.scripts.command import Exit, run
from lookalike.scripts.options import Device
from lookalike.scripts.terminal import output
from lookalike.scripts.timing import Spread, seconds_of

if TYPE_CHECKING:
    from lookalike.model.encoder import Encoder

_ROUNDS, _BATCH = 5, 8


def models(
    measure: Annotated[bool, typer.Option("--measure", help="Time each one here, without any download.")] = False,
    device: Device = None,
) -> int:
    console = output()
    for preset in PRESETS.values():
        download = f"{preset.download_mb:,} MB to download" if preset.download_mb else "no download"
        model = preset.architecture + (f"/{preset.tag}" if preset.tag else "")
        table = Table.grid(padding=(0, 2))
        table.add_column(width=9)
        table.add_row(preset.name, preset.purpose)
        table.add_row("", f"{preset.image_size} px in, {preset.dim} dimensions out, {preset.parameters:g} M parameters")
        table.add_row("", f"{download}, {preset.licence}")
        table.add_row("", f"{model}, {preset.source}")
        if measure:
            table.add_row("", _speed(preset, device))
        console.print(table, "")
    return Exit.DONE


def _speed(preset: Preset, device: str | None) -> str:
    """Pictures per second from a decoded 640 px picture to its vector: median and range of some rounds."""
    import numpy as np
    from PIL import Image

    encoder: Encoder
    if preset.files:
        from lookalike.model.loading import load_encoder

        try:
            encoder = load_encoder(preset.name)
        except LookalikeError as error:
            return f"not measured: {error}"
    else:
        from lookalike.model.clip_loading import untrained_encoder  # speed doesn't depend on the weights

        encoder = untrained_encoder(preset.architecture, device=device)
    pixels = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    pictures = [Image.fromarray(pixels)] * _BATCH
    encoder.encode(pictures)
    rates = Spread.of(_BATCH / seconds_of(lambda: encoder.encode(pictures)) for _ in range(_ROUNDS))
    return f"{rates.median:.1f} pictures/s here ({rates.least:.1f} to {rates.most:.1f})"


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
