"""The public names: documented, typed, quick to import, and enough for a service."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import lookalike

ROOT = Path(__file__).parents[1]
CONSUMER = ROOT / "tests" / "consumer.py"


def test_every_public_name_is_in_the_api_page() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(?:lookalike\.)?(\w+)", text))
    assert [name for name in lookalike.__all__ if name not in documented] == []


def test_every_error_is_public() -> None:
    from lookalike import errors

    kinds = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert kinds <= set(lookalike.__all__)


def test_public_names_have_docstrings() -> None:
    assert [name for name in lookalike.__all__ if not getattr(lookalike, name).__doc__] == []


def test_a_consumer_passes_mypy_strict() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", str(CONSUMER)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_consumer_builds_checks_and_tunes(tmp_path: Path) -> None:
    sample = Path(str(files("lookalike") / "sample"))
    with open(sample / "listings.csv", encoding="utf-8", newline="") as file:
        rows = [(str(sample / row["image"]), row["truth_product"]) for row in csv.DictReader(file)]
    with open(tmp_path / "labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "product_id", "lookalike"])
        writer.writerows([image, product, str(bool(product)).lower()] for image, product in rows)
    command = [
        sys.executable,
        str(CONSUMER),
        str(sample / "references.csv"),
        str(tmp_path / "labels.csv"),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "40"
    assert [line.split()[:2] for line in lines[1:5]] == [[how, "flagged"] for how in ("bytes", "path", "text", "array")]
    assert len({line.split()[2] for line in lines[1:5]}) == 1
    assert lines[5].startswith("at least 90% of flags right, with 95% confidence")
    assert lookalike.Policy.load(tmp_path / "policy.toml").name == "tuned"
