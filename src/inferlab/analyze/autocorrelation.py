"""How much rounds tell of each other, and how many independent rounds they are worth.

Rounds that follow each other share what changes slowly. What every configuration of a round shares cancels in ratios;
what each has for itself does not, and a t interval that takes its rounds for independent is then too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import Series

FEWEST_ROUNDS = 6
"""Fewer tell nothing of it, and t intervals are wide for other reasons; rounds then count as independent."""
COEFFICIENTS = np.linspace(0.0, 0.9, 19)
INDEPENDENT_BEFORE = 0.5
"""Probability, before the rounds are looked at, that they are independent; all other coefficients are as likely as each
other. Negative ones are none: they would narrow intervals by chance."""
LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class Autocorrelation:
    """AR(1) coefficients that a study's rounds may have, and the probability of each."""

    coefficients: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The expected coefficient."""
        return math.fsum(one * weight for one, weight in zip(self.coefficients, self.weights, strict=True))


INDEPENDENT = Autocorrelation((0.0,), (1.0,))


def autocorrelation_of(series: Sequence["Series[float]"]) -> Autocorrelation:
    """`pooled_autocorrelation` of what configurations have in each round; indexed by round. Values not above 0 miss."""
    return pooled_autocorrelation(_logs(series)) if series else INDEPENDENT


def drift_of(series: Sequence["Series[float]"]) -> Autocorrelation:
    """`drift_autocorrelation`, of the same."""
    return drift_autocorrelation(_logs(series)) if series else INDEPENDENT


def _logs(series: Sequence["Series[float]"]) -> np.ndarray:
    """[rounds, configurations], in the order of the rounds; NaN for what misses or is not above 0."""
    import pandas as pd

    values = pd.concat(series, axis=1).sort_index().to_numpy(dtype=float)
    positive = values > 0
    return np.where(positive, np.log(values, where=positive, out=np.zeros_like(values)), np.nan)


def pooled_autocorrelation(logs: np.ndarray) -> Autocorrelation:
    """From the lag-1 autocorrelation of what remains of [rounds, configurations] without the mean of each of both.

    Rows are in the order of the rounds; NaN where a configuration has none. One for the whole study: single
    configurations have too few rounds. What is found is compared with what each coefficient makes expect; that is lower
    than the coefficient, since means were taken from the same rounds (Marriott and Pope, Biometrika 41, 1954). Its
    variance is (1 - rho^2) / n for one series (Bartlett 1946), and less by as many as are independent.
    """
    rounds, configurations = logs.shape
    if rounds < FEWEST_ROUNDS or configurations < 2:
        return INDEPENDENT
    residuals = _without_means(logs)
    squares = np.nansum(residuals**2, axis=0)
    whole = float(squares.sum())
    if whole == 0.0:
        return INDEPENDENT
    # Where one configuration scatters more than the others, it is all that is seen.
    alike = whole**2 / float((squares**2).sum()) * (1 - 1 / configurations)
    return _probable(residuals, rounds, alike)


def drift_autocorrelation(logs: np.ndarray) -> Autocorrelation:
    """As `pooled_autocorrelation`, for means that are not paired: what all configurations of a round share is left in.

    `logs` is [rounds, configurations], NaN where a configuration has none. All together count as one series, since what
    drifts is common to them.
    """
    if logs.shape[0] < FEWEST_ROUNDS or np.isnan(logs).all():
        return INDEPENDENT
    residuals = logs[:, ~np.isnan(logs).all(axis=0)]
    residuals = residuals - np.nanmean(residuals, axis=0, keepdims=True)
    return _probable(residuals, logs.shape[0], alike=1.0) if np.nansum(residuals**2) > 0 else INDEPENDENT


def _probable(residuals: np.ndarray, rounds: int, alike: float) -> Autocorrelation:
    """Coefficients from what remains without the means, and from how many series say the same independently."""
    found = float(np.nansum(residuals[1:] * residuals[:-1])) / float(np.nansum(residuals**2))
    variance = (1 - COEFFICIENTS**2) / (rounds * alike)
    likelihood = np.exp(-((found - _expected(rounds)) ** 2) / (2 * variance)) / np.sqrt(variance)
    before = np.full(COEFFICIENTS.size, (1 - INDEPENDENT_BEFORE) / (COEFFICIENTS.size - 1))
    before[0] = INDEPENDENT_BEFORE
    weights = likelihood * before
    if not weights.sum() > 0:  # further from everything than floating point tells
        return Autocorrelation((float(COEFFICIENTS[0 if found < 0 else -1]),), (1.0,))
    weights = weights / weights.sum()
    kept = weights >= LEAST_WEIGHT
    return Autocorrelation(tuple(COEFFICIENTS[kept].tolist()), tuple((weights[kept] / weights[kept].sum()).tolist()))


@lru_cache(maxsize=4096)
def effective_rounds(rounds: int, coefficient: float) -> float:
    """How many independent rounds have a mean of the same variance as so many rounds of an AR(1) process.

    n^2 / sum over i, j of rho^|i - j| (Bayley and Hammersley, J. R. Stat. Soc. Suppl. 8, 1946).
    """
    return rounds**2 / _sum_of_correlations(rounds, coefficient) if rounds else 0.0


def _without_means(logs: np.ndarray) -> np.ndarray:
    """Residuals of rounds and configurations; where values are missing, both means are taken until they are zero."""
    logs = logs[~np.isnan(logs).all(axis=1)][:, ~np.isnan(logs).all(axis=0)]
    residuals: np.ndarray = logs - np.nanmean(logs, axis=0, keepdims=True)
    for _ in range(20 if np.isnan(residuals).any() else 1):
        residuals -= np.nanmean(residuals, axis=1, keepdims=True)
        residuals -= np.nanmean(residuals, axis=0, keepdims=True)
    return residuals


def _sum_of_correlations(rounds: int, coefficient: float) -> float:
    """Of all pairs of rounds, each with itself among them."""
    apart = np.arange(1, rounds)
    return rounds + 2 * float(((rounds - apart) * coefficient**apart).sum())


@lru_cache(maxsize=64)
def _expected(rounds: int) -> np.ndarray:
    """Of each coefficient, the expected products of neighbours over the expected squares, both of centred rounds.

    Rounds i and j without the mean have the covariance S_ij - (r_i + r_j) / n + s / n^2, where S is the covariance with
    it, r its row sums and s the sum of all.
    """
    ratios = np.empty(COEFFICIENTS.size)
    for place, coefficient in enumerate(COEFFICIENTS.tolist()):
        whole = _sum_of_correlations(rounds, coefficient)
        of_an_end = float((coefficient ** np.arange(rounds)).sum())
        neighbours = (rounds - 1) * (coefficient + whole / rounds**2) - 2 * (whole - of_an_end) / rounds
        ratios[place] = neighbours / (rounds - whole / rounds)
    return ratios
