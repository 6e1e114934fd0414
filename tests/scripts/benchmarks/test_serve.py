"""The service is measured beside the library, and an answer that mixes versions is noticed."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from lookalike import Policy
from lookalike.scripts.benchmarks import serve_load
from lookalike.scripts.benchmarks.serve_changes import Record

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@linux
def test_the_service_is_measured_beside_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--seconds", "1", "--checks", "4", "--first", "2", "--tower", "none", "--at-once", "1", "2"]
    assert serve_load.main(few) == 0
    said = capsys.readouterr().out
    for name in (serve_load.SERVICE, serve_load.LIBRARY):
        rows = [line.split() for line in said.splitlines() if line.strip().startswith(name)]
        assert [row[-7] for row in rows] == ["1", "2"] and {row[-1] for row in rows} == {"0"}, said
    assert "memory of the service" in said


def answer(**values: Any) -> dict[str, Any]:
    match = {"reference": "put", "flag_threshold": 0.9}
    return {"finding": "f", "listing": "put", "versions": {"index": "new", "policy": "mine"}, "match": match,
            "candidates": [match], **values}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, None),
        ({"versions": {"index": "old", "policy": "mine"}}, "in an index with none"),
        ({"versions": {"index": "lost", "policy": "mine"}}, "never was"),
        ({"versions": {"index": "new", "policy": "other"}}, "doesn't have"),
        ({"listing": "import"}, None),
        ({"match": {"reference": "r1"}, "candidates": []}, "in an index with"),
    ],
)
def test_an_answer_of_a_mixture_is_noticed(values: dict[str, Any], said: str | None) -> None:
    record = Record(answers=[answer(**values)])
    record.indexes.update({"old": frozenset(), "new": frozenset({"put"})})
    record.policies.update({"mine": Policy("mine", 0.9, 0.5), "other": Policy("other", 0.8, 0.5)})
    wrong = list(record.mixtures())
    assert bool(wrong) == bool(said) and (said or "") in "".join(wrong)
