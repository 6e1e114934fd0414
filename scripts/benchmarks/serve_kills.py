"""Kill a service in the middle of jobs and imports, again and again: is anything lost, do jobs end right?

Each round starts `lookalike serve`, hands in a job, puts and imports references all the time, and kills the server
(SIGKILL) at a random moment. At the end one server is left in peace until all jobs have ended. Then every job that
was taken must be done, with the verdicts of an undisturbed scan; every reference whose answer came must be in the
index; the index must be as it was written; findings that were answered must be found; and no worker may be left.
Prints what was found; the exit status is 1 if anything was wrong. Runs on Linux.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pyarrow.parquet as pq

from lookalike.errors import LookalikeError
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Listing, Reference
from lookalike.scanning.tables import DetectorSettings, scan_table
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.serve_changes import noise
from lookalike.scripts.benchmarks.served import SAMPLE, Server, Stand, web
from lookalike.scripts.timing import load, show_table
from lookalike.service.client import Client, ServiceError
from lookalike.tables.findings import read_findings

Verdicts = dict[str, tuple[str, str | None]]
"""The verdict and the product of each listing."""


@dataclass
class Promised:
    """What the service said it had taken, and the `workers` of servers that were killed."""

    jobs: list[str] = field(default_factory=list)
    references: set[str] = field(default_factory=set)
    findings: list[str] = field(default_factory=list)
    workers: list[psutil.Process] = field(default_factory=list)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds until a server is killed, at most")
    parser.add_argument("--listings", type=int, default=60, help="of a job's table")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng, promised, wrong = random.Random(arguments.seed), Promised(), list[str]()  # noqa: S311
    with tempfile.TemporaryDirectory() as scratch:
        stand = Stand.made(Path(scratch))
        right = _prepared(stand, arguments.listings)
        photos = {f"/{number}.png": noise(1000 + number) for number in range(50)}
        with web(photos) as address:
            settings = (f"tables_under={stand.folder / 'tables'}", "schemes=http", "private=true", "reload_seconds=0.2")
            for number in range(arguments.rounds):
                with stand.server(*settings) as server:
                    _disturbed(server, stand, address, number, rng.uniform(0.2, arguments.longest), promised)
                print(f"round {number + 1}: {promised_so_far(promised)}", file=sys.stderr)
            with stand.server(*settings) as server, Client(server.address, stand.key) as client:
                wrong += _jobs(client, promised, right)
                wrong += [f"finding {name} is lost" for name in promised.findings if not _is_found(client, name)]
        wrong += _index(stand, promised)
        wrong += [f"worker {each.pid} is left" for each in promised.workers if each.is_running()]
    rows = [("kills", f"{arguments.rounds:,}"), ("jobs taken", f"{len(promised.jobs):,}"),
            ("references taken", f"{len(promised.references):,}"), ("findings answered", f"{len(promised.findings):,}"),
            ("faults", f"{len(wrong):,}")]  # fmt: skip
    show_table(("", "count"), rows, caption=f"load of the machine {load():.1f}")
    for each in wrong[:20]:
        print(each)
    return 1 if wrong else 0


def promised_so_far(promised: Promised) -> str:
    """In words."""
    return f"{len(promised.jobs)} jobs, {len(promised.references)} references, {len(promised.findings)} findings"


def _prepared(stand: Stand, count: int) -> Verdicts:
    """Write the table of the jobs, and give what an undisturbed scan finds in it."""
    tables = stand.folder / "tables"
    tables.mkdir()
    (tables / "images").symlink_to(SAMPLE / "images")
    listed = [(each.id, image) for each in stand.listings for image in each.images]
    for number, (_, image) in enumerate(listed):
        (tables / f"{number}.jpg").write_bytes(image)  # type: ignore[arg-type]
    rows = [f"{listed[at % len(listed)][0]}-{at},{at % len(listed)}.jpg" for at in range(count)]
    (tables / "listings.csv").write_text("\n".join(["listing_id,image", *rows]))
    scan_table(tables / "listings.csv", stand.folder / "right.parquet",
               settings=DetectorSettings(stand.index, device="cpu"))  # fmt: skip
    return _verdicts(stand.folder / "right.parquet")


def _verdicts(table: Path) -> Verdicts:
    return {row["listing_id"]: (row["verdict"], row["product_id"] if row["verdict"] != "clear" else None)
            for row in read_findings(table)}  # fmt: skip


def _disturbed(server: Server, stand: Stand, photos: str, round_: int, seconds: float, promised: Promised) -> None:
    """Hand in work until the server is killed, which is after so many seconds."""

    def kill() -> None:
        promised.workers += psutil.Process(server.process.pid).children()
        server.kill()

    killer = threading.Timer(seconds, kill)
    killer.start()
    try:
        with suppress(httpx.HTTPError), Client(server.address, stand.key, retries=0) as client:
            promised.jobs.append(client.add_job("listings.csv")["id"])
            for number in range(10_000):
                name = f"{round_}-{number}"
                if number % 2:
                    client.put_reference(Reference(f"put-{name}", f"put-{name}", "Noise", noise(round_ * 100 + number)))
                    promised.references.add(f"put-{name}")
                else:
                    _import(client, name, f"{photos}/{number % 50}.png")
                    promised.references.add(f"import-{name}")
                found = client.check(Listing(name, stand.listings[number % len(stand.listings)].images))
                promised.findings.append(found["finding"])
    finally:
        killer.join()


def _import(client: Client, name: str, photo: str) -> None:
    table = f"reference_id,image,product_id,brand\nimport-{name},{photo},import-{name},Noise\n"
    answer = client._http.post("/v1/references:import", content=table, headers={"Content-Type": "text/csv"})
    if answer.status_code != 200 or answer.json()["failures"]:
        raise LookalikeError(f"the import failed: {answer.text}")


def _jobs(client: Client, promised: Promised, right: Verdicts) -> list[str]:
    """What is wrong with the jobs, once all have ended."""
    wrong = []
    for name in promised.jobs:
        while (job := client.job(name))["state"] in ("waiting", "running"):
            time.sleep(0.5)
        if job["state"] != "done":
            wrong.append(f"job {name} is {job['state']}: {job['error']}")
            continue
        table = pq.read_table(io.BytesIO(client.job_findings(name))).to_pylist()
        found = {row["listing_id"]: (row["verdict"], row["product_id"] if row["verdict"] != "clear" else None)
                 for row in table}  # fmt: skip
        if found != right or len(table) != len(right):
            differ = [(each, found.get(each), right[each]) for each in right if found.get(each) != right[each]]
            wrong.append(f"job {name} found {len(table)} of {len(right)} listings, of which these differ: {differ[:3]}")
    return wrong


def _is_found(client: Client, name: str) -> bool:
    try:
        return bool(client.finding(name)["finding"] == name)
    except ServiceError:
        return False


def _index(stand: Stand, promised: Promised) -> list[str]:
    """What is wrong with the index, which is checked whole."""
    there = set(ReferenceIndex.load(stand.index, verify=True).catalogue["reference_id"].to_pylist())
    return [f"reference {name} is lost" for name in sorted(promised.references - there)]


if __name__ == "__main__":
    raise SystemExit(main())
