"""An index seen through an adapter answers as one that is adapted with it, and holds no more in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy import ToyEncoder, clustered, drawn_adapter, near

from lookalike.errors import EncoderMismatchError
from lookalike.index import nearest
from lookalike.index.build import adapt_index
from lookalike.index.reference_index import ReferenceIndex
from lookalike.model.encoder import EncoderSpec, Preprocessing
from lookalike.records import Reference


@pytest.mark.parametrize("exact_up_to", [5000, 280])
@pytest.mark.parametrize("adapted", [False, True])
def test_seen_through_an_adapter_it_finds_what_an_index_adapted_with_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact_up_to: int, adapted: bool
) -> None:
    monkeypatch.setattr(nearest, "_BLOCK", 100)
    spec = EncoderSpec("toy", "toy", "0" * 64, 32, Preprocessing((3, 3), (0.0,) * 3, (1.0,) * 3, "box", "squash"))
    vectors, rows = clustered(600), [Reference(f"r{at}", f"p{at // 3}", "Brand", f"{at}.jpg") for at in range(600)]
    plain = ReferenceIndex(spec)
    plain.add(rows, vectors, hashes=["x"] * 600)
    index = ReferenceIndex(spec, exact_up_to=exact_up_to)
    index.add(rows[:560], vectors[:560], hashes=["x"] * 560)
    index.save(tmp_path / "i")
    if adapted:
        adapt_index(drawn_adapter(spec, seed=4), index=tmp_path / "i")
    index = ReferenceIndex.load(tmp_path / "i")
    index.add(rows[560:], vectors[560:], hashes=["x"] * 40)
    for each in (plain, index):
        each.remove(references=["r7", "r8"])
    adapter = drawn_adapter(spec)
    truth, taken = plain.adapted(adapter), list[int]()
    whole = nearest.Mapped.vectors_at
    monkeypatch.setattr(nearest.Mapped, "vectors_at", lambda own, at: [taken.append(len(at)), whole(own, at)][1])
    seen = index.seen_through(adapter)
    assert seen.agreement is None
    assert seen.spec == truth.spec
    asked = near(adapter.map(vectors), 20)
    for top, brands in ((1, None), (7, None), (3, ["Brand"]), (3, ["Other"])):
        found = seen.search(asked, top=top, brands=brands)
        for one, other in zip(found, truth.search(asked, top=top, brands=brands), strict=True):
            assert [match.reference for match in one] == [match.reference for match in other]
            np.testing.assert_allclose([m.similarity for m in one], [m.similarity for m in other], atol=1e-5)
    assert max(taken) < 598  # not all vectors at once
    np.testing.assert_allclose(seen.vectors, truth.vectors, atol=1e-5)
    np.testing.assert_array_equal(seen.unadapted_vectors, truth.unadapted_vectors)
    seen.save(tmp_path / "saved")
    saved = ReferenceIndex.load(tmp_path / "saved", verify=True)
    np.testing.assert_array_equal(saved.unadapted_vectors, truth.unadapted_vectors)
    with pytest.raises(EncoderMismatchError, match="fit one for this index"):
        index.seen_through(drawn_adapter(ToyEncoder().spec))
