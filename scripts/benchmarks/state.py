"""Write the state of a scan of many listings, read it back, scan again with it, and rescan after references were added.

The listings of a base are drawn and judged as a scan judges them; the state repeats them in ever another order, under
ids of their own, until it holds --listings. Each step runs in a process of its own, which reports its time and its peak
memory. At the end the findings of the rescan are compared with those that a fresh scan makes of the base. Takes about
4 kB of the folder for each listing, and removes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lookalike.detection.detector import Detector
from lookalike.detection.lookup import Lookup
from lookalike.index.embedding import EmbeddedPhoto, PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import Vectors
from lookalike.model.loading import load_encoder
from lookalike.policy.policy import Policy
from lookalike.policy.terms import Reach
from lookalike.records import Listing, Reference
from lookalike.scanning.changed_listings import signature
from lookalike.scanning.changes import rescan_references, save_state_of, scan_changes
from lookalike.scanning.state import ScanState, writing_state
from lookalike.scanning.windows import MOST_LISTINGS, Window
from lookalike.scripts.benchmarks.harness import one_line_errors, peak_bytes
from lookalike.scripts.benchmarks.vectors import unit_parts
from lookalike.scripts.timing import load, seconds_of, show_table

_POLICY = Policy("measured", flag=0.9, review=0.8, reach=Reach(references=0))
_COMPARED = ("verdict", "kind", "reference_id", "product_id", "threshold", "similarity", "candidates")


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with room for the state; what is written is removed again")
    parser.add_argument("--listings", type=int, default=1_000_000)
    parser.add_argument("--base", type=int, default=8 * MOST_LISTINGS, help="listings that are drawn")
    parser.add_argument("--references", type=int, default=5_000)
    parser.add_argument("--new", type=int, default=20, help="references that are added before the rescan")
    parser.add_argument("--without-scan", action="store_true", help="leave out the scan in which nothing changed")
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.step is not None:
        print(json.dumps(_measured(arguments)))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        arguments.folder = Path(scratch)
        _prepare(arguments)
        steps = [step for step in _STEPS if step != "scan" or not arguments.without_scan]
        found = {step: _in_a_process(step, arguments) for step in steps}
    rows = [
        (step, f"{f['seconds']:.1f}", *(f"{f[name] / 1e6:,.0f}" for name in ("peak", "before")),
         f"{f['disk'] / 1e9:.2f}", f["said"])
        for step, f in found.items()
    ]  # fmt: skip
    title = f"{arguments.listings:,} listings, load of the machine {load():.1f}"
    show_table(("", "seconds", "peak memory, MB", "before the step", "state on disk, GB", ""), rows, title=title)
    return 0


def _prepare(arguments: argparse.Namespace) -> None:
    """The base's state, the index before and after, and the base's findings with the later index."""
    folder, rng = arguments.folder, np.random.default_rng(0)
    spec = load_encoder("embedded").spec
    genuine = unit_parts(rng.normal(size=(arguments.references + arguments.new, spec.width)), spec)
    near = 0.5 * genuine[rng.integers(len(genuine), size=arguments.base)]
    offered = unit_parts(near + 0.5 * unit_parts(rng.normal(size=near.shape), spec), spec)
    (folder / "photo.jpg").touch()
    known = [(_listing(folder, b, b), [EmbeddedPhoto(f"{b:064}", vector)]) for b, vector in enumerate(offered)]
    index = ReferenceIndex(spec)
    _add(index, genuine[: arguments.references], 0)
    index.save(folder / "before")
    _add(index, genuine[arguments.references :], arguments.references)
    index.save(folder / "after")
    for name in ("before", "after"):
        save_state_of(_detector(folder / name), known, folder / f"base-{name}")


def _listing(folder: Path, number: int, base: int) -> Listing:
    return Listing(f"L{number}", (str(folder / "photo.jpg"),), title=str(base), price=None)


def _add(index: ReferenceIndex, vectors: Vectors, start: int) -> None:
    names = [f"r{start + i}" for i in range(len(vectors))]
    index.add([Reference(n, n, "Brand", f"{n}.jpg") for n in names], vectors, hashes=names)


def _detector(index: Path) -> Detector:
    return Detector(Lookup(load_encoder("embedded", device="cpu"), ReferenceIndex.load(index), PhotoReader()), _POLICY)


def _in_a_process(step: str, arguments: argparse.Namespace) -> dict[str, Any]:
    options = [f"--{name}={getattr(arguments, name)}" for name in ("listings", "base", "references", "new")]
    options += ["--without-scan"] * arguments.without_scan
    call = [sys.executable, "-m", "lookalike.scripts.benchmarks.state", str(arguments.folder), *options]
    done = subprocess.run([*call, "--step", step], check=True, stdout=subprocess.PIPE)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    said, before = list[str](), peak_bytes()
    seconds = seconds_of(lambda: said.append(_STEPS[arguments.step](arguments)))
    disk = sum(path.stat().st_size for path in (arguments.folder / "state").iterdir())
    return {"seconds": seconds, "before": before, "peak": peak_bytes(), "disk": disk, "said": said[0]}


def _write(arguments: argparse.Namespace) -> str:
    state = _loaded(arguments.folder / "base-before")
    base = Window.joined([state.window(number) for number in range(len(state.windows))])
    with writing_state(arguments.folder / "state") as writer:
        for start, bases in _orders(arguments):
            signed = not arguments.without_scan  # which takes as long as all else
            writer.add(_renamed(base.take(bases), arguments.folder, start, bases, signed=signed))
        writer.finish(state.basis, state.references, state.seconds)
    return f"{arguments.listings:,} written"


def _orders(arguments: argparse.Namespace) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each window the number of its first listing, and which listings of the base it repeats."""
    rng, start = np.random.default_rng(1), 0
    while start < arguments.listings:
        order = rng.permutation(arguments.base)[: arguments.listings - start]
        for first in range(0, len(order), MOST_LISTINGS):
            bases = order[first : first + MOST_LISTINGS]
            yield start, bases
            start += len(bases)


def _renamed(window: Window, folder: Path, start: int, bases: NDArray[np.int64], *, signed: bool) -> Window:
    """The window with other ids and, if they are to be `signed`, the signatures of listings with these ids."""
    listings = [_listing(folder, start + place, base) for place, base in enumerate(bases.tolist())]
    signatures = [signature(each) if signed else None for each in listings]
    table = window.table
    for name, values in (("listing_id", [each.id for each in listings]), ("signature", signatures)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return replace(window, table=table, rows_file=None, vectors_file=None)


def _read(arguments: argparse.Namespace) -> str:
    state = _loaded(arguments.folder / "state")
    vectors = sum(len(state.window(number).vectors) for number in range(len(state.windows)))
    return f"{len(state):,} listings and {vectors:,} vectors read"


def _scan(arguments: argparse.Namespace) -> str:
    listings = (
        _listing(arguments.folder, start + place, base)
        for start, bases in _orders(arguments)
        for place, base in enumerate(bases.tolist())
    )
    out = arguments.folder / "scan.parquet"
    detector = _detector(arguments.folder / "before")
    done = scan_changes(listings, detector=detector, since=arguments.folder / "state", out=out)
    out.unlink()
    return f"{done.kept:,} kept, {done.looked_at:,} looked at"


def _rescan(arguments: argparse.Namespace) -> str:
    folder = arguments.folder
    done = rescan_references(
        detector=_detector(folder / "after"), since=folder / "state", out=folder / "rescan.parquet"
    )
    return f"{done.kept:,} kept, {done.judged:,} judged again"


def _compare(arguments: argparse.Namespace) -> str:
    """Compare the findings of the rescan with those that a fresh scan makes of the base."""
    state = _loaded(arguments.folder / "base-after")
    fresh = pa.concat_tables([state.window(number).table for number in range(len(state.windows))])
    equal = 0
    with pq.ParquetFile(arguments.folder / "rescan.parquet") as file:
        for batch in file.iter_batches(batch_size=MOST_LISTINGS, columns=["title", *_COMPARED]):
            expected = fresh.select(_COMPARED).take(batch["title"].cast(pa.int64()))
            found = pa.table(batch).select(_COMPARED)
            same = np.logical_and.reduce([_equal(found[name], expected[name]) for name in _COMPARED])
            other = [table.filter(pa.array(~same)).to_pylist() for table in (found, expected)]
            equal += int(same.sum()) + sum(map(_agree, *other))
    return f"{equal:,} of {arguments.listings:,} findings as in a fresh scan"


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Where two columns are equal, or both null."""
    equal = pc.fill_null(pc.equal(one, other), False)
    return np.asarray(pc.or_(equal, pc.and_(pc.is_null(one), pc.is_null(other))), bool)


def _agree(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether all is equal; similarities but for their last bits, which depend on what they were computed with."""
    ours, theirs = (json.loads(each.pop("candidates") or "[]") for each in (found, expected))
    pairs = [(found, expected), *zip(ours, theirs, strict=False)]
    alike = len(ours) == len(theirs)
    return alike and all(
        set(a) == set(b) and all(a[name] == b[name] or _near(a[name], b[name]) for name in a) for a, b in pairs
    )


def _near(a: object, b: object) -> bool:
    return isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1e-6


def _loaded(folder: Path) -> ScanState:
    state = ScanState.load(folder)
    assert state is not None, folder
    return state


_STEPS = {"write": _write, "read": _read, "scan": _scan, "rescan": _rescan, "compare": _compare}


if __name__ == "__main__":
    raise SystemExit(main())
