"""Ten times the load on servers of which the truth is known."""

from pathlib import Path

import pandas as pd
import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze import tenfold
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.analyze.statistics import Estimate
from inferlab.analyze.tenfold import tenfold_table


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    machines = tmp_path_factory.mktemp("tenfold")
    write_results(machines, Synthetic(studies=("scalability",), requests=130, rounds=20))
    return tenfold_table(rows_of(load_results(machines)[0], STUDY_SCENARIOS), 0.95)


def test_both_loops_have_a_line_each_and_name_what_they_compare(frame: pd.DataFrame, rows: list[Row]) -> None:
    pairs = set(zip(frame["from_scenario"], frame["scenario"], frame["load_ratio"], strict=True))
    assert pairs == {("load-10", "load-100", 10.0), ("one-caller", "eight-callers", 8.0)}
    assert len(frame) == 2 * 4
    assert (frame["claimed"] == 1.05).all()
    assert tenfold_table(rows, 0.95).empty


def test_ratios_are_those_of_the_queues(frame: pd.DataFrame) -> None:
    opened = frame[frame["loop"] == "open"]
    truth = 50 * (1 - 0.1)  # both times are exponential, so that all quantiles have the ratio of the means
    for name in ("p50_ratio", "p95_ratio", "p99_ratio"):
        assert (opened[f"{name}_low"] < truth).all()
        assert (opened[f"{name}_high"] > truth).all()
        assert (opened[f"{name}_verdict"] == "above").all()
    closed = frame[(frame["loop"] == "closed") & (frame["batching"] == "none")]
    assert closed["p50_ratio"].to_numpy() == pytest.approx(8, rel=0.05)


def test_few_requests_leave_a_high_percentile_open(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(studies=("scalability",), requests=30))
    few = tenfold_table(rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS), 0.95)
    opened = few[few["loop"] == "open"]
    assert (opened["p99_ratio_verdict"] == "open").all()
    assert (opened["p50_ratio_verdict"] == "above").all()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.06, 2.0, "above"), (0.9, 1.04, "within"), (1.0, 1.2, "open"), (float("nan"), float("nan"), "")],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low: float, high: float, verdict: str) -> None:
    assert tenfold._verdict(Estimate(1.0, low, high, 10)) == verdict


def test_callers_far_from_ten_times_as_many_are_not_compared(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(studies=("serving",)))
    assert tenfold_table(rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS), 0.95).empty
