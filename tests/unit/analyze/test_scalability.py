"""Latency against load, on results of which the truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import LEVELS, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.comparisons import comparison_table
from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.analyze.scalability import scalability_table
from inferlab.studies.base import ClosedLoop

PLAIN = "minilm/original/cpu-openvino/fastapi/none"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    machines = tmp_path_factory.mktemp("scalability")
    write_results(machines, Synthetic(studies=("scalability", "optimization"), requests=60))
    return rows_of(load_results(machines)[0], STUDY_SCENARIOS)


@pytest.fixture(scope="module")
def frame(loaded: list[Row]) -> pd.DataFrame:
    return scalability_table(loaded, 0.95)


def test_only_studies_of_load_have_lines_and_the_twin_has_none(frame: pd.DataFrame, rows: list[Row]) -> None:
    assert set(frame["study"]) == {"scalability"}
    assert len(frame) == 4 * (3 + len(LEVELS))
    assert scalability_table(rows, 0.95).empty


def test_callers_and_shares_say_which_load_a_line_is_of(frame: pd.DataFrame) -> None:
    own = frame[frame["configuration"] == PLAIN].set_index("scenario")
    assert own.loc["64-callers", "callers"] == 64
    assert own.loc["load-30", "share_of_capacity"] == 0.3
    assert np.isnan(own.loc["64-callers", "share_of_capacity"]) and np.isnan(own.loc["load-30", "callers"])
    assert set(own.loc[list(LEVELS), "loop"]) == {"open"}


def test_load_is_what_is_offered_over_what_is_served_at_most(frame: pd.DataFrame) -> None:
    own = frame[frame["configuration"] == PLAIN].set_index("scenario")
    assert (own["capacity_per_s"] == own.loc["64-callers", "throughput_mean_per_s"]).all()
    assert own.loc["load-50", "load"] == pytest.approx(0.5, rel=0.05)
    assert own.loc["load-100", "state"] == "saturated"
    assert (own.drop("load-100")["state"] == "").all()


def test_percentiles_are_those_of_the_queue(frame: pd.DataFrame) -> None:
    own = frame[frame["configuration"] == PLAIN].set_index("scenario")
    for scenario in ("load-10", "load-50", "load-90"):
        mean_s = 0.011 / (1 - LEVELS[scenario])
        for name, quantile in (("latency_p50", 0.5), ("latency_p95", 0.95)):
            truth_s = -np.log(1 - quantile) * mean_s
            assert own.loc[scenario, f"{name}_low_s"] < truth_s < own.loc[scenario, f"{name}_high_s"]
        assert own.loc[scenario, "latency_p95_s"] < own.loc[scenario, "latency_p99_s"]


def test_levels_of_own_rates_are_compared_nowhere_and_stay_out_of_other_pages(loaded: list[Row]) -> None:
    compared = comparison_table(loaded, 0.95)
    own = compared[compared["study"] == "scalability"]
    assert set(own["scenario"]) == {"one-caller", "eight-callers", "64-callers"}
    assert set(optimization_table(loaded, 0.95)["study"]) == {"optimization"}


def test_items_are_counted_and_limits_keep_configurations_apart(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(studies=("scalability",)))
    original = next(row for row in rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS) if row.measured)
    four = ClosedLoop(kind="closed", callers=1, items=4)
    row = Row(original.results, {**original.keys, "batch_limit": 4}, original.blocks, original.attempts, four)
    line = scalability_table([row], 0.95).iloc[0]
    assert line["items_per_s"] == pytest.approx(4 * line["throughput_mean_per_s"])
    assert line["items_low_per_s"] == pytest.approx(4 * line["throughput_low_per_s"])
    assert line["batch_limit"] == 4
    assert np.isnan(line["capacity_per_s"]), "requests of several items are not what the rates count"
