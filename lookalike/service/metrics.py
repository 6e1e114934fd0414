"""What Prometheus may ask: what was answered, how long it took, and how what is open is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from .checking import Checked
    from .serving import Holder, Serving

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts for one application, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "lookalike_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._took = Histogram("lookalike_request_seconds", "Seconds a request.", ["route"], buckets=_SECONDS,
                               registry=self._registry)  # fmt: skip
        self._findings = Counter("lookalike_findings", "Listings judged.", ["verdict"], registry=self._registry)
        self._stages = Histogram("lookalike_stage_seconds", "Seconds a stage of a check.", ["stage"], buckets=_SECONDS,
                                 registry=self._registry)  # fmt: skip
        self._photos = Counter("lookalike_photos", "Photos of listings.", registry=self._registry)
        self._compared = Counter("lookalike_photos_compared", "Photos compared point by point with any candidate.",
                                 registry=self._registry)  # fmt: skip
        self._errors = Counter("lookalike_photo_errors", "Photos that could not be looked at.", ["reason"],
                               registry=self._registry)  # fmt: skip

    def watch(self, holder: Holder, waiting: Callable[[], int]) -> None:
        """Also tell what the holder has open, and how many requests wait."""
        self._registry.register(_State(holder, waiting))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._took.labels(route).observe(seconds)

    def checked(self, checked: Checked) -> None:
        """Count a listing that was judged."""
        self._findings.labels(str(checked.finding.verdict)).inc()
        for stage, seconds in checked.seconds.items():
            self._stages.labels(stage).observe(seconds)
        self._photos.inc(len(checked.reads))
        for read in checked.reads:
            if read.error is not None:
                self._errors.labels(read.reason or "unreadable").inc()
        compared = {match.image for match in checked.finding.matches if match.verification is not None}
        self._compared.inc(len(compared))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _State(Collector):
    """What is open now, asked for when somebody looks."""

    def __init__(self, holder: Holder, waiting: Callable[[], int]) -> None:
        self._holder, self._waiting = holder, waiting

    def describe(self) -> Iterable[Metric]:
        """Nothing: all is only known when it is collected."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The state's metrics."""
        holder = self._holder
        yield GaugeMetricFamily("lookalike_queue", "Requests in work or waiting.", value=self._waiting())
        yield GaugeMetricFamily("lookalike_versions_open", "States in memory: one, and those still in use.",
                                value=holder.versions_open)  # fmt: skip
        yield CounterMetricFamily("lookalike_reloads", "Times that another index or policy was opened.",
                                  value=holder.reloads)  # fmt: skip
        yield CounterMetricFamily("lookalike_reload_failures", "Times that it could not be.", value=holder.failures)
        if holder.current is not None:
            yield from _of(holder.current)


def _of(serving: Serving) -> Iterable[Metric]:
    index, policy, versions = serving.detector.index, serving.policy, serving.versions
    info = GaugeMetricFamily("lookalike_serving", "What is open.", labels=["index", "harmless", "policy", "encoder"])
    info.add_metric([versions.index, versions.harmless or "", versions.policy, versions.encoder], 1)
    yield info
    yield GaugeMetricFamily("lookalike_references", "References in the index.", value=len(index))
    if index.created:
        age = datetime.now(UTC) - datetime.fromisoformat(index.created)
        yield GaugeMetricFamily("lookalike_index_age_seconds", "Seconds since the index was written.",
                                value=age.total_seconds())  # fmt: skip
    if policy.expires is not None:
        yield GaugeMetricFamily("lookalike_policy_days_left", "Days until the policy's last day; negative after it.",
                                value=(policy.expires - date.today()).days)  # fmt: skip
