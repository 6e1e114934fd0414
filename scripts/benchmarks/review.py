"""Measure the review: from a key to the next finding, and memory over many verdicts.

A table of findings is made from the sample's scan, its rows repeated under new ids. `lookalike review` serves it in a
process of its own. One client asks as the page does (verdict, next finding, evidence, photos) and reports the time from
sending a verdict to having the next finding, and the memory that the process holds. If there is a Chromium, keys are
pressed in it as well, and the time is that from the key to the next finding on the page.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from lookalike.detection.detector import Detector
from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.scanning.scan import scan_listings
from lookalike.scripts.benchmarks.harness import one_line_errors, resident_bytes
from lookalike.scripts.timing import show_table
from lookalike.tables.findings import read_findings, write_findings
from lookalike.tables.inputs import read_listings, read_references

_SERVE = "import sys; from lookalike.scripts.cli import main; sys.exit(main(sys.argv[1:]))"
_OPEN = ("flagged", "review")
_WATCH = """
addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
new MutationObserver(() => { window.took = performance.now() - window.pressed; })
  .observe(document, { subtree: true, attributes: true, attributeFilter: ["data-place"] });
"""


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--findings", type=int, default=20_000, help="findings of the table (default 20,000)")
    parser.add_argument("--verdicts", type=int, default=2_000, help="verdicts to give (default 2,000)")
    parser.add_argument("--keys", type=int, default=300, help="keys to press in the browser (default 300)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, index = make_table(folder, arguments.findings)
        rows = []
        with serving(table, index, folder / "http.jsonl") as (address, process, opened):
            taken, memory = ask_as_the_page(address, process.pid, arguments.verdicts)
            rows.append(["verdict sent → next finding received", *described(taken)])
        browser = shutil.which("chromium")
        if browser is not None and arguments.keys:
            with serving(table, index, folder / "keys.jsonl") as (address, _, _):
                rows.append(
                    ["key → next finding on the page", *described(press_keys(address, browser, arguments.keys))]
                )
    show_table(("", "times", "median", "p99", "most"), rows)
    print(f"opened {arguments.findings:,} findings in {opened:.1f} s")
    print("memory after " + ", ".join(f"{count:,}: {held >> 20:,} MB" for count, held in memory))
    return 0


def make_table(folder: Path, count: int) -> tuple[Path, Path]:
    """A table with that many findings, most of them flagged or in review, and the index that it was made with."""
    sample = Path(str(files("lookalike") / "sample"))
    index, scanned, table = folder / "index", folder / "scanned.jsonl", folder / "findings.parquet"
    build_index(read_references(sample / "references.csv"), index=index, encoder=load_encoder("embedded"))
    scan_listings(read_listings(sample / "listings.csv"), detector=Detector.open(index), out=scanned)
    rows = [row for row in read_findings(scanned) if row["verdict"] in _OPEN]
    repeated = (
        {**row, "listing_id": f"L{at}", "image_sha256": f"{at:064x}", "seller_id": f"s{at % 3001}"}
        for at, row in enumerate(islice(cycle(rows), count))
    )
    write_findings(repeated, table)
    return table, index


@contextlib.contextmanager
def serving(table: Path, index: Path, verdicts: Path) -> Iterator[tuple[str, subprocess.Popen[str], float]]:
    """The review in a process of its own: its address, the process, and the seconds until it was there."""
    call = ["review", str(table), "--index", str(index), "--verdicts", str(verdicts), "--who", "anna", "--quiet"]
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", _SERVE, *call], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process, time.perf_counter() - start
        finally:
            process.terminate()


def ask_as_the_page(address: str, pid: int, count: int) -> tuple[list[float], list[tuple[int, int]]]:
    """Give verdicts one after the other; seconds from each to the next finding, and bytes held after some of them."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as browsers do
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    answer.read()
    headers = {"Cookie": str(answer.getheader("set-cookie")).partition(";")[0], "Content-Type": "application/json"}

    def ask(path: str, values: object = None) -> bytes:
        body = None if values is None else json.dumps(values)
        connection.request("GET" if values is None else "POST", path, body, headers)
        return connection.getresponse().read()

    state: dict[str, Any] = json.loads(ask("/next"))
    taken, memory = [], []
    for given in range(1, count + 1):
        place = state["place"]
        start = time.perf_counter()
        state = json.loads(ask("/verdict", {"place": place, "verdict": "lookalike", "seconds": 1.5}))
        taken.append(time.perf_counter() - start)
        if given % 10 == 0:  # evidence takes longer than a verdict, and people wait for some of it
            for path in (f"/evidence/{state['place']}/0.json", f"/photo/{state['place']}/0.jpg"):
                ask(path)
        if given in (1, 100, count // 4, count // 2, 3 * count // 4, count):
            memory.append((given, resident_bytes(pid)))
    connection.close()
    return taken, memory


def press_keys(address: str, browser: str, count: int) -> list[float]:
    """Press keys in a browser; seconds from each to the next finding on the page, as the page's own clock has it."""
    from playwright.sync_api import expect, sync_playwright

    taken = []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(_WATCH)
        page.goto(address)
        page.locator("#stage").wait_for()
        for _ in range(count):
            before = str(page.locator("html").get_attribute("data-place"))
            page.keyboard.press("l")
            expect(page.locator("html")).not_to_have_attribute("data-place", before)
            taken.append(float(page.evaluate("window.took")) / 1000)
            page.wait_for_timeout(100)
        opened.close()
    return taken


def described(seconds: list[float]) -> list[str]:
    """How many there are, their median, 99th percentile and most, in milliseconds."""
    values = 1000 * np.array(seconds)
    return [f"{len(values):,}", *(f"{value:.0f} ms" for value in (*np.quantile(values, (0.5, 0.99)), values.max()))]


if __name__ == "__main__":
    raise SystemExit(main())
