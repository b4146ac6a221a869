"""Cold starts, on results of which the truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import READY_S, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.cold_start import cold_start_table
from inferlab.analyze.comparisons import comparison_table
from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.analyze.runs import runs_of

STUDIES = ("cold-start", "optimization")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    machines: Path = tmp_path_factory.mktemp("starts")
    write_results(machines, Synthetic(studies=STUDIES))
    return rows_of(load_results(machines)[0], STUDY_SCENARIOS)


@pytest.fixture(scope="module")
def frame(started: list[Row]) -> pd.DataFrame:
    return cold_start_table(started, 0.95).set_index(["target", "optimization", "path"])


def test_only_cold_starts_have_lines_and_the_twin_has_none(frame: pd.DataFrame, rows: list[Row]) -> None:
    assert set(frame["study"]) == {"cold-start"}
    assert len(frame) == 4 * 2 * 2
    assert cold_start_table(rows, 0.95).empty
    absent = frame.loc["inf2-neuronx"]
    assert (absent["outcome"] == "unavailable").all()
    assert absent["first_answer_s"].isna().all()


def test_the_first_answer_is_what_it_took_to_be_ready_and_the_first_request(frame: pd.DataFrame) -> None:
    line = frame.loc[("cpu-openvino", "original", "direct")]
    assert line["starts"] == 6
    assert line["first_answer_low_s"] < (READY_S + 1) * 0.010 < line["first_answer_high_s"]
    assert line["first_answer_s"] == pytest.approx(line["ready_s"] + line["first_request_s"])
    assert line["session_load_s"] == pytest.approx(line["ready_s"] / 2)
    assert line["first_inference_s"] == pytest.approx(3 * line["second_inference_s"])


def test_ratios_are_to_the_original_on_cpu_eager_behind_the_same_path(frame: pd.DataFrame) -> None:
    line = frame.loc[("cpu-openvino", "quantized", "fastapi")]
    truth = (0.010 * 0.5 + 0.001) / (0.010 * 1.6 + 0.001)
    assert line["times_base_low"] < truth < line["times_base_high"]
    assert np.isnan(frame.loc[("cpu-eager", "original", "fastapi"), "times_base"])


def test_first_answers_are_compared_and_stay_out_of_other_pages(started: list[Row]) -> None:
    compared = comparison_table(started, 0.95)
    own = compared[compared["study"] == "cold-start"]
    assert set(own["metric"]) == {"latency_p50_s"}
    quantized = own[own["configuration"] == "minilm/quantized/cpu-openvino/direct/none"]
    assert set(quantized["verdict"]) == {"better"}
    assert set(optimization_table(started, 0.95)["study"]) == {"optimization"}


def test_mlflow_is_told_of_them(started: list[Row]) -> None:
    results = started[0].results
    runs = {run.name: run for run in runs_of(results, STUDY_SCENARIOS, (), 0.95)}
    run = runs["measure cold-start minilm/original/cpu-openvino/direct/none process-start"]
    assert run.metrics["ready_s"] == pytest.approx(run.metrics["first_answer_s"] - run.metrics["first_request_s"])
