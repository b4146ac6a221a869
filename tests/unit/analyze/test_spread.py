import math

import numpy as np
import pytest
from scipy.special import polygamma

from inferlab.analyze.spread import NOTHING_SHARED, Spread, _trigamma_inverse, shared_spread


def test_the_distribution_that_variances_were_drawn_from_is_found() -> None:
    rng = np.random.default_rng(0)
    own, common, variance = 9.0, 6.0, 0.002
    true = variance * common / rng.chisquare(common, 20_000)
    found = shared_spread(true * rng.chisquare(own, 20_000) / own, [own] * 20_000)
    assert found.degrees == pytest.approx(common, rel=0.1)
    assert found.variance == pytest.approx(variance, rel=0.05)


def test_ratios_that_spread_alike_share_all() -> None:
    found = shared_spread([0.9, 1.0, 1.1, 1.0], [9.0] * 4)
    assert math.isinf(found.degrees)
    assert found.variance == pytest.approx(1.0)
    assert found.moderated(0.9, 9.0) == (found.variance, pytest.approx(4 * 9 / (1 + 3 / 4)))


def test_ratios_that_spread_very_differently_share_little() -> None:
    found = shared_spread([1e-6, 1e-4, 1e-2, 1.0], [9.0] * 4)
    variance, degrees = found.moderated(1e-4, 9.0)
    assert found.degrees < 1
    assert degrees == pytest.approx(9.0 + found.degrees)
    assert variance == pytest.approx((9.0 * 1e-4 + found.degrees * found.variance) / degrees)


def test_too_few_ratios_and_those_without_spread_share_nothing() -> None:
    assert shared_spread([1.0, 2.0], [9.0, 9.0]) == NOTHING_SHARED
    assert shared_spread([0.0, 0.0, 1.0, 2.0], [9.0] * 4) == NOTHING_SHARED
    assert shared_spread([1.0, 1.0, 1.0], [4.0] * 3) == NOTHING_SHARED
    assert NOTHING_SHARED.moderated(3.0, 9.0) == (3.0, 9.0)
    assert NOTHING_SHARED.moderated(0.0, 0.0) == (0.0, 0.0)
    assert Spread(1.0, math.inf, most=20.0).moderated(2.0, 4.0) == (2.0, 4.0)


def test_degrees_never_fall_below_a_ratios_own() -> None:
    assert Spread(1.0, math.inf, most=5.0).moderated(2.0, 9.0) == (1.0, 9.0)
    assert Spread(1.0, 100.0, most=20.0).moderated(2.0, 9.0)[1] == 20.0


def test_the_mean_variance_of_ratios_to_one_baseline_is_worth_what_the_limit_says() -> None:
    """All configurations spread alike: the mean of the variances has 4 nu / (1 + 3 / k) degrees of freedom."""
    rng = np.random.default_rng(1)
    rounds, others = 10, 7
    logs = rng.normal(0, 1, (40_000, rounds, 1 + others))
    means = (logs[:, :, 1:] - logs[:, :, :1]).var(axis=1, ddof=1).mean(axis=1)
    degrees = 2 * means.mean() ** 2 / means.var()
    assert shared_spread([1.0] * others, [rounds - 1.0] * others).most == pytest.approx(degrees, rel=0.03)


@pytest.mark.parametrize("value", [1e-4, 0.1, 1.0, 30.0, 1e4])
def test_the_inverse_of_trigamma(value: float) -> None:
    assert float(polygamma(1, _trigamma_inverse(value))) == pytest.approx(value, rel=1e-8)
