"""Making and verifying evidence bundles on the command line, with the embedded encoder."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy import save_pictures

from lookalike.policy.policy import Policy
from lookalike.policy.shipped import default_policy
from lookalike.scripts.cli import main
from lookalike.tables.findings import read_findings, write_findings

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of eight photos, and findings of eight listings that show them a little brighter."""
    folder = tmp_path_factory.mktemp("shop")
    paths = save_pictures(folder / "photos", 8)
    rows = "".join(f"r{i},{path},p{i},Brand\n" for i, path in enumerate(paths))
    (folder / "references.csv").write_text("reference_id,image,product_id,brand\n" + rows)
    listings = "listing_id,image,territory,title\n"
    for i, path in enumerate(paths):
        copy = folder / "photos" / f"copy-{i}.png"
        Image.fromarray(np.asarray(Image.open(path)) | 7).save(copy)
        listings += f"L{i},{copy},DE,Title {i}\n"
    (folder / "listings.csv").write_text(listings)
    assert main(["build", str(folder / "references.csv"), "--index", str(folder / "index"), "--quiet"]) == 0
    call = ["scan", str(folder / "listings.csv"), "--index", str(folder / "index"), "--quiet"]
    assert main([*call, "--out", str(folder / "findings.parquet")]) == 0
    return folder


def make(shop: Path, out: Path, *more: str, findings: Path | None = None) -> int:
    table = str(findings or shop / "findings.parquet")
    return main(["bundle", table, "--index", str(shop / "index"), "--out", str(out), *more])


@pytest.fixture(scope="module")
def original(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "evidence.zip"
    assert make(shop, out, "--verdict", "flagged", "--quiet") == 0
    return out


def verify(bundle: Path, *more: str) -> int:
    return main(["bundle", "verify", str(bundle), *more])


def test_eight_findings_verify_by_hash_and_by_index(shop: Path, original: Path, capsys: Capture) -> None:
    rows = [row for row in read_findings(shop / "findings.parquet") if row["verdict"] == "flagged"]
    assert len(rows) == 8
    capsys.readouterr()
    index = ["--index", str(shop / "index")]
    for more, computed in (
        ([], "no similarities computed again"),
        (index, "8 similarities computed again (within 0.0001)"),
    ):
        assert verify(original, *more) == 0
        out = capsys.readouterr().out
        assert "8 findings" in out and "8 verdicts derived again" in out and computed in out
        assert "9 pages written again and compared" in out and "only consistency was checked" in out
        assert out.endswith("everything agrees\n")


def test_prints_a_seal_that_verifying_checks(shop: Path, tmp_path: Path, capsys: Capture) -> None:
    assert make(shop, tmp_path / "a", "--listing", "L3", "--listing", "L4", "--json") == 0
    captured = capsys.readouterr()
    made = json.loads(captured.out)
    assert (made["findings"], made["unreadable"]) == (2, 0) and "keep the seal elsewhere" in captured.err
    assert make(shop, tmp_path / "b.zip", "--listing", "L3", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("seal ") and captured.err == ""
    assert verify(tmp_path / "a", "--seal", made["seal"]) == 0
    assert "only consistency" not in capsys.readouterr().out
    assert verify(tmp_path / "b.zip", "--seal", made["seal"]) == 1
    assert "not the one given" in capsys.readouterr().out


def test_reports_what_was_changed_as_lines_and_as_json(original: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.unpack_archive(original, tmp_path / "moved")
    assert verify(tmp_path / "moved") == 0
    photo = tmp_path / "moved/findings/0002/listing.png"
    photo.write_bytes(photo.read_bytes()[:-1] + b"x")
    table = tmp_path / "moved/findings.jsonl"
    table.write_text(table.read_text().replace("Title 7", "Title 9"))
    capsys.readouterr()
    assert verify(tmp_path / "moved") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("finding 2 (listing L1): the file findings/0002/listing.png was changed")
    assert lines[1].startswith("the bundle's last entry: the file findings.jsonl was changed")
    assert lines[2].startswith("finding 8 (listing L7): in its row") and "title is Title 9, but Title 7" in lines[2]
    assert lines[-1] == f"{tmp_path}/moved: 3 disagreements"
    assert verify(tmp_path / "moved", "--json") == 1
    values = json.loads(capsys.readouterr().out)
    assert (values["holds"], values["tolerance"], len(values["disagreements"])) == (False, 1e-4, 3)
    assert values["disagreements"][0]["where"] == "finding 2 (listing L1)"


def test_bundles_the_rest_when_a_photo_is_gone_with_status_1(shop: Path, tmp_path: Path, capsys: Capture) -> None:
    rows = list(read_findings(shop / "findings.parquet"))[:4]
    rows[1]["image"] = str(tmp_path / "gone.png")
    rows[1]["candidates"] = rows[1]["candidates"].replace("copy-1.png", "gone.png")
    write_findings(rows, tmp_path / "f.csv")
    assert make(shop, tmp_path / "b", findings=tmp_path / "f.csv") == 1
    assert "4 findings" in (text := capsys.readouterr().err) and "1 with a photo that can't be read any more" in text
    assert verify(tmp_path / "b", "--model", "embedded") == 0
    captured = capsys.readouterr()
    assert "3 similarities computed again" in captured.out
    assert "the bundle itself says that a photo of 1 finding is missing" in captured.err


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_reads_remote_photos_only_when_allowed(shop: Path, tmp_path: Path, capsys: Capture) -> None:
    handler = partial(QuietHandler, directory=str(shop / "photos"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (row,) = [r for r in read_findings(shop / "findings.parquet") if r["listing_id"] == "L5"]
        row["image"] = f"http://127.0.0.1:{server.server_address[1]}/copy-5.png"
        write_findings([row], tmp_path / "f.parquet")
        http = ("--allow-scheme", "http")
        answers = [
            make(shop, tmp_path / name, *more, findings=tmp_path / "f.parquet")
            for name, more in (("a", ()), ("b", http), ("c", (*http, "--allow-private")))
        ]
        server.shutdown()
    assert answers == [1, 1, 0]
    assert "scheme http is not allowed" in (tmp_path / "a/findings/0001/statement.html").read_text()
    assert "is not a public address" in (tmp_path / "b/findings/0001/statement.html").read_text()
    assert (tmp_path / "c/findings/0001/listing.png").read_bytes() == (shop / "photos/copy-5.png").read_bytes()


def test_a_custom_policy_is_bundled(shop: Path, tmp_path: Path, capsys: Capture) -> None:
    shipped = default_policy(json.loads((shop / "index/manifest.json").read_text())["encoder"]["weights_sha256"])
    assert shipped is not None
    (tmp_path / "unnamed.toml").write_text("# kept\n[thresholds]\nflag = 0.9\nreview = 0.3\n")
    index, policy = str(shop / "index"), str(tmp_path / "unnamed.toml")
    (tmp_path / "three.csv").write_text("".join((shop / "listings.csv").read_text().splitlines(True)[:4]))
    call = ["scan", str(tmp_path / "three.csv"), "--index", index, "--policy", policy, "--quiet"]
    assert main([*call, "--out", str(tmp_path / "f.jsonl")]) == 0
    assert make(shop, tmp_path / "b", findings=tmp_path / "f.jsonl") == 2
    assert f"not with {shipped}; give the policy of the scan" in capsys.readouterr().err
    assert make(shop, tmp_path / "b", "--policy", policy, findings=tmp_path / "f.jsonl") == 0
    assert (tmp_path / "b/policy/policy.toml").read_text().startswith("# kept")
    assert verify(tmp_path / "b", "--policy", policy) == 0
    Policy("other", 0.9, 0.3).save(tmp_path / "other.toml")
    capsys.readouterr()
    assert verify(tmp_path / "b", "--policy", str(tmp_path / "other.toml")) == 1
    assert capsys.readouterr().out.startswith("the policy: the bundle's is unnamed@")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["{shop}/findings.parquet"], "Missing option '--index'; see lookalike bundle write --help"),
        (["{shop}/findings.parquet", "more", "--index", "i", "--out", "o"], "unexpected extra argument"),
        (["verify"], "Missing argument 'bundle'; see lookalike bundle verify --help"),
        (["verify", "{bundle}", "--out", "x"], "No such option: --out"),
        (["verify", "{bundle}", "--allow-scheme", "https"], "No such option: --allow-scheme"),
        (["verify", "{shop}/gone.zip"], "there is no bundle"),
        (["verify", "{shop}/listings.csv"], "is not a bundle; give a folder or ZIP"),
        (["verify", "{shop}/photos"], "has no manifest.json"),
        (["verify", "{shop}/index"], "manifest.json has the format lookalike-index 1, expected lookalike-bundle 2"),
        (["verify", "{bundle}", "--index", "{shop}/photos"], "there is no index in"),
        (["verify", "{bundle}", "--policy", "gone.toml"], "policy gone.toml can't be read"),
        (["{shop}/findings.parquet", "--index", "{shop}/index", "--out", "{bundle}"], "already exists"),
        (
            ["{shop}/findings.parquet", "--index", "{shop}/index", "--out", "{new}", "--seal", "x"],
            "No such option: --seal",
        ),
        (["{shop}/listings.csv", "--index", "{shop}/index", "--out", "{new}"], "has no column verdict"),
        (["{shop}/findings.parquet", "--index", "{new}", "--out", "{new}.zip"], "there is no index in"),
        (
            ["{shop}/findings.parquet", "--index", "{shop}/index", "--out", "{new}", "--verdict", "clear"],
            "no finding is clear; the table has 8 flagged",
        ),
        (
            ["{shop}/findings.parquet", "--index", "{shop}/index", "--out", "{new}", "--verdict", "counterfeit"],
            "counterfeit",
        ),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(
    shop: Path, original: Path, tmp_path: Path, capsys: Capture, call: Sequence[str], message: str
) -> None:
    capsys.readouterr()
    assert main(["bundle", *(word.format(shop=shop, bundle=original, new=tmp_path / "new") for word in call)]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and message in text
    assert list(tmp_path.iterdir()) == []
