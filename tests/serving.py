"""A small shop that the tests of the service check listings against, and a server for them on this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from toy import ToyEncoder, save_pictures

from lookalike import Policy
from lookalike.index.build import build_index
from lookalike.records import Reference
from lookalike.service.app import create_app
from lookalike.service.keys import add_key
from lookalike.service.settings import Settings

POLICY = Policy("toy", 0.9, 0.5)


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
            "state": self.folder / "state", "reload_seconds": 0.05, "schemes": {"http", "https"}, **more,
        }  # fmt: skip
        return Settings(**given)


def place_in(folder: Path, count: int = 6) -> Place:
    """Each reference is a product of its own, with the picture of its number."""
    pictures = save_pictures(folder / "photos", count)
    rows = [Reference(f"r{at}", f"p{at}", "Acme", path) for at, path in enumerate(pictures)]
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    POLICY.save(folder / "policy.toml")
    scopes = {"check": ["check"], "review": ["review"], "admin": ["admin", "check"], "nothing": []}
    keys = {name: add_key(folder / "keys.json", name, each) for name, each in scopes.items()}
    return Place(folder, pictures, keys)


@dataclass(frozen=True)
class Running:
    """A server that runs, and what is sent to it by default: the key of scope check."""

    place: Place
    address: str
    client: httpx.Client
    app: Any

    def key(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.place.keys[name]}"}


@contextmanager
def served(place: Place, *, encoder: Any = None, **more: Any) -> Iterator[Running]:
    """The service on a free port of this machine."""
    app = create_app(place.settings(**more), encoder=encoder or ToyEncoder())
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        address = f"http://127.0.0.1:{opened.getsockname()[1]}"
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            assert server.started, "the service did not start"
            with httpx.Client(base_url=address, timeout=30) as client:
                client.headers["Authorization"] = f"Bearer {place.keys['check']}"
                yield Running(place, address, client, app)
        finally:
            server.should_exit = True
            thread.join()
