"""How fast picture files become an index on disk: all ways in turns, and what the encoder and the machine allow."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lookalike.model.encoder import Encoder
from lookalike.model.images import read_image
from lookalike.scripts.bench_rivals import Rival, read_and_prepare, rivals
from lookalike.scripts.terminal import note
from lookalike.scripts.timing import Spread, in_turns, seconds_of

READING, EMBEDDING = "reading and preparing alone", "bare forward"
_WARMING = 32  # pictures


@dataclass(frozen=True)
class _Run:
    """One pass over `pictures`: wall-clock seconds, seconds of all cores together, and peak memory in bytes."""

    pictures: int
    seconds: float
    cores: float = 0.0
    peak: int = 0

    @property
    def rate(self) -> float:
        return self.pictures / self.seconds


def measure_pipelines(
    files: Sequence[Path], encoder: Encoder, *, rounds: int, scratch: Path, quiet: bool
) -> dict[str, Any]:
    """Pictures a second, core milliseconds and peak memory of each way, and the limits, as `bench --json` writes them.

    Peak memory needs psutil. Where it is not installed, a note says so and `peak_bytes` is empty.
    """
    watched = find_spec("psutil") is not None
    if not watched:
        note("peak memory is not measured; install lookalike[benchmark] for it", quiet=quiet)
    device = str(getattr(encoder, "device", "cpu"))
    ways = {way.name: way for way in rivals(encoder, device=device, workers=os.cpu_count() or 1)}
    inputs = [encoder.prepare(read_image(path).image) for path in files[:64]]
    if device != "cpu":
        inputs *= 16  # a GPU is done with 64 before it is warm

    def jobs(some: Sequence[Path], *, quiet: bool) -> dict[str, Callable[[], _Run]]:
        return {
            **{name: partial(_run, way, some, scratch, watched=watched, quiet=quiet) for name, way in ways.items()},
            READING: lambda: _Run(len(some), seconds_of(partial(read_and_prepare, some, encoder))),
            EMBEDDING: lambda: _Run(len(inputs), seconds_of(partial(encoder.embed, inputs))),
        }

    in_turns(jobs(files[:_WARMING], quiet=True), rounds=1, measure=_called, warm_up=False)
    runs = in_turns(jobs(files, quiet=quiet), rounds=rounds, measure=_called, warm_up=False)
    rates = {name: Spread.of(run.rate for run in each) for name, each in runs.items()}
    cores = {name: Spread.of(1000 * run.cores / run.pictures for run in runs[name]) for name in ways}
    limits, flops = _limits(device, half="bf16" in encoder.spec.arithmetic), _flops(encoder)
    return {
        "encoder": str(encoder.spec),
        "arithmetic": encoder.spec.arithmetic,
        "device": device,
        "rates": {name: asdict(rate) for name, rate in rates.items()},
        "core_ms": {name: asdict(each) for name, each in cores.items()},
        "same_model": {name: way.same_model for name, way in ways.items()},
        "peak_bytes": {name: max(run.peak for run in runs[name]) for name in ways} if watched else {},
        "gflop_per_picture": None if flops is None else flops / 1e9,
        **limits,
        "limit": None if flops is None else limits["peak_gflops"] * 1e9 / flops,
        "waits_for": min((READING, EMBEDDING), key=lambda name: rates[name].median),
    }


def _called(job: Callable[[], _Run]) -> _Run:
    return job()


def _run(way: Rival, files: Sequence[Path], scratch: Path, *, watched: bool, quiet: bool) -> _Run:
    with tempfile.TemporaryDirectory(dir=scratch) as folder, PeakMemory() if watched else nullcontext() as peak:
        before = _core_seconds()
        seconds = seconds_of(partial(way.run, files, Path(folder)))
        cores = _core_seconds() - before
    run = _Run(len(files), seconds, cores, peak.bytes if peak is not None else 0)
    note(f"{way.name}: {run.rate:.1f} pictures/s", quiet=quiet)
    return run


def _core_seconds() -> float:
    """Processor time of this process and of the children it has waited for, on all cores together."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class PeakMemory:
    """The most memory that this process and its children held while watched, in bytes; shared pages count twice."""

    def __enter__(self) -> PeakMemory:
        import psutil

        self._process = psutil.Process()
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        while True:
            held = 0
            for process in (self._process, *self._process.children(recursive=True)):
                try:
                    held += process.memory_info().rss
                except psutil.NoSuchProcess:  # it ended in between
                    continue
            self.bytes = max(self.bytes, held)
            if self._done.wait(0.05):
                return


def _limits(device: str, *, half: bool) -> dict[str, Any]:
    """The most that the device can do: matrix products of its precision in GFLOP/s, and copies in GB/s."""
    import torch

    gpu = device != "cpu"
    wait = torch.cuda.synchronize if gpu else int
    side, size = (8192, 1 << 30) if gpu else (2048, 1 << 27)
    a = torch.rand(side, side, device=device, dtype=torch.bfloat16 if half else torch.float32)
    block, other = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    product = min(seconds_of(lambda: (a @ a, wait())) for _ in range(5))
    copy = min(seconds_of(lambda: (other.copy_(block), wait())) for _ in range(5))
    return {
        "precision": "bfloat16" if half else "float32",
        "peak_gflops": 2 * side**3 / product / 1e9,
        "copy_gbytes": 2 * size / copy / 1e9,
    }


def _flops(encoder: Encoder) -> float | None:
    """Floating point operations for one picture; None for an encoder other than a tower of open_clip's alone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from lookalike.model.clip import ClipEncoder
    from lookalike.model.towers import image_tower

    if not isinstance(encoder, ClipEncoder):
        return None
    tower = image_tower(encoder.spec.architecture).eval()
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not see fused operations
    try:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            tower(torch.zeros(1, 3, *encoder.spec.preprocessing.size))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return float(counter.get_total_flops())
