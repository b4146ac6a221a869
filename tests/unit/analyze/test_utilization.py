"""Table 3 and its denominators."""

import pytest
from scipy import stats

from inferlab.analyze.rows import Row
from inferlab.analyze.utilization import utilization_table


def test_percentages_are_means_over_rounds_and_cost_is_a_geometric_mean(rows: list[Row]) -> None:
    measured = next(row for row in rows if row.measured)
    line = utilization_table([measured], 0.95).iloc[0]
    assert line["cpu_percent"] == pytest.approx(measured.blocks["cpu_utilization_percent"].mean())
    assert line["cpu_s_per_request"] == pytest.approx(stats.gmean(measured.blocks["cpu_s_per_request"]))
    assert line["cpu_percent_low"] < line["cpu_percent"] < line["cpu_percent_high"]
    assert line["cores_granted"] == 1


def test_an_accelerator_that_is_not_there_is_blank(rows: list[Row]) -> None:
    frame = utilization_table(rows, 0.95)
    assert frame["accelerator_percent"].isna().all()
    assert frame["paper_accelerator_percent"].notna().any()
