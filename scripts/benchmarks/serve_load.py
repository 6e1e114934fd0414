"""Measure the service under load, beside the bare library and the script that everybody would write.

Each of three answers the embedded sample's listings, their photos sent as bytes, asked by 1, 4, 16 and 64 at a time, in
turns: `lookalike serve`; the same detector called by as many threads as there are cores, in this process, without a
network and, as commands do, without OpenCV's own threads; and a script of FastAPI, an open_clip tower and a flat FAISS
index, which embeds and searches and does no more. The tower has random weights, which change no time. Then the
service's memory is measured after some checks and after many. Prints checks a second, the median and the 99th
percentile of their milliseconds, and errors. Who asks runs on the same machine. Runs on Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median, quantiles

from lookalike.cores import available_cores
from lookalike.detection.detector import Detector
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.served import Server, Stand, bodies, said_by
from lookalike.scripts.timing import load, show_table

CONCURRENCY = (1, 4, 16, 64)
SERVICE, LIBRARY, SCRIPT = "lookalike serve", "the bare library", "FastAPI + open_clip + FAISS"
_WARM_UP = 20

_SCRIPT = """
import base64, io, socket, sys
import faiss, numpy as np, open_clip, torch, uvicorn
from fastapi import FastAPI
from PIL import Image
from lookalike.scripts.benchmarks.served import SAMPLE
from lookalike.tables.inputs import read_references

model, _, preprocess = open_clip.create_model_and_transforms({tower!r})
model.eval()

def embed(image):
    with torch.no_grad():
        vector = model.encode_image(preprocess(image.convert("RGB"))[None])
    return torch.nn.functional.normalize(vector).numpy()

references = list(read_references(SAMPLE / "references.csv"))
vectors = np.concatenate([embed(Image.open(each.image)) for each in references])
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
app = FastAPI()

@app.post("/v1/check")
def check(listing: dict):
    best = []
    for photo in listing["photos"]:
        image = Image.open(io.BytesIO(base64.b64decode(photo["base64"])))
        scores, found = index.search(embed(image), 5)
        best.append((float(scores[0][0]), references[found[0][0]].id))
    score, reference = max(best)
    return {{"flagged": score > 0.8, "score": score, "reference": reference}}

opened = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{{opened.getsockname()[1]}}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[opened])
"""


@dataclass(frozen=True)
class Measured:
    """The seconds of every check that was answered, how many were refused or failed, and how long all took."""

    seconds: list[float]
    errors: int
    wall: float

    @property
    def rate(self) -> float:
        """Checks a second."""
        return len(self.seconds) / self.wall

    def row(self, name: str, at_once: int, beside: float | None) -> tuple[str, ...]:
        """The cells of its row; `beside` is the rate that its own is compared with."""
        last = quantiles(self.seconds, n=100)[98] if len(self.seconds) > 1 else self.seconds[0]
        share = "" if not beside else f"{self.rate / beside:.2f}"
        return (name, str(at_once), f"{len(self.seconds):,}", f"{self.rate:.1f}", share,
                f"{1000 * median(self.seconds):.0f}", f"{1000 * last:.0f}", str(self.errors))  # fmt: skip


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="of load in all")
    parser.add_argument("--at-once", type=int, nargs="+", default=CONCURRENCY, help="how many ask at once")
    parser.add_argument("--checks", type=int, default=20_000, help="until memory is measured the last time; 0 for none")
    parser.add_argument("--first", type=int, default=1000, help="checks until memory is measured the first time")
    parser.add_argument("--tower", default="ViT-B-32", help="of the script; none leaves it out")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the service")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        stand = Stand.made(Path(scratch))
        _compare(stand, arguments)
        if arguments.checks:
            _watch_memory(stand, arguments)
    print(f"{available_cores()} cores; load of the machine {load():.1f}")
    return 0


def _compare(stand: Stand, arguments: argparse.Namespace) -> None:
    import cv2

    cv2.setNumThreads(1)
    detector = Detector.open(stand.index, device="cpu")
    asked = bodies(stand.listings)
    with stand.server(*arguments.set) as server, _script(arguments.tower) as script:
        contestants: dict[str, Callable[[int, float], Measured]] = {
            LIBRARY: lambda at_once, seconds: called(detector, stand, at_once, seconds),
            SERVICE: lambda at_once, seconds: asyncio.run(ask(server.address, stand, asked, at_once, seconds=seconds)),
        }
        if script is not None:
            address = script
            contestants[SCRIPT] = lambda at_once, seconds: asyncio.run(
                ask(address, stand, asked, at_once, seconds=seconds)
            )
        each = arguments.seconds / len(contestants) / len(arguments.at_once)
        rows = []
        for at_once in arguments.at_once:
            found = {name: measure(at_once, each) for name, measure in contestants.items()}
            rows += [one.row(name, at_once, found[LIBRARY].rate) for name, one in found.items()]
            print(*rows[-len(found) :], sep="\n", file=sys.stderr)
    show_table(("", "at once", "checks", "a second", "of the library", "p50 ms", "p99 ms", "errors"), rows)


async def ask(
    address: str, stand: Stand, asked: Sequence[bytes], at_once: int, *, seconds: float = 1e9, checks: int = 1 << 40
) -> Measured:
    """Have so many ask at once for that long, or so many checks, each as soon as its last one is answered."""
    import aiohttp

    numbers, taken, errors = count(), list[float](), 0
    headers = {**stand.headers, "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def post(number: int) -> bool:
            async with session.post(f"{address}/v1/check", data=asked[number % len(asked)]) as response:
                await response.read()
                return response.status == 200

        async def one() -> None:
            nonlocal errors
            while (number := next(numbers)) < checks and (begun := time.perf_counter()) < until:
                if await post(number):
                    taken.append(time.perf_counter() - begun)
                else:
                    errors += 1

        await asyncio.gather(*(post(number) for number in range(min(_WARM_UP, at_once))))
        start = time.perf_counter()
        until = start + seconds
        await asyncio.gather(*(one() for _ in range(at_once)))
        return Measured(taken, errors, time.perf_counter() - start)


def called(detector: Detector, stand: Stand, at_once: int, seconds: float) -> Measured:
    """The same listings, judged by the library itself, in as many threads as would be asked at once, or as cores."""
    listings, numbers, taken = stand.listings, count(), list[float]()
    start = time.perf_counter()
    until = start + seconds

    def one() -> None:
        while (begun := time.perf_counter()) < until:
            detector.check(listings[next(numbers) % len(listings)])
            taken.append(time.perf_counter() - begun)

    threads = min(at_once, available_cores())
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(one) for _ in range(threads)]:
            done.result()
    return Measured(taken, 0, time.perf_counter() - start)


def _watch_memory(stand: Stand, arguments: argparse.Namespace) -> None:
    asked = bodies(stand.listings)
    with stand.server(*arguments.set) as server:
        rows = [("at the start", "0", _mebibytes(server))]
        done = 0
        for checks in (arguments.first, arguments.checks):
            measured = asyncio.run(ask(server.address, stand, asked, 16, checks=checks - done))
            done = checks
            rows.append((f"{measured.errors} errors", f"{done:,}", _mebibytes(server)))
        show_table(("memory of the service", "checks", "MiB"), rows)


def _mebibytes(server: Server) -> str:
    return f"{server.memory / 2**20:.0f}"


@contextmanager
def _script(tower: str) -> Iterator[str | None]:
    """The script that everybody would write, at its address; None if it is left out."""
    if tower == "none" or importlib.util.find_spec("fastapi") is None:
        yield None
        return
    call = [sys.executable, "-W", "ignore", "-c", _SCRIPT.format(tower=tower)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            yield said_by(process)
        finally:
            process.kill()


if __name__ == "__main__":
    raise SystemExit(main())
