"""Whatever strangers put into tables, indexes and names of files, no command passes on what steers a terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import ToyEncoder, save_pictures

from lookalike.scripts.cli import main

STEERING = "\x1b]0;owned\x07\x9b31m\u202e\u2066\r\x08\u2028"
HOSTILE = f"{STEERING}[/red][bold]:bomb:"
RTL = "x\x1b[8m\u202egnp\nflagged"


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.model.loading.load_encoder", lambda *_, **__: ToyEncoder())


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a hostile name, whose tables hold hostile text."""
    desk = tmp_path / RTL
    paths = save_pictures(desk / "photos", 6)
    images = [
        str(path.rename(path.with_name(f"{HOSTILE[:-12].replace('/', '')}{at}.png"))) for at, path in enumerate(paths)
    ]
    write_lines(
        desk / "references.jsonl",
        [{"reference_id": f"r{at}{HOSTILE}", "image": images[at], "product_id": f"p{at}{HOSTILE}",
          "brand": f"B{at % 2}{HOSTILE}", f"c{HOSTILE}": HOSTILE} for at in range(4)]
        + [{"reference_id": f"bad{HOSTILE}", "image": f"gone{HOSTILE}", "product_id": "p", "brand": "B"}],
    )  # fmt: skip
    write_lines(
        desk / "listings.jsonl",
        [{"listing_id": f"L{at}{HOSTILE}", "image": [*images, f"gone{HOSTILE}"][at], "seller_id": f"s{HOSTILE}",
          "territory": f"DE{HOSTILE}", "price": f"5{HOSTILE}" if at == 5 else "5", "currency": f"EUR{HOSTILE}",
          "title": HOSTILE, "url": f"https://example.org/{HOSTILE}"} for at in range(7)],
    )  # fmt: skip
    write_lines(
        desk / "labels.jsonl",
        [{"listing_id": f"L{at}{HOSTILE}", "image": images[at], "product_id": f"p{at}{HOSTILE}" if at < 4 else None,
          "lookalike": at < 4, "stratum": HOSTILE, "brand": f"B{at % 2}{HOSTILE}"} for at in range(6)]
        + [{"listing_id": "gone", "image": f"gone{HOSTILE}", "product_id": f"p{HOSTILE}", "lookalike": True,
            "stratum": HOSTILE, "brand": HOSTILE}],
    )  # fmt: skip
    write_lines(
        desk / "rights.jsonl",
        [{"brand": f"B0{HOSTILE}", "kind": kind, "number": HOSTILE, "territory": "DE", "valid_from": "",
          "valid_until": ""} for kind in ("trademark", HOSTILE)],
    )  # fmt: skip
    name = json.dumps(f"policy{HOSTILE}", ensure_ascii=True)
    (desk / "first.toml").write_text(
        f"name = {name}\n[thresholds]\nflag = 0.9\nreview = 0.5\n[promise]\nconfidence = 0.9\nprecision = 0.5\n"
        f"[[scopes]]\nbrand = {json.dumps('B1' + HOSTILE)}\nflag = 0.95\nreview = 0.5\n"
    )
    return desk


def calls(desk: Path) -> Iterator[tuple[list[object], set[int]]]:
    """Command lines, and the exit statuses that are right for each."""
    index, found, photo = desk / "index", desk / "found.csv", f"{HOSTILE}.png"
    first, tuned = desk / "first.toml", desk / f"{RTL}.toml"
    labels, history, bundle = desk / "labels.jsonl", desk / "history.jsonl", desk / f"{RTL}.zip"
    known, ok = ["--index", index, "--policy", first], {0}
    real = next((desk / "photos").iterdir())
    yield ["build", desk / "references.jsonl", "--index", index], {1}
    yield ["add", desk / "references.jsonl", "--index", index], {1}
    yield ["info", index], ok
    yield ["info", index, "--json"], ok
    yield ["scan", desk / "listings.jsonl", *known, "--out", found, "--report", desk / "r.html"], {1}
    yield ["scan", desk / "listings.jsonl", *known, "--out", desk / "g.jsonl", "--since", desk / RTL,
           "--rights", desk / "rights.jsonl"], {1}  # fmt: skip
    yield ["rescan", *known, "--out", desk / "g.jsonl", "--since", desk / RTL, "--rights", desk / "rights.jsonl"], {1}
    yield ["recheck", found, "--policy", first, "--rights", desk / "rights.jsonl", "--out", desk / "again.parquet"], {1}
    yield ["check", photo, real, *known], {1}
    yield ["check", photo, real, *known, "--json"], {1}
    yield ["explain", real, *known, "--out", desk / "pair.png"], {0, 2}
    yield ["explain", real, *known, "--out", desk / "pair.png", "--json"], {0, 2}
    yield ["evaluate", labels, *known], {1}
    yield ["evaluate", labels, *known, "--json"], {1}
    yield ["tune", labels, "--index", index, "--out", tuned, "--precision", "0.1", "--confidence", "0.5"], {1}
    yield ["tune", labels, "--index", index, "--findings", found, "--out", tuned, "--policy", first,
           "--precision", "0.1", "--confidence", "0.5"], ok  # fmt: skip
    yield ["policy", "show", first], ok
    yield ["policy", "show", tuned], ok
    yield ["policy", "diff", first, tuned, "--findings", found], {0, 2}
    yield ["policy", "diff", first, first, "--findings", found, "--json"], {0, 2}
    yield ["policy", "bind", first, "--index", index, "--out", desk / "bound.toml"], ok
    yield ["monitor", found, labels, "--policy", first, "--out", desk / "new.toml", "--before", found], {0, 1}
    yield ["monitor", found, labels, "--policy", first, "--json"], {0, 1}
    yield ["shortlist", found, "--most", "3", "--out", desk / "short.csv"], ok
    yield ["report", found, "--out", desk / "r.html"], ok
    yield ["cases", found, "--index", index, "--out", desk / "cases.jsonl", "--report", desk / "c.html"], {0, 1}
    yield ["cases", "diff", desk / "cases.jsonl", desk / "cases.jsonl"], ok
    yield ["cases", "diff", desk / "cases.jsonl", desk / "cases.jsonl", "--json"], ok
    yield ["stats", found, "--verdicts", labels, "--by", "brand,territory,seller_id"], ok
    yield ["stats", found, "--verdicts", labels, "--json"], ok
    yield ["history", "add", history, "--seller", HOSTILE, "--brand", HOSTILE, "--answer", "licence", "--who", HOSTILE,
           "--why", HOSTILE], ok  # fmt: skip
    yield ["history", "show", history], ok
    yield ["history", "show", history, "--json"], ok
    yield ["history", "verify", history], ok
    yield ["bundle", found, "--index", index, "--policy", first, "--out", bundle], {0, 1}
    yield ["bundle", "verify", bundle], {0, 1}
    yield ["bundle", "verify", bundle, "--json"], {0, 1}
    yield ["remove", "--index", index, "--brand", HOSTILE], {2}
    yield ["compact", index], ok
    # wrong calls repeat what they were given
    yield [HOSTILE], {2}
    yield ["info", HOSTILE], {2}
    yield ["info", index, f"--{HOSTILE}"], {2}
    yield ["scan", HOSTILE, "--index", index, "--out", desk / HOSTILE.replace("/", "")], {2}
    yield ["stats", found, "--by", HOSTILE], {2}
    yield ["build", desk / "listings.jsonl", "--index", desk / "other", "--model", HOSTILE], {2}
    yield ["history", "verify", history, "--seal", HOSTILE], {1, 2}


@pytest.mark.filterwarnings("ignore::lookalike.errors.PolicyWarning")
def test_no_command_prints_what_steers_a_terminal(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, statuses in calls(desk):
        status = main([*map(str, words)])
        captured = capsys.readouterr()
        assert status in statuses, (words, captured)
        for text in (captured.out, captured.err):
            seen = {
                character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            }
            assert seen <= {"\n"}, (words, text)
            assert "\N{BOMB}" not in text
            assert not any(line.startswith("flagged") for line in captured.err.splitlines()), text
        if "--json" in words and status < 2:
            for line in (
                captured.out.splitlines()
                if words[0] in ("check", "history") and words[1] != "verify"
                else [captured.out]
            ):
                json.loads(line, parse_constant=pytest.fail)
        if status == 2:
            assert captured.err.count("\n") == 1, (words, captured.err)
