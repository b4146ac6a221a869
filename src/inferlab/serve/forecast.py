"""When a batch, and what waits, will be answered: from how long batches took, and how far off forecasts were."""

from __future__ import annotations

import math
from time import monotonic as clock
from typing import NamedTuple

SHARE_OF_LAST = 0.2
"""Weight of the last batch in the running means, as of those that follow."""
DEVIATIONS = 4.0
"""Mean absolute deviations that a forecast allows for, as RFC 6298 does."""
FORGOTTEN_AFTER_S, FORGOTTEN_AFTER_BATCHES = 1.0, 3.0
"""A class of which no batch ran for so long, in seconds and in batches of its own, is as if none ever had: else what it
refuses would keep it as it is."""


class _Mean(NamedTuple):
    batch_s: float
    deviation_s: float
    """Mean absolute deviation of a batch's time from the mean before it."""
    at_s: float
    """When the last batch of the class was over, on the clock."""


class Forecast:
    """Running means of how long batches of each size class take, and of the errors of the forecasts made of them.

    A class is up to a power of two of items: engines pad, and the time of a batch grows with its size. Forecasts allow
    for the mean error and some mean deviations, as TCP's retransmission timer does (RFC 6298).
    """

    def __init__(self) -> None:
        self._means: dict[int, _Mean] = {}
        self._error_s = 0.0
        self._deviation_s = 0.0

    def batch_s(self, items: int) -> float:
        """How long a batch of this size takes; as the nearest class where none of its own ran, 0.0 where none did."""
        found = self._mean_of(items)
        return 0.0 if found is None else found.batch_s

    def surely_s(self, items: int) -> float:
        """What a batch of this size takes longer than now and then only."""
        found = self._mean_of(items)
        return 0.0 if found is None else found.batch_s + DEVIATIONS * found.deviation_s

    def _mean_of(self, items: int) -> _Mean | None:
        wanted = _class_of(items)
        found = self._means.get(wanted)
        if found is not None:
            lasts_s = max(FORGOTTEN_AFTER_S, FORGOTTEN_AFTER_BATCHES * found.batch_s)
            if clock() - found.at_s <= lasts_s or len(self._means) == 1:
                return found
            del self._means[wanted]
        if not self._means:
            return None
        return self._means[min(self._means, key=lambda known: abs(known - wanted))]

    def longest_s(self) -> float:
        """How long the slowest class of batches takes."""
        return max((mean.batch_s for mean in self._means.values()), default=0.0)

    def allowance_s(self) -> float:
        """How much later than forecast an answer may well be; negative where all come earlier."""
        return self._error_s + DEVIATIONS * self._deviation_s

    def ran(self, items: int, took_s: float) -> None:
        """A batch is over."""
        kind = _class_of(items)
        mean_s, deviation_s, _ = self._means.get(kind, (took_s, 0.0, 0.0))
        off_s = took_s - mean_s
        deviation_s += SHARE_OF_LAST * (math.fabs(off_s) - deviation_s)
        self._means[kind] = _Mean(mean_s + SHARE_OF_LAST * off_s, deviation_s, clock())

    def was_off(self, error_s: float) -> None:
        """An answer came so much later than forecast."""
        self._deviation_s += SHARE_OF_LAST * (math.fabs(error_s - self._error_s) - self._deviation_s)
        self._error_s += SHARE_OF_LAST * (error_s - self._error_s)

    def doubt(self, items: int) -> None:
        """All requests of a batch were refused because of its time, which then nothing would ever correct."""
        mean_s, deviation_s, _ = self._mean_of(items) or (0.0, 0.0, 0.0)
        kept = 1 - SHARE_OF_LAST
        self._means[_class_of(items)] = _Mean(mean_s * kept, deviation_s * kept, clock())


def _class_of(items: int) -> int:
    return max(items - 1, 0).bit_length()
