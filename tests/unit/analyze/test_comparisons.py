"""Verdicts, the noise floor, and what is never compared."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.comparisons import AGAINST_ORIGINAL, AGAINST_REFERENCE, comparison_table, noise_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of

REFERENCE = "minilm/original/cpu-openvino/fastapi/dynamic"
SPARSE = "minilm/sparse/cpu-openvino/fastapi/dynamic"
PRUNED = "minilm/pruned/cpu-openvino/fastapi/dynamic"
EAGER = "minilm/original/cpu-eager/fastapi/dynamic"
EAGER_SPARSE = "minilm/sparse/cpu-eager/fastapi/dynamic"


def rows_with(tmp_path: Path, **changes: object) -> list[Row]:
    truth = Synthetic(studies=("optimization",), samples=40, **changes)
    write_results(tmp_path, truth)
    return rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS, ["common-rate"])


def to_the_reference(rows: list[Row]) -> pd.DataFrame:
    frame = comparison_table(rows, 0.95)
    return frame[frame["against"] == AGAINST_REFERENCE]


def test_what_the_engine_did_is_not_credited_to_the_optimization(rows: list[Row]) -> None:
    """cpu-eager is slower than the reference on OpenVINO; sparsity on it changes nothing."""
    frame = comparison_table(rows, 0.95)
    frame = frame[(frame["configuration"] == EAGER_SPARSE) & (frame["metric"] == "throughput_per_s")]
    verdicts = frame.set_index(["against", "scenario"])[["reference", "verdict"]]
    assert tuple(verdicts.loc[(AGAINST_REFERENCE, "one-caller")]) == (REFERENCE, "worse")
    assert tuple(verdicts.loc[(AGAINST_ORIGINAL, "one-caller")]) == (EAGER, "tie")
    assert len(frame) == 4


def test_an_original_has_no_original_beside_it(rows: list[Row]) -> None:
    frame = comparison_table(rows, 0.95)
    beside = frame[frame["against"] == AGAINST_ORIGINAL]
    assert "original" not in set(beside["optimization"])
    same = ["target", "path", "batching"]
    assert (beside["reference"] == "minilm/original/" + beside[same].agg("/".join, axis=1)).all()


def test_holm_corrects_a_study_together_and_counts_a_comparison_once(tmp_path: Path) -> None:
    """Where the study's reference is also the original on the same target, two lines are one comparison."""
    rows = rows_with(tmp_path, models=("minilm", "noop"))
    frame = comparison_table(rows, 0.95)
    pairs = frame[["model", "configuration", "reference", "scenario", "metric"]].apply(tuple, axis=1)
    assert 0 < pairs.duplicated().sum() < len(frame)
    assert frame.groupby(pairs)["p_adjusted"].nunique().max() == 1
    assert set(frame["model"]) == {"minilm", "noop"}
    smallest = frame.loc[frame["p_value"].idxmin()]
    assert smallest["p_adjusted"] == pytest.approx(smallest["p_value"] * pairs.nunique())


def test_a_twin_that_differs_is_warned_of(tmp_path: Path) -> None:
    slow = {f"{REFERENCE}/twin": 0.011 * 1.08}
    noise = noise_table(rows_with(tmp_path, rounds=8, requests=200, noise=0.001, overrides=slow), 0.95)
    assert noise["twin_warning"].str.fullmatch(r"its 95 % interval excludes 1, its median is off by [678]\.\d %").all()


def test_a_twin_that_agrees_is_not(tmp_path: Path) -> None:
    noise = noise_table(rows_with(tmp_path, rounds=4, requests=400, noise=0.0, seed=3), 0.95)
    inside = (noise["ratio_low"] <= 1) & (noise["ratio_high"] >= 1) & ((noise["ratio_median"] - 1).abs() <= 0.03)
    assert inside.any()
    assert (noise["twin_warning"] == "").equals(inside)


def test_a_large_difference_is_called_and_its_direction_follows_the_metric(rows: list[Row]) -> None:
    frame = to_the_reference(rows).set_index(["study", "configuration", "scenario", "metric"])
    latency = frame.loc[("optimization", PRUNED, "one-caller", "latency_p50_s")]
    throughput = frame.loc[("optimization", PRUNED, "one-caller", "throughput_per_s")]
    assert latency["ratio"] < 0.85
    assert throughput["ratio"] > 1.15
    assert (latency["verdict"], throughput["verdict"]) == ("better", "better")
    eager = frame.loc[("optimization", EAGER, "one-caller", "throughput_per_s")]
    assert eager["verdict"] == "worse"


def test_equal_configurations_tie(rows: list[Row]) -> None:
    frame = comparison_table(rows, 0.95)
    sparse = frame[frame["configuration"] == SPARSE]
    assert set(sparse["verdict"]) == {"tie"}


def test_the_twin_and_the_reference_are_not_candidates(rows: list[Row]) -> None:
    frame = comparison_table(rows, 0.95)
    optimization = frame[frame["study"] == "optimization"]
    assert REFERENCE not in set(optimization["configuration"])
    assert not frame["configuration"].str.endswith("/twin").any()


def test_throughput_is_not_compared_where_the_rate_is_offered(rows: list[Row]) -> None:
    frame = comparison_table(rows, 0.95)
    assert set(frame[frame["scenario"] == "common-rate"]["metric"]) == {"latency_p50_s"}


def test_no_difference_below_the_noise_floor_is_called_one(tmp_path: Path) -> None:
    """The twin is 8 % off, so 4 % is nothing, however small its p-value."""
    twin_s, sparse_s = 0.011 * 1.08, 0.011 * 1.04
    changed = {f"{REFERENCE}/twin": twin_s, SPARSE: sparse_s}
    rows = rows_with(tmp_path, rounds=12, requests=400, noise=0.001, overrides=changed)
    frame = comparison_table(rows, 0.95)
    sparse = frame[(frame["configuration"] == SPARSE) & (frame["metric"] == "throughput_per_s")]
    assert (sparse["p_adjusted"] < 0.05).all()
    assert (sparse["noise_floor"] > 0.06).all()
    assert set(sparse["verdict"]) == {"tie"}
    assert set(sparse["note"]) == {"inside the noise floor"}
    assert sparse["more_rounds_needed"].isna().all()


def test_a_tie_outside_the_floor_says_how_many_more_rounds_it_needs(tmp_path: Path) -> None:
    rows = rows_with(tmp_path, rounds=4, requests=60, noise=0.0)
    sparse = [row for row in rows if row.keys["configuration"] == SPARSE and row.keys["scenario"] == "one-caller"]
    reference = next(row for row in rows if row.keys["configuration"] == REFERENCE)
    rates = reference.blocks["throughput_per_s"].to_numpy() * np.exp([0.02, 0.20, 0.10, 0.25])
    wobbly = Row(sparse[0].results, sparse[0].keys, sparse[0].blocks.assign(throughput_per_s=rates), sparse[0].attempts)
    rows = [wobbly if row is sparse[0] else row for row in rows]
    frame = to_the_reference(rows).set_index(["configuration", "scenario", "metric"])
    line = frame.loc[(SPARSE, "one-caller", "throughput_per_s")]
    assert line["verdict"] == "tie"
    assert line["note"] == "not separable with these rounds"
    assert line["more_rounds_needed"] >= 1


def test_without_a_twin_there_is_no_verdict(rows: list[Row]) -> None:
    frame = comparison_table([row for row in rows if not row.keys["twin"]], 0.95)
    assert set(frame["verdict"]) == {""}
    assert frame["note"].str.contains("twin was not measured").all()


def test_without_a_measured_reference_nothing_is_compared(rows: list[Row]) -> None:
    without = [row for row in rows if row.keys["target"] == "cpu-eager"]
    assert comparison_table(without, 0.95).empty
    assert noise_table(without, 0.95).empty


def test_machines_are_never_compared_with_each_other(tmp_path: Path) -> None:
    for machine, base in (("a", 0.010), ("b", 0.030)):
        write_results(
            tmp_path, Synthetic(machine_id=machine, base_latency_s=base, studies=("optimization",), samples=40)
        )
    sets = load_results(tmp_path)
    rows = [row for results in sets for row in rows_of(results, STUDY_SCENARIOS)]
    frame = comparison_table(rows, 0.95)
    apart = pd.concat([comparison_table(rows_of(results, STUDY_SCENARIOS), 0.95) for results in sets])
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), apart.reset_index(drop=True))
    sparse = frame[frame["configuration"] == SPARSE]
    assert sparse["ratio"].between(0.9, 1.1).all()


def test_the_twins_floor_is_the_far_end_of_its_interval(rows: list[Row]) -> None:
    noise = noise_table(rows, 0.95)
    ends = np.maximum(np.log(noise["ratio_low"]).abs(), np.log(noise["ratio_high"]).abs())
    assert noise["noise_floor"].to_numpy() == pytest.approx(ends.to_numpy())
    assert (noise["noise_floor"] < 0.15).all()


def test_false_verdicts_are_rare_where_nothing_differs() -> None:
    """300 studies of seven equal configurations, ten rounds, independent noise of 3 %: at most 5 % of them err."""
    from inferlab.analyze.statistics import holm, paired_ratio

    rng = np.random.default_rng(11)
    wrong = 0
    studies = 300
    for _ in range(studies):
        blocks = [pd.Series(np.exp(rng.normal(0, 0.03, 10))) for _ in range(9)]
        twin = paired_ratio(blocks[1], blocks[0], 0.95)
        floor = max(abs(np.log(twin.low)), abs(np.log(twin.high)))
        found = [paired_ratio(block, blocks[0], 0.95) for block in blocks[2:]]
        called = holm([ratio.p_value for ratio in found]) < 0.05
        wrong += any(bool(hit) and abs(ratio.log_mean) > floor for hit, ratio in zip(called, found, strict=True))
    assert wrong / studies <= 0.05
