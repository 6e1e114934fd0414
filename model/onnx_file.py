"""An image encoder in an ONNX file: what it says of itself, and what is checked before anything is computed with it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.disk import read_regular
from lookalike.errors import WeightsError

from .encoder import EncoderSpec, Preprocessing

METADATA = "lookalike"
"""The name under which a file that this library wrote holds its description as JSON."""

_MOST_BYTES = 2**31 - 1  # of a protocol buffer, which an ONNX file is
_MOST_DESCRIPTION = 1 << 16
_SIDES, _MOST_WIDTH = range(8, 2049), 1 << 16
_PROBE_SECONDS = 60.0
_MODES = ("squash", "shortest", "longest")
_KEYS = ("size", "mean", "std", "interpolation", "resize_mode", "fill_color", "reducing_gap", "layout", "output",
         "look_dim", "architecture")  # fmt: skip
_EXAMPLE = '{"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "resize_mode": "squash"}'


class Graph(NamedTuple):
    """How a graph is used: the names of its input and output, which pixels it takes, and whether one at a time."""

    pixels: str
    vectors: str
    takes_bytes: bool
    channels_last: bool
    one_at_a_time: bool


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was opened: its encoder's spec and how its graph is used."""

    path: Path
    weights_bytes: int
    spec: EncoderSpec
    graph: Graph

    def open_again(self) -> Any:
        """Another session of the same file. Raises WeightsError if the file has changed."""
        data = _read(self.path)
        if hashlib.sha256(data).hexdigest() != self.spec.weights_sha256:
            raise WeightsError(f"{self.path} changed since the encoder was loaded from it; load the encoder again")
        return _session(data, self.path)


def open_onnx(path: Path, *, name: str, description: Mapping[str, Any] | None = None) -> tuple[OnnxFile, Any]:
    """Open an ONNX file, and its session.

    The graph takes pictures, uint8 or float32, (n, height, width, 3) or (n, 3, height, width), and gives float32
    vectors (n, width) of any length. What it doesn't say itself comes from `description`, or from what this library
    wrote into it, or from a JSON file beside it with the same name: `size` (side, or height and width, in pixels),
    `mean` and `std` (per channel, for values from 0 to 1; a graph that takes bytes scales them itself),
    `interpolation`, `resize_mode`, `fill_color` and `reducing_gap` as in `Preprocessing`, `layout` ("NHWC" or "NCHW"),
    `output` (its name), `look_dim`, and `architecture`.

    Raises WeightsError for a file that is missing, too large, no such encoder, or without a description. An ONNX graph
    runs no code of its own and reads no other file, but a hostile one can take memory.
    """
    data = _read(path)
    session = _session(data, path)
    given = _description(session, path) if description is None else description
    graph = _graph(session, given, path)
    preprocessing = _preprocessing(session, graph, given, path)
    look_dim = _whole(given.get("look_dim", 0), "look_dim", path)
    width = _probed_width(session, graph, preprocessing, path)
    if not 0 <= look_dim < width:
        raise WeightsError(f"{path} gives vectors of {width} numbers, but look_dim is {look_dim}")
    spec = EncoderSpec(
        name=name,
        architecture=str(given.get("architecture", path.stem)),
        weights_sha256=hashlib.sha256(data).hexdigest(),
        dim=width - look_dim,
        preprocessing=preprocessing,
        arithmetic="onnxruntime",
        look_dim=look_dim,
    )
    return OnnxFile(path, len(data), spec, graph), session


def run(session: Any, graph: Graph, preprocessing: Preprocessing, pixels: NDArray[np.uint8], **options: Any) -> Any:
    """What the graph gives for pixels, uint8 (n, height, width, 3): an array that should be float32 (n, width)."""
    batch: NDArray[Any] = pixels
    if not graph.takes_bytes:
        mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
        batch = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    if not graph.channels_last:
        batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
    return session.run([graph.vectors], {graph.pixels: batch}, **options)[0]


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; give an existing one with --weights FILE")
    try:
        return read_regular(path, most=_MOST_BYTES)
    except OSError as error:
        raise WeightsError(f"{path} can't be read ({error.strerror or error})") from error


def _session(data: bytes, path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # one core for each picture; a second one would be waited for in a busy loop
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a library must not print
    options.enable_mem_pattern = False
    # weights in other files are looked for in a folder that can't be, instead of anywhere
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", f"{path}/")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each of a dozen causes
        raise WeightsError(f"{path} is no ONNX file that can be used here ({_first_line(error)})") from error


def _description(session: Any, path: Path) -> Mapping[str, Any]:
    """What the file says of itself, or else the JSON file beside it does."""
    beside = path.with_suffix(".json")
    inside = session.get_modelmeta().custom_metadata_map.get(METADATA)
    try:
        text = read_regular(beside, most=_MOST_DESCRIPTION).decode() if inside is None else inside
        given = json.loads(text[:_MOST_DESCRIPTION])
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path} doesn't say how its pictures are made; write {beside}, such as {_EXAMPLE}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{beside if inside is None else path} holds no description in JSON ({error})") from error
    if not isinstance(given, dict) or set(given) - set(_KEYS):
        unknown = ", ".join(sorted(map(str, set(given) - set(_KEYS)))) if isinstance(given, dict) else "no object"
        raise WeightsError(f"the description of {path} has {unknown[:80]}; expected {', '.join(_KEYS)}")
    return given


def _graph(session: Any, given: Mapping[str, Any], path: Path) -> Graph:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = list(inputs[0].shape) if len(inputs) == 1 else []
    if len(shape) != 4 or inputs[0].type not in ("tensor(uint8)", "tensor(float)"):
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        raise WeightsError(f"{path} takes {found[:200]}; expected one batch of pictures, uint8 or float32")
    layout = given.get("layout") or ("NHWC" if shape[3] == 3 else "NCHW" if shape[1] == 3 else None)
    if layout not in ("NHWC", "NCHW"):
        raise WeightsError(f"the layout of {path} is {layout!r}; give NHWC or NCHW as layout in its description")
    if shape[0] != 1 and isinstance(shape[0], int):
        raise WeightsError(f"{path} takes exactly {shape[0]} pictures at a time; export it with a batch of any size")
    named = [each for each in outputs if given.get("output") in (None, each.name)]
    flat = [each for each in named if each.type == "tensor(float)" and len(each.shape) == 2]
    if len(flat) != 1:
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in outputs)
        raise WeightsError(f"{path} gives {found[:200]}; name one of float32 (n, width) as output in its description")
    return Graph(inputs[0].name, flat[0].name, inputs[0].type == "tensor(uint8)", layout == "NHWC", shape[0] == 1)


def _preprocessing(session: Any, graph: Graph, given: Mapping[str, Any], path: Path) -> Preprocessing:
    shape = session.get_inputs()[0].shape
    sides = shape[1:3] if graph.channels_last else shape[2:4]
    size = given.get("size", sides)
    size = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, list) else ()
    if len(size) != 2 or not all(type(side) is int and side in _SIDES for side in size):
        raise WeightsError(f"the size of {path} is {size}, expected {_SIDES[0]} to {_SIDES[-1]} pixels a side")
    if any(isinstance(side, int) and side != wanted for side, wanted in zip(sides, size, strict=True)):
        raise WeightsError(f"{path} takes pictures of {sides[0]} x {sides[1]}, but its description says {size}")
    if graph.takes_bytes and ("mean" in given or "std" in given):
        raise WeightsError(
            f"{path} takes bytes, so it scales colours itself; leave mean and std out of its description"
        )
    if not graph.takes_bytes and not ("mean" in given and "std" in given):
        raise WeightsError(f"{path} takes float32; give mean and std in its description, such as {_EXAMPLE}")
    mode, interpolation = given.get("resize_mode", "squash"), given.get("interpolation", "bicubic")
    kinds = [kind.name.lower() for kind in Image.Resampling]
    if mode not in _MODES or interpolation not in kinds:
        raise WeightsError(
            f"{path} has the resize_mode {mode!r} and the interpolation {interpolation!r}; expected one of "
            f"{', '.join(_MODES)} and one of {', '.join(kinds)}"
        )
    gap = given.get("reducing_gap")
    if gap is not None and not (isinstance(gap, int | float) and 1 <= gap <= 100 and mode == "squash"):
        raise WeightsError(f"{path} has the reducing_gap {gap!r}; expected 1 or more, and the resize_mode squash")
    fill = _whole(given.get("fill_color", 0), "fill_color", path)
    mean, std = (_channels(given.get(key, [value] * 3), key, path) for key, value in (("mean", 0), ("std", 1)))
    return Preprocessing(size, mean, std, interpolation, mode, fill, None if gap is None else float(gap))


def _channels(values: object, key: str, path: Path) -> tuple[float, ...]:
    least = -1e6 if key == "mean" else 1e-6
    numbers = values if isinstance(values, list) else []
    found = tuple(float(each) for each in numbers if isinstance(each, int | float) and least <= each <= 1e6)
    if not len(found) == len(numbers) == 3:
        raise WeightsError(f"the {key} of {path} is {str(values)[:80]}, expected three numbers, a channel each")
    return found


def _whole(value: object, key: str, path: Path) -> int:
    if type(value) is not int or not 0 <= value < _MOST_WIDTH:
        raise WeightsError(f"the {key} of {path} is {str(value)[:80]!r}, expected a whole number")
    return value


def _probed_width(session: Any, graph: Graph, preprocessing: Preprocessing, path: Path) -> int:
    """How many numbers a vector has, found by making one. The graph is stopped after a minute."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    clock = threading.Timer(_PROBE_SECONDS, setattr, (options, "terminate", True))
    clock.daemon = True
    clock.start()
    try:
        found = run(session, graph, preprocessing, np.zeros((1, *preprocessing.size, 3), np.uint8), run_options=options)
    except Exception as error:  # as above
        raise WeightsError(f"{path} makes no vector of a picture ({_first_line(error)})") from error
    finally:
        clock.cancel()
    if found.ndim != 2 or len(found) != 1 or not 0 < found.shape[1] < _MOST_WIDTH:
        raise WeightsError(f"{path} makes {found.shape} of one picture, expected (1, width)")
    return int(found.shape[1])


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
