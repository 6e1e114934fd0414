"""A small shop and a service for it, one for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Place, Running, place_in, served


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_in(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    with served(place) as server:
        yield server
