"""The steps of a person who adapts an index: fit, apply, tune on the same labels, scan, undo."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.adapter import Adapter, Fold
from lookalike.policy.policy import Policy
from lookalike.policy.tuned_on import TunedOn
from lookalike.scripts.bench_pictures import texture
from lookalike.scripts.cli import main
from lookalike.tables.findings import read_findings

PRODUCTS, PHOTOS = 24, 4
COUNT = PRODUCTS * (PHOTOS + 1)  # labels: of photos of each product, and of as many unrelated ones as products


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, and labelled photos that show goods on one of four backgrounds, which say nothing about the goods."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    backgrounds = [_texture(10_000 + number) for number in range(PHOTOS)]
    references, labels = [("reference_id", "image", "product_id", "brand")], [("image", "product_id", "lookalike")]
    for number in range(2 * PRODUCTS):
        goods = _texture(number)
        if number < PRODUCTS:
            goods.save(folder / f"r{number}.png")
            references.append((f"r{number}", f"r{number}.png", f"p{number}", f"B{number % 3}"))
        for at in range(PHOTOS) if number < PRODUCTS else (number % PHOTOS,):
            side = int(80 * rng.uniform(0.8, 1.2))
            photo = backgrounds[at].copy()
            photo.paste(goods.resize((side, side)), tuple(rng.integers(0, 160 - side, 2).tolist()))
            photo.save(folder / f"l{number}-{at}.png")
            known = number < PRODUCTS
            labels.append((f"l{number}-{at}.png", f"p{number}" if known else "", "yes" if known else "no"))
    _write(folder / "references.csv", references)
    _write(folder / "labels.csv", labels)
    _write(folder / "few.csv", labels[: 6 * PHOTOS + 1])
    _write(folder / "listings.csv", [("listing_id", "image"), *((row[0], row[0]) for row in labels[1::9])])
    _write(folder / "harmless.csv", [("reference_id", "image"), ("h", "l40-0.png")])
    assert main(["build", str(folder / "references.csv"), "--index", str(folder / "i"), "--quiet"]) == 0
    return folder


def _texture(seed: int) -> Image.Image:
    return Image.fromarray(texture(160, 160, np.random.default_rng(seed)))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_fits_applies_tunes_on_the_same_labels_scans_and_undoes(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, adapter, policy = shop / "i", tmp_path / "a.safetensors", tmp_path / "policy.toml"
    assert main(["add", str(shop / "harmless.csv"), "--index", str(index), "--harmless", "--quiet"]) == 0
    digest = ReferenceIndex.load(index).digest
    assert main(["adapt", "fit", str(shop / "labels.csv"), "--index", str(index), "--out", str(adapter)]) == 0
    said = capsys.readouterr().err
    fitted = Adapter.load(adapter)
    assert fitted.figures["labels"] == COUNT
    assert f"wrote {adapter}, fitted to {COUNT} labels; go on with: lookalike adapt apply {adapter}" in said
    assert fitted.figures["gain"]["low"] > 0
    assert "95 % interval +0." in said
    assert ReferenceIndex.load(index).digest == digest

    assert main(["adapt", "apply", str(adapter), "--index", str(index)]) == 0
    name = f"{fitted.adapted_spec}"
    assert f"of {name}; set thresholds for it with: lookalike tune" in capsys.readouterr().err
    scan = ["scan", str(shop / "listings.csv"), "--index", str(index), "--out", str(tmp_path / "f.parquet"), "--quiet"]
    assert main(scan) == 2
    assert f"no thresholds ship for {name}" in capsys.readouterr().err

    call = ["tune", str(shop / "labels.csv"), "--index", str(index), "--out", str(policy)]
    assert main([*call, "--precision", "0.6", "--confidence", "0.8"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"{COUNT} labels that the index's adapter was fitted to: each is looked up by a map that left it out" in said
    assert f"{COUNT} of the labels are cross-fitted" in said
    tuned = Policy.load(policy)
    assert tuned.weights_sha256 == fitted.adapted_spec.weights_sha256
    assert tuned.evidence is not None
    assert tuned.evidence.labels == COUNT
    assert tuned.promise is not None
    assert tuned.promise.cross_fitted == COUNT
    # so that monitor and evaluate test its promise on none of them
    assert all(str(shop / line.split(",")[0]) in tuned.tuned_on for line in _lines(shop / "labels.csv")[1:])

    assert main([*scan, "--policy", str(policy)]) == 0
    rows = list(read_findings(tmp_path / "f.parquet"))
    assert {row["encoder"] for row in rows} == {name}
    assert main(["recheck", str(tmp_path / "f.parquet"), "--policy", str(policy), "--out",
                 str(tmp_path / "g.parquet"), "--quiet"]) == 0  # fmt: skip
    assert [row["verdict"] for row in read_findings(tmp_path / "g.parquet")] == [row["verdict"] for row in rows]
    bundle = str(tmp_path / "b.zip")
    write = ["bundle", "write", str(tmp_path / "f.parquet"), "--index", str(index), "--policy", str(policy)]
    one = next(row for row in rows if row["verdict"] in ("flagged", "review"))
    write += ["--listing", one["listing_id"], "--verdict", one["verdict"]]
    assert main([*write, "--out", bundle, "--quiet"]) == 0
    assert main(["bundle", "verify", bundle, "--index", str(index), "--quiet"]) == 0

    assert main(["adapt", "undo", "--index", str(index), "--quiet"]) == 0
    assert ReferenceIndex.load(index).digest == digest
    capsys.readouterr()
    assert main([*scan, "--policy", str(policy)]) == 2
    assert "is for an encoder with weights" in capsys.readouterr().err
    assert main(["tune", str(shop / "labels.csv"), "--index", str(index), "--findings", str(tmp_path / "f.parquet"),
                 "--out", str(tmp_path / "q.toml")]) == 2  # fmt: skip
    assert "labels of photos" in capsys.readouterr().err
    listed = tmp_path / "listed.csv"
    _write(listed, [("listing_id", "lookalike"), *((row["listing_id"], "yes") for row in rows)])
    assert main(["tune", str(listed), "--index", str(index), "--findings", str(tmp_path / "f.parquet"), "--policy",
                 str(policy), "--out", str(tmp_path / "q.toml")]) == 2  # fmt: skip
    assert f"the findings were made with the encoder {name}, but the index is of embedded@" in capsys.readouterr().err


def test_without_a_certain_gain_nothing_is_written_and_the_status_is_1(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.safetensors"
    assert main(["adapt", "fit", str(shop / "few.csv"), "--index", str(shop / "i"), "--out", str(out)]) == 1
    assert "no adapter was written: its" in capsys.readouterr().err
    assert not out.exists()
    rng, rows = np.random.default_rng(1), [("image", "product_id", "lookalike")]
    for number in range(2 * PRODUCTS):  # from photos that are found already, nothing can be learnt
        with Image.open(shop / f"r{number // 2}.png") as picture:
            pixels = np.asarray(picture, float) + rng.normal(0, 4, (160, 160, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append((f"{number}.png", f"p{number // 2}", "yes"))
    _write(tmp_path / "same.csv", rows)
    assert main(["adapt", "fit", str(tmp_path / "same.csv"), "--index", str(shop / "i"), "--out", str(out)]) == 1
    assert "it isn't better, and more labels like these are not expected" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["apply", "{folder}/labels.csv", "--index", "{folder}/i"], "is no adapter"),
        (["apply", "{folder}/none.safetensors", "--index", "{folder}/i"], "can't be read"),
        (["undo", "--index", "{folder}/i"], "is not adapted, so there is nothing to undo"),
        (["undo", "--index", "{folder}/none"], "there is no index in"),
        (["fit", "{folder}/labels.csv", "--index", "{folder}/i", "--out", "a.toml"], "use .safetensors"),
    ],
)
def test_a_wrong_call_is_one_line(
    shop: Path, call: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapt", *(each.format(folder=shop) for each in call)]) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert not (shop / "none").exists()


def test_an_evaluation_says_which_photos_the_adapter_was_fitted_to(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = ReferenceIndex.load(shop / "i")
    content = hashlib.sha256((shop / "l2-2.png").read_bytes()).hexdigest()
    names = TunedOn.of([str(shop / "l0-0.png"), str(shop / "l1-1.png"), content]).digests
    eye = np.eye(index.spec.dim, dtype=np.float32)
    folds = (Fold(eye, eye[0] * 0, names), Fold(eye, eye[0] * 0, ""))
    Adapter(index.spec, eye, eye[0] * 0, folds).save(tmp_path / "a.safetensors")
    index.adapted(Adapter.load(tmp_path / "a.safetensors")).save(tmp_path / "i")
    policy, weights = tmp_path / "p.toml", ReferenceIndex.load(tmp_path / "i").spec.weights_sha256
    promise = "[promise]\nconfidence = 0.95\nprecision = 0.9\n"
    policy.write_text(f'[thresholds]\nflag = -1\nreview = -1\n[encoder]\nweights_sha256 = "{weights}"\n{promise}')
    call = ["evaluate", str(shop / "labels.csv"), "--index", str(tmp_path / "i"), "--policy", str(policy), "--json"]
    assert main(call) == 0
    shown = capsys.readouterr()
    assert "was fitted to 3 of 120 photos, so figures flatter it" in shown.err
    result = json.loads(shown.out)
    assert result["fitted_on"] == 3
    assert [each["precision"]["total"] for each in result["realised"]] == [117]  # all others are flagged
