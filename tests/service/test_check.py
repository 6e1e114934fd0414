"""A listing goes in, its finding comes out: the one that the library makes, and nothing of a photo's bytes."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from serving import POLICY, Photos, Place, Running, encoded, photo_server, place_in, served
from toy import ToyEncoder
from workers import until

from lookalike import Detector, Listing, Policy
from lookalike.detection.lookup import Lookup
from lookalike.index.embedding import PhotoReader
from lookalike.index.reference_index import ReferenceIndex


@pytest.fixture(scope="module")
def photos(place: Place) -> Iterator[Photos]:
    with photo_server(place.pictures) as server:
        yield server


def noisy(path: Path, target: Path, noise: float) -> Path:
    pixels = np.asarray(Image.open(path), float)
    changed = pixels + np.random.default_rng(1).normal(0, noise, (3, 3, 3)).repeat(10, 0).repeat(10, 1)
    Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8)).save(target)
    return target


def test_the_finding_is_the_library_s_own(running: Running, tmp_path: Path) -> None:
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(running.place.index), PhotoReader())
    detector = Detector(lookup, POLICY)
    verdicts = set()
    for at, noise in enumerate((0, 60, 90, 150, 250)):
        photo = noisy(running.place.pictures[at], tmp_path / f"{at}.png", noise)
        expected = detector.check(Listing("L", photo.read_bytes()))
        found = running.check(encoded(photo))
        best = expected.matches[0]
        assert found["verdict"] == expected.verdict
        assert found["match"]["reference"] == best.reference.id
        assert found["match"]["similarity"] == pytest.approx(best.similarity, abs=1e-6)
        assert found["match"]["threshold"] == expected.threshold
        assert [each["product"] for each in found["candidates"]] == [m.reference.product for m in expected.matches]
        verdicts.add(found["verdict"])
    assert verdicts == {"flagged", "review", "clear"}


def test_a_photo_comes_as_bytes_as_an_address_or_as_a_file(running: Running, photos: Photos) -> None:
    path = running.place.pictures[3]
    sha256 = running.check(encoded(path))["photos"][0]["sha256"]
    found = running.check({"url": f"{photos.address}/picture/3"})
    assert (found["verdict"], found["match"]["reference"]) == ("flagged", "r3")
    assert found["photos"] == [
        {"name": f"{photos.address}/picture/3", "sha256": sha256, "reason": None, "error": None, "hint": None}
    ]
    form = running.client.post(
        "/v1/check",
        data={"id": "L9", "title": "Ürün", "price": "19.99"},
        files=[("photo", path.read_bytes()), ("photo", running.place.pictures[4].read_bytes())],
    )
    assert form.status_code == 200, form.text
    assert (form.json()["listing"], form.json()["match"]["reference"]) == ("L9", "r3")
    assert (len(form.json()["photos"]), form.json()["photos"][0]["sha256"]) == (2, sha256)


def test_a_photo_by_address_is_fetched_once(running: Running, photos: Photos) -> None:
    before = photos.asked["/picture/2"]
    running.check({"url": f"{photos.address}/picture/2"})
    assert photos.asked["/picture/2"] == before + 1


def test_an_answer_names_its_versions_and_stages_and_holds_no_bytes(running: Running) -> None:
    photo = encoded(running.place.pictures[1])
    found = running.check(photo, photo)
    index = ReferenceIndex.load(running.place.index)
    assert found["versions"] == {
        "index": index.digest, "harmless": None, "policy": str(POLICY), "encoder": str(ToyEncoder().spec),
        "rights": None,
    }  # fmt: skip
    assert set(found["milliseconds"]) == {"fetching", "reading", "embedding", "comparing", "total"}
    assert found["milliseconds"]["total"] >= max(found["milliseconds"].values()) > 0
    assert len(found["finding"]) == 24 and found["finding"] != running.check(photo)["finding"]
    assert photo["base64"][:40] not in json.dumps(found)


def test_a_photo_that_cannot_be_read_is_said_and_the_others_decide(running: Running, photos: Photos) -> None:
    broken = {"base64": base64.b64encode(b"no picture").decode()}
    found = running.check(broken, {"url": f"{photos.address}/nothing"}, encoded(running.place.pictures[5]))
    assert (found["verdict"], found["match"]["reference"]) == ("flagged", "r5")
    assert [each["reason"] for each in found["photos"]] == ["format", "http_status", None]
    assert "the server answered 404" in found["error"]
    alone = running.check(broken)
    assert (alone["verdict"], alone["match"], alone["candidates"]) == ("unreadable", None, [])


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "data:image/png;base64,AAAA", "s3://bucket/key"])
def test_no_file_of_the_server_is_read_as_a_photo(running: Running, path: str) -> None:
    found = running.check({"url": path})
    assert found["verdict"] == "unreadable"
    assert found["photos"][0]["reason"] in ("not_allowed", "scheme")


def test_the_likeliest_are_compared_point_by_point_with_the_bytes_that_were_sent(tmp_path: Path) -> None:
    place = place_in(tmp_path, textured=True)
    Policy("points", 0.9, 0.5).save(place.policy)
    with served(place) as server:
        found = server.check(encoded(place.pictures[1]))
        match = found["match"]
        assert (found["kind"], match["reference"], match["mirrored"]) == ("copied_photo", "r1", False)
        assert match["points"] > 50 and match["coverage"] > 0.9


def test_a_batch_answers_a_line_for_each_listing_in_order(running: Running) -> None:
    pictures = [encoded(path) for path in running.place.pictures]
    listings = [{"id": f"L{at}", "photos": [photo]} for at, photo in enumerate(pictures)]
    listings.insert(2, {"id": "bad", "photos": [{"base64": "###"}]})
    answer = running.client.post("/v1/check:batch", json={"listings": listings})
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["listing"], line["status"]) for line in lines] == [
        ("L0", 200), ("L1", 200), ("bad", 422), ("L2", 200), ("L3", 200), ("L4", 200), ("L5", 200),
    ]  # fmt: skip
    found = [line["finding"]["match"]["reference"] for line in lines if line["finding"]]
    assert found == [f"r{at}" for at in range(6)]
    assert lines[2]["problem"]["reason"] == "base64"
    assert len({line["finding"]["versions"]["index"] for line in lines if line["finding"]}) == 1


def test_many_at_once_get_their_own_answers(running: Running) -> None:
    pictures = [encoded(path) for path in running.place.pictures]

    def ask(number: int) -> bool:
        found = running.check(pictures[number % 6], pictures[number % 6], name=f"L{number}")
        return (found["listing"], found["match"]["reference"]) == (f"L{number}", f"r{number % 6}")

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
    assert running.services.checks.waiting == 0
    assert running.services.checks.room.taken == 0


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"id": "L"}, "body.photos"),
        ({"id": "L", "photos": []}, "body.photos"),
        ({"id": "", "photos": [{"url": "http://x"}]}, "body.id"),
        ({"id": "L", "photos": [{}]}, "body.photos.0"),
        ({"id": "L", "photos": [{"url": "http://x", "base64": "AAAA"}]}, "body.photos.0"),
        ({"id": "L", "photos": [{"url": "http://x"}], "colour": "red"}, "body.colour"),
        ({"id": "L", "photos": [{"url": "http://x"}], "price": 19.99}, "body.price"),
        ({"id": "L", "photos": [{"url": "http://x"}], "price": "-1"}, "body.price"),
        ({"id": "L", "photos": [{"url": "http://x"}] * 101}, "body.photos"),
        ([], "body"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_where(running: Running, body: object, where: str) -> None:
    answer = running.client.post("/v1/check", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["where"].startswith(where)


def test_what_a_request_held_is_not_repeated(running: Running) -> None:
    secret = "secret-" * 50
    for body in ({"id": [secret], "photos": []}, {"id": "L", "photos": [{"base64": secret + "#"}]}):
        answer = running.client.post("/v1/check", json=body)
        assert (answer.status_code, secret in answer.text) == (422, False)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b""),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"id": "\\ud800", "photos": [{"url": "x", "\\ud800": 1}]}'),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nno header"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="id"\r\n\r\nL\r\n--x--\r\n'),
    ],
)
@pytest.mark.parametrize("path", ["/v1/check", "/v1/check:batch"])
def test_a_damaged_body_is_a_bad_request(running: Running, path: str, kind: str, body: bytes) -> None:
    answer = running.client.post(path, content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_types_are_refused(running: Running, kind: str) -> None:
    answer = running.client.post("/v1/check", content=b"id=L", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["reason"]) == (415, "media_type")


def test_what_is_not_done_by_the_deadline_is_said_and_the_rest_decides(place: Place, photos: Photos) -> None:
    with served(place, deadline_seconds=1.5) as server:
        start = time.monotonic()
        slow = {"url": f"{photos.address}/slow?seconds=60"}
        found = server.check(slow, encoded(place.pictures[0]), *[slow] * 20)
        assert time.monotonic() - start < 20
        assert (found["verdict"], found["match"]["reference"]) == ("flagged", "r0")
        reasons = [each["reason"] for each in found["photos"]]
        assert reasons[1] is None and set(reasons) - {"deadline", "timeout"} == {None}


class Waits(ToyEncoder):
    """Embeds at once, until it is told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.later: threading.Event | None = None

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if self.later is not None:
            self.later.wait(60)
        return super().embed(inputs)


def test_the_seconds_of_what_was_not_done_in_time_are_counted(place: Place) -> None:
    encoder = Waits()
    with served(place, encoder=encoder, deadline_seconds=1.0) as server:
        encoder.later = threading.Event()
        found = server.check(encoded(place.pictures[0]))
        encoder.later.set()
    assert (found["verdict"], found["photos"][0]["reason"]) == ("unreadable", "deadline")
    assert found["milliseconds"]["reading"] > 0


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(place: Place) -> None:
    with (
        photo_server(place.pictures) as photos,
        served(place, queue=2, photo_seconds=20) as server,
        ThreadPoolExecutor(3) as pool,
    ):
        slow = {"id": "L", "photos": [{"url": f"{photos.address}/slow?seconds=60"}]}
        one = pool.submit(server.client.post, "/v1/check", json=slow)
        many = pool.submit(server.client.post, "/v1/check:batch", json={"listings": [slow] * 3})
        until(lambda: server.services.checks.waiting == 2)
        refused = server.client.post("/v1/check", json=slow)
        assert not one.done() and not many.done()
        photos.released.set()
        assert (refused.status_code, refused.json()["reason"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert (one.result().status_code, many.result().status_code) == (200, 200)
        assert server.check(encoded(place.pictures[0]))["verdict"] == "flagged"
        assert server.services.checks.waiting == 0


def test_a_photo_is_no_larger_than_it_may_be_however_it_comes(place: Place, photos: Photos) -> None:
    size = place.pictures[0].stat().st_size
    given = [encoded(place.pictures[0]), {"url": f"{photos.address}/picture/0"}]
    with served(place, photo_bytes=size - 1) as server:
        assert [each["reason"] for each in server.check(*given)["photos"]] == ["too_large", "too_large"]
    with served(place, photo_bytes=size) as server:
        assert [each["reason"] for each in server.check(*given)["photos"]] == [None, None]


def test_photos_beyond_the_memory_for_them_are_refused_and_it_is_given_back(place: Place, photos: Photos) -> None:
    body = json.dumps({"id": "L", "photos": [{"url": f"{photos.address}/picture/0"}] * 20}).encode()
    with served(place, memory_bytes=len(body) + 5 * place.pictures[0].stat().st_size) as server:
        for _ in range(2):
            answer = server.client.post("/v1/check", content=body, headers={"Content-Type": "application/json"})
            reasons = [each["reason"] for each in answer.json()["photos"]]
            assert (reasons.count(None), reasons.count("no_room")) == (5, 15)
            assert server.services.checks.room.taken == 0
