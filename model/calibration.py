"""Which arithmetic is fastest here for an encoder and yet moves no similarity: measured once, kept for this machine."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import EncoderError

from .encoder import ARITHMETICS, Vectors

if TYPE_CHECKING:
    from .clip import ClipEncoder

BOUND = 0.002
"""No similarity of two probe pictures may move by more."""

BATCHES, GPU_BATCHES = (1, 4, 8, 16, 32), (8, 16, 32, 64)
_TIMED, _TIMED_ON_GPU = 64, 1024  # pictures, those that the bound is held on over and over


@dataclass(frozen=True)
class Calibration:
    """How fast an arithmetic is for an encoder with batches of `batch` pictures, and how far similarities move.

    `rate` is in pictures a second, `moved` the largest change of a similarity, of two pictures both computed so, or one
    of them by the first of `ARITHMETICS` on a CPU, which an index may have been built with.
    """

    arithmetic: str
    batch: int
    rate: float
    moved: float

    @property
    def within_bound(self) -> bool:
        """Whether its vectors may stand beside those of the others."""
        return self.moved <= BOUND


def calibrated(weights_sha256: str, device: str = "cpu") -> Calibration | None:
    """What was found for these weights on this machine, None where nothing was, or its engine is no longer installed.

    Raises EncoderError for a file that can't be read.
    """
    path = _path()
    if not path.exists():
        return None
    try:
        entry = json.loads(path.read_bytes()).get(f"{_machine(device)} {weights_sha256}")
        found = None if entry is None else Calibration(**entry)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path} can't be read ({error}); remove it, or run: lookalike bench --calibrate") from error
    if found is None or found.arithmetic not in ARITHMETICS or not found.within_bound:
        return None
    return found if find_spec(found.arithmetic.partition("-")[0]) is not None else None


def calibrate(
    pictures: Iterable[Image.Image],
    *,
    model: str = "embedded",
    weights: str | Path | None = None,
    device: str = "cpu",
    rounds: int = 3,
) -> list[Calibration]:
    """Measure each arithmetic that is installed, in turns, on these RGB pictures; fastest first. Nothing is kept.

    On a CPU torch compiles nothing: there it takes a minute in each process and wins nothing.
    """
    from .clip import load_clip_encoder

    names = [name for name in ARITHMETICS if find_spec(name.partition("-")[0]) is not None and _fits(name, device)]
    encoders = {name: load_clip_encoder(model, weights=weights, device=device, arithmetic=name) for name in names}
    reference = load_clip_encoder(model, weights=weights, device="cpu", arithmetic=ARITHMETICS[0])
    inputs = [reference.prepare(picture) for picture in pictures]
    exact = reference.embed(inputs)
    moved = {name: _moved(encoder.embed(inputs), exact) for name, encoder in encoders.items()}
    batches, count = (BATCHES, _TIMED) if device == "cpu" else (GPU_BATCHES, _TIMED_ON_GPU)
    timed = list(islice(cycle(inputs), count))
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):
        for name, encoder in encoders.items():
            for batch in batches:
                taken = _seconds(encoder, timed if turn else timed[:batch], batch)
                if turn:  # the first warms up
                    seconds.setdefault((name, batch), []).append(taken)
    found = []
    for name in names:
        best = min(batches, key=lambda batch: median(seconds[name, batch]))
        found.append(Calibration(name, best, len(timed) / median(seconds[name, best]), moved[name]))
    return sorted(found, key=lambda each: -each.rate)


def keep(found: Sequence[Calibration], weights_sha256: str, device: str = "cpu") -> Calibration:
    """Have the fastest one within the bound used from now on for these weights on this machine; gives that one.

    Raises EncoderError where none is within it.
    """
    best = next((each for each in found if each.within_bound), None)
    if best is None:
        raise EncoderError(f"on {device} every arithmetic moves similarities by more than {BOUND}; use --device cpu")
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = json.loads(path.read_bytes()) if path.exists() else {}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({**entries, f"{_machine(device)} {weights_sha256}": asdict(best)}, indent=1))
    temporary.replace(path)
    return best


def _fits(arithmetic: str, device: str) -> bool:
    return not arithmetic.endswith("-compiled") if device == "cpu" else not arithmetic.startswith("openvino")


def _seconds(encoder: ClipEncoder, inputs: Sequence[NDArray[np.uint8]], batch: int) -> float:
    start = time.perf_counter()
    encoder.in_batches(batch).embed(inputs)
    return time.perf_counter() - start


def _moved(vectors: Vectors, exact: Vectors) -> float:
    expected = exact @ exact.T
    return float(max(np.abs(vectors @ vectors.T - expected).max(), np.abs(vectors @ exact.T - expected).max()))


def _machine(device: str) -> str:
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    machine = f"{platform.node()} {platform.machine()} {cpu} x{os.cpu_count()}"
    if device == "cpu":
        return machine
    import torch

    return f"{machine} {torch.cuda.get_device_name(device)}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines() if Path(path).is_file() else []


def _path() -> Path:
    return platformdirs.user_cache_path("lookalike") / "calibration.json"
