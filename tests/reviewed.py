"""A small shop whose findings the tests of the review look at, and a server that they talk to."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from toy import ToyEncoder, save_pictures

from lookalike import Detector, Listing, Policy, scan_listings
from lookalike.detection.lookup import Lookup
from lookalike.index.build import build_index
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex
from lookalike.records import Reference
from lookalike.review.app import ReviewApp
from lookalike.review.opening import open_review
from lookalike.review.server import listening

POLICY = Policy("toy", 0.9, 0.5)


@dataclass(frozen=True)
class Shop:
    """A findings table, the index that it was made with, and its policy."""

    findings: Path
    index: Path
    policy: Path

    @contextmanager
    def review(self, verdicts: Path, who: str = "anna", **options: Any) -> Iterator[ReviewApp]:
        with open_review(self.findings, verdicts, who, index=self.index, policy=self.policy, **options) as app:
            yield app


def shop_in(folder: Path, count: int, *, noise: float = 60, policy: Policy = POLICY, **fields: Any) -> Shop:
    """Listings with noisy copies of genuine photos, of five sellers; similarities spread around the flag threshold."""
    paths = save_pictures(folder / "photos", max(2, count // 4))
    rows = [Reference(f"r{i}", f"p{i}", f"Brand{i % 3}", path) for i, path in enumerate(paths)]
    build_index(rows, index=folder / "index", encoder=ToyEncoder())
    policy.save(folder / "policy.toml")
    rng, listings = np.random.default_rng(0), []
    for i in range(count):
        pixels = np.asarray(Image.open(paths[i % len(paths)]), float)
        noisy = pixels + rng.normal(0, noise * (i % 7) / 6 + 5, (3, 3, 3)).repeat(10, 0).repeat(10, 1)
        copy = folder / "photos" / f"copy {i}.jpg"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(copy)
        values = {"seller": f"s{i % 5}", "territory": "DE", "price": Decimal(10 + i), "currency": "EUR",
                  "title": f"Title {i}", "url": f"https://example.com/{i}", **fields}  # fmt: skip
        listings.append(Listing(f"L{i}", (copy,), **values))
    detector = Detector(Lookup(ToyEncoder(), ReferenceIndex.load(folder / "index"), PhotoReader()), policy)
    scan_listings(listings, detector=detector, out=folder / "f.parquet")
    return Shop(folder / "f.parquet", folder / "index", folder / "policy.toml")


@dataclass
class Client:
    """Talks to the server as a browser does. `address` holds the one-time token, `headers` what is sent each time."""

    address: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def ask(
        self, path: str, values: object = None, *, method: str | None = None, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; with `values`, they are posted as JSON."""
        data = body if body is not None else None if values is None else json.dumps(values).encode()
        sent = {**self.headers, **({} if data is None else {"Content-Type": "application/json"})}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def enter(self) -> None:
        """Trade the token for the cookie."""
        parts = urlsplit(self.address)
        status, headers, _ = self.ask(f"{parts.path}?{parts.query}")
        assert (status, headers["location"]) == (303, "./")
        self.headers["Cookie"] = headers["set-cookie"].partition(";")[0]

    def json(self, path: str, values: object = None) -> dict[str, Any]:
        status, _, body = self.ask(path, values)
        assert status == 200, body.decode()
        return dict(json.loads(body))


@contextmanager
def served(app: ReviewApp, *, entered: bool = True) -> Iterator[Client]:
    """The review on a free port of this machine, until the end of the test."""
    with listening(app.application()) as ready:
        thread = threading.Thread(target=ready.run)
        thread.start()
        try:
            client = Client(ready.address)
            if entered:
                client.enter()
            yield client
        finally:
            ready.server.should_exit = True
            thread.join()
