"""The image tower of any CLIP model that open_clip builds: the one door to torch."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.layers.norm_act import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.transforms import Compose, Normalize, ToTensor

from lookalike.disk import file_sha256
from lookalike.errors import EncoderError, UnknownModelError, WeightsError

from .calibration import calibrated
from .encoder import ARITHMETICS, EncoderSpec, Preprocessing, Vectors
from .plain_jpeg import first_resize
from .presets import PRESETS, Preset

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".npz")

# oneDNN, which torch uses on CPUs, keeps tens of megabytes for every batch size it has met; and what eight pictures
# leave between two layers stays in a CPU's caches: the embedded encoder takes a quarter less time than with 32
_BATCHES, _GPU_BATCHES = (8, 1), (32, 8, 1)


class ClipEncoder:
    """Encodes with the image tower of an open_clip model, as `model.encode_image(preprocess(image))` would."""

    def __init__(self, tower: torch.nn.Module, spec: EncoderSpec, *, device: str) -> None:
        # channels last: convolutions take half the time, transformers what they took
        tower = folded(tower.eval().requires_grad_(False)).to(device)
        self._tower = tower.to(memory_format=torch.channels_last)
        self._spec = spec
        self._device = torch.device(device)
        self._batches: tuple[int, ...] = _GPU_BATCHES if self._device.type == "cuda" else _BATCHES
        engine, precision, *compiled = spec.arithmetic.split("-")
        self._half = precision == "bf16"
        self._compiled = _compiled(self._tower, spec) if engine == "openvino" else None
        self._run: Callable[[torch.Tensor], torch.Tensor] = torch.compile(self._tower) if compiled else self._tower
        *geometry, to_tensor, self._normalise = image_transform_v2(
            _preprocess_cfg(spec.preprocessing), is_train=False
        ).transforms
        if not (isinstance(to_tensor, ToTensor) and isinstance(self._normalise, Normalize)):
            raise EncoderError(f"open_clip's transform of {spec.architecture} does not end by scaling its colours")
        self._geometry = Compose(geometry)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def spec(self) -> EncoderSpec:
        """Which encoder it is."""
        return self._spec

    @property
    def tower(self) -> torch.nn.Module:
        """The image tower that it computes with where no other engine does."""
        return self._tower

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    def in_batches(self, size: int) -> ClipEncoder:
        """The same encoder, computing on so many pictures at a time."""
        other = copy.copy(self)
        other._batches = (size, 1) if size > 1 else (1,)
        return other

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """One RGB picture as input: uint8 (height, width, 3), by open_clip's own transform but for its last two steps.

        These scale the values, and are left to `embed`: a byte for each is less to keep, to hash and to send to a GPU.
        """
        if self._spec.preprocessing.reducing_gap is not None:
            image = first_resize(image, self._spec.preprocessing)
        return np.asarray(self._geometry(image))

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> Vectors:
        """What `prepare` gave, to vectors: float32 (n, dim), rows of length 1."""
        batches = [inputs[start:end] for start, end in _cut(len(inputs), self._batches)]
        cores = self._cores() if len(batches) > 1 else None
        embedded = map(self._embed, batches) if cores is None else cores.map(self._embed, batches)
        vectors = list(embedded)  # all of a GPU's batches are sent to it before the first is waited for
        return np.concatenate([np.empty((0, self._spec.dim), np.float32), *(each.cpu().numpy() for each in vectors)])

    def _embed(self, inputs: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack(inputs)).to(self._device).permute(0, 3, 1, 2)
        batch: torch.Tensor = self._normalise(pixels.float().div_(255))
        if self._compiled is not None:
            features = torch.from_numpy(self._compiled(batch.contiguous().numpy()))
        else:
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._half),
                _full_float32() if self._device.type == "cuda" and not self._half else nullcontext(),
            ):
                features = self._run(batch).float()
        return torch.nn.functional.normalize(features, dim=-1)

    def _cores(self) -> ThreadPoolExecutor | None:
        """Threads that each embed a batch on one core, as many as torch may use; None for one core, or a GPU."""
        with self._lock:
            threads = torch.get_num_threads()
            if self._pool is None and threads > 1 and self._device.type == "cpu":
                self._pool = _one_core_threads(threads)
            return self._pool if threads > 1 else None

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """RGB pictures to vectors: float32 (n, dim), rows of length 1, in the order given."""
        vectors = np.empty((len(images), self._spec.dim), np.float32)
        for start in range(0, len(images), self._batches[0]):
            inputs = [self.prepare(image) for image in images[start : start + self._batches[0]]]
            vectors[start : start + len(inputs)] = self.embed(inputs)
        return vectors


def _full_float32() -> AbstractContextManager[None]:
    """Keeps a GPU from computing convolutions with the 10-bit fractions of TensorFloat-32, torch's default."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=torch.backends.cudnn.benchmark, allow_tf32=False
    )
    return flags


def _compiled(tower: torch.nn.Module, spec: EncoderSpec) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    from .compiled import CompiledTower

    precision = spec.arithmetic.partition("-")[2]
    return CompiledTower(tower, spec.preprocessing.size, precision=precision, streams=torch.get_num_threads())


def _cut(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where to cut `count` inputs into batches of the largest of these sizes that fits what is left."""
    start = 0
    while start < count:
        end = start + next(size for size in sizes if size <= count - start)
        yield start, end
        start = end


def _one_core_threads(count: int) -> ThreadPoolExecutor:
    """Threads in which torch computes on one core each: a batch for each core beats a core for each part of a batch,
    the more the busier the machine, since nobody waits for the slowest.

    OpenMP keeps the number of threads for each thread apart, but torch gives its latest one to every new thread.
    """
    ours = torch.get_num_threads()
    settled = threading.Barrier(count + 1)

    def settle() -> None:
        torch.get_num_threads()  # takes over the program's number, which would else come later, over ours
        torch.set_num_threads(1)
        settled.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="lookalike-embed", initializer=settle)
    for _ in range(count):
        pool.submit(int)
    settled.wait()
    torch.set_num_threads(ours)
    return pool


def load_clip_encoder(
    model: str, *, weights: str | Path | None, device: str | None, arithmetic: str | None = None
) -> ClipEncoder:
    """See `load_encoder`."""
    architecture, tag = _resolve(model)
    device = _device(device)
    if weights is None and tag is None and model != "embedded":
        raise WeightsError(
            f"{model} names an architecture without weights; give {model}/TAG with a TAG of "
            f"{', '.join(open_clip.list_pretrained_tags_by_model(architecture)) or 'none'}, or --weights FILE"
        )
    if weights is not None:
        return _load(model, architecture, tag, Path(weights), device, arithmetic)
    if model == "embedded":
        with as_file(files("lookalike.model") / "embedded.safetensors") as path:
            return _load(model, architecture, tag, path, device, arithmetic)
    return _load(model, architecture, tag, _fetch(model, architecture, str(tag)), device, arithmetic)


def image_tower(architecture: str) -> torch.nn.Module:
    """The image tower of that architecture with random weights, for training."""
    tower: torch.nn.Module = _build(architecture).visual
    return tower


def folded(tower: torch.nn.Module) -> torch.nn.Module:
    """The tower with its batch statistics folded into the convolutions before them, which takes a third less time.

    Vectors move by about 1e-6. Only towers of which `batch_norms` knows the order are folded; others come back as is.
    """
    pairs = batch_norms(tower)
    if not pairs:
        return tower
    tower = copy.deepcopy(tower)
    for before, after in pairs:
        convolution: Any = tower.get_submodule(before)
        norm: Any = tower.get_submodule(after)
        tower.set_submodule(before, fuse_conv_bn_eval(convolution, norm))
        tower.set_submodule(after, torch.nn.Sequential(norm.drop, norm.act))
    return tower


def batch_norms(tower: torch.nn.Module) -> list[tuple[str, str]]:
    """The names of each convolution and the batch norm that follows it, in the towers of timm's EfficientNet class,
    whose blocks run in the order they declare; none for any other tower."""
    found: list[tuple[str, str]] = []
    if isinstance(getattr(tower, "trunk", None), EfficientNet):
        for name, block in tower.named_modules():
            for (before, convolution), (after, norm) in pairwise(block.named_children()):
                if isinstance(convolution, torch.nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                    found.append((f"{name}.{before}", f"{name}.{after}"))
    return found


def untrained_encoder(architecture: str, *, device: str | None = None, arithmetic: str | None = None) -> ClipEncoder:
    """An encoder of that architecture with random weights, for timing."""
    clip = _build(architecture)
    device = _device(device)
    spec = EncoderSpec(
        name=f"untrained {architecture}",
        architecture=architecture,
        weights_sha256="",
        dim=_dim(clip),
        preprocessing=_preprocessing(architecture, None, clip.visual),
        arithmetic=_arithmetic(arithmetic, device),
    )
    return ClipEncoder(clip.visual, spec, device=device)


def plain_script(
    spec: EncoderSpec, device: str = "cpu"
) -> tuple[torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    """The tower as open_clip builds it, with random weights, and open_clip's own transform: what most scripts use."""
    transform: Callable[[Image.Image], torch.Tensor] = image_transform_v2(
        _preprocess_cfg(spec.preprocessing), is_train=False
    )
    return image_tower(spec.architecture).eval().to(device), transform


def _resolve(model: str) -> tuple[str, str | None]:
    """Architecture and pretrained tag of a preset's name, "ARCHITECTURE/TAG" or "ARCHITECTURE"."""
    _register_embedded()
    preset: Preset | None = PRESETS.get(model)
    if preset is not None:
        return preset.architecture, preset.tag
    architecture, _, tag = model.partition("/")
    if architecture not in open_clip.list_models():
        raise UnknownModelError(
            f"there is no model {model!r}; choose a preset ({', '.join(PRESETS)}), or an open_clip model as "
            "ARCHITECTURE/TAG, for example ViT-B-32/laion2b_s34b_b79k"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        raise UnknownModelError(f"{architecture} has no weights {tag!r}; open_clip knows {', '.join(tags) or 'none'}")
    return architecture, tag or None


def _register_embedded() -> None:
    if PRESETS["embedded"].architecture not in open_clip.list_models():
        with as_file(files("lookalike.model") / "lookalike-embedded.json") as path:
            open_clip.add_model_config(path)


def _device(device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda") and not device.startswith("cuda:"):
        raise EncoderError(f"there is no device {device!r}; use cpu, cuda or cuda:N")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EncoderError(f"{device} was asked for, but torch finds no GPU here; use --device cpu")
    return device


def _fetch(model: str, architecture: str, tag: str) -> Path:
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # it warns of each retry; the error below says it once
    try:
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(architecture, tag)))
    except Exception as error:  # the hub's client raises dozens of kinds, for every way a network can fail
        raise WeightsError(
            f"the weights of {model} ({architecture}/{tag}) could not be fetched "
            f"({type(error).__name__}: {_first_line(error)}); check the network, or give a local copy with "
            "--weights FILE, or use --model embedded, which needs none"
        ) from error
    finally:
        hub.setLevel(level)


def _load(
    model: str, architecture: str, tag: str | None, path: Path, device: str, arithmetic: str | None
) -> ClipEncoder:
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; give an existing one with --weights FILE")
    if path.suffix not in _SUFFIXES:
        raise WeightsError(f"{path} is no weights file; needed one ending in {', '.join(_SUFFIXES)}")
    clip = _build(architecture)
    _load_weights(clip, path, architecture)
    sha256 = file_sha256(path)
    found = calibrated(sha256, device) if arithmetic is None else None
    spec = EncoderSpec(
        name=model,
        architecture=architecture,
        weights_sha256=sha256,
        dim=_dim(clip),
        preprocessing=_preprocessing(architecture, tag, clip.visual),
        arithmetic=_arithmetic(arithmetic if found is None else found.arithmetic, device),
    )
    encoder = ClipEncoder(clip.visual, spec, device=device)
    return encoder if found is None else encoder.in_batches(found.batch)


def _arithmetic(name: str | None, device: str) -> str:
    if name is None:
        return ARITHMETICS[0]
    if name not in ARITHMETICS:
        raise EncoderError(f"there is no arithmetic {name!r}; use one of {', '.join(ARITHMETICS)}")
    if name.startswith("openvino") and device != "cpu":
        raise EncoderError(f"{name} computes on a CPU, but {device} was asked for; use --device cpu")
    return name


def _build(architecture: str) -> Any:
    _register_embedded()
    try:
        with _root_logger_quiet():
            clip = open_clip.create_model(architecture, pretrained_text=False)
    except (ImportError, RuntimeError, OSError) as error:
        raise EncoderError(f"open_clip can't build {architecture}: {_first_line(error)}") from error
    if getattr(clip.visual, "output_tokens", False):
        clip.visual.output_tokens = False  # CoCa's towers give a vector for each patch beside that of the picture
    return clip


@contextmanager
def _root_logger_quiet() -> Iterator[None]:
    """Keep open_clip from warning about random weights, which are replaced or meant, and from adding a handler.

    It logs through `logging.warning`, which sets up the root logger of the whole program where nobody has.
    """
    root, handler = logging.getLogger(), logging.NullHandler()

    def refuse(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addHandler(handler)
    root.addFilter(refuse)
    try:
        yield
    finally:
        root.removeFilter(refuse)
        root.removeHandler(handler)


def _load_weights(clip: Any, path: Path, architecture: str) -> None:
    """Load a whole CLIP checkpoint, or one of the image tower alone (all its names begin with "visual.")."""
    try:
        tower = _tower_weights(path)
        if tower is None:
            with _no_stretching(clip.visual):
                open_clip.load_checkpoint(clip, str(path), strict=True, weights_only=True)
        else:
            clip.visual.load_state_dict(tower, strict=True)
    except Exception as error:  # a foreign file makes open_clip trip in KeyError, RuntimeError, UnpicklingError …
        raise WeightsError(
            f"{path} does not hold weights of {architecture} ({type(error).__name__}: {_first_line(error)}); "
            "name the architecture it was trained as with --model"
        ) from error


@contextmanager
def _no_stretching(tower: torch.nn.Module) -> Iterator[None]:
    """Keep open_clip from interpolating the positions of weights made for another input size until they fit.

    It does so for towers that say what their grid is; without it the sizes differ, and loading fails.
    """
    grid = vars(tower).pop("grid_size", None)
    try:
        yield
    finally:
        if grid is not None:
            tower.grid_size = grid


def _tower_weights(path: Path) -> dict[str, torch.Tensor] | None:
    if path.suffix != ".safetensors":
        return None
    from safetensors.torch import load_file

    weights = load_file(path)
    if not all(name.startswith("visual.") for name in weights):
        return None
    return {name.removeprefix("visual."): value for name, value in weights.items()}


def _dim(clip: Any) -> int:
    height, width = _size(clip.visual)
    with torch.inference_mode():
        return int(clip.visual.eval()(torch.zeros(1, 3, height, width)).shape[-1])


def _preprocessing(architecture: str, tag: str | None, tower: Any) -> Preprocessing:
    """The preprocessing the weights were trained with: the tag's, or what all tags of the architecture share.

    open_clip itself falls back to its defaults for local files, which is wrong for SigLIP and others.
    """
    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(architecture)
    keys = ("mean", "std", "interpolation", "resize_mode")
    known = [open_clip.get_pretrained_cfg(architecture, t) for t in tags]
    shared = {k: known[0][k] for k in keys if known and all(c.get(k) == known[0].get(k) for c in known)}
    embedded = architecture == PRESETS["embedded"].architecture
    if embedded:
        shared = {"resize_mode": "squash", "interpolation": "bilinear"}
    cfg = PreprocessCfg(**{**shared, "size": _size(tower)})
    return Preprocessing(
        size=_size(tower),
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        interpolation=cfg.interpolation,
        resize_mode=cfg.resize_mode,
        fill_color=cfg.fill_color,
        # a quarter of the time that bicubic takes; trained on pixels' means, too
        reducing_gap=1.5 if embedded else None,
    )


def _preprocess_cfg(preprocessing: Preprocessing) -> PreprocessCfg:
    return PreprocessCfg(
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        interpolation=preprocessing.interpolation,
        resize_mode=preprocessing.resize_mode,
        fill_color=preprocessing.fill_color,
    )


def _size(tower: Any) -> tuple[int, int]:
    size = tower.image_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _first_line(error: BaseException) -> str:
    """The first line that says something, shortened: torch lists every tensor that doesn't fit."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or "no reason given"
    return text if len(text) <= 200 else text[:199] + "…"
