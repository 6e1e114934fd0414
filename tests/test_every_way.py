"""Whichever way findings are made, they are those of a fresh scan: with rights and without, after the index changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Policy
from lookalike.records import Finding, Listing
from lookalike.rights.rights import Rights
from lookalike.scripts.cli import main
from lookalike.tables.findings import finding_row, read_findings, write_findings
from lookalike.tables.inputs import read_listings

DAY = "2026-07-01"
FIRST, ALL = 8, 12  # references before and after the policy was tuned
TABLES = {
    "without tables": (),
    "with rights": ("rights",),
    "with sellers": ("sellers",),
    "with rights and sellers": ("rights", "sellers"),
}
RIGHTS = """brand,kind,number,territory,valid_from,valid_until,product_id
B0,trademark,T0,EU,,,
B1,design,D1,DE,,2026-06-30,
B1,copyright,,FR,,,
B2,design,D2,US,2026-07-01,,
B2,design,D3,DE,,,p5
B3,design,D5,DE,,,
"""
SELLERS = """brand,seller_id,territory,valid_from,valid_until
B0,s1,DE,,
B1,s1,,2026-07-01,
B2,s0,US,,2026-06-30
B3,s2,,,
"""
Row = dict[str, Any]


def run(*words: object, status: int = 0) -> None:
    assert main([*map(str, words), "--quiet"]) == status


class Market:
    """Listings, tables, an index and a policy."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index, self.policy = folder, folder / "index", folder / "policy.toml"
        self.listings, self.cache = folder / "listings.csv", folder / "vectors.sqlite"

    def write(self) -> None:
        """Write everything but index and policy."""
        rng = np.random.default_rng(2)
        paths = save_pictures(self.folder / "genuine", ALL)
        for at in range(1, ALL, 2):  # every second product looks much like the one before it, and is of another brand
            self._draw(paths[at - 1], paths[at], 12, rng)
        head = "reference_id,image,product_id,brand\n"
        rows = [f"r{at},{path},p{at // 3},B{at % 4}\n" for at, path in enumerate(paths)]
        (self.folder / "first.csv").write_text(head + "".join(rows[:FIRST]))
        (self.folder / "later.csv").write_text(head + "".join(rows[FIRST:]))
        (self.folder / "rights.csv").write_text(RIGHTS)
        (self.folder / "sellers.csv").write_text(SELLERS)
        lines, labels = ["listing_id,image,seller_id,territory,price,currency,title"], ["listing_id,lookalike"]
        for number in range(24):
            noise = (0, 20, 60, 120, 500, 35)[number % 6]  # the fifth resembles nothing
            self._draw(paths[rng.integers(ALL)], self.folder / f"{number}.png", noise, rng)
            place = ("DE", "fr", "US", "", "XX")[number % 5]
            listing = number - 1 if number % 8 == 1 else number  # some have two photos, in rows that differ
            lines.append(f'L{listing},{number}.png,s{number % 3},{place},9.50,EUR,"a, b"')
            labels.append(f"L{number},{str(noise < 45).lower()}")
        self.listings.write_text("\n".join([*lines, "gone,gone.png,s1,DE,,,"]))
        (self.folder / "labels.csv").write_text("\n".join(labels))

    def _draw(self, source: Path, target: Path, noise: float, rng: np.random.Generator) -> None:
        moved = rng.normal(0, noise, (3, 3, 3)).repeat(10, 0).repeat(10, 1)
        pixels = np.asarray(Image.open(source), float) + moved
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(target)

    def options(self, tables: tuple[str, ...]) -> list[object]:
        named = [word for name in tables for word in (f"--{name}", self.folder / f"{name}.csv")]
        return ["--index", self.index, "--policy", self.policy, *named, "--date", DAY]

    def scan(self, out: Path, tables: tuple[str, ...], *more: object) -> list[Row]:
        words = ["scan", self.listings, "--out", out, *self.options(tables), "--cache", self.cache, *more]
        run(*words, status=1)  # for one listing's photo is gone
        return untimed(out)

    def fresh(self, name: str) -> list[Row]:
        """What a fresh scan finds."""
        path = self.folder / f"fresh {name}.parquet"
        return untimed(path) if path.exists() else self.scan(path, TABLES[name])

    def detector(self, tables: tuple[str, ...]) -> Detector:
        paths = {name: self.folder / f"{name}.csv" for name in tables}
        rights = Rights.load(rights=paths.get("rights"), sellers=paths.get("sellers")) if tables else None
        return Detector.open(self.index, policy=self.policy, rights=rights, day=date.fromisoformat(DAY))


def untimed(path: Path) -> list[Row]:
    return [{**row, "scanned_at": None} for row in read_findings(path)]


@pytest.fixture(scope="module", autouse=True, params=[False, True], ids=["one head", "two heads"])
def encoder(request: pytest.FixtureRequest) -> Iterator[None]:
    """Commands load the toy encoder, with a second head or without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.model.loading.load_encoder", lambda *_, **__: ToyEncoder(look=request.param))
        yield


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, encoder: None) -> Market:
    """A policy that was tuned on an index, and states of scans of it; references were added afterwards."""
    market = Market(tmp_path_factory.mktemp("market"))
    market.write()
    untuned, findings = market.folder / "untuned.toml", market.folder / "f.parquet"
    untuned.write_text('name = "untuned"\n[thresholds]\nflag = 0.9\nreview = 0.5\n')
    run("build", market.folder / "first.csv", "--index", market.index, "--cache", market.cache)
    market.policy = untuned
    market.scan(findings, ())
    market.policy = market.folder / "policy.toml"
    run("tune", market.folder / "labels.csv", "--findings", findings, "--index", market.index,
        "--precision", "0.6", "--confidence", "0.8", "--review-precision", "0.6", "--out", market.policy)  # fmt: skip
    for name, tables in TABLES.items():
        market.scan(market.folder / f"{name}.parquet", tables, "--since", market.folder / f"state {name}")
    run("add", market.folder / "later.csv", "--index", market.index, "--cache", market.cache)
    return market


def scanned(market: Market, name: str, folder: Path) -> list[Row]:
    return market.scan(folder / "f.csv", TABLES[name])


def scanned_first_time(market: Market, name: str, folder: Path) -> list[Row]:
    return market.scan(folder / "f.jsonl", TABLES[name], "--since", folder / "state")


def scanned_since(market: Market, name: str, folder: Path) -> list[Row]:
    shutil.copytree(market.folder / f"state {name}", folder / "state")
    market.scan(folder / "f.parquet", TABLES[name], "--since", folder / "state")
    return market.scan(folder / "f.parquet", TABLES[name], "--since", folder / "state")


def rescanned(market: Market, name: str, folder: Path) -> list[Row]:
    shutil.copytree(market.folder / f"state {name}", folder / "state")
    run("rescan", "--since", folder / "state", "--out", folder / "f.parquet", *market.options(TABLES[name]), status=1)
    return untimed(folder / "f.parquet")


def rechecked(market: Market, name: str, folder: Path) -> list[Row]:
    stored = list(TABLES)[(list(TABLES).index(name) + 1) % len(TABLES)]  # findings with other tables
    market.scan(folder / "f.csv", TABLES[stored])
    words = market.options(TABLES[name])[2:]
    run("recheck", folder / "f.csv", "--out", folder / "g.parquet", *words, status=1)
    return untimed(folder / "g.parquet")


def judged(judge: Callable[[Detector, Iterator[Listing]], Iterator[Finding] | list[Finding]]) -> Any:
    def way(market: Market, name: str, folder: Path) -> list[Row]:
        found = judge(market.detector(TABLES[name]), read_listings(market.listings))
        write_findings(map(finding_row, found), folder / "f.parquet")
        return untimed(folder / "f.parquet")

    return way


WAYS: dict[str, Callable[[Market, str, Path], list[Row]]] = {
    "scan to another format": scanned,
    "scan --since for the first time": scanned_first_time,
    "scan --since twice": scanned_since,
    "rescan": rescanned,
    "recheck": rechecked,
    "Detector.stream": judged(lambda detector, listings: detector.stream(listings)),
    "Detector.check_many": judged(lambda detector, listings: detector.check_many(listings)),
    "Detector.check": judged(lambda detector, listings: map(detector.check, listings)),
}


@pytest.mark.filterwarnings("ignore::lookalike.errors.ChangedIndexWarning")
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("way", WAYS)
def test_findings_are_those_of_a_fresh_scan(way: str, name: str, market: Market, tmp_path: Path) -> None:
    found, fresh = WAYS[way](market, name, tmp_path), market.fresh(name)
    assert [row["listing_id"] for row in found] == [row["listing_id"] for row in fresh]
    assert [differences(row, other) for row, other in zip(found, fresh, strict=True)] == [{}] * len(fresh)


def differences(row: Row, other: Row) -> dict[str, tuple[object, object]]:
    return {key: (row.get(key), other.get(key)) for key in {**row, **other} if row.get(key) != other.get(key)}


def test_each_setting_finds_something_else_and_the_new_references_are_found(market: Market) -> None:
    rows = {name: market.fresh(name) for name in TABLES}
    verdicts = {name: [row["verdict"] for row in each] for name, each in rows.items()}
    assert len({tuple(each) for each in verdicts.values()}) == len(TABLES)
    found = {verdict for each in verdicts.values() for verdict in each}
    assert found == {"flagged", "review", "clear", "authorised", "unprotected", "unreadable"}
    new = {f"r{number}" for number in range(FIRST, ALL)}
    before = read_findings(market.folder / "without tables.parquet")
    assert not new & {row["reference_id"] for row in before}
    assert new & {row["reference_id"] for row in rows["without tables"]}
    tuned = Policy.load(market.policy)
    assert tuned.index_digest is not None
    assert {row["policy"] for row in rows["without tables"]} == {str(tuned)}
