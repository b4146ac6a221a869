import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.load.arrivals import ConstantArrivals, GammaArrivals, PoissonArrivals

RATES = st.floats(0.1, 1000)
DURATIONS = st.floats(0.001, 20)


@given(RATES, DURATIONS)
def test_constant_arrivals_are_evenly_spaced_and_inside_the_duration(rate_per_s: float, duration_s: float) -> None:
    moments = ConstantArrivals(rate_per_s).schedule(duration_s, seed=0)
    assert moments[0] == 0
    assert moments[-1] < duration_s
    assert abs(len(moments) - rate_per_s * duration_s) <= 1
    np.testing.assert_allclose(np.diff(moments), 1 / rate_per_s, rtol=1e-6)


@given(RATES, DURATIONS, st.integers(0, 2**32))
def test_poisson_arrivals_are_sorted_inside_the_duration_and_repeat_with_their_seed(
    rate_per_s: float, duration_s: float, seed: int
) -> None:
    moments = PoissonArrivals(rate_per_s).schedule(duration_s, seed)
    assert (np.diff(moments) >= 0).all()
    assert ((moments >= 0) & (moments < duration_s)).all()
    np.testing.assert_array_equal(moments, PoissonArrivals(rate_per_s).schedule(duration_s, seed))


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    from scipy import stats

    gaps_s = np.diff(PoissonArrivals(200.0).schedule(100.0, seed=4))
    assert stats.kstest(gaps_s, stats.expon(scale=1 / 200).cdf).pvalue > 0.01


@given(RATES, DURATIONS, st.floats(0.05, 5), st.integers(0, 2**32))
def test_gamma_arrivals_are_sorted_inside_the_duration_and_repeat_with_their_seed(
    rate_per_s: float, duration_s: float, variation: float, seed: int
) -> None:
    moments = GammaArrivals(rate_per_s, variation).schedule(duration_s, seed)
    assert (np.diff(moments) >= 0).all()
    assert ((moments >= 0) & (moments < duration_s)).all()
    np.testing.assert_array_equal(moments, GammaArrivals(rate_per_s, variation).schedule(duration_s, seed))


@pytest.mark.parametrize("variation", [0.3, 1.0, 2.5])
def test_gaps_of_gamma_arrivals_are_gamma_distributed(variation: float) -> None:
    from scipy import stats

    gaps_s = np.diff(GammaArrivals(200.0, variation).schedule(100.0, seed=4))
    assert stats.kstest(gaps_s, stats.gamma(variation**-2, scale=variation**2 / 200).cdf).pvalue > 0.01


@pytest.mark.parametrize("variation", [0.3, 1.0, 4.0])
def test_gamma_arrivals_keep_the_mean_rate_in_blocks_of_any_length(variation: float) -> None:
    """Begun with an ordinary gap, a process of variation 4 would bring 17 requests instead of 10 into such a block."""
    counts = [len(GammaArrivals(10.0, variation).schedule(1.0, seed)) for seed in range(4000)]
    assert np.mean(counts) == pytest.approx(10.0, abs=4 * np.std(counts) / np.sqrt(len(counts)))


@pytest.mark.parametrize("variation", [0.0, 101.0, float("nan")])
def test_a_variation_that_makes_no_sense_is_refused(variation: float) -> None:
    with pytest.raises(ValueError, match="variation"):
        GammaArrivals(1.0, variation)


@pytest.mark.parametrize("rate_per_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_not_positive_and_finite_is_refused(rate_per_s: float) -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        ConstantArrivals(rate_per_s)
