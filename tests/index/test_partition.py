"""A partition leads to what brute force finds, says truly how often, and is the same bits from the same seed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import binomtest
from toy import clustered, near

from lookalike.index import learning
from lookalike.index.comparison import best_first, blocks, nearest_of_all, similarities_at, threads_up_to
from lookalike.index.learning import LEAST, WANTED_AGREEMENT, Probes, learn_partition, moved_partition
from lookalike.index.nearest import Exact
from lookalike.index.partition import LEAST_THRESHOLD, Agreement, Coded, Partition

VECTORS = clustered(3000)


@pytest.fixture(scope="module")
def learnt() -> tuple[Partition, Coded]:
    found = learn_partition(VECTORS)
    assert found is not None
    return found


def test_leads_to_what_brute_force_finds_nearest(learnt: tuple[Partition, Coded]) -> None:
    partition, (lists, codes) = learnt
    queries = near(VECTORS, 2000)
    rows = partition.lists_of(lists, codes).candidates(queries, width=partition.candidates, nprobe=partition.nprobe)
    found = np.where(rows < 0, -1, np.einsum("nd,nwd->nw", queries, VECTORS[rows])).max(axis=1)
    exact = (queries @ VECTORS.T).max(axis=1)
    decisive = exact >= LEAST_THRESHOLD
    assert decisive.sum() > 1000
    assert np.mean((found >= exact - 1e-5)[decisive]) >= WANTED_AGREEMENT
    assert partition.nprobe < len(partition.centroids), "a search that looks everywhere shows nothing"


def test_thresholds_that_no_search_is_good_enough_for_give_way_to_higher_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MOST_CANDIDATES", 32)
    rng = np.random.default_rng(0)
    scattered = rng.standard_normal((2000, 32), dtype=np.float32)
    scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
    assert learn_partition(scattered, leasts=(0.25,)) is None
    found = learn_partition(scattered, leasts=(0.25, 0.95))
    assert found is not None and found[0].agreement.least == 0.95
    assert "thresholds of 0.95 and more" in str(found[0].agreement)


def test_agreement_is_counted_on_probes_that_can_miss(learnt: tuple[Partition, Coded]) -> None:
    partition, (lists, codes) = learnt
    assert partition.agreement.share >= WANTED_AGREEMENT
    probes = Probes(VECTORS, 600, np.random.default_rng(1))
    poor = probes.measure(partition.lists_of(lists, codes), 1, 1)
    assert poor.agreeing < 500
    every = probes.measure(partition.lists_of(lists, codes), len(partition.centroids), len(VECTORS))
    assert (every.agreeing, every.nearest_five) == (600, 1.0)
    assert probes.similarity[:, 0].min() < 0.55 and probes.similarity[:, 0].max() > 0.99


def test_probes_know_what_is_nearest_without_the_one_left_out() -> None:
    probes = Probes(VECTORS, 300, np.random.default_rng(2))
    similarity = probes.queries @ VECTORS.T
    left_out = similarity[2::3] > 1 - 1e-5
    assert left_out.any(axis=1).all(), "every third probe is a vector of the index"
    similarity[2::3][left_out] = -1
    np.testing.assert_allclose(probes.similarity[:, 0], similarity.max(axis=1), atol=1e-5)


def test_the_same_seed_gives_the_same_bits_whatever_the_threads(learnt: tuple[Partition, Coded]) -> None:
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        again = learn_partition(VECTORS)
    finally:
        faiss.omp_set_num_threads(threads)
    assert again is not None
    assert arrays(again) == arrays(learnt)
    assert (again[0].nprobe, again[0].candidates, again[0].agreement) == (
        learnt[0].nprobe,
        learnt[0].candidates,
        learnt[0].agreement,
    )
    other = learn_partition(VECTORS, seed=1)
    assert other is not None and arrays(other) != arrays(learnt)


def arrays(learnt: tuple[Partition, Coded]) -> list[bytes]:
    partition, (lists, codes) = learnt
    return [array.tobytes() for array in (partition.centroids, partition.codebook, lists, codes)]


def test_codes_a_vector_later_as_it_was_coded_at_first(learnt: tuple[Partition, Coded]) -> None:
    partition, (lists, codes) = learnt
    later = partition.encode(VECTORS[100:200])
    np.testing.assert_array_equal(later[0], lists[100:200])
    np.testing.assert_array_equal(later[1], codes[100:200])


def test_probes_that_all_agree_are_those_of_which_none_misses(learnt: tuple[Partition, Coded]) -> None:
    partition, (lists, codes) = learnt
    searched = partition.lists_of(lists, codes)
    ways = [(nprobe, width) for width in (1, 16, 64, len(VECTORS)) for nprobe in (1, 4, 32, len(partition.centroids))]
    probes = Probes(VECTORS, 300, np.random.default_rng(3))
    agree = [probes.all_agree(searched, *way) for way in ways]
    assert agree == [probes.measure(searched, *way).agreeing == 300 for way in ways]
    assert {*agree} == {True, False}


def test_vectors_that_were_moved_stay_in_their_lists_and_are_measured_again(learnt: tuple[Partition, Coded]) -> None:
    partition, (lists, _) = learnt
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0] * np.linspace(0.7, 1.4, 32)
    moved = (VECTORS @ turn.T).astype(np.float32)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    found = moved_partition(moved, lists, len(partition.centroids))
    assert found is not None
    again, (same, codes) = found
    np.testing.assert_array_equal(same, lists)
    mean = moved[lists == 7].astype(float).sum(axis=0)
    np.testing.assert_allclose(again.centroids[7], mean / np.sqrt((mean**2).sum()), atol=1e-6)
    queries = near(moved, 2000)
    rows = again.lists_of(lists, codes).candidates(queries, width=again.candidates, nprobe=again.nprobe)
    best = np.where(rows < 0, -1, np.einsum("nd,nwd->nw", queries, moved[rows])).max(axis=1)
    exact = (queries @ moved.T).max(axis=1)
    decisive = exact >= LEAST_THRESHOLD
    assert np.mean((best >= exact - 1e-5)[decisive]) >= WANTED_AGREEMENT
    assert again.agreement.share >= WANTED_AGREEMENT


def test_an_empty_list_has_the_mean_direction_of_all() -> None:
    lists = np.zeros(3000, np.int32)
    lists[1000:] = 2
    found = moved_partition(VECTORS, lists, 4)
    assert found is not None
    mean = VECTORS.astype(float).sum(axis=0)
    for empty in (1, 3):
        np.testing.assert_allclose(found[0].centroids[empty], mean / np.sqrt((mean**2).sum()), atol=1e-6)


def test_learns_nothing_of_too_few_vectors() -> None:
    few = clustered(LEAST - 1)
    assert learn_partition(few) is None
    assert moved_partition(few, np.zeros(len(few), np.int32), 1) is None


@pytest.mark.parametrize("dim", [16, 30, 37])
def test_learns_vectors_of_any_width(dim: int) -> None:
    vectors = clustered(600, dim)
    learnt = learn_partition(vectors)
    assert learnt is not None
    partition, (lists, codes) = learnt
    assert codes.shape == (600, partition.code_bytes) and lists.max() < len(partition.centroids)
    assert partition.codebook.size == 16 * dim


def test_compares_named_rows_only() -> None:
    queries = near(VECTORS, 7)
    rows = np.random.default_rng(0).integers(0, len(VECTORS), (7, 9))
    rows[3, 4] = -1
    found = similarities_at(queries, VECTORS, rows)
    assert found[3, 4] == -np.inf
    expected = np.einsum("nd,nwd->nw", queries, VECTORS[rows])
    expected[3, 4] = -np.inf
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("queries", [1, 2, 20, 600])
@pytest.mark.parametrize("width", [1, 10, 2500])
def test_exact_search_over_blocks_is_exact(queries: int, width: int) -> None:
    wanted = near(VECTORS, queries)
    parts = [np.arange(start, min(start + 700, 3000)) for start in range(0, 3000, 700)]
    nearest = nearest_of_all(wanted, ((part, VECTORS[part]) for part in parts), width)
    similarity, rows = best_first(nearest, partial(similarities_at, wanted, VECTORS))
    everything = (wanted.astype(float) @ VECTORS.T.astype(float)).astype(np.float32)
    np.testing.assert_allclose(similarity, -np.sort(-everything, axis=1)[:, :width], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(everything, rows, 1), similarity, atol=1e-6)
    assert all(len(set(each)) == width for each in rows.tolist())


def test_exact_search_pads_what_is_not_there() -> None:
    for queries in (near(VECTORS, 2), near(VECTORS, 20)):
        nearest = nearest_of_all(queries, iter([(np.arange(3), VECTORS[:3])]), 5)
        similarity, rows = best_first(nearest, partial(similarities_at, queries, VECTORS))
        assert (rows[:, 3:] == -1).all() and (similarity[:, 3:] == -np.inf).all()
        assert all(sorted(each) == [0, 1, 2] for each in rows[:, :3].tolist())


@pytest.mark.parametrize("queries", [1, 20, 600])
def test_of_equally_near_rows_the_first_come_first(queries: int) -> None:
    same = np.repeat(VECTORS[:1], 20_000, axis=0)
    wanted = near(VECTORS, queries)
    nearest = nearest_of_all(wanted, blocks(same), 7)
    assert best_first(nearest, partial(similarities_at, wanted, same))[1].tolist() == [[*range(7)]] * queries


def test_a_search_finds_the_same_bits_whatever_is_looked_up_beside() -> None:
    exact, wanted = Exact(VECTORS), near(VECTORS, 100)
    together = exact.search(wanted, 16)
    apart = [exact.search(query[None], 16) for query in wanted]
    np.testing.assert_array_equal(together[0], np.concatenate([values for values, _ in apart]))
    np.testing.assert_array_equal(together[1], np.concatenate([rows for _, rows in apart]))
    with threads_up_to(1):
        np.testing.assert_array_equal(together[0], exact.search(wanted, 16)[0])


@pytest.mark.parametrize(("agreeing", "probes"), [(4096, 4096), (4093, 4096), (0, 50), (25, 50)])
def test_the_interval_is_clopper_and_pearsons(agreeing: int, probes: int) -> None:
    expected = binomtest(agreeing, probes).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(
        Agreement(agreeing, probes, 1, 1.0).interval, (expected.low, expected.high), rtol=1e-9, atol=1e-12
    )


def test_says_what_was_measured() -> None:
    assert str(Agreement(4093, 4096, 1_000_000, 0.998)) == (
        "99.93% of 4,096 probes decided as by exact search (95 % interval 99.79% to 99.98%; "
        "thresholds of 0.5 and more; measured on 1,000,000 references)"
    )
