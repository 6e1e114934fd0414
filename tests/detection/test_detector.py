"""The detector judges what it is given, one by one or many at once, from any thread."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from children import forks, in_child
from numpy.typing import NDArray
from PIL import Image
from toy import ToyEncoder, save_pictures, unit_vectors

from lookalike import Detector, Listing, Policy, Verdict
from lookalike.detection.lookup import NOT_COMPARED, Lookup
from lookalike.detection.verification import compared
from lookalike.errors import ChangedIndexWarning, EncoderMismatchError, PolicyError
from lookalike.index.blobs import BlobCache
from lookalike.index.build import add_references, build_index
from lookalike.index.embedding import PhotoReader, embed_photos
from lookalike.index.reference_index import ReferenceIndex
from lookalike.index.vector_cache import VectorCache
from lookalike.model.images import content_hash
from lookalike.records import NAMELESS, Reference
from lookalike.tables.candidates import matches_of
from lookalike.tables.findings import finding_row

POLICY = Policy(name="toy", flag=0.99, review=0.9)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return save_pictures(tmp_path / "photos", 30)


@pytest.fixture
def detector(tmp_path: Path, paths: list[Path]) -> Detector:
    rows = [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(paths[:20])]
    build_index(rows, index=tmp_path / "index", encoder=ToyEncoder())
    return Detector(Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader()), POLICY)


def without_points(detector: Detector) -> Detector:
    """The same detector, comparing no photo point by point, which takes most of the time."""
    return replace(detector, policy=replace(detector.policy, reach=NOT_COMPARED))


def test_flags_the_genuine_photo_and_clears_another(detector: Detector, paths: list[Path]) -> None:
    finding = detector.check(Listing("L", (paths[3],), seller="s9"))
    assert (finding.verdict, finding.product, finding.image) == (Verdict.FLAGGED, "p3", str(paths[3]))
    assert finding.similarity == pytest.approx(1)
    assert finding.listing.seller == "s9"
    assert len(finding.matches) == 8
    assert detector.check(Listing("M", (paths[25],))).verdict is Verdict.CLEAR


def test_a_changed_index_warns_and_is_judged(detector: Detector, paths: list[Path], tmp_path: Path) -> None:
    tuned = replace(POLICY, index_digest=detector.index.digest)
    assert Detector(detector.lookup, tuned).check(Listing("L", (paths[25],))).verdict is Verdict.CLEAR
    add_references([Reference("new", "p25", "Brand", paths[25])], index=tmp_path / "index", encoder=ToyEncoder())
    lookup = Lookup(ToyEncoder(), ReferenceIndex.load(tmp_path / "index"), PhotoReader())
    with pytest.warns(ChangedIndexWarning, match="its promise was made on another index; tune it again"):
        changed = Detector(lookup, tuned)
    finding = changed.check(Listing("L", (paths[25],)))
    assert (finding.verdict, finding.product, finding.policy) == (Verdict.FLAGGED, "p25", str(tuned))


def test_takes_bytes_arrays_and_pil_images(detector: Detector, paths: list[Path]) -> None:
    image = Image.open(paths[4])
    data = paths[4].read_bytes()
    with paths[4].open("rb") as file:
        for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), file, image, np.asarray(image)):
            assert detector.check(Listing("L", source)).product == "p4"
            assert detector.check(Listing("L", [str(paths[25]), image])).product == "p4"


def test_photos_without_a_name_are_named_by_their_content(detector: Detector, paths: list[Path]) -> None:
    pixels = np.asarray(Image.open(paths[5]))
    given = [paths[25].read_bytes(), pixels, b"no picture", paths[4].read_bytes(), "gone.jpg", np.full((2, 2), 7.0)]
    hashes = [*map(content_hash, (given[0], pixels, given[2], given[3])), None, None]  # type: ignore[arg-type]
    finding = detector.check(Listing("L", given))
    assert finding.images_sha256 == tuple(hashes)
    assert (finding.image, finding.image_sha256) == (f"sha256:{hashes[1]}", hashes[1])
    assert {match.image for match in finding.matches} <= {f"sha256:{each}" for each in hashes}
    assert f"sha256:{hashes[2]}: " in str(finding.error) and "gone.jpg: " in str(finding.error)
    names = [f"sha256:{each}" for each in hashes[:4]] + ["gone.jpg", NAMELESS]
    assert finding.to_dict()["listing"]["images"] == names
    row = finding_row(finding)
    assert row["image"] == f"sha256:{hashes[1]}" and len(str(row)) < 20_000
    assert [m.image_sha256 for m in matches_of(row)] == [match.image_sha256 for match in finding.matches]
    assert len({m.image_sha256 for m in matches_of(row)}) > 1


def test_a_large_photo_is_in_no_row_even_if_it_cannot_be_read(detector: Detector) -> None:
    data = os.urandom(1 << 20)
    finding = detector.check(Listing("L", [data, "data:image/png;base64," + "A" * (1 << 20)]))
    row = finding_row(finding)
    assert (finding.verdict, row["image"]) == (Verdict.UNREADABLE, f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert len(str(row)) < 2000 and len(repr(finding)) < 3000


def test_no_name_shows_the_password_of_an_address(detector: Detector, paths: list[Path]) -> None:
    secret = "https://anna:geheim@example.com/a.jpg"
    finding = detector.check(Listing("L", [secret, paths[3]]))
    assert "geheim" not in str(finding.to_dict()) and "geheim" not in str(finding_row(finding))


def test_many_listings_come_back_in_order_with_the_answers_of_one_by_one(detector: Detector, paths: list[Path]) -> None:
    detector = without_points(detector)
    rng = np.random.default_rng(0)
    listings = [Listing("none", ()), Listing("bad", ("gone.jpg", paths[0]))]
    listings += [Listing(f"L{i}", [paths[j] for j in rng.integers(0, 30, rng.integers(0, 4))]) for i in range(300)]
    listings.append(Listing("last", ()))
    many = detector.check_many(listings)
    assert [finding.listing for finding in many] == listings
    assert many == [detector.check(listing) for listing in listings]
    assert (many[0].verdict, many[1].verdict) == (Verdict.UNREADABLE, Verdict.FLAGGED)
    assert "no such file" in str(many[1].error)


def test_listings_without_photos_do_not_pile_up(detector: Detector, paths: list[Path]) -> None:
    taken = 0

    def listings() -> Iterator[Listing]:
        nonlocal taken
        for taken in range(5000):
            yield Listing(f"L{taken}", ())

    first = next(detector.stream(listings()))
    assert (first.listing.id, first.error, taken < 500) == ("L0", "it has no photo", True)


def test_threads_get_the_same_answers(detector: Detector, paths: list[Path]) -> None:
    listings = [Listing(str(path), (path,)) for path in paths] * 5
    expected = detector.check_many(listings)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(detector.check, listings)) == expected


def test_an_error_in_the_listings_reaches_the_caller(detector: Detector, paths: list[Path]) -> None:
    def listings() -> object:
        yield Listing("L", (paths[0],))
        raise RuntimeError("the table broke off")

    with pytest.raises(RuntimeError, match="the table broke off"):
        detector.check_many(listings())  # type: ignore[arg-type]


def test_refuses_parts_that_do_not_belong_together(detector: Detector) -> None:
    with pytest.raises(EncoderMismatchError):
        Lookup(ToyEncoder("1" * 64), detector.index, PhotoReader())
    foreign = Policy(name="foreign", flag=0.9, review=0.8, weights_sha256="f" * 64)
    with pytest.raises(PolicyError, match="is for an encoder with weights ffffffff"):
        Detector(detector.lookup, foreign)


def test_opens_an_index_with_its_own_encoder_and_policy(tmp_path: Path) -> None:
    from lookalike.model.loading import load_encoder

    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    build_index([Reference("r", "p", "B", path)], index=tmp_path / "i", encoder=load_encoder(device="cpu"))
    detector = Detector.open(tmp_path / "i", device="cpu")
    assert detector.policy.name == "embedded-default"
    assert detector.check(Listing("L", (path,))).verdict is Verdict.FLAGGED


@pytest.mark.parametrize("given", [None, "L1", {"id": "L1"}, ["a.jpg"], b"photo", np.zeros((3, 4, 3))])
def test_judges_nothing_but_listings(detector: Detector, given: object) -> None:
    with pytest.raises(TypeError, match="expected a Listing"):
        detector.check(given)  # type: ignore[arg-type]
    for judge in (detector.check_many, detector.stream):
        with pytest.raises(TypeError, match="expected a list or another iterable of Listing|expected a Listing"):
            list(judge(given))  # type: ignore[arg-type]


def test_one_listing_is_not_taken_for_several(detector: Detector, paths: list[Path]) -> None:
    for judge in (detector.check_many, detector.stream):
        with pytest.raises(TypeError, match="listings is Listing, expected a list or another iterable of Listing"):
            judge(Listing("L", paths[3]))  # type: ignore[arg-type]
    for one in ("a.jpg", b"photo", np.zeros((110, 4, 3), np.uint8), {"image": "a.jpg"}):
        with pytest.raises(TypeError, match="expected a list or another iterable of pictures"):
            detector.lookup.look_up(one)  # type: ignore[arg-type]


class Slow(ToyEncoder):
    """Embeds `quick` batches at once, and then waits until it may go on."""

    def __init__(self, quick: int) -> None:
        super().__init__()
        self.later = threading.Event()
        self._quick = quick

    def embed(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self._quick -= 1
        if self._quick < 0:
            self.later.wait(60)
        return super().embed(inputs)


def test_what_is_not_looked_at_by_the_deadline_is_an_error(detector: Detector, paths: list[Path]) -> None:
    encoder = Slow(0)
    slow = replace(detector, lookup=replace(detector.lookup, encoder=encoder))
    start = time.monotonic()
    finding = slow.check(Listing("L", paths[3:6]), deadline=0.5)
    assert 0.4 < time.monotonic() - start < 30
    encoder.later.set()
    assert (finding.verdict, finding.matches) == (Verdict.UNREADABLE, ())
    for path in paths[3:6]:
        assert f"{path}: was not looked at by the deadline; allow more time" in str(finding.error)


def test_the_photos_that_were_looked_at_in_time_decide(detector: Detector, paths: list[Path]) -> None:
    encoder = Slow(1)
    slow = replace(detector, lookup=replace(detector.lookup, encoder=encoder))
    finding = slow.check(Listing("L", paths[3:30]), deadline=5)
    encoder.later.set()
    assert (finding.verdict, finding.image) == (Verdict.FLAGGED, str(paths[3]))
    assert str(paths[29]) in str(finding.error) and str(paths[4]) not in str(finding.error)


def test_photos_not_compared_point_by_point_in_time_are_reported(
    detector: Detector, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = threading.Event()
    monkeypatch.setattr("lookalike.model.features.features_in", lambda picture: later.wait(60))
    finding = detector.check(Listing("L", paths[3]), deadline=3)
    later.set()
    assert (finding.verdict, finding.matches[0].verification) == (Verdict.FLAGGED, None)
    assert str(finding.error) == f"{paths[3]}: was not compared point by point by the deadline; allow more time"


def test_judges_photos_that_were_read_and_embedded_elsewhere_without_opening_them(
    detector: Detector, paths: list[Path]
) -> None:
    listing = Listing("L", paths[3:6])
    expected, held = (
        detector.check(listing),
        {content_hash(path.read_bytes()): path.read_bytes() for path in paths[3:6]},
    )
    photos = list(embed_photos(listing.images, encoder=detector.encoder, reader=PhotoReader()))
    for path in paths[3:6]:
        path.unlink()
    assert detector.judge(listing, photos, held=held) == expected
    with ThreadPoolExecutor(1) as pool:
        elsewhere = SimpleNamespace(submit=partial(pool.submit, compared))
        assert detector.judge(listing, photos, held=held, comparer=elsewhere) == expected
    assert expected.matches[0].agrees, "compared point by point"
    late = detector.judge(listing, photos, held=held, until=time.monotonic() - 1)
    assert "was not compared point by point by the deadline" in str(late.error)
    assert late.matches[0].similarity == expected.matches[0].similarity


def test_a_deadline_that_is_kept_changes_nothing(detector: Detector, paths: list[Path]) -> None:
    for listing in (Listing("L", paths[2:6]), Listing("none", ()), Listing("bad", "gone.jpg")):
        assert detector.check(listing, deadline=100) == detector.check(listing)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="expected more than 0 seconds"):
            detector.check(Listing("L", paths[3]), deadline=wrong)


def test_looks_at_as_many_photos_of_a_listing_as_the_reader_says(detector: Detector, paths: list[Path]) -> None:
    many = detector.check(Listing("L", [paths[25]] * 150))
    assert many.error == "has 150 photos, of which the first 100 were compared"
    assert (len(many.listing.images), len(many.images_sha256)) == (100, 100)
    few = replace(detector, lookup=replace(detector.lookup, reader=PhotoReader(most_photos=2)))
    finding = few.check(Listing("L", [paths[25], paths[3], paths[4]], error="row 2 has no image"))
    assert finding.product == "p3"
    assert finding.error == "row 2 has no image; has 3 photos, of which the first 2 were compared"


class Shop:
    """Listings that come one by one, slower than they are judged."""

    def __init__(self, paths: list[Path], pause: float) -> None:
        self.closed = threading.Event()
        self._paths, self._pause = paths, pause

    def __iter__(self) -> Iterator[Listing]:
        try:
            for number, path in enumerate(self._paths * 100):
                yield Listing(f"L{number}", path)
                time.sleep(self._pause)
        finally:
            self.closed.set()


def ours() -> list[str]:
    names = ("lookalike-read", "lookalike-arrivals", "lookalike-verify")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


def test_a_slow_source_gets_findings_in_time(detector: Detector, paths: list[Path]) -> None:
    start = time.monotonic()
    shop = Shop(paths, pause=0.2)
    findings = detector.stream(shop, max_wait=0.3)
    first = [next(findings) for _ in range(4)]
    assert [finding.listing.id for finding in first] == ["L0", "L1", "L2", "L3"]
    assert time.monotonic() - start < 30  # the 64 of a window would take 13 s or more, and all 600 s
    findings.close()
    assert shop.closed.wait(10)
    assert not ours()
    with pytest.raises(ValueError, match="max_wait is 0, expected more than 0 seconds"):
        detector.stream([], max_wait=0)


@pytest.mark.parametrize("max_wait", [None, 0.05])
def test_a_closed_stream_stops_its_threads_and_closes_its_source(
    detector: Detector, paths: list[Path], max_wait: float | None
) -> None:
    shop = Shop(paths, pause=0)
    findings = detector.stream(shop, max_wait=max_wait)
    next(findings)
    findings.close()
    assert shop.closed.wait(10) and not ours()


def test_waiting_for_nobody_changes_no_finding(detector: Detector, paths: list[Path]) -> None:
    detector = without_points(detector)
    listings = [Listing(f"L{i}", paths[i % 30]) for i in range(600)]
    assert list(detector.stream(iter(listings), max_wait=0.01)) == detector.check_many(listings)


def test_threads_are_limited_where_they_are_asked_for(detector: Detector, paths: list[Path]) -> None:
    from lookalike.model.clip_loading import untrained_encoder

    wide = replace(detector.lookup, reader=PhotoReader(workers=6))
    assert replace(wide, threads=3).reader.workers == 3
    assert Detector(replace(wide, threads=3), POLICY).check(Listing("L", paths[3])).product == "p3"
    with pytest.raises(ValueError, match="threads is 0, expected 1 or more"):
        replace(wide, threads=0)
    encoder = untrained_encoder("lookalike-embedded", device="cpu")
    index = ReferenceIndex(encoder.spec)
    index.add([Reference("r", "p", "B", "a.jpg")], unit_vectors(1, encoder.spec.dim), hashes=["a"])
    limited = Lookup(encoder, index, PhotoReader(), threads=2)
    assert limited.encoder._threads == 2 and encoder._threads is None  # type: ignore[attr-defined]


def judged(detector: Detector, listings: list[Listing]) -> str:
    one = [str(detector.check(listing).verdict) for listing in listings[:3]]
    return str(one + [str(found.verdict) for found in detector.check_many(listings)])


@forks
@pytest.mark.parametrize("before", ["nothing", "check", "check_many"])
def test_a_detector_that_was_opened_before_a_fork_works_in_the_child(
    tmp_path: Path, paths: list[Path], before: str
) -> None:
    from lookalike.model.loading import load_encoder

    encoder = load_encoder(device="cpu")
    rows = [Reference(f"r{i}", f"p{i}", "Brand", path) for i, path in enumerate(paths[:20])]
    build_index(rows, index=tmp_path / "index", encoder=encoder)
    detector = Detector.open(tmp_path / "index", device="cpu")
    listings = [Listing(f"L{i}", path) for i, path in enumerate(paths)]
    used: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "check": lambda: detector.check(listings[0]),
        "check_many": lambda: detector.check_many(listings),
    }
    used[before]()
    assert in_child(lambda: judged(detector, listings)) == judged(detector, listings)


@forks
def test_caches_that_were_opened_before_a_fork_work_in_both_processes(
    detector: Detector, paths: list[Path], tmp_path: Path
) -> None:
    listings = [Listing(f"L{i}", path) for i, path in enumerate(paths)]
    with (
        VectorCache(tmp_path / "v.sqlite", detector.encoder.spec) as vectors,
        BlobCache(tmp_path / "b.sqlite") as verified,
    ):

        def judge(part: list[Listing]) -> int:
            return len(list(detector.stream(part, cache=vectors, verified=verified)))

        judge(listings[:10])
        assert in_child(lambda: judge(listings[:20])) == "20"
        judge(listings[:10])
        before = detector.encoder.embedded  # type: ignore[attr-defined]
        judge(listings[10:20])
        assert detector.encoder.embedded == before  # type: ignore[attr-defined]  # the child kept these vectors
