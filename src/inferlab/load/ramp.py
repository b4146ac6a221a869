"""Arrivals whose rate rises or falls."""

from dataclasses import dataclass

import numpy as np

from inferlab.load.arrivals import Arrivals


@dataclass(frozen=True)
class RampArrivals(Arrivals):
    """A rate that stays for `hold_s` seconds and then goes linearly to another one in `ramp_s`, where it stays.

    Without randomness: the n-th request, counted from 0, is due when the integral of the rate is n. That is the
    inversion by which a Poisson process of a changing rate is made of one of rate 1 (Çinlar, Introduction to Stochastic
    Processes, 1975, 4.7), applied to evenly spaced moments, so that what a rate shows is not blurred by bursts.
    """

    from_per_s: float
    to_per_s: float
    ramp_s: float
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("from_per_s", "to_per_s", "ramp_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be positive and finite")
        if not 0 <= self.hold_s < float("inf"):
            raise ValueError(f"hold_s is {self.hold_s!r}; it must not be negative")

    def schedule(self, duration_s: float, seed: int) -> np.ndarray:
        held = self.from_per_s * self.hold_s
        ramped = (self.from_per_s + self.to_per_s) / 2 * self.ramp_s
        after = self.to_per_s * max(0.0, duration_s - self.hold_s - self.ramp_s)
        number = np.arange(int(held + ramped + after) + 1, dtype=np.float64)
        slope = (self.to_per_s - self.from_per_s) / self.ramp_s
        in_ramp = np.clip(number - held, 0.0, ramped)
        # Of the two forms of a quadratic equation's solution, the one that a slope of 0 does not divide by.
        root = np.sqrt(np.maximum(0.0, self.from_per_s**2 + 2 * slope * in_ramp))
        moments: np.ndarray = (
            np.minimum(number, held) / self.from_per_s
            + 2 * in_ramp / (self.from_per_s + root)
            + np.maximum(0.0, number - held - ramped) / self.to_per_s
        )
        return moments[moments < duration_s]
