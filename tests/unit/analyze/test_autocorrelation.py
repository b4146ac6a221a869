import math

import numpy as np
import pandas as pd
import pytest

from inferlab.analyze.autocorrelation import (
    COEFFICIENTS,
    INDEPENDENT,
    _expected,
    autocorrelation_of,
    drift_autocorrelation,
    drift_of,
    effective_rounds,
    pooled_autocorrelation,
)


def study(coefficient: float, rounds: int, configurations: int = 8, seed: int = 0) -> np.ndarray:
    """[rounds, configurations], with a drift that all share and AR(1) noise of their own."""
    rng = np.random.default_rng(seed)
    noise = np.empty((rounds, configurations))
    noise[0] = rng.normal(0, 1, configurations)
    for place in range(1, rounds):
        noise[place] = coefficient * noise[place - 1] + math.sqrt(1 - coefficient**2) * rng.normal(0, 1, configurations)
    return 0.03 * noise + np.cumsum(rng.normal(0, 0.1, (rounds, 1)), axis=0)


@pytest.mark.parametrize("coefficient", [0.2, 0.6, 0.8])
def test_many_rounds_give_the_coefficient_whatever_drift_they_share(coefficient: float) -> None:
    assert pooled_autocorrelation(study(coefficient, 600)).mean == pytest.approx(coefficient, abs=0.04)


@pytest.mark.parametrize("coefficient", [0.3, 0.6])
def test_few_rounds_are_not_biased_downwards_as_the_plain_estimate_is(coefficient: float) -> None:
    found, plain = [], []
    for seed in range(300):
        logs = study(coefficient, 12, configurations=40, seed=seed)
        found.append(pooled_autocorrelation(logs).mean)
        residuals = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()
        plain.append((residuals[1:] * residuals[:-1]).sum() / (residuals**2).sum())
    assert np.mean(plain) < coefficient - 0.1
    assert np.mean(found) == pytest.approx(coefficient, abs=0.06)


def test_independent_rounds_are_mostly_taken_for_it() -> None:
    means = [pooled_autocorrelation(study(0.0, 10, seed=seed)).mean for seed in range(200)]
    assert np.mean(means) < 0.08
    assert max(len(pooled_autocorrelation(study(0.0, 10, seed=seed)).weights) for seed in range(5)) > 1


def test_weights_are_probabilities() -> None:
    found = pooled_autocorrelation(study(0.4, 20))
    assert math.fsum(found.weights) == pytest.approx(1.0)
    assert all(weight > 0 for weight in found.weights)


def test_alternating_rounds_are_not_taken_for_more_than_they_are() -> None:
    logs = 0.03 * np.where(np.arange(20) % 2, 1.0, -1.0)[:, None] * np.linspace(-1, 1, 8)
    assert pooled_autocorrelation(logs).mean == pytest.approx(0.0, abs=1e-3)


def test_one_configuration_that_scatters_is_not_many_witnesses() -> None:
    logs = study(0.6, 12, seed=5)
    wild = logs.copy()
    wild[:, 0] = logs[:, 0] + 30 * (logs[:, 0] - logs[:, 0].mean())
    assert len(pooled_autocorrelation(wild).weights) > len(pooled_autocorrelation(logs).weights)


@pytest.mark.parametrize("shape", [(5, 8), (10, 1), (0, 8)])
def test_too_little_to_tell_counts_as_independent(shape: tuple[int, int]) -> None:
    assert pooled_autocorrelation(np.random.default_rng(0).normal(size=shape)) == INDEPENDENT


def test_equal_rounds_count_as_independent() -> None:
    assert pooled_autocorrelation(np.ones((10, 4))) == INDEPENDENT


def test_missing_rounds_are_left_out() -> None:
    logs = study(0.6, 200)
    logs[np.random.default_rng(1).random(logs.shape) < 0.05] = np.nan
    logs[7] = np.nan
    assert pooled_autocorrelation(logs).mean == pytest.approx(0.6, abs=0.12)


def test_series_are_aligned_by_round_and_values_without_a_logarithm_miss() -> None:
    logs = study(0.6, 300)
    series = [pd.Series(np.exp(logs[:, place])) for place in range(8)]
    series[0] = series[0].sample(frac=1.0, random_state=0)
    series[1] = series[1].where(series[1].index != 4, 0.0)
    assert autocorrelation_of(series).mean == pytest.approx(pooled_autocorrelation(logs).mean, abs=0.01)
    assert autocorrelation_of([]) == INDEPENDENT


def test_effective_rounds_by_hand_and_by_simulation() -> None:
    assert effective_rounds(0, 0.5) == 0.0
    assert effective_rounds(7, 0.0) == 7.0
    assert effective_rounds(2, 0.5) == pytest.approx(4 / 3)  # 2^2 / (1 + 0.5 + 0.5 + 1)
    means = study(0.6, 10, configurations=40_000).mean(axis=0)
    assert 0.03**2 / means.var() == pytest.approx(effective_rounds(10, 0.6), rel=0.05)


@pytest.mark.parametrize("rounds", [6, 11])
def test_expected_ratios_are_those_of_the_matrices(rounds: int) -> None:
    centre = np.eye(rounds) - 1 / rounds
    places = np.arange(rounds)
    expected = []
    for coefficient in COEFFICIENTS:
        covariance = centre @ coefficient ** np.abs(places[:, None] - places[None, :]) @ centre
        expected.append(np.trace(covariance, offset=1) / np.trace(covariance))
    assert _expected(rounds) == pytest.approx(np.array(expected))


def test_what_all_configurations_share_is_drift_of_means_and_not_of_ratios() -> None:
    logs = study(0.0, 200)
    assert pooled_autocorrelation(logs).mean < 0.1
    assert drift_autocorrelation(logs).mean > 0.8
    assert drift_autocorrelation(np.random.default_rng(1).normal(0, 0.03, (200, 8))).mean < 0.1


def test_drift_of_too_few_or_equal_rounds_counts_as_independent() -> None:
    assert drift_autocorrelation(study(0.0, 5)) == INDEPENDENT
    assert drift_autocorrelation(np.zeros((10, 3))) == INDEPENDENT
    assert drift_autocorrelation(np.full((10, 3), np.nan)) == INDEPENDENT
    assert drift_of([]) == INDEPENDENT


def test_drift_is_that_of_the_logarithms_by_round() -> None:
    logs = study(0.0, 20, configurations=2)
    series = [pd.Series(np.exp(column), index=range(20)) for column in logs.T]
    shuffled = [one.sample(frac=1, random_state=1) for one in series]
    assert drift_of(shuffled).mean == pytest.approx(drift_autocorrelation(logs).mean)
