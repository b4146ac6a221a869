"""The rate that a search found, on queues of which it is known."""

import math
from pathlib import Path

import pandas as pd
import pytest
from synthetic_results import SEARCH, SEARCH_ROW, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.comparisons import comparison_table
from inferlab.analyze.rate_limit import highest_rates, rate_limit_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.analyze.scalability import scalability_table

PLAIN = "minilm/original/cpu-openvino/fastapi/none"
QUANTIZED = "minilm/quantized/cpu-openvino/fastapi/none"


def of(folder: Path, **changes: int) -> list[Row]:
    write_results(folder, Synthetic(studies=("scalability",), **{"requests": 400, **changes}))
    return rows_of(load_results(folder)[0], STUDY_SCENARIOS)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return of(tmp_path_factory.mktemp("search"), rounds=8)


def test_the_rate_is_the_highest_that_kept_the_limit(searched: list[Row]) -> None:
    frame = rate_limit_table(searched, 0.95).set_index("configuration")
    assert len(frame) == 4
    assert (frame["searches"] == 8).all()
    # M/M/1: the 99th percentile of the sojourn time is ln 100 over what the load leaves of the capacity.
    for name, service_s in ((PLAIN, 0.011), (QUANTIZED, 0.006)):
        truth_per_s = 1 / service_s - math.log(100) / SEARCH_ROW["p99_limit_s"]
        resolution = 1 / service_s / 2 ** SEARCH_ROW["steps"]
        line = frame.loc[name]
        assert line["rate_low_per_s"] - resolution < truth_per_s < line["rate_high_per_s"] + resolution
        assert line["rate_per_s"] == pytest.approx(truth_per_s, abs=1.5 * resolution)
    assert math.isnan(frame.loc[PLAIN, "gain"])
    assert frame.loc[QUANTIZED, "gain_low"] > 1


def test_a_search_that_did_not_end_and_one_that_kept_nothing(searched: list[Row]) -> None:
    row = next(row for row in searched if row.keys["scenario"] == SEARCH and row.keys["configuration"] == PLAIN)
    tried = row.attempts.copy()
    tried.loc[tried["round"] == 1, "latency_p99_s"] = 9.0
    tried.loc[(tried["round"] == 2) & (tried["attempt"] == 3), "outcome"] = "invalid"
    found = highest_rates(Row(row.results, row.keys, row.blocks, tried, row.scenario))
    assert sorted(found.index) == [1, 3, 4, 5, 6, 7, 8]
    assert found.loc[1, "rate"] == 0.0
    assert bool(found.loc[1, "exceeded"])
    kept = tried.assign(latency_p99_s=0.001)
    assert not highest_rates(Row(row.results, row.keys, row.blocks, kept, row.scenario)).loc[3, "exceeded"]


def test_searches_have_a_table_of_their_own(searched: list[Row], rows: list[Row]) -> None:
    assert SEARCH not in set(scalability_table(searched, 0.95)["scenario"])
    compared: pd.DataFrame = comparison_table(searched, 0.95)
    assert SEARCH not in set(compared["scenario"])
    assert rate_limit_table(rows, 0.95).empty
