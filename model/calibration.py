"""Which arithmetic was found fastest for a CLIP model on this machine, without changing its similarities."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from lookalike.disk import read_regular, written
from lookalike.errors import EncoderError

from .encoder import ARITHMETICS

_MOST_BYTES = 16 << 20
BOUND = 0.002
"""The most that the similarity of any two probe pictures may change."""


@dataclass(frozen=True)
class Calibration:
    """How fast an encoder is with an arithmetic and batches of `batch` pictures, and how far similarities move.

    `rate` is in pictures per second. `moved` is the largest change of a similarity, between two pictures both computed
    this way, or one of them with the first of `ARITHMETICS` on a CPU, which an index may have been built with.
    """

    arithmetic: str
    batch: int
    rate: float
    moved: float

    @property
    def within_bound(self) -> bool:
        """Whether vectors computed this way can be compared with those of the other arithmetics."""
        return self.moved <= BOUND


def calibrated(weights_sha256: str, device: str = "cpu") -> Calibration | None:
    """What was kept for these weights on this machine; None if there is nothing.

    Raises EncoderError if the file can't be read.
    """
    path = _path()
    if not path.exists():
        return None
    try:
        entry = json.loads(read_regular(path, most=_MOST_BYTES)).get(f"{_machine(device)} {weights_sha256}")
        found = None if entry is None else Calibration(**entry)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path} can't be read ({error}); remove it, or run: lookalike bench --calibrate") from error
    if found is None or found.arithmetic not in ARITHMETICS or not found.within_bound:
        return None
    return found


def keep(found: Sequence[Calibration], weights_sha256: str, device: str = "cpu") -> Calibration:
    """Use the first calibration within the bound for these weights on this machine from now on, and return it.

    `found` is what `measurement.calibrate` returned, fastest first. Raises EncoderError if none is within the bound.
    """
    best = next((each for each in found if each.within_bound), None)
    if best is None:
        raise EncoderError(f"on {device} every arithmetic moves similarities by more than {BOUND}; use --device cpu")
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = json.loads(read_regular(path, most=_MOST_BYTES)) if path.exists() else {}
    entries[f"{_machine(device)} {weights_sha256}"] = asdict(best)
    with written(path) as temporary:
        temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    return best


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
