import numpy as np
import pytest
from scipy import signal

from inferlab.load.batch_means import BatchMeans
from inferlab.load.stopping import StopRule, Watch


def requests_until_content(rule: StopRule, latencies_s: np.ndarray, every_s: float = 0.01) -> int:
    watch = Watch(rule, measured_from_s=100.0)
    for number, latency_s in enumerate(latencies_s.tolist(), start=1):
        if watch.content(latency_s, 100.0 + number * every_s):
            return number
    return 0


def test_the_least_time_and_the_least_count_must_both_be_met() -> None:
    constant = np.full(1000, 0.005)
    assert requests_until_content(StopRule(0.0, 30), constant) == 30
    assert requests_until_content(StopRule(2.0, 30), constant) == 200
    assert requests_until_content(StopRule(2.0, 300), constant) == 300


def test_a_target_of_precision_is_met_with_more_requests_the_tighter_it_is() -> None:
    latencies_s = np.random.default_rng(3).gamma(4.0, 0.001, 100_000)
    loose, tight = (requests_until_content(StopRule(0.0, 0, target), latencies_s) for target in (0.1, 0.02))
    assert 32 <= loose < tight
    # Of independent values with the coefficient of variation 1/2, (1.96 / 2 / 0.02)² are needed.
    assert 1200 < tight < 6000
    assert requests_until_content(StopRule(0.0, 5000, 0.1), latencies_s) >= 5000


def test_stopping_when_the_interval_is_narrow_costs_little_of_its_coverage() -> None:
    held = []
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(size=20_000) * 0.3 * 0.8
        values = 1 + np.asarray(signal.lfilter([1], [1, -0.6], noise))
        count = requests_until_content(StopRule(0.0, 100, 0.03), values)
        assert count > 0
        held.append(abs(values[:count].mean() - 1) <= BatchMeans(values[:count].tolist()).half_width())
    assert np.mean(held) >= 0.85


def test_a_series_that_drifts_is_never_known_well() -> None:
    assert requests_until_content(StopRule(0.0, 0, 0.05), np.linspace(0.001, 0.01, 20_000)) == 0


@pytest.mark.parametrize("values", [(-1.0, 0, None), (0.0, -1, None), (0.0, 0, 0.0), (0.0, 0, 1.0)])
def test_a_rule_that_makes_no_sense_is_refused(values: tuple[float, int, float | None]) -> None:
    with pytest.raises(ValueError, match="must"):
        StopRule(*values)
