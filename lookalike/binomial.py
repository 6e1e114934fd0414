"""Exact binomial intervals: how sure a share is that was counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """`count` of `total`: `value` is their share, `low` and `high` the ends of its exact 95 % interval (all 0 to 1).

    The interval is Clopper and Pearson's (Biometrika 26, 1934), which is never too narrow. Of a total of 0 the value
    is NaN and the interval 0 to 1.
    """

    count: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """The share with its interval. Raises ValueError unless 0 ≤ count ≤ total.

        >>> share = Share.of(0, 29)
        >>> share.value, round(share.high, 3)
        (0.0, 0.119)
        """
        if not 0 <= count <= total:
            raise ValueError(f"came {count} of {total}; needed 0 <= count <= total")
        if not total:
            return cls(0, 0, float("nan"), 0.0, 1.0)
        from scipy.stats import binomtest

        interval = binomtest(count, total).proportion_ci(0.95, method="exact")
        return cls(count, total, count / total, float(interval.low), float(interval.high))
