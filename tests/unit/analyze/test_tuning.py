"""Tuning, on results of which the truth is known."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import SEARCH, SEARCH_ROW, STUDY_SCENARIOS, TUNED_SPEED, Synthetic, write_results

from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.analyze.runs import runs_of
from inferlab.analyze.scalability import scalability_table
from inferlab.analyze.tuning import step_per_s, trial_table, tuning_table
from inferlab.errors import DataError

TUNED = "minilm/original/cpu-openvino/fastapi/dynamic/tuned"


def rows_from(folder: Path, **changes: object) -> list[Row]:
    truth = Synthetic(**{"studies": ("tuning",), "rounds": 10, "requests": 400, "noise": 0.003, **changes})  # type: ignore[arg-type]
    write_results(folder, truth)
    return rows_of(load_results(folder)[0], STUDY_SCENARIOS)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows_from(tmp_path_factory.mktemp("tuning"))


@pytest.fixture(scope="module")
def frame(tuned: list[Row]) -> pd.DataFrame:
    return tuning_table(tuned, 0.95).set_index("configuration")


def test_default_and_tuned_have_lines_and_the_twin_has_none(frame: pd.DataFrame, rows: list[Row]) -> None:
    assert len(frame) == 2 * 2 * 2
    assert not frame["twin"].any()
    assert tuning_table(rows, 0.95).empty
    absent = frame[frame["target"] == "inf2-neuronx"]
    assert (absent["outcome"] == "unavailable").all()
    assert absent["rate_per_s"].isna().all()


def test_what_was_asked_for_tried_and_chosen_stands_with_the_tuned_one(frame: pd.DataFrame) -> None:
    line = frame.loc[TUNED]
    assert line[["asked_batch_limit", "asked_threads", "asked_replicas"]].tolist() == ["1, 4, 8", "1", "1"]
    assert line[["chosen_batch_limit", "chosen_threads", "chosen_replicas"]].tolist() == [4, 1, 1]
    assert line[["trials_asked", "trials", "trials_without_value", "candidates"]].tolist() == [3, 3, 1, 3]
    assert line["cores_granted"] == 1
    assert np.isnan(frame.loc[TUNED.removesuffix("/tuned"), "trials"])


def test_the_verdict_comes_from_the_rounds_and_not_from_the_trials(frame: pd.DataFrame) -> None:
    """The trials say 1.8 times the rate. In the rounds p99 is log(100) over what a queue's capacity is above a rate."""
    line = frame.loc[TUNED]
    assert line["rounds_compared"] == line["rounds"] == 10
    assert line["ratio_low"] <= line["ratio"] <= line["ratio_high"]
    below_per_s = math.log(100) / SEARCH_ROW["p99_limit_s"]
    truth = (1 / (TUNED_SPEED * 0.011) - below_per_s) / (1 / 0.011 - below_per_s)
    assert abs(math.log(line["ratio"] / truth)) < line["resolution"]
    assert line["verdict"] == "better"
    assert line["p_value"] <= line["p_adjusted"] < 0.05
    assert frame.loc[TUNED.replace("original", "quantized"), "verdict"] == "better"


def test_a_difference_below_a_step_of_the_search_is_none(tmp_path: Path) -> None:
    """Every search of the tuned one ends a little higher, by less than a search can tell."""
    found = rows_from(tmp_path, noise=0.0, overrides={TUNED: 0.0105, TUNED.removesuffix("/tuned"): 0.011})
    line = tuning_table(found, 0.95).set_index("configuration").loc[TUNED]
    assert abs(math.log(line["ratio"])) < line["resolution"]
    assert (line["verdict"], line["note"]) == ("tie", "within a step of the search")
    assert np.isnan(line["more_rounds_needed"])


def test_the_step_is_what_the_last_of_the_bisections_blocks_can_tell(tuned: list[Row]) -> None:
    row = next(row for row in tuned if row.keys["configuration"] == TUNED)
    first = row.attempts.loc[row.attempts["attempt"] == 0, "offered_rate_per_s"].mean()
    assert step_per_s(row) == pytest.approx(2 * first / 2 ** SEARCH_ROW["steps"])


@pytest.mark.parametrize("absent", ["/twin", "/tuned", ""])
def test_without_a_measured_default_or_twin_there_is_no_verdict(tmp_path: Path, absent: str) -> None:
    default = TUNED.removesuffix("/tuned")
    found = rows_from(tmp_path, invalid=(default + absent,), rounds=3, requests=60)
    line = tuning_table(found, 0.95).set_index("configuration").loc[TUNED]
    assert line["verdict"] == ""
    if absent == "/twin":
        assert line["note"] == "no verdict: the A/A twin was not measured"
        assert line["ratio"] > 1
    else:
        assert np.isnan(line["ratio"])


def test_rounds_in_which_no_rate_kept_the_limit_count_as_zero_and_have_no_ratio(tmp_path: Path) -> None:
    slow = TUNED.removesuffix("/tuned")
    line = tuning_table(rows_from(tmp_path, rounds=3, overrides={slow: 5.0}), 0.95).set_index("configuration")
    assert line.loc[slow, ["rate_per_s", "never_kept"]].tolist() == [0, 3]
    assert np.isnan(line.loc[TUNED, "ratio"])
    assert line.loc[TUNED, "note"] == "no verdict: fewer than two rounds in which both kept the limit"
    assert line.loc[TUNED, "rate_per_s"] > 0


def test_trials_are_told_one_by_one_and_results_of_before_have_none(tuned: list[Row], rows: list[Row]) -> None:
    trials = trial_table([tuned[0].results])
    assert trials["trial"].tolist() == [0, 1, 2] * 2
    assert set(trials["optimization"]) == {"original", "quantized"}
    assert trials.loc[trials["chosen"], "batch_limit"].tolist() == [4, 4]
    assert trials.loc[trials["trial"] == 2, "reason"].tolist() == ["it ran out of memory"] * 2
    assert trial_table([rows[0].results]).empty
    assert not list(rows[0].results.folder.rglob("trials.parquet"))


def test_trials_of_another_study_are_named(tmp_path: Path) -> None:
    rows = rows_from(tmp_path, rounds=2, requests=20)
    path = rows[0].results.folder / "measurements/tuning/minilm/trials.parquet"
    pd.read_parquet(path).assign(model="noop").to_parquet(path)
    with pytest.raises(DataError, match=r"trials\.parquet: column model holds noop"):
        _ = load_results(tmp_path)[0].trials


def test_tuned_rows_stay_out_of_other_pages_and_mlflow_is_told_of_them(tmp_path: Path) -> None:
    rows = rows_from(tmp_path, studies=("tuning", "optimization"), rounds=3, requests=60)
    assert set(optimization_table(rows, 0.95)["study"]) == {"optimization"}
    assert scalability_table(rows, 0.95).empty
    runs = {run.name: run for run in runs_of(rows[0].results, STUDY_SCENARIOS, (), 0.95)}
    run = runs[f"measure tuning {TUNED} {SEARCH}"]
    assert run.params["tuned"] == "true"
    assert run.metrics["chosen_batch_limit"] == 4
    assert run.metrics["ratio"] > 1
