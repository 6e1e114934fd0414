"""An index that is adapted while it is served: checks, changes of references and harmless photos go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import Running, encoded, place_in, served
from toy import ToyEncoder, drawn_adapter, save_pictures
from workers import until

from lookalike import Detector, Listing, Lookup, PhotoReader
from lookalike.index.build import adapt_index, load_harmless
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.adapter import AdaptedEncoder
from lookalike.policy.shipped import open_policy


def encoder_of(running: Running) -> str:
    return str(running.client.get("/v1/info").json()["versions"]["encoder"])


def test_an_index_is_adapted_and_that_undone_while_it_is_served(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    new = save_pictures(tmp_path / "new", 1, seed=5)[0]
    adapter = drawn_adapter(ToyEncoder().spec)
    with served(place) as running:
        photo = encoded(new)
        plain = running.check(photo)["candidates"][0]["similarity"]
        adapted = adapt_index(adapter, index=place.index)
        until(lambda: "+adapter@" in encoder_of(running))
        answer = running.check(photo)
        lookup = Lookup(AdaptedEncoder(ToyEncoder(), adapter), ReferenceIndex.load(place.index), PhotoReader())
        detector = Detector(lookup, open_policy(place.policy))
        matches = detector.check(Listing("L", new)).matches
        assert [each["similarity"] for each in answer["candidates"]] == pytest.approx([m.similarity for m in matches])
        assert answer["versions"]["encoder"] == str(adapted.spec)
        assert answer["candidates"][0]["similarity"] != pytest.approx(plain, abs=1e-4)

        for kind in ("references", "harmless"):
            values = {"product": "new", "brand": "Acme", "photo": photo} if kind == "references" else {"photo": photo}
            put = running.client.put(f"/v1/{kind}/new", json=values)
            assert put.is_success, put.text
        assert running.check(photo)["candidates"][0]["similarity"] == pytest.approx(1, abs=1e-5)
        added = ReferenceIndex.load(place.index)
        assert added.reference("new") is not None and added.adapter is not None

        adapt_index(None, index=place.index)
        until(lambda: "+adapter@" not in encoder_of(running))
        assert running.check(photo)["candidates"][0]["similarity"] == pytest.approx(1, abs=1e-5)
        assert running.services.holder.failures == 0
    harmless = load_harmless(place.index)
    assert harmless is not None and len(harmless) == 1
