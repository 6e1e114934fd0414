"""Jobs take turns, the warm-up does not count, and tables show what was measured."""

from __future__ import annotations

import time

import pytest

from lookalike.scripts.timing import Spread, in_turns, seconds_of, show_table


def test_a_spread_is_the_median_the_least_and_the_most() -> None:
    spread = Spread.of(iter([5.0, 1.0, 3.0, 100.0]))
    assert spread == Spread(median=4.0, least=1.0, most=100.0)
    assert spread.cells(".2f") == ("4.00", "1.00", "100.00")


def test_times_a_job() -> None:
    assert 0.05 <= seconds_of(lambda: time.sleep(0.05)) < 5


@pytest.mark.parametrize("warm_up", [True, False])
def test_jobs_take_turns_and_a_warm_up_round_does_not_count(warm_up: bool) -> None:
    called: list[str] = []

    def measure(job: str) -> int:
        called.append(job)
        return len(called)

    figures = in_turns({"one": "a", "two": "b"}, rounds=2, measure=measure, warm_up=warm_up)
    assert called == ["a", "b"] * (2 + warm_up)
    assert figures == {"one": [3, 5], "two": [4, 6]} if warm_up else {"one": [1, 3], "two": [2, 4]}


def test_a_table_shows_every_cell_and_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("", "rate [1/s]"), [("this", 12), ("that one", "3.4")], title="speeds", caption="3 rounds")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "",
        "speeds",
        "           rate [1/s]",
        " this              12",
        " that one         3.4",
        "3 rounds",
    ]
