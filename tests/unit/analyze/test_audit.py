import numpy as np
import pytest
from scipy import stats

from inferlab.analyze.audit import SAMPLE_SIZES, claim_checks, little_checks


def test_throughput_times_latency_of_the_six_rows() -> None:
    found = sorted((round(check.concurrency, 2) for check in little_checks(0.95)), reverse=True)
    assert found == [1.00, 0.99, 0.97, 0.89, 0.84, 0.62]


def test_intervals_are_around_the_value_and_narrow_with_samples() -> None:
    for check in little_checks(0.95):
        widths = [check.intervals[samples][1] / check.intervals[samples][0] for samples in SAMPLE_SIZES]
        assert widths == sorted(widths, reverse=True)
        assert all(low < check.concurrency < high for low, high in check.intervals.values())


def test_intervals_hold_the_truth_as_often_as_promised() -> None:
    """Samples of latency and throughput as the first row prints them."""
    rng = np.random.default_rng(0)
    check = little_checks(0.95)[0]
    samples = 10
    latency = rng.normal(12.5, 0.8, (4000, samples)).mean(axis=1)
    throughput = rng.normal(80, 4.5, (4000, samples)).mean(axis=1)
    found = latency * throughput / 1e3 / check.concurrency
    low, high = (bound / check.concurrency for bound in check.intervals[samples])
    # the interval has t's quantile and not the normal one's, for standard deviations that are estimates
    assert 0.95 <= np.mean((found > low) & (found < high)) <= 0.99


def test_only_rows_near_one_could_be_one_caller() -> None:
    fits = [round(check.concurrency, 2) for check in little_checks(0.95) if check.could_be(1, 30)]
    assert fits == [1.00, 0.99, 0.97]
    never = [round(check.concurrency, 2) for check in little_checks(0.95) if not check.could_be(1, 3)]
    assert never == [0.62]


def test_claims_are_welchs_test_on_samples_with_these_moments() -> None:
    claim = claim_checks(0.95)[0]
    assert (claim.metric, claim.candidate["path"], claim.reference["path"]) == ("latency", "fastapi", "direct")
    assert claim.ratio == pytest.approx(1.216)

    def sample(mean: float, deviation: float) -> np.ndarray:
        values = np.random.default_rng(1).normal(size=5)
        return mean + deviation * (values - values.mean()) / values.std(ddof=1)

    plain = stats.ttest_ind(sample(15.2, 1.1), sample(12.5, 0.8), equal_var=False).pvalue
    assert plain <= claim.p_adjusted[5] <= 10 * plain


def test_the_smallest_sample_size_shows_the_claim_and_one_less_does_not() -> None:
    for claim in claim_checks(0.95):
        assert claim.fewest_samples is not None
        for samples, p_adjusted in claim.p_adjusted.items():
            assert (p_adjusted < 0.05) == (samples >= claim.fewest_samples)
