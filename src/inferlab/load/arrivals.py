"""When requests of an open loop are due. A kind of arrivals is one class; those with a steady mean rate are here."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


class Arrivals(ABC):
    """A stream of arrivals."""

    @abstractmethod
    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        """Moments in [0, duration_s) at which requests are due, in seconds, ascending, float64."""


@dataclass(frozen=True)
class SteadyArrivals(Arrivals):
    """A stream of arrivals at a mean rate that does not change."""

    rate_per_s: float

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_s < float("inf"):
            raise ValueError(f"rate_per_s is {self.rate_per_s!r}; it must be positive and finite")


@dataclass(frozen=True)
class ConstantArrivals(SteadyArrivals):
    """One request every 1 / rate seconds, the first at once."""

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        count = duration_s * self.rate_per_s
        # A whole number of gaps fills the duration; rounding must not add a request at its very end.
        whole = round(count)
        return np.arange(whole if math.isclose(count, whole) else math.ceil(count)) / self.rate_per_s


@dataclass(frozen=True)
class PoissonArrivals(SteadyArrivals):
    """Independent exponential gaps: what many independent users together send."""

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        # Given their number, the moments of a Poisson process are uniform on the interval.
        count = random.poisson(self.rate_per_s * duration_s)
        return np.sort(random.uniform(0.0, duration_s, count))


@dataclass(frozen=True)
class GammaArrivals(SteadyArrivals):
    """Independent gamma-distributed gaps, whose standard deviation is `variation` times their mean.

    1 makes it a Poisson process; above 1 requests come in bursts with pauses between them, below 1 they are nearly
    evenly spaced. A gamma distribution of shape k has the coefficient of variation 1 / √k (Law, Simulation Modeling and
    Analysis, 5th ed., 6.2.2), so k = 1 / variation² and the scale is variation² / rate.
    """

    variation: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.01 <= self.variation <= 100:
            raise ValueError(f"variation is {self.variation!r}; it must be from 0.01 to 100")

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        shape, scale_s = self.variation**-2, self.variation**2 / self.rate_per_s
        # The process has been going on for ever when the block begins: a gap that covers a given moment is drawn in
        # proportion to its length, and the moment is anywhere in it (Cox, Renewal Theory, 1962, chapter 5). Begun with
        # an ordinary gap, the mean count would be off by about (variation² - 1) / 2.
        moments = np.array([random.uniform() * random.gamma(shape + 1, scale_s)])
        while moments[-1] < duration_s:
            left = (duration_s - moments[-1]) * self.rate_per_s
            gaps_s = random.gamma(shape, scale_s, math.ceil(left) + 16)
            moments = np.concatenate([moments, moments[-1] + np.cumsum(gaps_s)])
        return moments[moments < duration_s]
