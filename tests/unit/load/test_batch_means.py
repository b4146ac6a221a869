import math

import numpy as np
import pytest
from scipy import signal, stats

from inferlab.load.batch_means import FEWEST, BatchMeans


def series(count: int, coefficient: float, seed: int) -> np.ndarray:
    """AR(1) with mean 1 and standard deviation 0.3."""
    noise = np.random.default_rng(seed).normal(size=count) * math.sqrt(1 - coefficient**2) * 0.3
    return np.asarray(signal.lfilter([1], [1, -coefficient], noise)) + 1


def test_the_interval_is_students_over_consecutive_batches() -> None:
    values = series(160 * FEWEST, 0.0, seed=1)
    means = values.reshape(-1, 128).mean(axis=1)
    assert len(means) == 40
    expected = stats.t.ppf(0.975, 39) * stats.sem(means)
    batches = BatchMeans(values.tolist())
    assert batches.half_width() == pytest.approx(expected)
    assert batches.relative_half_width() == pytest.approx(expected / values.mean())


def test_add_tells_when_a_batch_is_full() -> None:
    batches = BatchMeans([1.0] * 2 * FEWEST)
    assert [batches.add(1.0) for _ in range(4)] == [False, True, False, True]


def test_too_few_values_have_no_interval_and_equal_ones_one_of_no_width() -> None:
    assert math.isnan(BatchMeans([1.0] * (FEWEST - 1)).half_width())
    assert math.isnan(BatchMeans().relative_half_width())
    assert BatchMeans([1.0] * FEWEST).half_width() == 0


def test_batches_that_depend_on_each_other_have_no_interval() -> None:
    assert math.isnan(BatchMeans(np.linspace(1, 2, 1000).tolist()).half_width())


@pytest.mark.parametrize("coefficient", [0.0, 0.6, 0.9])
def test_95_percent_intervals_hold_the_mean_of_series_whose_values_depend_on_each_other(coefficient: float) -> None:
    """An interval of s / √n would hold the mean of the last of them in about 35 of 100 cases."""
    held = []
    for seed in range(300):
        values = series(8192, coefficient, seed)
        half_width = BatchMeans(values.tolist()).half_width()
        if not math.isnan(half_width):
            held.append(abs(values.mean() - 1) <= half_width)
    assert len(held) > 150
    assert 0.9 <= np.mean(held) <= 0.985
