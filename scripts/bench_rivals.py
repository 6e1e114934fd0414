"""What `lookalike bench` compares the pipeline with: the usual scripts around a model, and installed packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.model.clip import ClipEncoder
from lookalike.model.towers import image_tower
from lookalike.model.transforms import transform
from lookalike.records import Reference


@dataclass(frozen=True)
class Rival:
    """A way from picture files to an index on disk: `run` gets the files and an empty folder.

    `same_model` is false for a way that computes something cheaper than the encoder's vectors.
    """

    name: str
    run: Callable[[Sequence[Path], Path], object]
    same_model: bool = True


def rivals(encoder: ClipEncoder, *, workers: int) -> list[Rival]:
    """The pipeline first, then what it is compared with."""
    device = str(encoder.device)
    model = image_tower(encoder.spec.architecture).eval().to(device)
    prepare = transform(encoder.spec.preprocessing)
    found = [
        Rival("lookalike", lambda files, folder: _ours(files, folder, encoder)),
        Rival("DataLoader", lambda files, folder: _data_loader(files, folder, model, prepare, workers, device)),
        Rival("one at a time", lambda files, folder: _one_at_a_time(files, folder, model, prepare, device)),
    ]
    if find_spec("imagededup") is not None:
        found.append(Rival("imagededup PHash", _imagededup, same_model=False))
    return found


def _ours(files: Sequence[Path], folder: Path, encoder: ClipEncoder) -> None:
    rows = [Reference(path.stem, path.stem, "", path) for path in files]
    build_index(rows, index=folder / "index", encoder=encoder, reader=PhotoReader(), features=False)


def read_and_prepare(files: Sequence[Path], encoder: ClipEncoder) -> None:
    """The pipeline without the encoder's arithmetic and without the index."""
    for _ in embed_photos(files, encoder=_Unembedded(encoder), reader=PhotoReader()):
        pass


class _Unembedded:
    def __init__(self, encoder: ClipEncoder) -> None:
        self.spec, self.prepare, self.encode = encoder.spec, encoder.prepare, encoder.encode

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.zeros((len(inputs), self.spec.dim), np.float32)


def _one_at_a_time(files: Sequence[Path], folder: Path, model: Any, prepare: Any, device: str) -> None:
    import torch

    vectors = []
    with torch.no_grad():
        for path in files:
            vector = model(prepare(Image.open(path).convert("RGB")).unsqueeze(0).to(device))
            vectors.append(torch.nn.functional.normalize(vector, dim=-1).cpu().numpy())
    _write(np.concatenate(vectors), folder)


def _data_loader(files: Sequence[Path], folder: Path, model: Any, prepare: Any, workers: int, device: str) -> None:
    import torch

    class Pictures(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, at: int) -> Any:
            return prepare(Image.open(files[at]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=32, num_workers=workers)
    with torch.no_grad():
        vectors = [torch.nn.functional.normalize(model(b.to(device)), dim=-1).cpu().numpy() for b in loader]
    _write(np.concatenate(vectors), folder)


def _write(vectors: NDArray[np.float32], folder: Path) -> None:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / "flat.index"))


def _imagededup(files: Sequence[Path], _: Path) -> None:
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    for path in files:
        hasher.encode_image(image_file=str(path))
