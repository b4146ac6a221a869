"""Table 2 against the blocks it is made from."""

import numpy as np
import pytest
from scipy import stats

from inferlab.analyze.rows import Row
from inferlab.analyze.throughput import throughput_table


def test_mean_spread_and_interval_are_over_rounds(rows: list[Row]) -> None:
    measured = next(row for row in rows if row.measured)
    rates = measured.blocks["throughput_per_s"].to_numpy()
    line = throughput_table([measured], 0.9).iloc[0]
    assert line["throughput_mean_per_s"] == pytest.approx(rates.mean())
    assert line["throughput_std_per_s"] == pytest.approx(rates.std(ddof=1))
    low, high = stats.t.interval(0.9, rates.size - 1, loc=rates.mean(), scale=stats.sem(rates))
    assert (line["throughput_low_per_s"], line["throughput_high_per_s"]) == pytest.approx((low, high))
    assert line["time_per_item_s"] == pytest.approx(1 / rates.mean())


def test_the_offered_rate_is_of_open_loops_only(rows: list[Row]) -> None:
    frame = throughput_table(rows, 0.95)
    measured = frame[frame["outcome"] == "measured"]
    offered = measured.groupby("loop")["offered_rate_per_s"]
    assert offered.get_group("closed").isna().all()
    assert np.allclose(offered.get_group("open"), 20.0)


def test_rows_without_a_measurement_keep_the_papers_value_alone(rows: list[Row]) -> None:
    frame = throughput_table(rows, 0.95)
    neuron = frame[
        (frame["target"] == "inf2-neuronx") & (frame["configuration"].str.endswith("original/inf2-neuronx/direct/none"))
    ]
    assert neuron["throughput_mean_per_s"].isna().all()
    assert set(neuron["paper_throughput_mean_per_s"]) == {80.0}
