"""The client asks what the service answers, in threads and in asyncio, and waits when it is told to."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image
from serving import Place, Running, served
from toy import save_pictures

from lookalike import Listing, Reference
from lookalike.scripts.benchmarks.served import web
from lookalike.service.client import AsyncClient, Client, ServiceError


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with served(place, private=True) as server:
        yield server


class Both:
    """Either client, called the same way."""

    def __init__(self, kind: type, address: str, key: str, **options: Any) -> None:
        self._make = lambda: kind(address, key, **options)

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            client = self._make()
            if isinstance(client, Client):
                with client:
                    return getattr(client, name)(*given)

            async def asked() -> Any:
                async with client:
                    return await getattr(client, name)(*given)

            return asyncio.run(asked())

        return call


@pytest.fixture(params=[Client, AsyncClient])
def ask(request: pytest.FixtureRequest, running: Running) -> Any:
    return lambda key="check", **options: Both(request.param, running.address, running.place.keys[key], **options)


def test_a_listing_is_checked_with_photos_of_every_kind(ask: Any, place: Place) -> None:
    with web({"/0.png": place.pictures[0].read_bytes()}) as address:
        images = (f"{address}/0.png", str(place.pictures[1]), place.pictures[2], place.pictures[3].read_bytes())
        listing = Listing("L1", images, "s1", "DE", Decimal("1E+2"), "EUR", "Soap", "https://example.com/1")
        found = ask().check(listing)
    assert (found["listing"], found["verdict"], len(found["photos"])) == ("L1", "flagged", 4)
    assert all(photo["error"] is None for photo in found["photos"])
    assert ask().finding(found["finding"]) == found


def test_evidence_and_tables_come_as_bytes(running: Running, place: Place) -> None:
    with Client(running.address, running.place.keys["check"]) as client:
        found = client.check(Listing("L1", place.pictures[0]))
        assert client.evidence(found["finding"]).startswith(b"\x89PNG")


def test_many_listings_come_back_line_by_line(ask: Any, place: Place) -> None:
    listings = [Listing(f"L{at}", path) for at, path in enumerate(place.pictures)] + [Listing("bad", b"no picture")]
    lines = ask().check_many(listings)
    assert [(line["listing"], line["status"]) for line in lines] == [(listing.id, 200) for listing in listings]
    assert [line["finding"]["verdict"] for line in lines] == ["flagged"] * 6 + ["unreadable"]


def test_a_reference_comes_and_goes(ask: Any, tmp_path: Path) -> None:
    (picture,) = save_pictures(tmp_path, 1, seed=9)
    admin = ask("admin")
    added = admin.put_reference(Reference("new/1 ä", "p9", "Acme", picture))
    assert (added["id"], admin.info()["versions"]["index"]) == ("new/1 ä", added["index"])
    assert admin.check(Listing("L", picture))["match"]["reference"] == "new/1 ä"
    assert admin.delete_reference("new/1 ä") == {}
    with pytest.raises(ServiceError, match="404 not_found") as raised:
        admin.delete_reference("new/1 ä")
    assert (raised.value.status, raised.value.reason) == (404, "not_found")


def test_jobs_are_asked_for(ask: Any) -> None:
    with pytest.raises(ServiceError, match="422 no_table"):
        ask().add_job("day.csv")
    for method in ("job", "end_job", "job_findings"):
        with pytest.raises(ServiceError, match="404 no_job"):
            getattr(ask(), method)("0" * 28)


def test_pixels_are_no_photo_to_send(ask: Any) -> None:
    with pytest.raises(TypeError, match="give an address, a path or the bytes"):
        ask().check(Listing("L1", Image.new("RGB", (9, 9))))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_busy_service_is_asked_again_when_it_says(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def waits(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("lookalike.service.client.time", SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr("lookalike.service.client.asyncio", SimpleNamespace(sleep=waits))

    def answers(*responses: httpx.Response) -> Any:
        left = iter(responses)
        transport = httpx.MockTransport(lambda _: next(left))
        made = (httpx.Client if kind is Client else httpx.AsyncClient)(transport=transport, base_url="http://s")
        client = kind("http://s", "key", retries=2)
        client._http = made
        found = client.info()
        return asyncio.run(found) if inspect.iscoroutine(found) else found

    busy = httpx.Response(429, headers={"Retry-After": "7"}, json={"reason": "queue_full", "detail": "wait"})
    assert answers(busy, busy, httpx.Response(200, json={"a": 1})) == {"a": 1}
    assert waited == [7.0, 7.0]
    with pytest.raises(ServiceError, match="429 queue_full: wait"):
        answers(busy, busy, busy)
    for response in (httpx.Response(503, headers={"Retry-After": "3600"}), httpx.Response(500), httpx.Response(429)):
        with pytest.raises(ServiceError, match="unknown"):
            answers(response)
    assert len(waited) == 4, "it waits no hour, and only where waiting helps"
