"""Scan a table with the local engine and on Ray, and on Ray with a worker killed midway: seconds, and equal rows.

The tables are those of storefront_tables.py. With --raylets 2, two Ray nodes with one worker each are started on this
machine instead of one node with two workers. Ray's nodes listen on every address, so two are started only in a network
namespace of their own. Rows are compared one by one, in all columns but scanned_at.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lookalike.detection.detector import Detector
from lookalike.errors import EngineError, ReferenceIndexError
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.loading import load_encoder
from lookalike.scanning.cluster import Cluster
from lookalike.scanning.ray import build_on_ray, scan_on_ray
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.timing import seconds_of
from lookalike.tables.findings import read_findings
from lookalike.tables.inputs import read_listings, read_references

_WORKERS, _LOOPBACK = 2, "127.0.0.1"


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", type=Path, help="folder with references.csv and listings.parquet")
    parser.add_argument("--raylets", type=int, choices=(1, 2), default=1)
    parser.add_argument("--part", type=int, default=64, help="listings that a worker gets at a time")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(argv)
    figures: dict[str, Any] = {"load": os.getloadavg(), "raylets": arguments.raylets, "part": arguments.part}
    cluster = Cluster(workers=_WORKERS)
    with tempfile.TemporaryDirectory() as scratch, _nodes(arguments.raylets):
        figures["build"] = _build(arguments, Path(scratch), cluster)
        figures["scan"] = _scan(arguments, Path(scratch), cluster)
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


def _build(arguments: argparse.Namespace, folder: Path, cluster: Cluster) -> dict[str, float]:
    """Build the index with both engines, in `here` and `there`."""
    table, reader = arguments.tables / "references.csv", PhotoReader()
    here = partial(build_index, read_references(table), index=folder / "here", encoder=load_encoder(), reader=reader)
    there = partial(
        build_on_ray,
        read_references(table),
        index=folder / "there",
        open_encoder=load_encoder,
        reader=reader,
        cluster=cluster,
        part=arguments.part,
    )
    seconds = {"local": _seconds(here), "ray": _seconds(there)}
    return {**seconds, "moved": _moved(folder / "here", folder / "there")}


def _scan(arguments: argparse.Namespace, folder: Path, cluster: Cluster) -> dict[str, Any]:
    """Scan with the local engine, on Ray, and on Ray with a worker killed."""
    table, opening = (
        arguments.tables / "listings.parquet",
        partial(Detector.open, folder / "here", reader=PhotoReader()),
    )
    local = _seconds(lambda: scan_listings(read_listings(table), detector=opening(), out=folder / "local.parquet"))
    expected = list(read_findings(folder / "local.parquet"))
    figures: dict[str, Any] = {"listings": len(expected), "local": local}
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
        figures[name] = {"seconds": _seconds(scan), **_compared(expected, list(read_findings(out)))}
        if progress is not None:
            figures[name]["killed"] = progress.killed
    return figures


def _seconds(work: Callable[[], object]) -> float:
    return round(seconds_of(work), 2)


class _KillsOneWorker:
    """Called with progress, kills one Ray worker among the descendants of this process, once."""

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


def _compared(expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many rows are equal, how many are equal except in similarities, and how far those are apart at most."""
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
    """The largest difference between two indexes' vectors; both must hold the same ids in the same order."""
    a, b = ReferenceIndex.load(here), ReferenceIndex.load(there)
    if a.catalogue["reference_id"] != b.catalogue["reference_id"]:
        raise ReferenceIndexError("the engines' indexes hold different references; building on Ray is broken")
    return float(abs(a.vectors - b.vectors).max())


@contextmanager
def _nodes(count: int) -> Iterator[None]:
    """Several connected Ray nodes on this machine; for one node, each scan starts its own."""
    if count == 1:
        yield
        return
    import ray
    from ray import cluster_utils

    util: Any = ray.util
    own = util.get_node_ip_address()
    if own != _LOOPBACK:
        raise EngineError(
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
