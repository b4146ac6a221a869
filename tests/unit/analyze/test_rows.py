"""Rows: every planned configuration, measured or not, with its outcome."""

from pathlib import Path

import pandas as pd
from synthetic_results import UNSUPPORTED, Synthetic, write_results

from inferlab.analyze.results import ResultSet, load_results
from inferlab.analyze.rows import Row, rows_of

from .conftest import INVALID, STUDY_SCENARIOS


def test_every_planned_configuration_has_a_row_under_every_scenario(rows: list[Row], results: ResultSet) -> None:
    planned = results.plans[("serving", "minilm")].configurations
    serving = [row for row in rows if row.keys["study"] == "serving"]
    assert len(serving) == 3 * len(planned)
    assert {row.keys["scenario"] for row in serving} == set(STUDY_SCENARIOS["serving"])
    assert {row.keys["loop"] for row in serving if row.keys["scenario"] == "common-rate"} == {"open"}


def test_rows_that_could_not_be_measured_keep_outcome_reason_and_hint(rows: list[Row]) -> None:
    neuron = [row for row in rows if row.keys["target"] == "inf2-neuronx"]
    assert {row.keys["outcome"] for row in neuron} == {"unavailable"}
    assert {row.keys["hint"] for row in neuron} == {"start an inf2.xlarge instance"}
    quantized = [row for row in rows if (row.keys["target"], row.keys["optimization"]) == ("cpu-eager", "quantized")]
    assert {(row.keys["outcome"], row.keys["reason"]) for row in quantized} == {("unsupported", UNSUPPORTED)}
    assert all(len(row.blocks) == 0 for row in neuron + quantized)


def test_a_row_of_invalid_blocks_is_invalid_and_says_what_to_do(rows: list[Row]) -> None:
    found = [row for row in rows if row.keys["configuration"] == INVALID]
    assert {row.keys["outcome"] for row in found} == {"invalid"}
    assert found[0].keys["reason"] == "0 of 6 rounds can be used: the client was late"
    assert found[0].keys["hint"] == "give the client a core of its own"
    assert len(found[0].blocks) == 0


def test_a_few_invalid_rounds_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(studies=("optimization",), requests=8, samples=40))
    path = folder / "measurements/optimization/minilm/blocks.parquet"
    blocks = pd.read_parquet(path)
    blocks.loc[blocks["round"] <= 2, "outcome"] = "invalid"
    blocks.to_parquet(path)
    rows = rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS)
    assert {(row.keys["rounds"], row.keys["rounds_left_out"]) for row in rows if row.measured} == {(4, 2)}


def test_a_planned_configuration_without_blocks_is_invalid(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(studies=("optimization",), requests=8, samples=40))
    path = folder / "measurements/optimization/minilm/blocks.parquet"
    blocks = pd.read_parquet(path)
    gone = "minilm/pruned/cpu-openvino/fastapi/dynamic"
    blocks[blocks["configuration"] != gone].to_parquet(path)
    rows = rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS)
    assert {row.keys["outcome"] for row in rows if row.keys["configuration"] == gone} == {"invalid"}


def test_a_plan_without_any_block_takes_its_scenarios_from_the_parameters(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(studies=("optimization",), requests=8, samples=40))
    for path in folder.glob("measurements/*/*/*.parquet"):
        path.unlink()
    rows = rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS)
    assert {row.keys["scenario"] for row in rows} == {"one-caller", "eight-callers"}
    assert not any(row.measured for row in rows)
