"""Where the time goes, on results of which the truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import STAGE_SHARES, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.breakdown import STAGES, breakdown_table
from inferlab.analyze.latency import latency_table
from inferlab.analyze.optimization import optimization_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of

PLAIN = "minilm/original/cpu-openvino/fastapi-plain/none"
DIRECT = "minilm/original/cpu-openvino/direct/none"
ACCOUNTED = ("parse", "queue", "batch", "infer", "serialize")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    machines: Path = tmp_path_factory.mktemp("breakdown") / "machines"
    write_results(machines, Synthetic(studies=("optimization", "breakdown")))
    return rows_of(load_results(machines)[0], STUDY_SCENARIOS)


@pytest.fixture(scope="module")
def frame(loaded: list[Row]) -> pd.DataFrame:
    found = breakdown_table(loaded, 0.95)
    return found[found["scenario"] == "one-caller"].set_index("configuration")


def test_only_paths_of_studies_of_this_kind_have_lines(frame: pd.DataFrame, loaded: list[Row], rows: list[Row]) -> None:
    assert set(frame["study"]) == {"breakdown"}
    assert len(frame) == 2 * 5, "two optimizations; direct and fastapi with and without batching, the ordinary handler"
    assert not frame["handler"].any() and not frame["twin"].any()
    assert breakdown_table(rows, 0.95).empty
    assert set(optimization_table(loaded, 0.95)["study"]) == {"optimization"}


def test_stages_are_those_of_the_requests_and_the_rest_is_transport(frame: pd.DataFrame) -> None:
    line = frame.loc[PLAIN]
    for name in ACCOUNTED:
        assert line[f"{name}_share"] == pytest.approx(STAGE_SHARES[f"{name}_s"], rel=1e-3)
        assert line[f"{name}_s"] == pytest.approx(STAGE_SHARES[f"{name}_s"] * line["latency_s"], rel=1e-3)
    assert line["client_share"] == pytest.approx(0.05, rel=1e-3)
    assert line["server_share"] == pytest.approx(0.8, rel=1e-3)
    assert line["transport_share"] == pytest.approx(0.15, rel=1e-3)
    assert line["queue_low_s"] < STAGE_SHARES["queue_s"] * 0.012 < line["queue_high_s"]


def test_stages_sum_to_the_latency_of_the_other_tables(frame: pd.DataFrame, loaded: list[Row]) -> None:
    sums = frame[[f"{name}_s" for name in STAGES]].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(frame["latency_s"].to_numpy(), rel=1e-6)
    latency = latency_table(loaded, 0.95)
    latency = latency[(latency["study"] == "breakdown") & (latency["scenario"] == "one-caller")]
    expected = latency.set_index("configuration").loc[frame.index, "latency_mean_s"]
    assert frame["latency_s"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-3)


def test_direct_has_no_transport_and_the_rest_is_the_clients(frame: pd.DataFrame) -> None:
    line = frame.loc[DIRECT]
    assert np.isnan(line["transport_s"]) and np.isnan(line["transport_share"])
    assert line["parse_s"] == line["serialize_s"] == 0.0
    assert line["client_share"] == pytest.approx(1 - 0.63, rel=1e-3)


def test_without_an_account_transport_is_blank_and_not_all_the_rest(tmp_path: Path) -> None:
    folder = write_results(tmp_path, Synthetic(studies=("breakdown",), rounds=3))
    path = folder / "measurements" / "breakdown" / "minilm" / "requests.parquet"
    requests = pd.read_parquet(path)
    requests.loc[requests["configuration"] == PLAIN, [f"{name}_s" for name in ACCOUNTED]] = np.nan
    requests.to_parquet(path)
    line = breakdown_table(rows_of(load_results(tmp_path)[0], {}), 0.95).set_index(["configuration", "scenario"])
    line = line.loc[(PLAIN, "one-caller")]
    assert line[["transport_s", "server_s", "parse_s", "infer_share"]].isna().all()
    assert line["client_share"] == pytest.approx(0.05, rel=1e-3)
    assert line["latency_s"] > 0


def test_no_interval_of_a_duration_begins_below_zero(tmp_path: Path) -> None:
    write_results(tmp_path, Synthetic(studies=("breakdown",), rounds=3, noise=0.8))
    found = breakdown_table(rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS), 0.95)
    found = found[found["outcome"] == "measured"]
    lows = found[[f"{name}_low_s" for name in STAGES]]
    assert (lows.fillna(0) >= 0).all(axis=None)
    assert (lows["infer_low_s"] == 0).any(), "the noise is large enough for some to be cut"
    assert (found["infer_low_s"] <= found["infer_s"]).all()
