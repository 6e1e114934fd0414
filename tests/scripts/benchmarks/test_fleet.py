"""A simulated day loses no picture, its queues grow as arithmetic says, and the same seed gives the same day."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.scripts.benchmarks.fleet import main
from lookalike.scripts.benchmarks.fleet_day import DAY, STEP, Stage, arrivals_of_a_day, cost_per_million, simulate

SURE = Stage("embed", rate=10.0, share=1.0, price=0.5, mtbf=1e12)


def test_a_day_peaks_as_asked_and_holds_all_pictures() -> None:
    day = arrivals_of_a_day(86_400_000, 2.5)
    assert day.sum() == pytest.approx(86_400_000, rel=1e-3)
    smooth = np.convolve(day, np.ones(30) / 30, "valid")
    assert smooth.max() / day.mean() == pytest.approx(2.5, rel=0.01)
    assert np.argmax(smooth) * STEP / 3600 == pytest.approx(20, abs=0.5)
    assert arrivals_of_a_day(86_400_000, 1.0).std() / 10_000 < 0.02


def test_pictures_that_arrive_too_fast_wait_as_long_as_queueing_says() -> None:
    arrived = np.full(360, 200.0)  # 20 a second for an hour, of which one machine does 10
    day = simulate(arrived, [SURE], [1], hold=60)
    assert day.left.tolist() == [100.0] * 360
    assert day.backlog["embed"][-1] == pytest.approx(36_000)
    assert day.ages[-1] == pytest.approx(1_800, abs=STEP)  # half of the hour
    assert day.busy["embed"] == 1.0
    assert day.age(1.0) == day.ages.max()


def test_enough_machines_leave_nothing_waiting_and_lose_no_picture() -> None:
    stages = [SURE, replace(SURE, name="verify", share=0.1)]
    day = simulate(np.full(360, 200.0), stages, [2, 1], hold=60)
    assert day.left.sum() + sum(curve[-1] for curve in day.backlog.values()) == pytest.approx(day.arrived.sum())
    assert day.age(0.99) <= 3 * STEP
    assert [stage.machines(20.0) for stage in stages] == [2, 1]


def test_a_full_queue_holds_the_stage_before_it_back() -> None:
    slow = replace(SURE, name="verify", rate=5.0)
    day = simulate(np.full(360, 100.0), [SURE, slow], [1, 1], hold=60)
    assert day.backlog["verify"].max() <= 60 * 10.0
    assert day.backlog["embed"][-1] > 10_000


def test_machines_that_fail_cost_throughput_until_they_are_back() -> None:
    shaky = replace(SURE, mtbf=0.5, restart=900.0, in_hand=0)  # up for 30 minutes, down for 15: two thirds of the time
    day = simulate(np.full(DAY // STEP, 2_000.0), [shaky], [20], hold=60)
    assert day.left.sum() / (20 * 10.0 * DAY) == pytest.approx(2 / 3, abs=0.03)
    assert day.failures > 500
    again = simulate(np.full(DAY // STEP, 2_000.0), [shaky], [20], hold=60)
    assert (again.left == day.left).all()


def test_the_day_before_leaves_its_backlog() -> None:
    day = simulate(np.full(360, 200.0), [SURE], [1], hold=60, before=180)
    assert len(day.left) == 180
    assert day.backlog["embed"][0] == pytest.approx(18_100)


def test_cost_is_that_of_a_day_of_the_machines() -> None:
    assert cost_per_million([SURE], [10], 24e6) == pytest.approx(10 * 0.5 * 24 / 24)


def test_reads_rates_from_a_bench_file_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = {"cores": 2, "load": [1.0], "rates": {"lookalike": {"median": 100.0}}, "search": {}}
    (tmp_path / "bench.json").write_text(json.dumps(bench))
    out, plot = tmp_path / "fleet.json", tmp_path / "fleet.png"
    arguments = [
        "--bench",
        str(tmp_path / "bench.json"),
        "--share",
        "embed=1",
        "--pictures",
        "8.64e6",
        "--sizes",
        "1.9",
    ]
    assert main([*arguments, "--json", str(out), "--plot", str(plot)]) == 0
    told = capsys.readouterr().out
    assert "embed          100 pictures/s a machine (measured: bench.json, 2 cores, load 1), 100% of them" in told
    (found,) = json.loads(out.read_text())
    assert found["machines"]["embed"] == 2  # 100 a second arrive
    assert found["failures"] == 0 or found["age_p99"] >= 5 * STEP
    assert plot.stat().st_size > 10_000


@pytest.mark.parametrize("wrong", ["embed=0", "embed=nan", "embed=", "encode=3"])
def test_refuses_rates_that_are_not_positive_or_of_no_stage(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rate", wrong])
    assert "embed" in capsys.readouterr().err
