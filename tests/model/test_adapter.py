"""An adapter's file: what was written is read, and nothing else is."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from toy import ToyEncoder, unit_vectors

from lookalike.errors import EncoderError
from lookalike.model.adapter import AdaptedEncoder, Adapter, Fold
from lookalike.model.encoder import EncoderSpec

SPEC = ToyEncoder(look=True).spec
LEFT_OUT = ("AAAAAAAAAAA=", "AQEBAQEBAQECAgICAgICAg==")  # digests of one label, and of two


def adapter(**figures: float) -> Adapter:
    rng = np.random.default_rng(0)
    (matrix, offset), *others = [
        (rng.normal(size=(28, 28)).astype(np.float32), rng.normal(size=28).astype(np.float32)) for _ in range(3)
    ]
    folds = tuple(Fold(*each, left_out) for each, left_out in zip(others, LEFT_OUT, strict=True))
    return Adapter(SPEC, matrix, offset, folds, figures)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    adapter(gain=0.25).save(tmp_path / "a.safetensors")
    found = Adapter.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found.matrix, adapter().matrix)
    np.testing.assert_array_equal(found.offset, adapter().offset)
    assert (found.spec, found.figures) == (SPEC, {"gain": 0.25})
    for fold, written, left_out in zip(found.folds, adapter().folds, LEFT_OUT, strict=True):
        np.testing.assert_array_equal(fold.matrix, written.matrix)
        np.testing.assert_array_equal(fold.offset, written.offset)
        assert fold.left_out == left_out
    assert found.sha256 == adapter(gain=0.25).sha256 != adapter().sha256


def test_it_was_fitted_to_what_its_folds_leave_out() -> None:
    assert base64.b64decode(adapter().fitted_on) == bytes(8) + bytes([1] * 8 + [2] * 8)
    assert Adapter(SPEC, EYE, NOUGHT).fitted_on == ""


def test_the_spec_says_which_adapter_there_is_and_is_kept_as_json() -> None:
    spec = adapter().adapted_spec
    assert EncoderSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.unadapted == SPEC
    assert spec not in (SPEC, adapter(gain=1).adapted_spec)
    assert spec.weights_sha256 != SPEC.weights_sha256
    assert "adapted" not in SPEC.to_json()
    with pytest.raises(ValueError, match="does not stand for"):
        EncoderSpec.from_json({**spec.to_json(), "weights_sha256": SPEC.weights_sha256})


def test_an_adapted_encoder_maps_what_the_encoder_makes_and_leaves_the_look() -> None:
    encoder = ToyEncoder(look=True)
    adapted = AdaptedEncoder(encoder, adapter()).in_threads(1)
    inputs = [np.random.default_rng(seed).integers(0, 255, (3, 3, 3), np.uint8) for seed in range(3)]
    plain, mapped = encoder.embed(inputs), adapted.embed(inputs)
    by_hand = (plain[:, :28].astype(float) - adapter().offset) @ adapter().matrix.T.astype(float)
    np.testing.assert_allclose(mapped[:, :28], by_hand / np.sqrt((by_hand**2).sum(axis=1, keepdims=True)), atol=1e-5)
    np.testing.assert_array_equal(mapped[:, 28:], plain[:, 28:])
    assert adapted.spec.are_unit(mapped)


def said(**other: object) -> dict[str, str]:
    values = {"format": "lookalike-adapter", "version": 2, "encoder": SPEC.to_json(), "left_out": [], "figures": {}}
    return {"lookalike": json.dumps({**values, **other})}


EYE, NOUGHT = np.eye(28, dtype=np.float32), np.zeros(28, np.float32)


def arrays(folds: int = 0, *, said: dict[str, str] | None = said(), **other: np.ndarray) -> bytes:  # noqa: B008
    """A file of an adapter with so many folds, and with what is other."""
    usual = {"matrix": EYE, "offset": NOUGHT, "fold_matrices": np.stack([EYE] * folds or [EYE])[:folds],
             "fold_offsets": np.zeros((folds, 28), np.float32)}  # fmt: skip
    return bytes(save({**usual, **other}, said))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no adapter"),
        (b"\xff" * 64, "no adapter"),
        (arrays(said=None), "no adapter"),
        (save({"matrix": EYE}, said()), "offset"),
        (arrays(matrix=EYE[:3]), r"its matrix is not float32 \(28, 28\)"),
        (arrays(matrix=EYE.astype(float)), "its matrix is not float32"),
        (arrays(matrix=EYE * np.nan), "finite"),
        (arrays(matrix=EYE * 1e30), "finite"),
        (arrays(said=said(version=1)), "its format is lookalike-adapter 1"),
        (arrays(said=said(encoder=[1])), "no adapter"),
        (arrays(said={"lookalike": "[" * 100_000}), "no adapter"),
        (save({"matrix": EYE, "offset": NOUGHT}, said()), "fold_matrices"),
        (arrays(said=said(left_out=LEFT_OUT)), r"its fold_matrices is not float32 \(2, 28, 28\)"),
        (arrays(2), r"its fold_matrices is not float32 \(0, 28, 28\)"),
        (arrays(2, said=said(left_out=LEFT_OUT), fold_offsets=NOUGHT), r"its fold_offsets is not float32 \(2, 28\)"),
        (arrays(2, said=said(left_out=LEFT_OUT), fold_matrices=np.full((2, 28, 28), np.inf, np.float32)), "finite"),
        (arrays(1, said=said(left_out=LEFT_OUT[:1])), "it has 1 folds, expected none or 2 to 100"),
        (arrays(101, said=said(left_out=[""] * 101)), "it has 101 folds"),
        (arrays(2, said=said(left_out=["", 3])), "doesn't say which labels its folds leave out"),
        (arrays(2, said=said(left_out=["", "AAAA"])), "doesn't say which labels its folds leave out"),
        (arrays(2, said=said(left_out=["", "not base64"])), "no adapter"),
        (arrays(2, said=said(left_out=2)), "no adapter"),
    ],
)
def test_what_is_no_adapter_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(EncoderError, match=message) as error:
        Adapter.load(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_file_with_any_byte_changed_is_refused_or_is_another_adapter(tmp_path: Path) -> None:
    whole, path = adapter().to_bytes(), tmp_path / "a.safetensors"
    rng = np.random.default_rng(1)
    for place in [*range(0, 400, 3), *rng.integers(400, len(whole), 40).tolist()]:
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            found = Adapter.load(path)
        except EncoderError:
            continue
        assert found.spec.are_unit(found.map(np.hstack([unit_vectors(3), unit_vectors(3)])))


def test_a_missing_or_endless_file_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", Path("/dev/zero")):
        with pytest.raises(EncoderError, match="can't be read"):
            Adapter.load(path)
