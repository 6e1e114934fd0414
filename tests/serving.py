"""A small shop that the tests of the service check listings against, and servers for both on this machine."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
from fastapi import FastAPI
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Policy
from lookalike.index.build import build_index
from lookalike.policy.terms import Reach
from lookalike.records import Reference
from lookalike.service.app import create_app
from lookalike.service.keys import add_key
from lookalike.service.server import listening, server_of
from lookalike.service.services import Services
from lookalike.service.settings import Settings

POLICY = Policy("toy", 0.9, 0.5, reach=Reach(references=0))
SCOPES = {"check": ["check"], "review": ["review"], "admin": ["admin", "check"], "nothing": []}


_STATES: list[Path] = []


@dataclass(frozen=True)
class Place:
    """A folder with an index of toy pictures, a policy and keys."""

    folder: Path
    pictures: list[Path]
    keys: dict[str, str]

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.toml"

    def settings(self, **more: Any) -> Settings:
        given: dict[str, Any] = {
            "index": str(self.index), "policy": str(self.policy), "keys": self.folder / "keys.json",
            "state": self.folder / "state", "reload_seconds": 0.05, "schemes": {"http"}, "private": True,
            "photo_seconds": 5, "threads": 2, **more,
        }  # fmt: skip
        return Settings(**given)


def place_in(folder: Path, count: int = 6, *, textured: bool = False) -> Place:
    """Each reference is a product of its own, with the picture of its number, with points to compare if `textured`."""
    pictures = save_pictures(folder / "photos", count)
    for at, path in enumerate(pictures if textured else ()):
        pixels = np.random.default_rng(at).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).resize((400, 400), Image.Resampling.BICUBIC).save(path)
    rows = [Reference(f"r{at}", f"p{at}", "Acme", path) for at, path in enumerate(pictures)]
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    POLICY.save(folder / "policy.toml")
    keys = {name: add_key(folder / "keys.json", name, each) for name, each in SCOPES.items()}
    return Place(folder, pictures, keys)


def encoded(path: Path) -> dict[str, str]:
    return {"base64": base64.b64encode(path.read_bytes()).decode()}


@dataclass(frozen=True)
class Running:
    """A server that runs, and a client with a key that may do everything."""

    place: Place
    address: str
    client: httpx.Client
    app: FastAPI

    @property
    def services(self) -> Services:
        shared: Services = self.app.state.services
        return shared

    def key(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.place.keys[name]}"}

    def check(self, *photos: dict[str, str], name: str = "L") -> dict[str, Any]:
        answer = self.client.post("/v1/check", json={"id": name, "photos": photos})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def served(place: Place, *, encoder: Any = None, **more: Any) -> Iterator[Running]:
    """The service on a free port of this machine."""
    settings = place.settings(**more)
    if settings.state in _STATES:  # of a server that runs beside this one
        settings = place.settings(**more, state=place.folder / f"state{len(_STATES)}")
    app = create_app(settings, encoder=encoder or ToyEncoder())
    _STATES.append(settings.state)
    with listening("127.0.0.1", 0) as opened:
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        address = f"http://127.0.0.1:{opened.getsockname()[1]}"
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            assert server.started, "the service did not start"
            key = {"Authorization": f"Bearer {place.keys['admin']}"}
            with httpx.Client(base_url=address, timeout=30, headers=key) as client:
                yield Running(place, address, client, app)
        finally:
            server.should_exit = True
            thread.join()
            _STATES.remove(settings.state)


class Photos(ThreadingHTTPServer):
    """Gives pictures, and does what unkind servers do; `asked` counts the requests by path.

    A slow answer comes after its seconds, or once `released` is set.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, pictures: list[Path], host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Photos)
        self.pictures, self.asked, self.released = pictures, Counter[str](), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what some of these tests are about."""


class _Photos(BaseHTTPRequestHandler):
    server: Photos

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        self.server.asked[path.path] += 1
        if path.path.startswith("/picture/"):
            self._give(self.server.pictures[int(path.path.rpartition("/")[2])].read_bytes())
        elif path.path == "/to":
            self.send_response(302)
            self.send_header("Location", parse_qs(path.query)["url"][0])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.path == "/slow":
            self.server.released.wait(float(parse_qs(path.query)["seconds"][0]))
            self._give(self.server.pictures[0].read_bytes())
        elif path.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(bytes(100_000))
        elif path.path == "/drip":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.send_error(404)

    def _give(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def photo_server(pictures: list[Path]) -> Iterator[Photos]:
    with Photos(pictures) as server:
        yield server
        server.shutdown()
