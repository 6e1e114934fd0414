"""Bodies that are too large, packed, slow or endless get the right status, in time, and take no memory."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from serving import Place, Running, encoded, served
from workers import until

MiB = 2**20


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with served(place, body_bytes=2 * MiB, body_seconds=2.0) as server:
        yield server


@contextmanager
def connected(running: Running, headers: str) -> Iterator[socket.socket]:
    """A connection on which the head of a check was sent."""
    place = urlsplit(running.address)
    with closing(socket.create_connection((str(place.hostname), place.port or 0), timeout=20)) as client:
        head = f"POST /v1/check HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n{headers}\r\n\r\n"
        client.sendall(head.encode())
        yield client


def parts(size: int) -> Iterator[bytes]:
    for _ in range(size // MiB):
        yield bytes(MiB)


def still_answers(running: Running) -> bool:
    return running.check(encoded(running.place.pictures[0]))["verdict"] == "flagged"


@pytest.mark.parametrize("path", ["/v1/check", "/v1/check:batch", "/v1/references:import", "/v1/nothing"])
@pytest.mark.parametrize("chunked", [False, True])
def test_fifty_megabytes_are_refused_before_they_are_read_whole(running: Running, path: str, chunked: bool) -> None:
    body = parts(50 * MiB) if chunked else bytes(50 * MiB)
    answer = running.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert running.services.checks.room.taken == 0
    assert still_answers(running)


def test_who_reads_no_answer_before_everything_is_sent_gets_one_all_the_same(running: Running) -> None:
    for key, status in ((running.place.keys["check"], b"413"), ("wrong", b"401")):
        with connected(running, f"Content-Length: {30 * MiB}\r\nAuthorization: Bearer {key}") as client:
            client.sendall(bytes(30 * MiB))
            assert client.recv(65536).split()[1] == status


def test_the_largest_body_that_is_allowed_passes(running: Running) -> None:
    body = json.dumps({"id": "L", "photos": [encoded(running.place.pictures[0])]}).encode()
    for size, status in ((2 * MiB, 200), (2 * MiB + 1, 413)):
        answer = running.client.post(
            "/v1/check", content=body.ljust(size), headers={"Content-Type": "application/json"}
        )  # fmt: skip
        assert answer.status_code == status


def test_without_a_key_nothing_of_a_body_is_read(running: Running) -> None:
    with httpx.Client(base_url=running.address, timeout=30) as stranger:
        answer = stranger.post("/v1/check", content=parts(50 * MiB))
    assert (answer.status_code, answer.json()["reason"]) == (401, "key")
    assert running.services.checks.room.taken == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip"])
def test_packed_bodies_are_refused_unpacked_or_not(running: Running, encoding: str) -> None:
    bomb = gzip.compress(bytes(50 * MiB))
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = running.client.post("/v1/check", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (415, "encoding")


def test_five_hundred_photos_are_too_many(running: Running) -> None:
    photo = encoded(running.place.pictures[0])
    for body in ({"id": "L", "photos": [photo] * 500}, {"id": "L", "photos": [{"url": "https://example.com/a"}] * 500}):
        assert running.client.post("/v1/check", json=body).status_code == 422
    files = [("photo", running.place.pictures[0].read_bytes())] * 500
    answer = running.client.post("/v1/check", data={"id": "L"}, files=files)
    assert (answer.status_code, answer.json()["reason"]) == (422, "too_many_photos")
    batch = {"listings": [{"id": "L", "photos": [photo]}] * 500}
    assert running.client.post("/v1/check:batch", json=batch).status_code == 422


def test_a_body_that_does_not_come_is_given_up(running: Running) -> None:
    with connected(running, f"Content-Length: 1000\r\nAuthorization: Bearer {running.place.keys['check']}") as client:
        start = time.monotonic()
        client.sendall(b"{")
        answer = client.recv(65536)
        assert time.monotonic() - start > 1.9
    assert answer.startswith(b"HTTP/1.1 408 ") and b"connection: close" in answer.lower()


def test_a_client_that_goes_away_leaves_nothing_behind(running: Running) -> None:
    room = running.services.checks.room
    for _ in range(5):
        headers = f"Content-Length: 1000000\r\nAuthorization: Bearer {running.place.keys['check']}"
        with connected(running, headers) as client:
            client.sendall(bytes(1000))
            until(lambda: room.taken > 0)
        until(lambda: room.taken == 0)
    metrics = running.client.get("/metrics").text
    assert 'lookalike_requests_total{route="other",status="499"} 5.0' in metrics


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "99999999999999999999999", "1, 1"])
def test_a_length_that_makes_no_sense_is_a_bad_request(running: Running, length: str) -> None:
    key = running.place.keys["check"]
    with connected(running, f"Content-Length: {length}\r\nAuthorization: Bearer {key}") as client:
        assert client.recv(65536).split()[1] in (b"400", b"408", b"413", b"415")
    assert still_answers(running)


def test_a_head_that_does_not_end_is_cut_off(running: Running) -> None:
    place, sent = urlsplit(running.address), 0
    with closing(socket.create_connection((str(place.hostname), place.port or 0), timeout=10)) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\nHost: {place.netloc}\r\n".encode())
        with suppress(ConnectionError):
            for _ in range(20 * 1024):
                client.sendall(b"X-More: " + bytes(1014).replace(b"\0", b"x") + b"\r\n")
                sent += 1024
    assert sent < 10 * MiB
    assert still_answers(running)


def test_bodies_beyond_the_memory_for_all_of_them_wait_for_another_time(place: Place) -> None:
    with served(place, memory_bytes=MiB) as server:
        answer = server.client.post("/v1/check", content=bytes(2 * MiB), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["reason"]) == (429, "no_room")
        assert answer.headers["retry-after"] == "1"
        assert server.services.checks.room.taken == 0
        assert still_answers(server)
