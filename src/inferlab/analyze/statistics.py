"""Intervals, paired ratios and tests. A round is the statistical unit; scipy and statsmodels do the mathematics.

The quantiles of t come from scipy.special: scipy.stats calls the same functions, and takes longer to import and to call
than all the intervals of a run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inferlab.analyze.autocorrelation import INDEPENDENT, Autocorrelation, effective_rounds
from inferlab.analyze.spread import shared_spread

if TYPE_CHECKING:
    from pandas import Series

Floats = Sequence[float] | np.ndarray
NAN = float("nan")
MOST_ROUNDS = 100_000
WIDEST = 100.0
"""Of a log ratio's interval: factors beyond e to this power are no knowledge, and floating point ends soon after."""


@dataclass(frozen=True)
class Estimate:
    """A value with the bounds of its interval, from `count` units; all NaN where there is nothing to estimate from."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class PairedRatio:
    """Candidate over reference, paired by round.

    `ratio` is the geometric mean of the round ratios and `low`, `high` its t interval; `median` is the median round
    ratio; `log_mean` and `log_sd` describe the logarithms of the round ratios; `p_value` tests a ratio of one.
    `effective_rounds` is how many independent rounds the `rounds` count for.
    """

    ratio: float
    low: float
    high: float
    median: float
    log_mean: float
    log_sd: float
    p_value: float
    rounds: int
    effective_rounds: float


@dataclass(frozen=True)
class UnpairedRatio:
    """Geometric mean of the candidate's rounds over that of the reference's, which have nothing to do with each other.

    `low`, `high` bound its interval and `p_value` tests a ratio of one; NaN where either has fewer than two rounds.
    """

    ratio: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two proportions on the same samples, its interval, and the exact McNemar p-value."""

    value: float
    low: float
    high: float
    p_value: float
    only_candidate: int
    only_reference: int
    samples: int


def mean_interval(values: Floats, confidence: float) -> Estimate:
    """Arithmetic mean and its t interval. Missing values are left out; one value has no interval."""
    present = _present(values)
    if present.size == 0:
        return Estimate(NAN, NAN, NAN, 0)
    low, high = _t_bounds(present, confidence)
    return Estimate(float(present.mean()), low, high, int(present.size))


def geometric_interval(values: Floats, confidence: float) -> Estimate:
    """Geometric mean and the t interval of the logarithms, taken back to the values' unit.

    Missing values are left out. Where a value is not positive there is no logarithm, and the estimate is NaN.
    """
    present = _present(values)
    if present.size == 0 or bool((present <= 0).any()):
        return Estimate(NAN, NAN, NAN, int(present.size))
    logs = np.log(present)
    low, high = _t_bounds(logs, confidence)
    return Estimate(float(np.exp(logs.mean())), math.exp(low), math.exp(high), int(present.size))


def paired_logs(candidate: "Series[float]", reference: "Series[float]") -> np.ndarray:
    """Logarithms of the ratios of two series indexed by round, over the rounds that both have with positive values."""
    rounds = candidate.index.intersection(reference.index)
    above = candidate.loc[rounds].to_numpy(dtype=float)
    below = reference.loc[rounds].to_numpy(dtype=float)
    usable = (above > 0) & (below > 0)
    logs: np.ndarray = np.log(above[usable] / below[usable])
    return logs


def paired_ratio(candidate: "Series[float]", reference: "Series[float]", confidence: float) -> PairedRatio:
    """Ratio of two series indexed by round, over the rounds that both have with positive values."""
    return ratios_of([paired_logs(candidate, reference)], confidence)[0]


def ratios_of(
    logs: Sequence[np.ndarray], confidence: float, autocorrelation: Autocorrelation = INDEPENDENT
) -> list[PairedRatio]:
    """The ratios of one study, from the logarithms of their round ratios, [rounds] each, none of which is missing.

    `autocorrelation` is that of the study's rounds. At each of its coefficients n rounds count for m independent ones;
    the variance of one round is estimated with (n - 1) / (n - n / m) of the usual and has m - 1 degrees of freedom
    (Zieba, Metrol. Meas. Syst. 17, 2010), and is drawn to that of the other ratios (spread.py). The p-value is the mean
    of those of all coefficients by their probability, and the interval holds what it would not call different.
    """
    errors, degrees = _errors(logs, autocorrelation)
    weights = np.array(autocorrelation.weights)
    return [
        _ratio_of(one, confidence, errors[row], degrees[row], weights, effective_rounds(one.size, autocorrelation.mean))
        for row, one in enumerate(logs)
    ]


def means_of(values: Sequence[np.ndarray], confidence: float, autocorrelation: Autocorrelation) -> list[Estimate]:
    """Means of what was paired by round, [rounds] each, with the intervals that `ratios_of` has for its logarithms."""
    errors, degrees = _errors(values, autocorrelation)
    weights = np.array(autocorrelation.weights)
    found = []
    for row, one in enumerate(values):
        mean = float(one.mean()) if one.size else NAN
        half = _half_width(1 - confidence, errors[row], degrees[row], weights) if one.size > 1 else NAN
        found.append(Estimate(mean, mean - half, mean + half, int(one.size)))
    return found


def unpaired_ratio(
    candidate: np.ndarray,
    reference: np.ndarray,
    confidence: float,
    of_candidate: Autocorrelation = INDEPENDENT,
    of_reference: Autocorrelation = INDEPENDENT,
) -> UnpairedRatio:
    """Welch's t test and interval of two means of logarithms, [rounds] each, none of which is missing.

    The variances are those of two different machines, the degrees of freedom Welch and Satterthwaite's (Welch,
    Biometrika 34, 1947). Where rounds depend on each other, they count for fewer; interval and p-value are means over
    the coefficients of both by their probability, as in `ratios_of`.
    """
    if not candidate.size or not reference.size:
        return UnpairedRatio(NAN, NAN, NAN, NAN)
    mean = float(candidate.mean() - reference.mean())
    if min(candidate.size, reference.size) < 2:
        return UnpairedRatio(_factor(mean), NAN, NAN, NAN)
    above, degrees_above = _squared_errors(candidate, of_candidate)
    below, degrees_below = _squared_errors(reference, of_reference)
    squared = above[:, None] + below[None, :]
    shares = above[:, None] ** 2 / degrees_above[:, None] + below[None, :] ** 2 / degrees_below[None, :]
    degrees = np.divide(squared**2, shares, out=np.ones_like(squared), where=shares > 0).ravel()
    errors = np.sqrt(squared).ravel()
    weights = np.outer(of_candidate.weights, of_reference.weights).ravel()
    half = _half_width(1 - confidence, errors, degrees, weights)
    p_value = _tails(abs(mean), errors, degrees, weights)
    return UnpairedRatio(_factor(mean), _factor(mean - half), _factor(mean + half), p_value)


def _squared_errors(logs: np.ndarray, autocorrelation: Autocorrelation) -> tuple[np.ndarray, np.ndarray]:
    """Of the mean, for each coefficient, with its degrees of freedom: both [coefficients].

    At a known coefficient what is new in each round is independent (Prais and Winsten 1954), so that its variance has
    n - 1 degrees of freedom; that of a round is as much divided by 1 - rho^2, and that of the mean follows from how
    many independent rounds there are.
    """
    squared = np.empty(len(autocorrelation.coefficients))
    for place, coefficient in enumerate(autocorrelation.coefficients):
        new, of_mean = _new_in_each_round(logs, coefficient), _new_in_each_round(np.ones(logs.size), coefficient)
        rest = new - of_mean * float(new @ of_mean) / float(of_mean @ of_mean)
        variance = 0.0 if _constant(logs) else float(rest @ rest) / (logs.size - 1) / (1 - coefficient**2)
        squared[place] = variance / effective_rounds(int(logs.size), coefficient)
    return squared, np.full(squared.size, logs.size - 1.0)


def _new_in_each_round(values: np.ndarray, coefficient: float) -> np.ndarray:
    """[rounds]: each less what the one before it foretells; the first scaled to the same variance."""
    first = values[:1] * math.sqrt(1 - coefficient**2)
    return np.concatenate([first, values[1:] - coefficient * values[:-1]])


def _errors(values: Sequence[np.ndarray], autocorrelation: Autocorrelation) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the means and their degrees of freedom, both [values, coefficients]."""
    errors = np.empty((len(values), len(autocorrelation.coefficients)))
    degrees = np.empty_like(errors)
    for place, coefficient in enumerate(autocorrelation.coefficients):
        effective = [effective_rounds(int(one.size), coefficient) for one in values]
        variances = [_variance(one, worth) for one, worth in zip(values, effective, strict=True)]
        spread = shared_spread(variances, [worth - 1 for worth in effective])
        for row, (worth, own) in enumerate(zip(effective, variances, strict=True)):
            variance, degrees[row, place] = spread.moderated(own, worth - 1)
            errors[row, place] = math.sqrt(variance / worth) if worth else NAN
    return errors, degrees


def _variance(logs: np.ndarray, effective: float) -> float:
    """Of single rounds; 0 where there is none, or none to be estimated."""
    if logs.size < 2 or _constant(logs):
        return 0.0
    return float(logs.var(ddof=1)) * (logs.size - 1) / (logs.size - logs.size / effective)


def _ratio_of(
    logs: np.ndarray,
    confidence: float,
    errors: np.ndarray,
    degrees: np.ndarray,
    weights: np.ndarray,
    effective: float,
) -> PairedRatio:
    if logs.size == 0:
        return PairedRatio(NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0.0)
    mean = 0.0 if _constant(logs) and abs(float(logs.mean())) < 1e-12 else float(logs.mean())
    low = high = p_value = NAN
    if logs.size > 1:
        half = _half_width(1 - confidence, errors, degrees, weights)
        low, high = _factor(mean - half), _factor(mean + half)
        p_value = _tails(abs(mean), errors, degrees, weights)
    return PairedRatio(
        ratio=_factor(mean),
        low=low,
        high=high,
        median=_factor(float(np.median(logs))),
        log_mean=mean,
        log_sd=float(logs.std(ddof=1)) if logs.size > 1 else NAN,
        p_value=p_value,
        rounds=int(logs.size),
        effective_rounds=effective,
    )


def _tails(distance: float, errors: np.ndarray, degrees: np.ndarray, weights: np.ndarray) -> float:
    """Probability of a mean so far from its true value, to either side: a mixture of scaled t distributions."""
    from scipy.special import stdtr

    sure = errors == 0.0
    tails = 2 * stdtr(degrees, -distance / np.where(sure, 1.0, errors))
    return float(weights @ np.where(sure, float(distance == 0.0), tails))


def _factor(log_ratio: float) -> float:
    """The ratio; infinite or 0 beyond what floating point has."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.exp(log_ratio))


def _half_width(alpha: float, errors: np.ndarray, degrees: np.ndarray, weights: np.ndarray) -> float:
    """The distance at which `_tails` are `alpha`; at most WIDEST."""
    from scipy.special import stdtrit

    if not errors.any():
        return 0.0
    quantiles = stdtrit(degrees, 1 - alpha / 2) * errors
    low, high = min(float(quantiles.min()), WIDEST), min(float(quantiles.max()), WIDEST)
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if _tails(middle, errors, degrees, weights) > alpha:
            low = middle
        else:
            high = middle
    return high


def p_value_of_zero_mean(values: np.ndarray) -> float:
    """Two-sided one-sample t test of a mean of zero; NaN for fewer than two values."""
    from scipy.special import stdtr

    if values.size < 2:
        return NAN
    if _constant(values):
        return 1.0 if abs(float(values.mean())) < 1e-12 else 0.0
    statistic = float(values.mean()) / (float(values.std(ddof=1)) / math.sqrt(values.size))
    return 2 * float(stdtr(values.size - 1, -abs(statistic)))


def holm(p_values: Floats) -> np.ndarray:
    """Holm's step-down adjustment (Holm 1979): the sorted p-values times m, m - 1, ..., then their running maximum.

    Missing p-values stay missing and do not count as comparisons. statsmodels' own collects garbage in every call.
    """
    raw = np.asarray(p_values, dtype=float)
    adjusted = np.full(raw.shape, NAN)
    places = np.flatnonzero(~np.isnan(raw))
    places = places[np.argsort(raw[places], kind="stable")]
    multiplied = raw[places] * np.arange(places.size, 0, -1)
    adjusted[places] = np.minimum(np.maximum.accumulate(multiplied), 1.0)
    return adjusted


def rounds_needed(log_mean: float, log_sd: float, alpha: float, power: float = 0.8) -> int | None:
    """Rounds at which a paired t test finds a true log ratio of `log_mean` with the given power.

    Solves power = P(|T'| > t(1 - alpha/2, n - 1)) for n, where T' is noncentral t with n - 1 degrees of freedom and
    noncentrality sqrt(n) * |log_mean| / log_sd (statsmodels' TTestPower, after Cohen 1988, chapter 2). None where there
    is no difference to find or more than MOST_ROUNDS would be needed.
    """
    from statsmodels.stats.power import TTestPower

    if math.isnan(log_mean) or math.isnan(log_sd) or log_mean == 0.0:
        return None
    if log_sd == 0.0:
        return 2
    effect = abs(log_mean) / log_sd
    test = TTestPower()
    high = 2
    while not test.power(effect, high, alpha) >= power:  # upwards: far above the answer, noncentral t is not a number
        high *= 2
        if high > MOST_ROUNDS:
            return None
    low = max(high // 2, 2)
    while low < high:
        middle = (low + high) // 2
        if test.power(effect, middle, alpha) >= power:
            high = middle
        else:
            low = middle + 1
    return low


def rounds_until_narrow(log_sd: float, half_width: float, confidence: float) -> int | None:
    """Fewest rounds at which the t interval of a mean with this standard deviation is +- `half_width` or narrower.

    None where `half_width` is not positive or more than MOST_ROUNDS would be needed.
    """
    from scipy.special import ndtri, stdtrit

    if math.isnan(log_sd) or not half_width > 0:
        return None
    # The normal quantile gives a lower bound; t is at most a few rounds above it.
    rounds = max(2, math.ceil((float(ndtri(0.5 + confidence / 2)) * log_sd / half_width) ** 2))
    while rounds <= MOST_ROUNDS:
        if float(stdtrit(rounds - 1, 0.5 + confidence / 2)) * log_sd / math.sqrt(rounds) <= half_width:
            return rounds
        rounds += 1
    return None


def proportion_interval(successes: int, samples: int, confidence: float) -> Estimate:
    """A proportion and its Wilson score interval."""
    from statsmodels.stats.proportion import proportion_confint

    if samples == 0:
        return Estimate(NAN, NAN, NAN, 0)
    low, high = proportion_confint(successes, samples, alpha=1 - confidence, method="wilson")
    return Estimate(successes / samples, float(low), float(high), samples)


def paired_proportion_difference(candidate: np.ndarray, reference: np.ndarray, confidence: float) -> PairedDifference:
    """Difference of two proportions on the same samples: `candidate` and `reference` are boolean, [samples].

    The interval is the adjusted Wald interval of Bonett and Price (J. Educ. Behav. Stat. 37, 2012, equation 7), which
    adds one to each discordant count; its coverage is close to nominal also where hardly any sample differs.
    Raises ValueError where the lengths differ or there is no sample.
    """
    from scipy.special import ndtri
    from statsmodels.stats.contingency_tables import mcnemar

    if candidate.shape != reference.shape or candidate.size == 0:
        raise ValueError(f"paired samples need one common length above zero: {candidate.shape} and {reference.shape}")
    samples = int(candidate.size)
    gained = int((candidate & ~reference).sum())
    lost = int((~candidate & reference).sum())
    above, below = (gained + 1) / (samples + 2), (lost + 1) / (samples + 2)
    centre = above - below
    quantile = float(ndtri(0.5 + confidence / 2))
    half = quantile * math.sqrt((above + below - centre**2) / (samples + 2))
    both = int((candidate & reference).sum())
    test = mcnemar([[both, gained], [lost, samples - both - gained - lost]], exact=True)
    return PairedDifference(
        value=(gained - lost) / samples,
        low=max(centre - half, -1.0),
        high=min(centre + half, 1.0),
        p_value=min(float(test.pvalue), 1.0),
        only_candidate=gained,
        only_reference=lost,
        samples=samples,
    )


def _present(values: Floats) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    present: np.ndarray = array[~np.isnan(array)]
    return present


def _constant(values: np.ndarray) -> bool:
    """Whether the spread is below what floating point leaves of equal values, where a t statistic means nothing."""
    return float(np.ptp(values)) <= 1e-12 * max(1.0, float(np.abs(values).max()))


def _t_bounds(values: np.ndarray, confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    if values.size < 2:
        return NAN, NAN
    if _constant(values):
        return float(values.mean()), float(values.mean())
    half = float(stdtrit(values.size - 1, 0.5 + confidence / 2)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return float(values.mean()) - half, float(values.mean()) + half
