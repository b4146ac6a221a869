"""Table 3 and its denominators."""

from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats
from synthetic_results import NO_ACCELERATOR, NO_ENERGY, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.results import ResultSet, load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.analyze.utilization import ABSENT_COLUMNS, absent_table, utilization_table


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


def test_cores_of_an_accelerator_stand_beside_those_granted_where_they_are_counted(rows: list[Row]) -> None:
    assert utilization_table(rows, 0.95)["accelerator_cores_used"].isna().all()
    measured = next(row for row in rows if row.measured)
    counted = measured.blocks.assign(accelerator_cores_used=1.0, accelerator_cores_granted=2.0)
    line = utilization_table([replace(measured, blocks=counted)], 0.95).iloc[0]
    assert (line["accelerator_cores_used"], line["accelerator_cores_granted"]) == (1.0, 2.0)


def test_energy_per_request_is_a_geometric_mean_and_blank_where_there_is_none(tmp_path: Path, rows: list[Row]) -> None:
    assert utilization_table(rows, 0.95)["energy_j_per_request"].isna().all()
    write_results(tmp_path, Synthetic(studies=("serving",), rounds=3, requests=10, samples=20, watts=25.0))
    measured = next(row for row in rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS) if row.measured)
    line = utilization_table([measured], 0.95).iloc[0]
    assert line["energy_j_per_request"] == pytest.approx(stats.gmean(measured.blocks["energy_j_per_request"]))
    assert line["energy_j_per_request_low"] < line["energy_j_per_request"] < line["energy_j_per_request_high"]
    assert line[["accelerator_energy_j_per_request"]].isna().all()


def test_what_no_block_has_is_listed_with_its_reasons(results: ResultSet) -> None:
    frame = absent_table([results])
    assert list(frame.columns) == list(ABSENT_COLUMNS)
    serving = frame[frame["study"] == "serving"].set_index("column")["reason"]
    assert serving["energy_j"] == NO_ENERGY
    assert serving["accelerator_utilization_percent"] == NO_ACCELERATOR
    assert "cpu_s" not in serving


def test_what_some_blocks_have_is_not_listed_and_several_reasons_stand_together(results: ResultSet) -> None:
    blocks = results.blocks.copy()
    blocks.loc[0, "accelerator_utilization_percent"] = 50.0
    blocks.loc[0, "telemetry_absent"] = '{"energy_j": "the counter went away"}'
    frame = absent_table([replace(results, blocks=blocks)])
    first = frame[frame["study"] == blocks["study"].iloc[0]].set_index("column")["reason"]
    assert "accelerator_utilization_percent" not in first
    assert first["energy_j"] == f"the counter went away; {NO_ENERGY}"
