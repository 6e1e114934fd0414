"""What orders of labelling are held against one another on: the pool, the orders, and the labels that they need."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_labels import drawn_labels

from lookalike.scripts.benchmarks import adapt_orders
from lookalike.scripts.benchmarks.adapt_orders import AT_RANDOM, COUNTS, METRICS, Pool, drawn_pool, orders_of, ratios


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(adapt_orders, "LOOKED_AT", 0.3)
    known, asked = drawn_labels(120, photos=6), drawn_labels(120, photos=6)
    return drawn_pool(known, asked, (known.photos, known.references), np.random.default_rng(0))


def test_one_in_ten_of_a_pool_is_related_and_all_are_strong_enough_to_be_looked_at(pool: Pool) -> None:
    assert len(pool.similarity) > 100
    assert pool.known.related.mean() == pytest.approx(0.1, abs=0.01)
    assert pool.similarity.min() >= 0.3
    np.testing.assert_allclose(pool.similarity, (pool.known.photos @ pool.known.references.T).max(axis=1), atol=1e-6)


def test_nothing_is_measured_on_that_a_label_shows_and_other_makers_goods_are_unrelated(pool: Pool) -> None:
    learnt, measured = (set().union(*part.right) for part in (pool.known, pool.asked))
    assert learnt and measured and not learnt & measured
    assert learnt | measured <= set(pool.known.product.tolist())
    known, asked = ({photo.tobytes() for photo in part.photos} for part in (pool.known, pool.asked))
    assert not known & asked
    left_out = set(range(120)) - set(pool.known.product.tolist())
    assert len(left_out) == 40
    every = drawn_labels(120, photos=6)
    rivals = {photo.tobytes() for photo, right in zip(every.photos, every.right, strict=True) if right & left_out}
    for part in (pool.known, pool.asked):
        unrelated = {photo.tobytes() for photo, right in zip(part.photos, part.right, strict=True) if not right}
        assert unrelated & rivals


def test_every_order_holds_each_row_once(pool: Pool) -> None:
    for name, orders in orders_of(pool, np.random.default_rng(1)).items():
        for order in orders:
            assert sorted(order.tolist()) == list(range(len(pool.similarity))), name


def test_each_product_comes_once_before_any_comes_again_and_the_nearest_first(pool: Pool) -> None:
    orders = orders_of(pool, np.random.default_rng(1))
    (order,), (near,) = orders["each product once, nearest first"], orders["nearest to the threshold"]
    products = pool.product[order].tolist()
    different = len(set(products))
    assert len(set(products[:different])) == different
    rank = np.argsort(near)
    assert all(np.diff(rank[order[:different]]) > 0)
    first = {product: min(rank[pool.product == product]) for product in set(products)}
    assert [rank[row] for row in order[:different]] == [first[product] for product in products[:different]]


def test_an_order_twice_as_fast_needs_half_of_the_labels_and_one_that_never_gets_there_more_than_there_are() -> None:
    rng = np.random.default_rng(0)

    def curves(speed: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        gain = np.minimum(np.array(COUNTS) * speed, 800) / 800
        return np.tile(0.5 + 0.1 * gain, (30, len(METRICS), 1)) + rng.normal(0, 1e-4, (30, 1, 1))

    by_order = {AT_RANDOM: curves(1), "fast": curves(2), "same": curves(1), "never": curves(0)}
    for name, expected in (("fast", 0.5), ("same", 1.0), ("never", np.inf)):
        found = ratios(by_order, name, 0, 200, rng)
        assert found[0] == pytest.approx(expected, rel=0.01), name
        np.testing.assert_allclose(found[1:], expected, rtol=0.02)
