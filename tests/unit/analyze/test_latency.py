"""Table 1 against the requests it is made from."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from inferlab.analyze.latency import QUANTILES, latency_quantiles, latency_table
from inferlab.analyze.results import ResultSet
from inferlab.analyze.rows import Row

CELL = ("serving", "minilm/original/cpu-openvino/fastapi/none", "one-caller")


def of_cell(frame: pd.DataFrame) -> pd.DataFrame:
    study, configuration, scenario = CELL
    same = (frame["study"] == study) & (frame["configuration"] == configuration)
    return frame[same & (frame["scenario"] == scenario)]


def test_mean_and_median_are_over_rounds_and_the_rest_of_the_pooled_requests(
    rows: list[Row], results: ResultSet
) -> None:
    line = of_cell(latency_table(rows, 0.95)).iloc[0]
    pooled = results.requests[CELL]["latency_s"].to_numpy()
    assert line["requests"] == pooled.size == 6 * 37
    row = next(row for row in rows if (row.keys["study"], row.keys["configuration"], row.keys["scenario"]) == CELL)
    means, medians = row.by_round("latency_mean_s"), row.by_round("latency_p50_s")
    assert line["latency_mean_s"] == pytest.approx(means.mean())
    assert line["latency_p50_s"] == pytest.approx(np.exp(np.log(medians).mean()))
    half = stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    assert line["latency_mean_high_s"] == pytest.approx(means.mean() + half)
    assert line["latency_std_s"] == pooled.std(ddof=1)
    assert line["latency_p95_s"] == np.quantile(pooled, 0.95)
    assert line["latency_p50_low_s"] < line["latency_p50_s"] < line["latency_p50_high_s"]


def test_a_percentile_is_hidden_where_too_few_requests_stand_behind_it(rows: list[Row]) -> None:
    short = [Row(row.results, row.keys, row.blocks.head(2), row.attempts) for row in rows]
    line = of_cell(latency_table(short, 0.95)).iloc[0]
    assert line["requests"] == 74
    assert np.isnan(line["latency_p99_s"])
    assert not np.isnan(line["latency_p95_s"])


def test_the_papers_value_stands_in_columns_of_its_own(rows: list[Row]) -> None:
    line = of_cell(latency_table(rows, 0.95)).iloc[0]
    assert (line["paper_latency_mean_ms"], line["paper_latency_std_ms"]) == (15.2, 1.1)


def test_failed_requests_are_counted_in_all_blocks_also_in_those_left_out(rows: list[Row]) -> None:
    row = next(row for row in rows if row.measured)
    failed = row.attempts.assign(requests_timeout=2, requests_error=1)
    line = latency_table([Row(row.results, row.keys, row.blocks.head(3), failed)], 0.95).iloc[0]
    assert line["requests_failed"] == 3 * len(row.attempts)


def test_rows_without_a_measurement_are_blank(rows: list[Row]) -> None:
    frame = latency_table(rows, 0.95)
    absent = frame[frame["outcome"] != "measured"]
    columns = [name for name in frame.columns if name.startswith("latency_")]
    assert len(absent) > 0
    assert absent[columns].isna().all(axis=None)


def test_quantiles_rise_and_are_of_measured_rows_only(rows: list[Row]) -> None:
    frame = latency_quantiles(rows)
    measured = {(row.keys["study"], row.keys["configuration"], row.keys["scenario"]) for row in rows if row.measured}
    groups = frame.groupby(["study", "configuration", "scenario"])
    assert set(groups.groups) == measured
    assert all(len(group) == len(QUANTILES) and group["latency_s"].is_monotonic_increasing for _, group in groups)
