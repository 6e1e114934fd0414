"""What `lookalike bench` compares the pipeline with: the usual scripts around a model, and installed packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.model.encoder import Encoder
from lookalike.model.resize import fitted
from lookalike.records import Reference

if TYPE_CHECKING:
    from lookalike.model.onnx import OnnxEncoder


@dataclass(frozen=True)
class Rival:
    """A way from picture files to an index on disk: `run` gets the files and an empty folder.

    `same_model` is false for a way that computes something cheaper than the encoder's vectors.
    """

    name: str
    run: Callable[[Sequence[Path], Path], object]
    same_model: bool = True


@dataclass(frozen=True)
class _Script:
    """A model as the usual script has it: `prepare` makes a tensor of a picture, `embed` unit vectors of a batch."""

    prepare: Callable[[Image.Image], Any]
    embed: Callable[[Any], NDArray[np.float32]]


def rivals(encoder: Encoder, *, device: str, workers: int) -> list[Rival]:
    """The pipeline first, then what it is compared with."""
    from lookalike.model.onnx import OnnxEncoder
    from lookalike.model.towers import architectures

    known = encoder.spec.architecture in architectures()
    script = _with_torch(encoder, device) if known or not isinstance(encoder, OnnxEncoder) else _with_onnx(encoder)
    found = [
        Rival("lookalike", lambda files, folder: _ours(files, folder, encoder)),
        Rival("DataLoader", lambda files, folder: _data_loader(files, folder, script, workers)),
        Rival("one at a time", lambda files, folder: _one_at_a_time(files, folder, script)),
    ]
    if find_spec("imagededup") is not None:
        found.append(Rival("imagededup PHash", _imagededup, same_model=False))
    return found


def _with_torch(encoder: Encoder, device: str) -> _Script:
    """open_clip's model of the architecture, with random weights, which take as long."""
    import torch

    from lookalike.model.towers import image_tower
    from lookalike.model.transforms import transform

    tower = image_tower(encoder.spec.architecture).eval().to(device)

    def embed(batch: Any) -> NDArray[np.float32]:
        with torch.no_grad():
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(tower(batch.to(device)), dim=-1).cpu().numpy()
        return vectors

    return _Script(transform(encoder.spec.preprocessing), embed)


def _with_onnx(encoder: OnnxEncoder) -> _Script:
    """The same file in ONNX Runtime as it comes, which uses all cores for each batch."""
    import onnxruntime
    import torch

    from lookalike.model.onnx_file import run

    session = onnxruntime.InferenceSession(encoder.file.path, providers=["CPUExecutionProvider"])

    def prepare(image: Image.Image) -> Any:
        return torch.from_numpy(np.array(fitted(image, encoder.spec.preprocessing)))

    def embed(batch: Any) -> NDArray[np.float32]:
        found = run(session, encoder.file.graph, encoder.spec.preprocessing, batch.numpy())
        vectors: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
        return vectors

    return _Script(prepare, embed)


def _ours(files: Sequence[Path], folder: Path, encoder: Encoder) -> None:
    rows = [Reference(path.stem, path.stem, "", path) for path in files]
    build_index(rows, index=folder / "index", encoder=encoder, reader=PhotoReader(), features=False)


def read_and_prepare(files: Sequence[Path], encoder: Encoder) -> None:
    """The pipeline without the encoder's arithmetic and without the index."""
    for _ in embed_photos(files, encoder=_Unembedded(encoder), reader=PhotoReader()):
        pass


class _Unembedded:
    def __init__(self, encoder: Encoder) -> None:
        self.spec, self.prepare, self.encode = encoder.spec, encoder.prepare, encoder.encode

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.zeros((len(inputs), self.spec.width), np.float32)


def _one_at_a_time(files: Sequence[Path], folder: Path, script: _Script) -> None:
    vectors = [script.embed(script.prepare(Image.open(path).convert("RGB")).unsqueeze(0)) for path in files]
    _write(np.concatenate(vectors), folder)


def _data_loader(files: Sequence[Path], folder: Path, script: _Script, workers: int) -> None:
    import torch

    class Pictures(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, at: int) -> Any:
            return script.prepare(Image.open(files[at]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=32, num_workers=workers)
    _write(np.concatenate([script.embed(batch) for batch in loader]), folder)


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
