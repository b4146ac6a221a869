"""The knee of curves of which theory knows it."""

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_results import STUDY_SCENARIOS, Synthetic, write_results

from inferlab.analyze.knee import knee_interval, knee_of, knee_table
from inferlab.analyze.results import load_results
from inferlab.analyze.rows import Row, rows_of

SHARES = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.9])
MD1 = 1 + SHARES / (2 * (1 - SHARES))
"""Mean sojourn times over the service time, by Pollaczek and Khinchine."""


@pytest.mark.parametrize(
    ("latencies", "share", "latency"),
    [(1 / (1 - SHARES), 0.5, 2.0), (MD1, 2 - math.sqrt(2), 1 / math.sqrt(2) + 1)],
    ids=["M/M/1", "M/D/1"],
)
def test_power_is_greatest_where_theory_says(latencies: np.ndarray, share: float, latency: float) -> None:
    found = knee_of(200 * SHARES, 0.005 * latencies)
    assert found[0] / 200 == pytest.approx(share, abs=0.02)
    assert found[1] / 0.005 == pytest.approx(latency, rel=0.05)


def test_levels_that_do_not_enclose_a_knee_have_none() -> None:
    assert math.isnan(knee_of(SHARES, np.ones(6))[0]), "latency that never rises has no knee"
    assert math.isnan(knee_of(SHARES, SHARES**2)[0]), "latency that rises faster than the rate from the first level on"


def test_the_interval_holds_the_truth_as_often_as_it_promises() -> None:
    random = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        noise = np.exp(random.normal(0, 0.15, (10, len(SHARES))))
        estimate, _ = knee_interval(SHARES, noise / (1 - SHARES), 0.95)
        held += bool(estimate.low <= 0.5 <= estimate.high)
    assert held >= 180


def test_every_configuration_with_levels_has_a_line(tmp_path: Path, rows: list[Row]) -> None:
    write_results(tmp_path, Synthetic(studies=("scalability",), requests=300, rounds=8))
    found = knee_table(rows_of(load_results(tmp_path)[0], STUDY_SCENARIOS), 0.95)
    assert len(found) == 4
    plain = found[found["batching"] == "none"]
    # A batch of the synthetic server answers faster than its requests one by one, and shares are of that capacity.
    assert (plain["knee_share_low"] < 0.55).all()
    assert (plain["knee_share_high"] > 0.45).all()
    assert (found["knee_low_per_s"] < found["knee_per_s"]).all()
    assert knee_table(rows, 0.95).empty
