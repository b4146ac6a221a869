"""What a cache brought, on results of which the truth is known, and hits against a simulated cache."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_results import HIT_S, STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.caching import caching_table, expected_hit_share
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of
from inferlab.records import PayloadMix


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    machines: Path = tmp_path_factory.mktemp("caching") / "machines"
    write_results(machines, Synthetic(studies=("optimization", "caching")))
    rows = rows_of(load_results(machines)[0], STUDY_SCENARIOS)
    return caching_table(rows, 0.95).set_index("cache_share")


def test_only_studies_of_caches_have_lines_and_the_twin_has_none(frame: pd.DataFrame, rows: list[Row]) -> None:
    assert list(frame.index) == [0.0, 0.1, 1.0]
    assert set(frame["study"]) == {"caching"}
    assert caching_table(rows, 0.95).empty


def test_hits_speed_and_latencies_are_those_of_the_requests(frame: pd.DataFrame) -> None:
    assert frame.loc[0.1, "hit_share"] == pytest.approx(13 / 37)  # of the 37 measured requests, 3 of the 16 came first
    assert frame.loc[1.0, "hit_share"] == 1.0
    assert np.isnan(frame.loc[0.0, "hit_share"]) and np.isnan(frame.loc[0.0, "speedup"])
    assert frame.loc[1.0, "hit_latency_p50_s"] == pytest.approx(8 * HIT_S, rel=0.05)
    assert np.isnan(frame.loc[1.0, "miss_latency_p50_s"])
    assert frame.loc[0.1, "miss_latency_p50_s"] == pytest.approx(frame.loc[0.0, "latency_p50_s"], rel=0.1)
    truth = frame.loc[0.0, "latency_p50_s"] / (8 * HIT_S)
    assert frame.loc[1.0, "speedup_low"] < truth < frame.loc[1.0, "speedup_high"]


def test_hits_expected_stand_beside_those_measured(frame: pd.DataFrame) -> None:
    assert frame.loc[0.1, "hit_share_expected"] == pytest.approx(
        expected_hit_share(PayloadMix(distinct=50, zipf_exponent=1.0), 5)
    )
    assert frame.loc[1.0, "hit_share_expected"] == 1.0


@pytest.mark.parametrize(
    ("distinct", "exponent", "capacity"), [(200, 1.0, 10), (200, 1.0, 50), (50, 0.0, 20), (80, 2.0, 3)]
)
def test_the_expected_share_is_that_of_a_simulated_cache(distinct: int, exponent: float, capacity: int) -> None:
    mix = PayloadMix(distinct=distinct, zipf_exponent=exponent)
    draws = np.random.default_rng(1).choice(distinct, size=60_000, p=mix.probabilities())
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for draw in draws.tolist():
        hits += draw in held
        held[draw] = None
        held.move_to_end(draw)
        if len(held) > capacity:
            held.popitem(last=False)
    assert expected_hit_share(mix, capacity) == pytest.approx(hits / len(draws), abs=0.012)
