import math

import numpy as np
import pytest

from inferlab.load.loops import Offered, Reply, Row
from inferlab.load.warmup import mser5, settled


def steady(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).gamma(25.0, 0.0004, count)


def brute_force(values: np.ndarray) -> int:
    means = values[: len(values) // 5 * 5].reshape(-1, 5).mean(axis=1)
    errors = [np.square(means[d:] - means[d:].mean()).sum() / (len(means) - d) ** 2 for d in range(len(means) - 5)]
    return int(np.argmin(errors)) * 5


def test_a_transient_is_cut_off() -> None:
    values = steady(1000)
    values[:150] += 0.02
    cut = mser5(values)
    assert cut == brute_force(values)
    assert 150 <= cut <= 200


def test_a_series_that_is_steady_from_the_start_keeps_nearly_all() -> None:
    cuts = [mser5(steady(1000, seed)) for seed in range(20)]
    assert cuts == [brute_force(steady(1000, seed)) for seed in range(20)]
    assert np.median([cut for cut in cuts if cut is not None]) < 200


def test_what_has_not_settled_and_what_is_too_short_has_no_end_of_its_warm_up() -> None:
    late = steady(1000)
    late[:700] += 0.05
    assert mser5(late) is None
    assert mser5(steady(99)) is None


def rows(latencies_s: np.ndarray) -> list[Row]:
    return [
        Row(0, number >= 990, number * 0.01, number * 0.01, number * 0.01 + latency_s, Reply(0.0, "ok", 200))
        for number, latency_s in enumerate(latencies_s.tolist())
    ]


@pytest.mark.parametrize("rate_per_s", [math.nan, 99.0])
def test_the_block_is_marked_anew_from_the_end_of_its_warm_up(rate_per_s: float) -> None:
    latencies_s = steady(1000)
    latencies_s[:100] += 0.05
    found = settled(Offered(rows(latencies_s)[::-1], 0.0, 0.0, 10.0, 10.5, rate_per_s))
    assert found is not None
    assert 1.0 <= found.measured_from_s < 2.0
    for row in found.rows:
        assert row.warmup == (row.scheduled_s < found.measured_from_s or row.scheduled_s >= 9.9)
    if math.isnan(rate_per_s):
        assert math.isnan(found.offered_rate_per_s)
    else:
        measured = sum(not row.warmup for row in found.rows)
        assert found.offered_rate_per_s == pytest.approx(measured / (10.0 - found.measured_from_s))


def test_a_block_that_does_not_settle_is_none() -> None:
    assert settled(Offered(rows(np.linspace(0.001, 1.0, 1000)), 0.0, 0.0, 10.0, 10.5, math.nan)) is None
