"""What the ratios of a study tell of each other's spread: ten rounds alone tell little.

Empirical Bayes after Smyth (Stat. Appl. Genet. Mol. Biol. 3, 2004): the variances of all ratios are taken to come from
a scaled inverse chi-squared distribution. How far they lie apart says how much a ratio's own variance is to be drawn to
the common one, by as much as that is worth in degrees of freedom: much where all spread alike, hardly where not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_RATIOS = 3
FEWEST_DEGREES = 5.0
"""Of a ratio's own. Fewer do not tell one that scatters more than the others: of seven ratios of three rounds, the one
with ten times the spread had 95 % intervals that held the truth in 77 of 100 studies (simulated)."""
TRIGAMMA_STEPS = 50


@dataclass(frozen=True)
class Spread:
    """The variance that ratios of a study have in common, and what it is worth in degrees of freedom.

    With a ratio's own it is worth at most `most`. All ratios share the baseline's noise: the mean of k variances of nu
    degrees each is worth 4 nu / (1 + 3 / k) where all configurations spread alike, and not k nu.
    """

    variance: float
    degrees: float
    most: float

    def moderated(self, variance: float, degrees: float) -> tuple[float, float]:
        """A ratio's variance and its degrees of freedom, drawn to the common one where it has enough of its own."""
        if degrees < FEWEST_DEGREES:
            return variance, degrees
        if math.isinf(self.degrees):
            return self.variance, max(self.most, degrees)
        whole = self.degrees + degrees
        return (self.degrees * self.variance + degrees * variance) / whole, max(min(whole, self.most), degrees)


NOTHING_SHARED = Spread(0.0, 0.0, math.inf)


def shared_spread(variances: Sequence[float], degrees: Sequence[float]) -> Spread:
    """Of variances above 0 and their degrees of freedom, at least FEWEST_DEGREES; others, and too few, tell nothing."""
    from scipy.special import digamma, polygamma

    pairs = [(one, own) for one, own in zip(variances, degrees, strict=True) if one > 0 and own >= FEWEST_DEGREES]
    count = len(pairs)
    if count < FEWEST_RATIOS:
        return NOTHING_SHARED
    values, own = np.array(pairs).T
    most = 4 * float(own.mean()) / (1 + 3 / count)
    logs = np.log(values) - digamma(own / 2) + np.log(own / 2)
    apart = float(logs.var(ddof=1) - polygamma(1, own / 2).mean())
    if apart <= 0:
        return Spread(float((own * values).sum() / own.sum()), math.inf, most)
    common = 2 * _trigamma_inverse(apart)
    variance = math.exp(float(logs.mean()) + float(digamma(common / 2)) - math.log(common / 2))
    return Spread(variance, common, most)


def _trigamma_inverse(value: float) -> float:
    """Newton's method on 1 / trigamma, which is convex and nearly linear (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    found = 0.5 + 1 / value
    for _ in range(TRIGAMMA_STEPS):
        trigamma = float(polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, found))
        found += step
        if abs(step) <= 1e-10 * found:
            break
    return found
