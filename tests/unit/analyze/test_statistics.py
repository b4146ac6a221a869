"""Intervals against known distributions, and against scipy and statsmodels used another way."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from inferlab.analyze import statistics
from inferlab.analyze.autocorrelation import INDEPENDENT, Autocorrelation


def test_mean_interval_equals_the_textbook_t_interval() -> None:
    values = [4.0, 5.0, 7.0, 8.0, 11.0]
    found = statistics.mean_interval(values, 0.95)
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert found.value == pytest.approx(7.0)
    assert (found.low, found.high) == pytest.approx((7.0 - half, 7.0 + half))
    assert found.count == 5


def test_missing_values_are_left_out_and_one_value_has_no_interval() -> None:
    found = statistics.mean_interval([3.0, float("nan")], 0.95)
    assert found.value == 3.0
    assert found.count == 1
    assert math.isnan(found.low)
    assert math.isnan(statistics.mean_interval([], 0.95).value)


def test_geometric_interval_is_the_t_interval_of_logs() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    logs = np.log(values)
    low, high = stats.t.interval(0.9, 3, loc=logs.mean(), scale=stats.sem(logs))
    found = statistics.geometric_interval(values, 0.9)
    assert (found.value, found.low, found.high) == pytest.approx((2 * math.sqrt(2), math.exp(low), math.exp(high)))


def test_geometric_interval_refuses_values_without_a_logarithm() -> None:
    assert math.isnan(statistics.geometric_interval([1.0, 0.0], 0.95).value)


def test_equal_values_give_an_interval_of_no_width_without_a_warning() -> None:
    found = statistics.mean_interval([0.1 + 0.2, 0.3], 0.95)
    assert found.low == found.high == pytest.approx(0.3)


def test_paired_ratio_pairs_by_round_and_ignores_rounds_of_one_side() -> None:
    candidate = pd.Series([2.0, 4.0, 9.0], index=[1, 2, 3])
    reference = pd.Series([4.0, 2.0, 1.0], index=[2, 1, 7])
    found = statistics.paired_ratio(candidate, reference, 0.95)
    assert found.rounds == 2
    assert found.ratio == pytest.approx(1.0)
    assert found.p_value == 1.0


def test_paired_ratio_agrees_with_scipys_paired_test() -> None:
    rng = np.random.default_rng(0)
    candidate = pd.Series(np.exp(rng.normal(0.1, 0.1, 12)))
    reference = pd.Series(np.exp(rng.normal(0.0, 0.1, 12)))
    found = statistics.paired_ratio(candidate, reference, 0.95)
    expected = stats.ttest_rel(np.log(candidate), np.log(reference))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(expected.confidence_interval(0.95))))
    assert found.median == pytest.approx(np.exp(np.median(np.log(candidate / reference))))


def test_paired_ratio_of_no_common_round_is_missing() -> None:
    found = statistics.paired_ratio(pd.Series([1.0], index=[1]), pd.Series([1.0], index=[2]), 0.95)
    assert math.isnan(found.ratio)
    assert found.rounds == 0


def test_paired_interval_covers_the_truth_in_95_of_100_simulated_studies() -> None:
    """Ten rounds with a drift that both sides share: the pairing takes the drift out."""
    rng = np.random.default_rng(7)
    covered = 0
    studies = 1500
    for _ in range(studies):
        drift = np.cumsum(rng.normal(0, 0.1, 10))
        reference = pd.Series(np.exp(drift + rng.normal(0, 0.03, 10)))
        candidate = pd.Series(1.07 * np.exp(drift + rng.normal(0, 0.03, 10)))
        found = statistics.paired_ratio(candidate, reference, 0.95)
        covered += found.low <= 1.07 <= found.high
    assert 0.93 <= covered / studies <= 0.97


def test_holm_by_hand_and_missing_values_do_not_count() -> None:
    # Holm 1979: sorted p times m, m-1, ..., then the running maximum
    found = statistics.holm([0.01, float("nan"), 0.04, 0.03])
    assert found[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.06])
    assert math.isnan(found[1])
    assert math.isnan(statistics.holm([float("nan")])[0])


def test_holm_agrees_with_statsmodels_also_on_equal_and_large_values() -> None:
    values = np.random.default_rng(2).uniform(0, 1, 40) ** 3
    values[5:9] = values[4]
    assert statistics.holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_rounds_needed_reaches_the_power_and_one_round_less_does_not() -> None:
    needed = statistics.rounds_needed(0.05, 0.06, 0.05)
    assert needed is not None

    def power(rounds: int) -> float:
        critical = stats.t.ppf(0.975, rounds - 1)
        shift = math.sqrt(rounds) * 0.05 / 0.06
        return float(stats.nct.sf(critical, rounds - 1, shift) + stats.nct.cdf(-critical, rounds - 1, shift))

    assert power(needed) >= 0.8 > power(needed - 1)


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.1), (float("nan"), 0.1), (1e-6, 0.1)])
def test_rounds_needed_is_none_where_no_number_of_rounds_helps(mean: float, sd: float) -> None:
    assert statistics.rounds_needed(mean, sd, 0.05) is None


def test_rounds_needed_without_spread_is_the_minimum() -> None:
    assert statistics.rounds_needed(0.1, 0.0, 0.05) == 2


def test_wilson_interval_by_hand() -> None:
    # Wilson 1927, with z = 1.959964
    z = 1.9599639845400545
    centre = (0.9 + z**2 / 200) / (1 + z**2 / 100)
    half = z / (1 + z**2 / 100) * math.sqrt(0.9 * 0.1 / 100 + z**2 / 40000)
    found = statistics.proportion_interval(90, 100, 0.95)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    assert math.isnan(statistics.proportion_interval(0, 0, 0.95).value)


def test_paired_difference_counts_discordant_samples_and_tests_them_exactly() -> None:
    candidate = np.array([True] * 80 + [False] * 20)
    reference = np.array([False] * 5 + [True] * 90 + [False] * 5)
    found = statistics.paired_proportion_difference(candidate, reference, 0.95)
    assert (found.only_candidate, found.only_reference) == (5, 15)
    assert found.value == pytest.approx(-0.10)
    assert found.p_value == pytest.approx(stats.binomtest(5, 20).pvalue)
    assert found.low < -0.10 < found.high


def test_paired_difference_of_equal_predictions_still_has_an_interval() -> None:
    same = np.array([True, False] * 200)
    found = statistics.paired_proportion_difference(same, same, 0.95)
    assert found.value == 0
    assert found.p_value == 1.0
    assert -0.02 < found.low < 0 < found.high < 0.02


def test_paired_difference_covers_the_truth() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    studies = 800
    for _ in range(studies):
        kinds = rng.choice(4, size=500, p=[0.80, 0.02, 0.05, 0.13])  # both, candidate only, reference only, neither
        found = statistics.paired_proportion_difference(kinds <= 1, (kinds == 0) | (kinds == 2), 0.95)
        covered += found.low <= -0.03 <= found.high
    assert 0.93 <= covered / studies <= 0.975


def test_paired_difference_refuses_different_lengths() -> None:
    with pytest.raises(ValueError, match="common length"):
        statistics.paired_proportion_difference(np.array([True]), np.array([True, False]), 0.95)


def test_rounds_until_narrow_is_the_fewest() -> None:
    def half_width(rounds: int) -> float:
        return float(stats.t.ppf(0.975, rounds - 1)) * 0.03 / math.sqrt(rounds)

    rounds = statistics.rounds_until_narrow(0.03, 0.01, 0.95)
    assert rounds is not None
    assert half_width(rounds) <= 0.01 < half_width(rounds - 1)
    assert statistics.rounds_until_narrow(0.03, 0.0, 0.95) is None
    assert statistics.rounds_until_narrow(0.03, 1e-6, 0.95) is None


def test_means_have_the_intervals_that_ratios_have_for_their_logarithms() -> None:
    random = np.random.default_rng(3)
    values = [random.normal(0.1 * place, 0.02, 12) for place in range(4)]
    for autocorrelation in (INDEPENDENT, Autocorrelation((0.0, 0.5), (0.6, 0.4))):
        means = statistics.means_of(values, 0.95, autocorrelation)
        ratios = statistics.ratios_of(values, 0.95, autocorrelation)
        for mean, ratio in zip(means, ratios, strict=True):
            found = (mean.value, mean.low, mean.high)
            assert found == pytest.approx(tuple(math.log(part) for part in (ratio.ratio, ratio.low, ratio.high)))
    one, none = statistics.means_of([np.array([2.0]), np.array([])], 0.95, INDEPENDENT)
    assert (one.value, one.count) == (2.0, 1) and math.isnan(one.low)
    assert none.count == 0 and math.isnan(none.value)


def test_an_unpaired_ratio_is_welchs_of_the_logarithms() -> None:
    rng = np.random.default_rng(3)
    above, below = rng.normal(0.3, 0.2, 8), rng.normal(0.0, 0.05, 6)
    found = statistics.unpaired_ratio(above, below, 0.9)
    test = stats.ttest_ind(above, below, equal_var=False)
    interval = test.confidence_interval(0.9)
    assert found.p_value == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert found.ratio == pytest.approx(math.exp(above.mean() - below.mean()))


def test_rounds_that_depend_on_each_other_widen_an_unpaired_interval() -> None:
    rng = np.random.default_rng(4)
    above, below = rng.normal(0.0, 0.1, 10), rng.normal(0.0, 0.1, 10)
    independent = statistics.unpaired_ratio(above, below, 0.95)
    drifting = statistics.unpaired_ratio(above, below, 0.95, Autocorrelation((0.0, 0.6), (0.3, 0.7)))
    assert drifting.ratio == independent.ratio
    assert drifting.low < independent.low < independent.high < drifting.high
    assert drifting.p_value > independent.p_value


def test_an_unpaired_ratio_without_rounds_has_no_value_and_with_one_no_interval() -> None:
    assert math.isnan(statistics.unpaired_ratio(np.array([]), np.array([1.0]), 0.95).ratio)
    one = statistics.unpaired_ratio(np.array([1.0]), np.array([0.0, 0.1]), 0.95)
    assert one.ratio == pytest.approx(math.exp(0.95))
    assert math.isnan(one.low)
    assert math.isnan(one.p_value)
    equal = statistics.unpaired_ratio(np.ones(3), np.ones(3), 0.95)
    assert (equal.ratio, equal.low, equal.high, equal.p_value) == (1.0, 1.0, 1.0, 1.0)
