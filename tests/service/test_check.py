"""A listing goes in, its finding comes out."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Place, Running, place_in, served


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_in(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with served(place) as server:
        yield server


def encoded(path: Path) -> dict[str, str]:
    return {"base64": base64.b64encode(path.read_bytes()).decode()}


def test_a_copy_of_a_genuine_photo_is_flagged(running: Running) -> None:
    answer = running.client.post("/v1/check", json={"id": "L1", "photos": [encoded(running.place.pictures[2])]})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["verdict"], found["match"]["reference"], found["listing"]) == ("flagged", "r2", "L1")
    assert found["match"]["similarity"] == pytest.approx(1, abs=1e-5)
