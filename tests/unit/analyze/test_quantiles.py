"""Intervals of pooled quantiles on rounds that differ, and ratios of estimates."""

import math

import numpy as np
import pytest
from scipy.stats import expon

from inferlab.analyze.quantiles import quantile_over_rounds, ratio_of_estimates
from inferlab.analyze.statistics import Estimate


@pytest.mark.parametrize(("quantile", "requests"), [(0.5, 10), (0.95, 25), (0.99, 100)])
def test_intervals_hold_the_truth_as_often_as_they_promise(quantile: float, requests: int) -> None:
    random = np.random.default_rng(1)
    truth = float(expon.ppf(quantile))
    found = [quantile_over_rounds(list(random.exponential(size=(10, requests))), quantile, 0.95) for _ in range(400)]
    held = np.mean([estimate.low <= truth <= estimate.high for estimate in found])
    assert held >= 0.94
    assert np.mean([math.isinf(estimate.high) for estimate in found]) < 0.5


def test_rounds_that_differ_widen_the_interval() -> None:
    random = np.random.default_rng(2)
    alike = list(random.exponential(size=(10, 50)))
    apart = [one * factor for one, factor in zip(alike, np.linspace(0.5, 2, 10), strict=True)]
    widths = [
        math.log(found.high / found.low) for found in (quantile_over_rounds(x, 0.5, 0.95) for x in (alike, apart))
    ]
    assert widths[1] > 1.5 * widths[0]


def test_too_few_requests_give_no_upper_bound_and_one_round_no_interval() -> None:
    few = quantile_over_rounds([np.arange(1.0, 11.0)] * 3, 0.99, 0.95)
    assert math.isinf(few.high)
    assert few.low <= few.value <= 10
    assert math.isnan(quantile_over_rounds([np.arange(5.0)], 0.5, 0.95).low)
    assert math.isnan(quantile_over_rounds([], 0.5, 0.95).value)


def test_a_ratio_is_as_uncertain_as_both_of_its_parts() -> None:
    ratio = ratio_of_estimates(Estimate(20.0, 10.0, 40.0, 9), Estimate(5.0, 5.0, 5.0, 7))
    assert (ratio.value, ratio.low, ratio.high, ratio.count) == pytest.approx((4.0, 2.0, 8.0, 7))
    both = ratio_of_estimates(Estimate(20.0, 10.0, 40.0, 9), Estimate(5.0, 2.5, 10.0, 9))
    assert (both.low, both.high) == pytest.approx((4 / 2 ** math.sqrt(2), 4 * 2 ** math.sqrt(2)))
    assert math.isinf(ratio_of_estimates(Estimate(20.0, 10.0, math.inf, 9), Estimate(5.0, 4.0, 6.0, 9)).high)
    assert math.isnan(ratio_of_estimates(Estimate(20.0, math.nan, math.nan, 1), Estimate(5.0, 4.0, 6.0, 9)).low)
