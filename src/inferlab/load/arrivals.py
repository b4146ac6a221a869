"""When requests of an open loop are due. A kind of arrivals is one class here."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Arrivals(ABC):
    """A stream of arrivals at a mean rate."""

    rate_per_s: float

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_s < float("inf"):
            raise ValueError(f"rate_per_s is {self.rate_per_s!r}; it must be positive and finite")

    @abstractmethod
    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        """Moments in [0, duration_s) at which requests are due, in seconds, ascending, float64."""


@dataclass(frozen=True)
class ConstantArrivals(Arrivals):
    """One request every 1 / rate seconds, the first at once."""

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        count = duration_s * self.rate_per_s
        # A whole number of gaps fills the duration; rounding must not add a request at its very end.
        whole = round(count)
        return np.arange(whole if math.isclose(count, whole) else math.ceil(count)) / self.rate_per_s


@dataclass(frozen=True)
class PoissonArrivals(Arrivals):
    """Independent exponential gaps: what many independent users together send."""

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        # Given their number, the moments of a Poisson process are uniform on the interval.
        count = random.poisson(self.rate_per_s * duration_s)
        return np.sort(random.uniform(0.0, duration_s, count))
