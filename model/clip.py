"""An encoder made of the image tower of a CLIP model; it computes with torch."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lookalike.cores import Threads, available_cores, on_cores, use_cores
from lookalike.errors import EncoderError

from .encoder import EncoderSpec, Vectors
from .resize import fitted
from .towers import folded

# on CPUs, oneDNN (which torch uses) keeps tens of megabytes for every batch size it has seen, and what eight pictures
# leave between two layers stays in the caches: the embedded encoder takes a quarter less time than with 32
_BATCHES, _GPU_BATCHES = (8, 1), (32, 8, 1)


class ClipEncoder:
    """Encodes with the image tower of an open_clip model, as `model.encode_image(preprocess(image))` would."""

    def __init__(self, tower: torch.nn.Module, spec: EncoderSpec, *, device: str) -> None:
        # channels last: convolutions take half the time, transformers the same
        tower = folded(tower.eval().requires_grad_(False)).to(device)
        self._tower = tower.to(memory_format=torch.channels_last)
        self._spec = spec
        self._device = torch.device(device)
        self._batches: tuple[int, ...] = _GPU_BATCHES if self._device.type == "cuda" else _BATCHES
        _, precision, *compiled = spec.arithmetic.split("-")
        self._half = precision == "bf16"
        self._run: Callable[[torch.Tensor], torch.Tensor] = torch.compile(self._tower) if compiled else self._tower
        mean, std = (
            torch.tensor(values, device=device) for values in (spec.preprocessing.mean, spec.preprocessing.std)
        )
        self._mean, self._std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
        self._threads: int | None = None
        self._process = os.getpid()

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder this is."""
        return self._spec

    @property
    def tower(self) -> torch.nn.Module:
        """The image tower."""
        return self._tower

    @property
    def weights_bytes(self) -> int:
        """The size of the tower's weights in memory."""
        return sum(each.numel() * each.element_size() for each in self._tower.parameters())

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    def in_batches(self, size: int) -> ClipEncoder:
        """The same encoder, computing on `size` pictures at a time."""
        other = copy.copy(self)
        other._batches = (size, 1) if size > 1 else (1,)
        return other

    def in_threads(self, most: int) -> ClipEncoder:
        """The same encoder, computing on at most so many cores for one call of `embed`."""
        other = copy.copy(self)
        other._threads = most if self._threads is None else min(most, self._threads)
        return other

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Turn one RGB picture into input, uint8 (height, width, 3), as open_clip's transform does.

        Scaling the values is left to `embed`: bytes are less to keep, to hash and to send to a GPU.
        """
        return np.asarray(fitted(image, self._spec.preprocessing))

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Turn the results of `prepare` into vectors: float32 (n, dim), unit rows, in the same order.

        Raises EncoderError for a GPU in a process that was forked after the encoder was loaded.
        """
        self._require_usable()
        batches = [inputs[start:end] for start, end in _cut(len(inputs), self._batches)]
        # sends all batches to a GPU before waiting for the first
        vectors = list(self._on_cores(batches) if self._device.type == "cpu" else map(self._embed, batches))
        return np.concatenate([np.empty((0, self._spec.dim), np.float32), *(each.cpu().numpy() for each in vectors)])

    def _embed(self, inputs: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack(inputs)).to(self._device).permute(0, 3, 1, 2)
        batch: torch.Tensor = pixels.float().div_(255).sub_(self._mean).div_(self._std)
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._half),
            _full_float32() if self._device.type == "cuda" and not self._half else nullcontext(),
        ):
            features = self._run(batch).float()
        return torch.nn.functional.normalize(features, dim=-1)

    def _on_cores(self, batches: Sequence[Sequence[NDArray[np.uint8]]]) -> Iterator[torch.Tensor]:
        """Embed each batch on one core; a single batch on as many as were asked for.

        One batch per core is faster than spreading each batch over all cores, and more so on a busy machine, because no
        core waits for the slowest.
        """
        cores = self._threads or min(torch.get_num_threads(), available_cores())
        if cores == 1 or (len(batches) == 1 and self._threads is None):
            return map(self._embed_on_one, batches)
        if len(batches) == 1:
            return _joint(cores).map(self._embed, batches, most=1)
        return _apart.map(self._embed_on_one, batches, most=cores)

    def _embed_on_one(self, inputs: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        torch.get_num_threads()  # takes over the program's number, which would otherwise replace ours later
        with on_cores(1):
            return self._embed(inputs)

    def _require_usable(self) -> None:
        """Refuse what would fail in a forked process."""
        if os.getpid() != self._process and self._device.type != "cpu":
            raise EncoderError(
                "the encoder was loaded before this process was forked, and a GPU can't be used after that; "
                "open the detector in each worker process, or use the CPU"
            )

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """Turn RGB pictures into vectors: float32 (n, dim), unit rows, in the same order."""
        vectors = np.empty((len(images), self._spec.dim), np.float32)
        for start in range(0, len(images), self._batches[0]):
            inputs = [self.prepare(image) for image in images[start : start + self._batches[0]]]
            vectors[start : start + len(inputs)] = self.embed(inputs)
        return vectors


def _full_float32() -> AbstractContextManager[None]:
    """Keep a GPU from computing convolutions with the 10-bit fractions of TensorFloat-32, which is torch's default."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=torch.backends.cudnn.benchmark, allow_tf32=False
    )
    return flags


def _cut(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where to cut `count` inputs into batches, each of the largest of these sizes that fits what is left."""
    start = 0
    while start < count:
        end = start + next(size for size in sizes if size <= count - start)
        yield start, end
        start = end


_apart = Threads("lookalike-embed")


@lru_cache
def _joint(cores: int) -> Threads:
    """A thread in which torch spreads a batch over so many cores."""
    return Threads("lookalike-embed", count=1, initializer=partial(_settle, cores))


def _settle(cores: int) -> None:
    torch.get_num_threads()  # as above
    use_cores(cores)
