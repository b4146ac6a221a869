"""How well the mean of a long series is known whose values depend on each other: consecutive batch means.

Latencies of one block are autocorrelated, so that s / √n says far too little. Means of consecutive batches depend less
on each other the larger the batches are; when a test finds no dependence left, their t interval is that of the mean
(Law, Simulation Modeling and Analysis, 5th ed., 9.5.3; Alexopoulos & Seila, Output Data Analysis, in Banks (ed.),
Handbook of Simulation, 1998, 7.3.1).
"""

import math
from collections.abc import Iterable

import numpy as np

FEWEST = 32
"""Batches that an interval needs; with twice as many, neighbours become one batch."""
DEPENDENT_QUANTILE = 1.2816
"""Of the standard normal distribution at 90 %: independent batch means look dependent in one of ten tests."""


class BatchMeans:
    """Takes a series value by value, in constant memory and with the work of an addition for most values."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        from scipy.special import stdtrit  # here, since an import in the middle of a block would stop the client

        self._student = stdtrit
        self._size = 1
        self._sum = 0.0
        self._count = 0
        self._means: list[float] = []
        for value in values:
            self.add(value)

    def add(self, value: float) -> bool:
        """Take one more value; returns whether a batch is full with it."""
        self._sum += value
        self._count += 1
        if self._count < self._size:
            return False
        self._means.append(self._sum / self._size)
        self._sum, self._count = 0.0, 0
        if len(self._means) == 2 * FEWEST:
            self._means = [(one + other) / 2 for one, other in zip(self._means[::2], self._means[1::2], strict=True)]
            self._size *= 2
        return True

    def half_width(self) -> float:
        """Half the 95 % interval of the mean; NaN with fewer than FEWEST batches, or where they are dependent."""
        if len(self._means) < FEWEST or self._dependent():
            return math.nan
        count = len(self._means)
        return float(self._student(count - 1, 0.975)) * float(np.std(self._means, ddof=1)) / math.sqrt(count)

    def relative_half_width(self) -> float:
        """`half_width` as a share of the mean; NaN where there is none."""
        mean = sum(self._means) / len(self._means) if self._means else 0.0
        return self.half_width() / mean if mean > 0 else math.nan

    def _dependent(self) -> bool:
        """von Neumann's test of neighbouring batch means (Annals of Mathematical Statistics 12, 1941), one-sided.

        Its statistic, about their lag-1 autocorrelation, has the mean 0 and the variance (k - 2) / (k² - 1) where k
        means are independent (Alexopoulos & Seila 1998, 7.3.1).
        """
        means = np.array(self._means)
        squares = float(np.square(means - means.mean()).sum())
        if squares == 0:
            return False
        statistic = 1 - float(np.square(np.diff(means)).sum()) / (2 * squares)
        count = len(means)
        return statistic > DEPENDENT_QUANTILE * math.sqrt((count - 2) / (count**2 - 1))
