"""`lookalike serve` in a process of its own, over the embedded sample, for the benchmarks of the service."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

from lookalike.errors import LookalikeError
from lookalike.index.build import build_index
from lookalike.model.loading import load_encoder
from lookalike.records import Listing
from lookalike.scripts.benchmarks.harness import shared_out_bytes
from lookalike.service.keys import add_key
from lookalike.tables.inputs import read_listings, read_references

SAMPLE = Path(str(files("lookalike") / "sample"))

_COMMAND = "from lookalike.scripts.cli import main; raise SystemExit(main())"


@dataclass(frozen=True)
class Stand:
    """A folder with an index of the sample, its keys, and what a server keeps there. The key has all scopes."""

    folder: Path
    key: str

    @classmethod
    def made(cls, folder: Path) -> Stand:
        """Build the index."""
        build_index(
            read_references(SAMPLE / "references.csv"), index=folder / "index", encoder=load_encoder(device="cpu")
        )
        return cls(folder, add_key(folder / "keys.json", "benchmark", ["check", "review", "admin"]))

    @property
    def index(self) -> Path:
        """The index folder."""
        return self.folder / "index"

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        return {"Authorization": f"Bearer {self.key}"}

    @cached_property
    def listings(self) -> list[Listing]:
        """The sample's listings, with the bytes of their photos."""
        listed = read_listings(SAMPLE / "listings.csv")
        return [Listing(each.id, [Path(str(image)).read_bytes() for image in each.images]) for each in listed]

    @contextmanager
    def server(self, *settings: str) -> Iterator[Server]:
        """The service, ready, with more settings as NAME=VALUE; it ends with the block, if it hasn't before."""
        call = [
            sys.executable, "-c", _COMMAND, "serve", "--index", str(self.index), "--keys",
            str(self.folder / "keys.json"), "--state", str(self.folder / "state"), "--port", "0",
            *(part for each in settings for part in ("--set", each)),
        ]  # fmt: skip
        with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
            try:
                yield Server(process, said_by(process))
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(40)
                    except subprocess.TimeoutExpired:
                        process.kill()


@dataclass(frozen=True)
class Server:
    """A server that is ready, at its address."""

    process: subprocess.Popen[str]
    address: str

    @property
    def memory(self) -> int:
        """The bytes that it and its processes hold; what several share counts once (PSS)."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = (pid for thread in threads for pid in (thread / "children").read_text().split())
        return shared_out_bytes(self.process.pid) + sum(map(shared_out_bytes, children))

    def kill(self) -> None:
        """Kill it at once."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def said_by(process: subprocess.Popen[str]) -> str:
    """The first line that a process prints. Raises LookalikeError if it ends without one."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise LookalikeError(f"the server ended with the exit status {process.wait()} before it was ready")
    return line


def body(listing: Listing) -> bytes:
    """A listing as the body of a check."""
    photos = [{"base64": base64.b64encode(bytes(image)).decode()} for image in listing.images]  # type: ignore[arg-type]
    return json.dumps({"id": listing.id, "photos": photos}).encode()


def bodies(listings: Sequence[Listing]) -> list[bytes]:
    """The bodies of checks, made once: what asks should take little time beside what answers."""
    return list(map(body, listings))


@contextmanager
def web(files: Mapping[str, bytes]) -> Iterator[str]:
    """A web server on this machine with these files, by their paths; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path.partition("?")[0])
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
