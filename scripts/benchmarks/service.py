"""Measure a detector inside a service: many threads, a forked process, gunicorn with --preload, and busy cores.

Checks the embedded sample's listings again and again: in one thread, in many, in a process that was forked after the
detector was opened, over HTTP with gunicorn (if it is installed), and beside processes that keep every core busy, with
one thread and with all cores for each check. Prints the median, the 99th percentile and the processor time of a check,
the growth of memory, and whether all answers are those of the first pass. Runs on Linux.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median, quantiles

from lookalike.cores import available_cores
from lookalike.detection.detector import Detector
from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.records import Listing
from lookalike.scripts.benchmarks.harness import resident_bytes
from lookalike.scripts.timing import load, show_table
from lookalike.tables.inputs import read_listings, read_references

_APPLICATION = """
import json
from lookalike.scripts.benchmarks.service import answer, sample_listings
from lookalike.detection.detector import Detector
detector = Detector.open({index!r}, device="cpu")
listings = sample_listings()
detector.check(listings[0])
def application(environ, start_response):
    found = answer(detector, listings[int(environ["PATH_INFO"].strip("/"))])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of every check, processor seconds and bytes of growth of all of them, and how many answers differ."""

    seconds: list[float]
    processor: float
    growth: int
    different: int

    def row(self, name: str) -> tuple[str, ...]:
        """The cells of its row."""
        last = quantiles(self.seconds, n=100)[98]
        cells = (f"{1000 * each:.0f}" for each in (median(self.seconds), last, self.processor / len(self.seconds)))
        return name, f"{len(self.seconds):,}", *cells, f"{self.growth / 2**20:+.0f}", str(self.different)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--busy", type=int, default=available_cores(), help="processes that keep cores busy")
    parser.add_argument("--busy-checks", type=int, default=100)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        sample = Path(str(files("lookalike") / "sample"))
        build_index(read_references(sample / "references.csv"), index=index, encoder=load_encoder(device="cpu"))
        rows = [measured.row(name) for name, measured in _all(index, arguments)]
    show_table(("", "checks", "p50 ms", "p99 ms", "processor ms", "memory MiB", "other answers"), rows)
    print(f"{available_cores()} cores; load of the machine {load():.1f}")
    return 0


def _all(index: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, Measured]]:
    listings = sample_listings()
    detector = Detector.open(index, device="cpu")
    right = [answer(detector, listing) for listing in listings]

    def check(number: int) -> bool:
        return answer(detector, listings[number % len(listings)]) == right[number % len(listings)]

    numbers, threads = range(arguments.checks), arguments.threads
    yield "one thread", _measure(check, numbers, 1)
    yield f"{threads} threads", _measure(check, numbers, threads)
    yield f"{threads} threads, after a fork", _in_child(lambda: _measure(check, numbers, threads))
    if importlib.util.find_spec("gunicorn") is None:
        print("gunicorn is not installed, so it was not measured")
    else:
        yield "gunicorn --preload", _behind_gunicorn(index, right, numbers, threads)
    all_cores = Detector.open(index, device="cpu", threads=available_cores())
    few = range(arguments.busy_checks)
    with _busy_cores(arguments.busy):
        yield f"beside {arguments.busy} busy processes", _measure(check, few, 1)
        yield "the same, on all cores", _measure(lambda n: bool(all_cores.check(listings[n % 60])), few, 1)


def sample_listings() -> list[Listing]:
    """The listings of the embedded sample."""
    return list(read_listings(Path(str(files("lookalike") / "sample")) / "listings.csv"))


def answer(detector: Detector, listing: Listing) -> dict[str, object]:
    """What a check finds, apart from the time; similarities to four places, as sums may be ordered differently."""
    found = detector.check(listing).to_dict()
    similarity = found["similarity"]
    kept = {name: found[name] for name in ("verdict", "kind", "product", "error")}
    return {**kept, "similarity": None if similarity is None else round(similarity, 4)}


def _measure(check: Callable[[int], bool], numbers: Sequence[int], threads: int) -> Measured:
    def timed(number: int) -> tuple[float, bool]:
        start = time.perf_counter()
        same = check(number)
        return time.perf_counter() - start, same

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(timed, numbers[: 2 * threads]))  # warms up
        memory, processor = resident_bytes(), sum(os.times()[:2])
        found = list(pool.map(timed, numbers))
    seconds, same = zip(*found, strict=True)
    return Measured(list(seconds), sum(os.times()[:2]) - processor, resident_bytes() - memory, same.count(False))


def _in_child(measure: Callable[[], Measured]) -> Measured:
    """What it measures in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            with os.fdopen(writing, "w") as file:
                json.dump(asdict(measure()), file)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return Measured(**json.loads(text))


def _behind_gunicorn(index: Path, right: Sequence[dict[str, object]], numbers: Sequence[int], threads: int) -> Measured:
    """Ask two workers that were forked from a process with an open detector."""
    (index.parent / "application.py").write_text(_APPLICATION.format(index=str(index)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--threads", str(threads // 2 or 1),
            "--bind", f"127.0.0.1:{port}", "--timeout", "120", "--log-level", "error", "application"]  # fmt: skip
    with subprocess.Popen(call, cwd=index.parent) as server:  # noqa: S603
        try:
            _wait_for(port, server)
            workers = [*_children(server.pid)]

            def ask(number: int) -> bool:
                at = number % len(right)
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{at}", timeout=120) as response:
                    return bool(json.load(response) == right[at])

            for number in numbers[: 4 * threads]:
                ask(number)
            memory, processor = sum(map(resident_bytes, workers)), sum(map(_processor, workers))
            found = _measure(ask, numbers, threads)
            growth, used = sum(map(resident_bytes, workers)) - memory, sum(map(_processor, workers)) - processor
            return Measured(found.seconds, used, growth, found.different)
        finally:
            server.terminate()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            threading.Event().wait(0.2)
    raise ChildProcessError("gunicorn ended before it could be asked")


def _children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _processor(process: int) -> float:
    """Processor seconds of another process; the fields are those of proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _busy_cores(count: int) -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


if __name__ == "__main__":
    raise SystemExit(main())
