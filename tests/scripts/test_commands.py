"""The command line as a person uses it: results, one-line errors, exit status."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from toy import ToyEncoder, clustered, save_pictures

from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Reference
from lookalike.scripts.cli import COMMANDS, main
from lookalike.tables.findings import read_findings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a references table, a listings table and an index of the embedded encoder."""
    folder = tmp_path_factory.mktemp("shop")
    save_pictures(folder / "photos", 12)
    rows = "".join(f"r{i},photos/0-{i}.png,p{i},Brand,00{i}\n" for i in range(8))
    (folder / "references.csv").write_text("reference_id,image,product_id,brand,sku\n" + rows)
    lines = "".join(f"L{i},photos/0-{i}.png,s1,DE,5.0,EUR\n" for i in range(12))
    (folder / "listings.csv").write_text("listing_id,image,seller_id,territory,price,currency\n" + lines)
    assert main(["build", str(folder / "references.csv"), "--index", str(folder / "index"), "--quiet"]) == 0
    return folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    return text


def test_builds_adds_removes_and_informs(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = str(tmp_path / "index")
    assert main(["build", str(shop / "references.csv"), "--index", index]) == 0
    assert "8 references; embedded 8 pictures, knew 0, could not use 0 rows" in capsys.readouterr().err
    assert main(["add", str(shop / "references.csv"), "--index", index]) == 0
    assert "8 references; embedded 0 pictures, knew 8" in capsys.readouterr().err
    assert main(["remove", "--index", index, "--product", "p1", "--product", "p2"]) == 0
    capsys.readouterr()
    assert main(["info", index, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["references"], values["products"], values["brands"]) == (6, 6, {"Brand": 6})
    assert values["columns"] == ["reference_id", "image", "product_id", "brand", "sku"]
    assert main(["info", index]) == 0
    assert "6 of 6 products" in capsys.readouterr().out


def test_a_large_index_says_how_surely_it_decides_and_is_compacted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = ReferenceIndex(ToyEncoder().spec, exact_up_to=300)
    rows = clustered(400, index.spec.dim)
    index.add([Reference(f"r{i}", f"p{i}", "Brand", "") for i in range(400)], rows, hashes=["h"] * 400)
    index.save(tmp_path)
    assert main(["remove", "--index", str(tmp_path), "--product", "p3"]) == 0
    assert main(["info", str(tmp_path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert not values["exact"] and values["references"] == 399
    assert 0.999 <= values["agreement"]["share"] <= 1 and values["agreement"]["vectors"] == 400
    assert main(["info", str(tmp_path)]) == 0
    assert "probes decided as by exact search" in capsys.readouterr().out
    assert main(["compact", str(tmp_path)]) == 0
    assert "measured on 399 references" in capsys.readouterr().err
    assert main(["compact", str(tmp_path), "--exact-up-to", "1000"]) == 0
    assert "399 references; every search compares all of them" in capsys.readouterr().err
    assert main(["info", str(tmp_path)]) == 0
    assert "exact: every reference is compared" in capsys.readouterr().out


def test_scans_to_findings_and_a_report(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "f.parquet", tmp_path / "r.html"
    call = ["scan", str(shop / "listings.csv"), "--index", str(shop / "index"), "--out", str(out)]
    assert main([*call, "--report", str(report), "--evidence", "2"]) == 0
    said = capsys.readouterr().err
    assert "12 listings" in said and "12 findings, 2 with evidence" in said
    assert pq.read_table(out).column("verdict").to_pylist()[:8] == ["flagged"] * 8
    assert report.read_text().count("data:image/webp") >= 8
    assert report.read_text().count("data:image/jpeg") == 2


def test_reports_findings_whose_photos_are_gone(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out, page = tmp_path / "photos", tmp_path / "f.parquet", tmp_path / "r.html"
    shutil.copytree(shop / "photos", photos)
    (tmp_path / "l.csv").write_text("listing_id,image\nkept,photos/0-1.png\ngone,photos/0-2.png\n")
    call = ["scan", str(tmp_path / "l.csv"), "--index", str(shop / "index"), "--out", str(out), "--quiet"]
    assert main(call) == 0
    (photos / "0-2.png").unlink()
    capsys.readouterr()
    assert main(["report", str(out), "--out", str(page)]) == 0
    assert capsys.readouterr().err == f"report with 2 findings, 1 with evidence: {page}\n"
    text = page.read_text()
    assert (text.count("data:image/jpeg"), text.count("can’t be read any more")) == (1, 1)
    assert main(["report", str(out), "--out", str(page), "--most", "1", "--evidence", "0"]) == 0
    assert "report with 1 finding, 1 weaker ones left out, 0 with evidence" in capsys.readouterr().err
    assert "data:image/jpeg" not in page.read_text()


def test_scans_only_what_changed(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, state, out = (str(tmp_path / name) for name in ("index", "state", "f.parquet"))
    assert main(["build", str(shop / "references.csv"), "--index", index, "--quiet"]) == 0
    call = ["scan", str(shop / "listings.csv"), "--index", index, "--out", out, "--since", state]
    assert main(call) == 0
    assert "looked at 12, judged 0 again by their vectors, kept 0; 0 pictures not read" in capsys.readouterr().err
    assert main(call) == 0
    assert "looked at 0, judged 0 again by their vectors, kept 12; 12 pictures not read" in capsys.readouterr().err
    before = list(read_findings(Path(out)))
    assert main(["remove", "--index", index, "--product", "p1"]) == 0
    assert main(["rescan", "--since", state, "--index", index, "--out", out, "--quiet"]) == 0
    products = [row["product_id"] for row in read_findings(Path(out))]
    assert [row["product_id"] for row in before][:3] == ["p0", "p1", "p2"]
    assert products[0] == "p0" and products[1] != "p1"
    assert main(["rescan", "--since", str(tmp_path / "none"), "--index", index, "--out", out]) == 2
    assert "there is no state of a scan in" in capsys.readouterr().err


def test_the_cache_spares_a_second_index_the_work(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = ["build", str(shop / "references.csv"), "--index"]
    cache = ["--cache", str(tmp_path / "vectors.sqlite")]
    for index, options, said in (
        ("a", cache, "embedded 8 pictures, knew 0"),
        ("b", cache, "embedded 0 pictures, knew 8"),
        ("c", [], "embedded 8 pictures, knew 0"),
        ("d", [], "embedded 0 pictures, knew 8"),
        ("e", ["--no-cache"], "embedded 8 pictures, knew 0"),
    ):
        assert main([*build, str(tmp_path / index), *options]) == 0
        assert said in capsys.readouterr().err


def test_a_scan_with_bad_rows_ends_with_status_1(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("listing_id,image\n1,gone.jpg\n")
    out = tmp_path / "f.csv"
    call = ["scan", str(tmp_path / "l.csv"), "--index", str(shop / "index"), "--out", str(out), "--quiet"]
    assert main(call) == 1
    (row,) = read_findings(out)
    assert (row["verdict"], "no such file" in row["error"]) == ("unreadable", True)


def test_checks_pictures_as_json(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(shop / "photos/0-3.png"), "--index", str(shop / "index"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["verdict"], row["product_id"], row["reference_id"]) == ("flagged", "p3", "r3")
    assert main(["check", str(shop / "photos/0-3.png"), "--index", str(shop / "index")]) == 0
    assert "flagged" in capsys.readouterr().out


def test_checks_pictures_without_cutting_names_or_errors_short(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(tmp_path / ("gone" * 12))
    assert main(["check", gone, str(shop / "photos/0-3.png"), "--index", str(shop / "index")]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"{gone}: there is no such file\n"
    assert "…" not in captured.out


def test_reads_remote_pictures_only_when_told_to(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = partial(QuietHandler, directory=str(shop / "photos"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        call = [
            "check",
            f"http://127.0.0.1:{server.server_address[1]}/0-3.png",
            "--index",
            str(shop / "index"),
            "--json",
        ]
        answers = [main([*call, *more]) for more in ([], ["--allow-scheme", "http"])]
        assert main([*call, "--allow-scheme", "http", "--allow-private"]) == 0
        server.shutdown()
    assert answers == [1, 1]
    not_allowed, not_public, found = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert "scheme http is not allowed" in not_allowed["error"]
    assert "127.0.0.1 is not a public address" in not_public["error"]
    assert found["product_id"] == "p3"


def test_accepts_a_truncated_photo_only_when_told_to(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.open(shop / "photos/0-3.png").resize((300, 300)).save(tmp_path / "a.jpg", quality=95)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-300])
    call = ["check", str(tmp_path / "a.jpg"), "--index", str(shop / "index"), "--json"]
    assert main(call) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "unreadable"
    assert main([*call, "--accept-truncated"]) == 0


def test_evaluates_labelled_photos(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{shop}/photos/0-{i}.png,{f'p{i}' if i < 8 else ''},{'true' if i < 8 else 'false'}" for i in range(12)]
    (tmp_path / "labels.csv").write_text("image,product_id,lookalike\n" + "\n".join(lines))
    assert main(["evaluate", str(tmp_path / "labels.csv"), "--index", str(shop / "index"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["queries"], values["positives"], values["recall_at_1"]) == (12, 8, 1.0)


def test_evaluates_nothing_without_a_photo_that_could_be_found(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = f"image,product_id,lookalike\n{shop}/photos/0-1.png,,false\ngone.jpg,p1,true\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert main(["evaluate", str(tmp_path / "labels.csv"), "--index", str(shop / "index")]) == 2
    assert "none of the photos" in capsys.readouterr().err


def test_an_emptied_index_is_refused_before_any_photo_is_opened(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, out = str(tmp_path / "index"), str(tmp_path / "f.csv")
    assert main(["build", str(shop / "references.csv"), "--index", index]) == 0
    assert main(["remove", "--index", index, "--brand", "Brand"]) == 0
    (tmp_path / "labels.csv").write_text(f"image,product_id,lookalike\n{shop}/photos/0-1.png,p1,true\n")
    (tmp_path / "listings.csv").write_text("listing_id,image\nL,gone.jpg\n")
    for call in (["scan", str(tmp_path / "listings.csv"), "--out", out], ["check", "gone.jpg"],
                 ["evaluate", str(tmp_path / "labels.csv")]):  # fmt: skip
        capsys.readouterr()
        assert main([*call, "--index", index]) == 2
        assert "the index holds no references; add some with" in one_line(capsys)
    assert not Path(out).exists()


def test_lists_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("embedded", "fast", "balanced", "accurate", "Apache-2.0"))


def test_the_demo_flags_reviews_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), "--evidence", "2"]) == 0
    verdicts = {row["verdict"] for row in read_findings(tmp_path / "findings.parquet")}
    assert verdicts == {"flagged", "review", "clear"}
    assert (tmp_path / "report.html").stat().st_size > 100_000
    out = capsys.readouterr().out
    assert all(verdict in out for verdict in verdicts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["build", "{shop}/references.csv", "--index", "{new}", "--model", "nonsense"], "choose a preset"),
        (["build", "{shop}/listings.csv", "--index", "{new}"], "has no column reference_id, product_id, brand"),
        (["build", "{shop}/none.csv", "--index", "{new}"], "there is no table"),
        (["build", "{shop}/empty.csv", "--index", "{new}"], "has no rows"),
        (["build", "{shop}/unreadable.csv", "--index", "{new}"], "none of the 1 references could be used"),
        (["build", "{shop}/references.csv", "--index", "{shop}/listings.csv"], "listings.csv is not a folder"),
        (["scan", "{shop}/listings.csv", "--index", "{new}", "--out", "f.csv"], "there is no index in"),
        (
            ["scan", "{shop}/listings.csv", "--index", "{shop}/index", "--out", "f.xls"],
            "ends in .xls; use .csv, .parquet or .jsonl",
        ),
        (
            ["scan", "{shop}/listings.csv", "--index", "{shop}/index", "--out", "f.csv", "--policy", "no.toml"],
            "no.toml can't be read",
        ),
        (["evaluate", "{shop}/nothing.csv", "--index", "{shop}/index"], "no row with a product_id and lookalike true"),
        (["remove", "--index", "{shop}/index"], "give --reference, --product or --brand"),
        (["remove", "--index", "{shop}/index", "--brand", "nobody"], "holds none of these references"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], call: list[str], message: str
) -> None:
    (shop / "empty.csv").write_text("reference_id,image,product_id,brand\n")
    (shop / "nothing.csv").write_text("image,product_id,lookalike\nphotos/0-1.png,p1,false\n")
    (shop / "unreadable.csv").write_text("reference_id,image,product_id,brand\nr,gone.jpg,p,B\n")
    filled = [word.format(shop=shop, new=tmp_path / "new") for word in call]
    assert main(filled) == 2
    assert message in one_line(capsys)


def test_an_unknown_option_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_an_interrupted_command_says_so_with_status_130(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lookalike.index.build.build_index", interrupt)
    assert main(["build", str(shop / "references.csv"), "--index", str(tmp_path / "i")]) == 130
    assert "run the same command again to resume" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_script_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = f"{name.replace('-', '_')}.py"
    monkeypatch.setattr(sys, "argv", [f"scripts/{file}", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "scripts" / file), run_name="__main__")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"Usage: {name}" in captured.out


@pytest.mark.parametrize("name", ["scan", "policy"])  # of which one has verbs
def test_a_script_finds_its_library_beside_others_of_common_names(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"scripts/{name}.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "Usage" in done.stdout


@pytest.mark.parametrize(("given", "threads"), [({}, 1), ({"OPENCV_FOR_THREADS_NUM": "3"}, 3)])
def test_commands_leave_the_cores_to_their_own_threads_unless_told_otherwise(
    given: dict[str, str], threads: int
) -> None:
    code = "from lookalike.scripts.cli import main; main(['info', 'nowhere']); import cv2; print(cv2.getNumThreads())"
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_FOR_THREADS_NUM"} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{threads}\n"


def test_stderr_stays_clean_over_odd_pictures(shop: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[8:40] = b"\xff" * 32
    (tmp_path / "a.tif").write_bytes(data)
    (tmp_path / "l.csv").write_text("listing_id,image\n1,a.tif\n")
    call = [sys.executable, "-m", "lookalike.scripts.scan", str(tmp_path / "l.csv"), "--index", str(shop / "index")]
    done = subprocess.run(
        [*call, "--out", str(tmp_path / "f.csv"), "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["build"], "Missing argument 'references'; see lookalike build --help\n"),
        (["build", "r.csv", "--index", "i", "--modell", "fast"], "No such option: --modell"),
        (["scann"], "No such command 'scann'"),
        (["scan", "l.csv", "--index", "i"], "Missing option '--out'; see lookalike scan --help\n"),
    ],
)
def test_a_call_that_is_off_is_one_line(call: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(call) == 2
    assert one_line(capsys).startswith(message)


def labelled(shop: Path, folder: Path) -> str:
    """Labels of the eight products' own photos, of four unrelated ones, and of one photo said to show another's."""
    kinds = ["exact"] * 4 + ["edit"] * 4
    rows = [f"{shop}/photos/0-{i}.png,p{i},true,{kinds[i]},DE" for i in range(7)]
    rows += [f"{shop}/photos/0-7.png,p1,true,edit,FR"]  # p7's photo, but said to be alike to p1
    rows += [f"{shop}/photos/0-{i}.png,,false,,FR" for i in range(8, 12)]
    (folder / "labels.csv").write_text("image,product_id,lookalike,stratum,territory\n" + "\n".join(rows))
    return str(folder / "labels.csv")


def promising_policy(folder: Path, *, precision: float, more: str = "") -> str:
    text = 'name = "autumn"\n[thresholds]\nflag = 0.97\nreview = 0.9\n[promise]\nconfidence = 0.95\n'
    (folder / "policy.toml").write_text(f"{text}precision = {precision}\nfalse_flags = 0.5\n{more}")
    return str(folder / "policy.toml")


# of 8 flags 7 are right, which a precision p allows as long as 1 - p**8 ≥ 2.5 %: up to 0.9968
@pytest.mark.parametrize(("precision", "broken"), [(0.996, False), (0.998, True)])
def test_evaluates_by_stratum_and_by_brand_and_against_the_promise(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], precision: float, broken: bool
) -> None:
    labels, policy = labelled(shop, tmp_path), promising_policy(tmp_path, precision=precision)
    call = ["evaluate", labels, "--index", str(shop / "index"), "--policy", policy, "--quiet"]
    assert main([*call, "--budget", "8", "--json"]) == 0
    values = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(word))
    assert (values["queries"], values["positives"], values["recall_at_1"]) == (12, 8, 7 / 8)
    assert values["strata"]["exact"]["recall_at_1"] == 1
    assert values["strata"]["edit"]["recall_at_1"] == 3 / 4
    assert values["strata"]["edit"]["queries"] == 4 + 4  # beside all unrelated photos
    # eight photos are in the index and so all have a similarity of 1, up to rounding; one of them is labelled otherwise
    assert (values["budget"], values["precision_at_budget"]) == (8, 7 / 8)
    (brand,) = values["brands"]
    assert (brand["brand"], brand["recall"]["count"], brand["recall"]["total"]) == ("Brand", 7, 8)
    assert (values["threshold"], values["opis"]["score"]) == (0.97, None)
    (realised,) = values["realised"]
    assert (realised["of"], realised["precision"]["count"], realised["precision"]["total"]) == ("all", 7, 8)
    assert (realised["promised_precision"], realised["broken"]) == (precision, broken)
    assert values["policy"].startswith("autumn@")


def test_evaluation_fits_a_terminal_and_says_what_was_promised(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scope = '[[scopes]]\nbrand = "Brand"\nterritory = "FR"\nflag = 0.98\nreview = 0.9\n'
    policy = promising_policy(tmp_path, precision=0.9, more=f"{scope}[scopes.evidence]\nlabels = 100\n")
    call = ["evaluate", labelled(shop, tmp_path), "--index", str(shop / "index"), "--policy", policy, "--quiet"]
    assert main([*call, "--budget", "5"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "…" not in captured.out
    for said in ("exact", "recall at", "FNIR at", "strongest", "by brand at 0.970", "promised", "Brand in FR", "≥ 0.9"):
        assert said in captured.out


def test_evaluates_with_the_similarity_that_the_policy_normalises(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lookalike.index.reference_index import ReferenceIndex
    from lookalike.policy.cohort import Cohort
    from lookalike.policy.policy import Policy

    index = ReferenceIndex.load(shop / "index")
    vectors = index.vectors[:, : index.spec.dim]
    Policy("normal", flag=0.5, review=0.1, cohort=Cohort(vectors[:4], nearest=4, share=1.0)).save(
        tmp_path / "policy.toml"
    )
    call = ["evaluate", labelled(shop, tmp_path), "--index", str(shop / "index"), "--json", "--quiet"]
    assert main([*call, "--policy", str(tmp_path / "policy.toml")]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["similarity"] == "normalised by the cohort of normal"
    # brute force: a photo of the index has 1 less its mean similarity to the four of the cohort
    expected = 1 - (vectors @ vectors[:4].T).mean(axis=1)
    assert values["brands"][0]["recall"]["count"] == (expected[:7] >= 0.5).sum()


def test_evaluation_draws_figures(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["evaluate", labelled(shop, tmp_path), "--index", str(shop / "index"), "--plots", str(tmp_path / "figures")]
    assert main(call) == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "similarities.png",
        "precision-recall.png",
        "det.png",
        "brands.png",
    }
    for path in (tmp_path / "figures").iterdir():
        with Image.open(path) as picture:
            assert picture.width > 500
    assert f"figures: {tmp_path / 'figures'}" in capsys.readouterr().err


def test_evaluation_without_matplotlib_ends_before_any_photo_is_read(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    call = ["evaluate", labelled(shop, tmp_path), "--index", str(tmp_path / "none"), "--plots", str(tmp_path)]
    assert main(call) == 2
    assert "lookalike[notebook]" in one_line(capsys)


def test_evaluation_tells_of_photos_that_cannot_be_read(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = f"image,product_id,lookalike\n{shop}/photos/0-1.png,p1,true\ngone.jpg,p1,true\n"
    (tmp_path / "labels.csv").write_text(rows)
    call = ["evaluate", str(tmp_path / "labels.csv"), "--index", str(shop / "index"), "--json", "--quiet"]
    assert main(call) == 1
    captured = capsys.readouterr()
    assert "no such file" in captured.err
    values = json.loads(captured.out)
    assert (values["queries"], values["fnir_at_fpir_1"], values["fnir_at_fpir_03"]) == (1, None, None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--policy", "none.toml"], "none.toml can't be read"),
        (["--budget", "0"], "--budget"),
        (["--index", "none"], "there is no index"),
    ],
)
def test_an_evaluation_that_is_off_is_one_line(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(["evaluate", labelled(shop, tmp_path), "--index", str(shop / "index"), *more]) == 2
    assert message in one_line(capsys)


def test_a_photo_is_labelled_in_one_territory(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "image,product_id,lookalike,territory\na.jpg,p1,true,DE\na.jpg,p2,true,FR\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert main(["evaluate", str(tmp_path / "labels.csv"), "--index", str(shop / "index")]) == 2
    assert "row 2 has a.jpg in FR, an earlier row in DE" in one_line(capsys)


def test_evaluation_counts_what_the_policy_flags_and_not_what_harmless_photos_suppress(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = str(tmp_path / "index")
    Image.open(shop / "photos/0-3.png").convert("RGB").resize((60, 60)).point(lambda v: 0.9 * v).save(
        tmp_path / "stock.png"
    )
    (tmp_path / "harmless.csv").write_text("reference_id,image\nstock,stock.png\n")
    rows = f"stock.png,p3,true\n{shop}/photos/0-4.png,p4,true\n{shop}/photos/0-9.png,,false\n"
    (tmp_path / "labels.csv").write_text("image,product_id,lookalike\n" + rows)
    text = 'name = "p"\n[thresholds]\nflag = 0.8\nreview = 0.5\n[promise]\nconfidence = 0.95\nprecision = 0.5\n'
    (tmp_path / "policy.toml").write_text(text)
    assert main(["build", str(shop / "references.csv"), "--index", index, "--quiet"]) == 0
    call = ["evaluate", str(tmp_path / "labels.csv"), "--index", index, "--policy", str(tmp_path / "policy.toml")]
    flags = []
    for _ in range(2):
        assert main([*call, "--json", "--quiet"]) == 0
        values = json.loads(capsys.readouterr().out)
        assert values["recall_at_1"] == 1
        flags.append(values["realised"][0]["precision"]["count"])
        assert main(["add", str(tmp_path / "harmless.csv"), "--harmless", "--index", index, "--quiet"]) == 0
    assert flags == [2, 1]
