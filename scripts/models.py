"""List the presets: size, licence, where the weights come from and, with --measure, the speed on this machine."""

from __future__ import annotations

import statistics
import time
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from lookalike.model.presets import PRESETS, Preset
from lookalike.scripts.cli import DONE, Device, run

_ROUNDS = 5
_BATCH = 8


def models(
    measure: Annotated[bool, typer.Option("--measure", help="Time each model here, with random weights.")] = False,
    device: Device = None,
) -> int:
    console = Console(highlight=False, markup=False)
    for preset in PRESETS.values():
        download = f"{preset.download_mb:,} MB to download" if preset.download_mb else "no download"
        model = preset.architecture + (f"/{preset.tag}" if preset.tag else "")
        table = Table.grid(padding=(0, 2))
        table.add_column(width=9)
        table.add_row(preset.name, preset.purpose)
        table.add_row("", f"{preset.image_size} px in, {preset.dim} numbers out, {preset.parameters:g} M parameters")
        table.add_row("", f"{download}, {preset.licence}")
        table.add_row("", f"{model}, {preset.source}")
        if measure:
            table.add_row("", _speed(preset, device))
        console.print(table, "")
    return DONE


def _speed(preset: Preset, device: str | None) -> str:
    """Pictures a second from a decoded 640 px picture to its vector: median, least and most of some rounds."""
    from lookalike.model.clip import untrained_encoder

    encoder = untrained_encoder(preset.architecture, device=device)
    pixels = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
    pictures = [Image.fromarray(pixels)] * _BATCH
    encoder.encode(pictures)
    rates = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        encoder.encode(pictures)
        rates.append(_BATCH / (time.perf_counter() - started))
    return f"{statistics.median(rates):.1f} pictures/s here ({min(rates):.1f} to {max(rates):.1f})"


def main(argv: list[str] | None = None) -> int:
    return run(models, argv)


if __name__ == "__main__":
    raise SystemExit(main())
