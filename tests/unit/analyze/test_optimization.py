"""The four variants side by side."""

import numpy as np
import pandas as pd
import pytest

from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import Row


@pytest.fixture(scope="module")
def frame(rows: list[Row]) -> pd.DataFrame:
    table = optimization_table(rows, 0.95)
    return table[(table["study"] == "optimization") & (table["scenario"] == "one-caller")].set_index(
        ["optimization", "target"]
    )


def test_speed_ups_are_against_the_users_engine_and_the_best_at_full_precision(frame: pd.DataFrame) -> None:
    line = frame.loc[("quantized", "cpu-openvino")]
    assert line["speedup_vs_users_low"] < 17 / 6 < line["speedup_vs_users_high"]
    assert line["best_fp32"] == "cpu-openvino"
    assert line["speedup_vs_best_fp32_low"] < 11 / 6 < line["speedup_vs_best_fp32_high"]
    assert frame.loc[("original", "cpu-eager"), "speedup_vs_users"] == 1.0


def test_a_speed_up_on_the_same_target_leaves_what_the_optimization_did(frame: pd.DataFrame) -> None:
    line = frame.loc[("sparse", "cpu-eager")]
    assert line["speedup_vs_same_target"] == pytest.approx(1.0, abs=0.05)
    assert line["speedup_vs_best_fp32"] < 0.8
    assert frame.loc[("original", "cpu-eager"), "speedup_vs_same_target"] == 1.0


def test_accuracy_stands_beside_speed_with_its_paired_difference(frame: pd.DataFrame, results: ResultSet) -> None:
    line = frame.loc[("quantized", "cpu-openvino")]
    original = frame.loc[("original", "cpu-openvino")]
    assert line["quality"] == pytest.approx(results.quality[("minilm", "quantized", "cpu-openvino")].value)
    assert line["quality_difference"] == pytest.approx(line["quality"] - original["quality"])
    assert line["quality_difference_low"] < line["quality_difference"] < line["quality_difference_high"]
    assert np.isnan(original["quality_difference"])


def test_engagement_and_size_come_from_the_manifests(frame: pd.DataFrame) -> None:
    assert frame.loc[("sparse", "cpu-openvino"), "engagement"].startswith("not engaged")
    assert frame.loc[("quantized", "cpu-openvino"), "low_precision_mac_share"] == 0.95
    assert frame.loc[("pruned", "cpu-eager"), "macs_kept_share"] == 0.7
    assert frame.loc[("quantized", "cpu-openvino"), "size_bytes"] == 5_000_000


def test_what_was_not_measured_has_no_number_but_its_reason(frame: pd.DataFrame) -> None:
    line = frame.loc[("quantized", "cpu-eager")]
    assert line["outcome"] == "unsupported"
    assert line["reason"]
    assert pd.isna(line[["latency_p50_s", "speedup_vs_users", "quality", "size_bytes"]].astype(float)).all()


def test_an_offered_rate_gives_no_speed_up(rows: list[Row]) -> None:
    table = optimization_table(rows, 0.95)
    assert table[table["loop"] == "open"]["speedup_vs_users"].isna().all()


def test_the_twin_is_left_out(rows: list[Row]) -> None:
    assert not optimization_table(rows, 0.95)["twin"].any()
