"""What Prometheus is told agrees with what was asked."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from serving import POLICY, Running, encoded, place_in, served

from lookalike import Policy


def told(running: Running) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = running.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def one(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_counts_agree_with_what_was_asked(tmp_path: Path) -> None:
    place = place_in(tmp_path, textured=True)
    expires = date.today() + timedelta(days=10)
    Policy("points", 0.9, 0.5, expires=expires).save(place.policy)
    with served(place) as running:
        broken = {"base64": base64.b64encode(b"no picture").decode()}
        running.check(encoded(place.pictures[0]), broken)
        running.check(encoded(place.pictures[1]))
        running.check(broken)
        running.client.get("/v1/nothing")
        running.client.post("/v1/check", content=b"{", headers={"Content-Type": "application/json"})
        found = told(running)
        assert found[one("lookalike_findings_total", verdict="flagged")] == 2
        assert found[one("lookalike_findings_total", verdict="unreadable")] == 1
        assert found[one("lookalike_requests_total", route="/v1/check", status="200")] == 3
        assert found[one("lookalike_requests_total", route="/v1/check", status="422")] == 1
        assert found[one("lookalike_requests_total", route="other", status="404")] == 1
        assert found[one("lookalike_photos_total")] == 4
        assert found[one("lookalike_photos_compared_total")] == 2
        assert found[one("lookalike_photo_errors_total", reason="format")] == 2
        for stage in ("fetching", "reading", "embedding", "comparing", "total"):
            assert found[one("lookalike_stage_seconds_count", stage=stage)] == 3
        assert found[one("lookalike_references")] == 6
        assert found[one("lookalike_policy_days_left")] == 10
        assert 0 <= found[one("lookalike_index_age_seconds")] < 3600
        assert found[one("lookalike_queue")] == 0
        assert found[one("lookalike_versions_open")] == 1
        assert found[one("process_resident_memory_bytes")] > 1e7


def test_reloads_and_failures_are_counted_and_the_versions_are_the_new_ones(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    with served(place, reload_seconds=60) as running:
        policy = replace(POLICY, flag=0.95)
        policy.save(place.policy)
        info = running.client.post("/v1/admin/reload").json()
        assert info["versions"]["policy"] == str(policy)
        place.policy.write_text("[thresholds]\nflag = 2\n")
        failed = running.client.post("/v1/admin/reload")
        assert (failed.status_code, failed.json()["reason"]) == (409, "reload")
        found = told(running)
        assert found[one("lookalike_reloads_total")] == 1
        assert found[one("lookalike_reload_failures_total")] == 1
        versions = {**info["versions"], "harmless": ""}
        del versions["rights"]
        assert found[one("lookalike_serving", **versions)] == 1
        shown = running.client.get("/v1/info").json()
        assert (shown["reloads"], shown["failures"], shown["versions"]) == (1, 1, info["versions"])
