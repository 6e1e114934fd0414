"""Change references and the policy of a service under load: does a request fail, is an answer a mixture, does it grow?

Each round puts a reference over HTTP, imports another one as a table, has the command line add a third, swaps the
policy's file, and removes all three again, over HTTP and by the command line. Meanwhile listings with the photos of
just these references are checked all the time. An answer names the index and the policy that it was made with; it
must be what that index with its references, and that policy with its thresholds, say. Prints what was found; the exit
status is 1 if anything was wrong. Runs on Linux.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.errors import LookalikeError
from lookalike.index.store import read_manifest
from lookalike.model.loading import load_encoder
from lookalike.policy.policy import Policy
from lookalike.records import Listing, Reference
from lookalike.scripts.benchmarks.harness import one_line_errors
from lookalike.scripts.benchmarks.served import Server, Stand, bodies, web
from lookalike.scripts.timing import load, show_table
from lookalike.service.client import Client

WAYS = ("put", "import", "command")
_STEADY = 5  # rounds until memory is measured the first time
_SEEN_WITHIN = 20.0  # seconds
_COMMAND = "from lookalike.scripts.cli import main; raise SystemExit(main())"


@dataclass
class Record:
    """What was answered, and which references each index had, by its digest."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    indexes: dict[str, frozenset[str]] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)

    def mixtures(self) -> Iterator[str]:
        """What is wrong with answers: a reference that their index has or lacks, a threshold of another policy."""
        for answer in self.answers:
            versions, wanted = answer["versions"], answer["listing"]
            there = self.indexes.get(versions["index"])
            policy = self.policies.get(versions["policy"])
            if there is None or policy is None:
                yield f"{answer['finding']} was made with an index or a policy that never was: {versions}"
                continue
            found = {each["reference"] for each in answer["candidates"]} & set(WAYS)
            if not found <= there or (wanted in there) != (answer["match"]["reference"] == wanted):
                yield f"{answer['finding']} found {found} in an index with {set(there) or 'none'} of them"
            if {each["flag_threshold"] for each in answer["candidates"]} != {policy.flag}:
                yield f"{answer['finding']} has thresholds that its policy {versions['policy']} doesn't have"


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--askers", type=int, default=4, help="how many check at once")
    arguments = parser.parse_args(argv)
    record = Record()
    with tempfile.TemporaryDirectory() as scratch:
        rounds = Rounds(Stand.made(Path(scratch)), record)
        with (
            rounds.stand.server(
                f"policy={rounds.policy}", "reload_seconds=0.2", "schemes=http", "private=true"
            ) as server,
            _asked(server, rounds, arguments.askers),
            Client(server.address, rounds.stand.key) as client,
        ):
            steady = 0
            for number in range(arguments.rounds):
                rounds.run(client, number)
                print(f"round {number + 1}: {len(record.answers):,} answers", file=sys.stderr)
                if number + 1 == min(_STEADY, arguments.rounds):
                    steady = server.memory
            grown, info = server.memory - steady, client.info()
    wrong = [*record.failures, *record.mixtures()]
    rows = [("rounds", f"{arguments.rounds:,}"), ("answers", f"{len(record.answers):,}"),
            ("of different indexes", f"{len({each['versions']['index'] for each in record.answers}):,}"),
            ("reloads", f"{info['reloads']:,}"), ("reloads that failed", f"{info['failures']:,}"),
            ("failed requests", f"{len(record.failures):,}"), ("mixtures", f"{len(wrong) - len(record.failures):,}"),
            (f"MiB more than after {min(_STEADY, arguments.rounds)} rounds", f"{grown / 2**20:+.0f}")]  # fmt: skip
    show_table(("", "count"), rows, caption=f"load of the machine {load():.1f}")
    for each in wrong[:20]:
        print(each)
    return 1 if wrong else 0


class Rounds:
    """The changes of a round. After each, what the index has is noted under its digest."""

    def __init__(self, stand: Stand, record: Record) -> None:
        self.stand, self._record = stand, record
        self.photos = {way: noise(number) for number, way in enumerate(WAYS)}
        self.policy = stand.folder / "policy.toml"
        weights = load_encoder(device="cpu").spec.weights_sha256
        self._policies = [Policy(f"policy{at}", 0.9 - 0.1 * at, 0.5, weights_sha256=weights) for at in range(2)]
        record.policies.update({str(policy): policy for policy in self._policies})
        self._policies[0].save(self.policy)
        self._there: set[str] = set()
        self._note()

    def run(self, client: Client, number: int) -> None:
        """Add a reference in each way, swap the policy, and remove them again."""
        client.put_reference(Reference("put", "put", "Acme", self.photos["put"]))
        self._noted(added="put")
        self._import(client)
        self._noted(added="import")
        (self.stand.folder / "command.png").write_bytes(self.photos["command"])
        table = self.stand.folder / "command.csv"
        table.write_text("reference_id,image,product_id,brand\ncommand,command.png,command,Acme\n")
        self._command("add", str(table))
        self._noted(added="command")
        policy = self._policies[(number + 1) % 2]
        policy.save(self.policy)
        self._seen(client, policy)
        client.delete_reference("put")
        self._noted(removed="put")
        client.delete_reference("import")
        self._noted(removed="import")
        self._command("remove", "--reference", "command")
        self._noted(removed="command")
        self._seen(client, policy)

    def _import(self, client: Client) -> None:
        with web({"/import.png": self.photos["import"]}) as address:
            table = f"reference_id,image,product_id,brand\nimport,{address}/import.png,import,Acme\n"
            answer = client._http.post("/v1/references:import", content=table, headers={"Content-Type": "text/csv"})
        if answer.status_code != 200 or answer.json()["failures"]:
            raise LookalikeError(f"the import failed: {answer.text}")

    def _command(self, name: str, *given: str) -> None:
        call = [sys.executable, "-c", _COMMAND, name, *given, "--index", str(self.stand.index), "--quiet"]
        done = subprocess.run(call, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            self._record.failures.append(f"lookalike {name}: {done.stderr}")

    def _noted(self, *, added: str | None = None, removed: str | None = None) -> None:
        self._there |= {added} if added else set()
        self._there -= {removed} if removed else set()
        self._note()

    def _note(self) -> None:
        self._record.indexes[read_manifest(self.stand.index)[1]] = frozenset(self._there)

    def _seen(self, client: Client, policy: Policy) -> None:
        """Wait until the service answers with what is on disk."""
        until, digest = time.monotonic() + _SEEN_WITHIN, read_manifest(self.stand.index)[1]
        while time.monotonic() < until:
            versions = client.info()["versions"]
            if (versions["index"], versions["policy"]) == (digest, str(policy)):
                return
            time.sleep(0.05)
        self._record.failures.append(f"{policy} was not seen within {_SEEN_WITHIN:.0f} seconds")


@contextmanager
def _asked(server: Server, rounds: Rounds, askers: int) -> Iterator[None]:
    """Check listings with the photos of the references all the time."""
    listings = [Listing(way, rounds.photos[way]) for way in WAYS]
    asked, stop, record = bodies(listings), threading.Event(), rounds._record

    def ask(number: int) -> None:
        with Client(server.address, rounds.stand.key, retries=0) as client:
            while not stop.is_set():
                number += 1
                try:
                    answer = client._http.post("/v1/check", content=asked[number % len(asked)],
                                               headers={"Content-Type": "application/json"})  # fmt: skip
                except Exception as error:  # noqa: BLE001  any is a failed request
                    record.failures.append(f"check: {type(error).__name__} {error}")
                    continue
                if answer.status_code == 200:
                    record.answers.append(answer.json())
                else:
                    record.failures.append(f"check: {answer.status_code} {answer.text[:300]}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(askers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def noise(seed: int) -> bytes:
    """A picture that resembles nothing but itself."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(cells).resize((240, 240), Image.Resampling.NEAREST).save(data, "PNG")
    return data.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
