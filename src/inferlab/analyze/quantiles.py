"""Quantiles of all requests of a row, with intervals that know that requests of a round depend on each other."""

import math
from collections.abc import Sequence

import numpy as np

from inferlab.analyze.statistics import NAN, Estimate


def quantile_over_rounds(rounds: Sequence[np.ndarray], quantile: float, confidence: float) -> Estimate:
    """The pooled quantile of `rounds`, [requests] each, and its interval; `count` is the number of rounds.

    Woodruff's interval (J. Am. Stat. Assoc. 47, 1952) with rounds as clusters: between which quantiles the true one
    lies, from how much the rounds' shares of requests below the pooled quantile differ (t, rounds - 1), taken for no
    less certain than independent requests would be. `high` is infinite where requests are too few to bound it above.
    """
    from scipy.special import stdtrit

    filled = [one for one in rounds if one.size]
    if not filled:
        return Estimate(NAN, NAN, NAN, 0)
    pooled = np.concatenate(filled)
    value = float(np.quantile(pooled, quantile))
    if len(filled) < 2:
        return Estimate(value, NAN, NAN, len(filled))
    below = np.array([float((one <= value).sum()) for one in filled])
    sizes = np.array([one.size for one in filled], dtype=float)
    # A ratio of two totals over clusters of different sizes (Cochran, Sampling Techniques, 1977, equation 2.39).
    residuals = (below - below.sum() / sizes.sum() * sizes) / sizes.mean()
    error = max(
        float(residuals.std(ddof=1)) / math.sqrt(len(filled)), math.sqrt(quantile * (1 - quantile) / pooled.size)
    )
    reach = float(stdtrit(len(filled) - 1, 0.5 + confidence / 2)) * error
    low = float(np.quantile(pooled, max(quantile - reach, 0.0)))
    high = float(np.quantile(pooled, quantile + reach)) if quantile + reach < 1 else math.inf
    return Estimate(value, low, high, len(filled))


def ratio_of_estimates(above: Estimate, below: Estimate) -> Estimate:
    """Ratio of two independent positive estimates, its interval from theirs.

    MOVER on logarithms (Zou and Donner, Stat. Med. 27, 2008), which keeps intervals that are not symmetric.
    """
    if not (above.value > 0 and below.value > 0 and above.low > 0 and below.low > 0):
        return Estimate(NAN, NAN, NAN, 0)
    log = math.log(above.value / below.value)
    down = math.hypot(math.log(above.value / above.low), math.log(below.high / below.value))
    up = math.hypot(math.log(above.high / above.value), math.log(below.value / below.low))
    high = math.inf if math.isinf(up) else math.exp(log + up)
    return Estimate(math.exp(log), math.exp(log - down), high, min(above.count, below.count))
