"""Measure the time and memory of `lookalike recheck` on stored findings, rights and sellers by the million.

The tables are synthetic, made from a seed, and kept in DIR. --alike is the share of findings that are flagged or up for
review; each finding has one to three candidates. Rights and sellers belong to many brands, in single territories and
regions, and some have lapsed. Each repeat is a process of its own. Memory is its peak resident set. Processor time is
reported beside wall-clock time, since other work on the machine stretches only the latter.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from lookalike.scripts.benchmarks.harness import run_command
from lookalike.scripts.command import Exit, run
from lookalike.scripts.terminal import note
from lookalike.scripts.timing import load

_PART = 250_000
_PLACES = ("DE", "FR", "IT", "ES", "PL", "NL", "GB", "CH", "US", "CA", "MX", "BR", "JP", "KR", "CN", "AU", "SN", "ZA")
_TOML = 'name = "benchmark"\n[thresholds]\nflag = 0.8\nreview = 0.7\n'


def rights(
    folder: Annotated[Path, typer.Argument(help="Folder for the tables, which are made if they do not exist.")],
    findings: Annotated[int, typer.Option("--findings", help="Findings.")] = 10_000_000,
    rights: Annotated[int, typer.Option("--rights", help="Rows of the rights table.")] = 1_000_000,
    sellers: Annotated[int, typer.Option("--sellers", help="Rows of the sellers table.")] = 1_000_000,
    brands: Annotated[int, typer.Option("--brands", help="Brands.")] = 20_000,
    alike: Annotated[float, typer.Option("--alike", help="Share of findings that are flagged or up for review.")] = 1.0,
    repeats: Annotated[int, typer.Option("--repeats", help="How often to run it.")] = 3,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: folder / f"{name}.parquet" for name in ("findings", "rights", "sellers")}
    policy = folder / "policy.toml"
    policy.write_text(_TOML, encoding="utf-8")
    rng = np.random.default_rng(seed)
    if not tables["rights"].exists():
        _write(tables["rights"], rights, lambda count: _rights(rng, count, brands))
    if not tables["sellers"].exists():
        _write(tables["sellers"], sellers, lambda count: _sellers(rng, count, brands))
    if not tables["findings"].exists():
        note(f"making {findings:,} findings")
        _write(tables["findings"], findings, lambda count: _findings(rng, count, brands, alike, policy))
    runs = [
        run_command(
            "recheck", tables["findings"], "--quiet", "--policy", policy, "--rights", tables["rights"], "--sellers",
            tables["sellers"], "--date", "2026-11-24", "--out", folder / "out.parquet", "--changes",
            folder / "changes.parquet",
        )
        for _ in range(repeats)
    ]  # fmt: skip
    result = {
        "findings": findings,
        "rights": rights,
        "sellers": sellers,
        "alike": alike,
        "cores": os.cpu_count(),
        "load": load(),
        "seconds": [round(each.seconds, 1) for each in runs],
        "median_seconds": round(statistics.median(each.seconds for each in runs), 1),
        "processor_seconds": [round(each.processor) for each in runs],
        "peak_gb": [round(each.peak / 1e9, 2) for each in runs],
        "verdicts": _verdicts(folder / "out.parquet"),
    }
    print(json.dumps(result, indent=2))
    return Exit.DONE


def _write(path: Path, count: int, make: Any) -> None:
    import pyarrow.parquet as pq

    temporary, writer = path.with_suffix(".tmp"), None
    for start in range(0, count, _PART):
        table = make(min(_PART, count - start))
        writer = writer or pq.ParquetWriter(temporary, table.schema)
        writer.write_table(table)
    assert writer is not None, "there is at least one part"
    writer.close()
    temporary.replace(path)


def _names(prefix: str, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
    return [f"{prefix}{number}" for number in numbers.tolist()]


def _days(rng: np.random.Generator, count: int, low: int, high: int, empty: float) -> Any:
    """Days around 2026-11-24, a share `empty` of them missing."""
    import pyarrow as pa

    today = np.datetime64("2026-11-24")
    return pa.array(today + rng.integers(low, high, count), mask=rng.random(count) < empty)


def _rights(rng: np.random.Generator, count: int, brands: int) -> Any:
    import pyarrow as pa

    return pa.table({
        "brand": _names("brand-", rng.integers(0, brands, count)),
        "kind": rng.choice(["trademark", "design", "copyright", "patent"], count, p=(0.6, 0.25, 0.1, 0.05)),
        "number": _names("N", rng.integers(0, 1 << 40, count)),
        "territory": rng.choice([*_PLACES, "EU", "BX", "OA"], count),
        "valid_from": _days(rng, count, -7000, -2000, 0.3),
        "valid_until": _days(rng, count, -1900, 3000, 0.3),
        "product_id": [f"p{n}" if n < 10 else "" for n in rng.integers(0, 20, count).tolist()],
        "owner": _names("owner-", rng.integers(0, brands, count)),
    })  # fmt: skip


def _sellers(rng: np.random.Generator, count: int, brands: int) -> Any:
    import pyarrow as pa

    return pa.table({
        "brand": _names("brand-", rng.integers(0, brands, count)),
        "seller_id": _names("seller-", rng.integers(0, 2000, count)),
        "territory": rng.choice([*_PLACES, "EU", ""], count),
        "valid_from": _days(rng, count, -2000, -10, 0.3),
        "valid_until": _days(rng, count, -9, 1000, 0.3),
    })  # fmt: skip


def _findings(rng: np.random.Generator, count: int, brands: int, alike: float, policy: Path) -> Any:
    import pyarrow as pa

    from lookalike.policy.policy import Policy
    from lookalike.tables.findings import finding_schema

    label, schema = str(Policy.load(policy)), finding_schema()
    brand, product = rng.integers(0, brands, (count, 3)), rng.integers(0, 50, (count, 3))
    strength = np.sort(rng.uniform(0.7, 1.0, (count, 3)), axis=1)[:, ::-1].round(6)
    strength[rng.random(count) >= alike] -= 0.5
    many = rng.integers(1, 4, count)
    kinds = rng.choice(["copied_photo", "same_print", "lookalike"], count)
    columns: dict[str, Any] = {
        "listing_id": _names("L", rng.integers(0, 1 << 60, count)),
        "verdict": np.where(strength[:, 0] >= 0.8, "flagged", np.where(strength[:, 0] >= 0.7, "review", "clear")),
        "kind": pa.array(kinds, "string", mask=strength[:, 0] < 0.7),
        "brand": _names("brand-", brand[:, 0]),
        "product_id": _names("p", product[:, 0]),
        "similarity": strength[:, 0].astype(np.float32),
        "threshold": np.where(strength[:, 0] >= 0.8, 0.8, 0.7),
        "image": ["a.jpg"] * count,
        "seller_id": _names("seller-", rng.integers(0, 2000, count)),
        "territory": rng.choice([*_PLACES, "de", ""], count),
        "policy": [label] * count,
        "encoder": ["synthetic@00000000"] * count,
        "candidates": [
            _candidates(kind, own, products, strengths[:most])
            for kind, own, products, strengths, most in zip(
                kinds.tolist(), brand.tolist(), product.tolist(), strength.tolist(), many.tolist(), strict=True
            )
        ],
    }
    arrays = [pa.array(columns.get(name, [None] * count), schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema)


_ENTRY = (
    '{"reference_id":"r%d","product_id":"p%d","brand":"brand-%d","reference_image":"genuine/%d/%d.jpg","image":"a.jpg",'
    '"similarity":%.6f,"normalised_similarity":null,"margin":0.1,"probability":null,"kind":"%s","verdict":"%s",'
    '"threshold":%s,"image_sha256":null,"suppressed_by":null,"verification":{"inliers":40,"coverage":0.9,'
    '"mirrored":false,"kind":"%s","outline":[[0,0],[1,0],[1,1],[0,1]]}}'
)


def _candidates(kind: str, brands: list[int], products: list[int], strengths: list[float]) -> str:
    """Candidates as a scan writes them, without building and dumping ten million lists."""
    entries = []
    for brand, product, strength in zip(brands, products, strengths, strict=False):
        said, threshold = ("flagged", 0.8) if strength >= 0.8 else ("review" if strength >= 0.7 else "clear", 0.7)
        entries.append(_ENTRY % (product, product, brand, brand, product, strength, kind, said, threshold, kind))
    return "[" + ",".join(entries) + "]"


def _verdicts(path: Path) -> dict[str, int]:
    import pyarrow.parquet as pq

    counts: dict[str, int] = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["verdict"]):
            for entry in batch["verdict"].value_counts().to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return counts


def main(argv: list[str] | None = None) -> int:
    return run(__name__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
