"""Scan one table with the local engine and on Ray, and again with a worker killed in mid-run: seconds, and equal rows.

Tables are those of storefront_tables.py. With --raylets 2, two nodes of Ray are started on this machine, with one
worker each, in place of one node with two; Ray's nodes listen on every address, so they are started only in a network
namespace of their own. Rows are compared one by one, all columns but scanned_at.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lookalike.detection.detector import Detector
from lookalike.index.build import build_index
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import load_encoder
from lookalike.scanning.cluster import Cluster
from lookalike.scanning.ray import build_on_ray, scan_on_ray
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.cli import photo_reader
from lookalike.tables.findings import read_findings
from lookalike.tables.inputs import read_listings, read_references

_WORKERS, _LOOPBACK = 2, "127.0.0.1"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", type=Path, help="folder with references.csv and listings.parquet")
    parser.add_argument("--raylets", type=int, choices=(1, 2), default=1)
    parser.add_argument("--part", type=int, default=64, help="listings that go to a worker at a time")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args(argv)
    figures: dict[str, Any] = {"load": os.getloadavg(), "raylets": arguments.raylets, "part": arguments.part}
    reader = photo_reader()
    with tempfile.TemporaryDirectory() as scratch, _nodes(arguments.raylets):
        folder, table, cluster = Path(scratch), arguments.tables / "listings.parquet", Cluster(workers=_WORKERS)

        def references() -> Iterator[Any]:
            return read_references(arguments.tables / "references.csv")

        here = _timed(partial(build_index, references(), index=folder / "here", encoder=load_encoder(), reader=reader))
        there = _timed(
            partial(
                build_on_ray,
                references(),
                index=folder / "there",
                open_encoder=load_encoder,
                reader=reader,
                cluster=cluster,
                part=arguments.part,
            )
        )
        figures["build"] = {"local": here, "ray": there, "moved": _moved(folder / "here", folder / "there")}
        opening = partial(Detector.open, folder / "here", reader=reader)
        local = _timed(lambda: scan_listings(read_listings(table), detector=opening(), out=folder / "local.parquet"))
        expected = list(read_findings(folder / "local.parquet"))
        figures["scan"] = {"listings": len(expected), "local": local}
        for name, progress in (("ray", None), ("ray, a worker killed", _KillsOneWorker())):
            out = folder / f"{name}.parquet"
            scan = partial(
                scan_on_ray,
                read_listings(table),
                open_detector=opening,
                out=out,
                cluster=cluster,
                progress=progress,
                part=arguments.part,
            )
            figures["scan"][name] = {"seconds": _timed(scan), **_compared(expected, list(read_findings(out)))}
            if progress is not None:
                figures["scan"][name]["killed"] = progress.killed
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 2)


class _KillsOneWorker:
    """Told of progress, it kills one worker of Ray that descends from this process, once."""

    def __init__(self) -> None:
        self.killed: int | None = None

    def __call__(self, _: int) -> None:
        import psutil

        if self.killed is not None:
            return
        for process in psutil.Process().children(recursive=True):
            if "MapWorker" in " ".join(process.cmdline()):
                process.kill()
                self.killed = process.pid
                return


def _compared(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> dict[str, Any]:
    """How many rows are equal to the bit, equal but for the last bits of numbers, and how far numbers are apart."""
    rows = list(zip(expected, found, strict=True))
    numbers = ("similarity", "normalised_similarity", "probability", "coverage")
    apart = [abs(a[n] - b[n]) for a, b in rows for n in numbers if a[n] is not None and b[n] is not None]
    rest = [name for name in expected[0] if name not in (*numbers, "scanned_at", "candidates")]
    return {
        "rows": len(rows),
        "equal": sum({**a, "scanned_at": 0} == {**b, "scanned_at": 0} for a, b in rows),
        "equal but for similarities": sum(all(a[name] == b[name] for name in rest) for a, b in rows),
        "most apart": max(apart, default=0.0),
    }


def _moved(here: Path, there: Path) -> float:
    """The most that a number of a vector of two indexes differs; their ids must be equal, and in the same order."""
    a, b = ReferenceIndex.load(here), ReferenceIndex.load(there)
    if a.catalogue["reference_id"] != b.catalogue["reference_id"]:
        raise SystemExit("the engines' indexes hold different references")
    return float(abs(a.vectors - b.vectors).max())


@contextmanager
def _nodes(count: int) -> Iterator[None]:
    """Several nodes of Ray on this machine, connected; for one, each scan starts its own."""
    if count == 1:
        yield
        return
    import ray
    from ray import cluster_utils

    util: Any = ray.util
    own = util.get_node_ip_address()
    if own != _LOOPBACK:
        raise SystemExit(
            f"two nodes would listen on {own}, which other machines reach; run this in a network namespace: "
            "unshare --net sh -c 'ip link set lo up && python scripts/benchmarks/engines.py TABLES --raylets 2'"
        )
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 200 << 20, "node_ip_address": _LOOPBACK}
    nodes: Any = cluster_utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes.add_node(**node)
    ray.init(address=nodes.address, log_to_driver=False, _node_ip_address=_LOOPBACK)
    try:
        yield
    finally:
        ray.shutdown()
        nodes.shutdown()


if __name__ == "__main__":
    raise SystemExit(main())
